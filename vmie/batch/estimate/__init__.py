"""A dry run: what a batch would send, call, cost, and when it would end."""
