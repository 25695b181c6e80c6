"""Facts to findings: rules as data, pure functions."""
