"""The one wait loop."""
