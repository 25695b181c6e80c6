"""The service as AWS runs it, offline: moto plus the VM Import/Export actions moto lacks."""
