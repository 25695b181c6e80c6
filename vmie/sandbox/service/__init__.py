"""VM Import/Export as AWS runs it: requests, tasks, conversions, refusals."""
