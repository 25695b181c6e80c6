"""AWS's numbers, each with its source."""
