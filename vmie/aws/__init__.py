"""The only door to boto."""
