"""Plan files: read, validated, cross-checked; every mistake at once."""
