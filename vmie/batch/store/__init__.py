"""Where batches are kept: the only place with SQL."""
