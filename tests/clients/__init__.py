"""Clients and suites of others, run unchanged against the sandbox: `make clients` runs the clients."""
