"""vmie: virtual machines into Amazon EC2 and out again."""

__version__ = "0.1.0"
