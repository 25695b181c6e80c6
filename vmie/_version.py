"""The version, on the lowest floor: requests, manifests and reports carry it."""

__version__ = "0.2.0"
