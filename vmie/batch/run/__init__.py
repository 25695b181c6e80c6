"""Carrying batches out: scheduler, workers, stages, quotas, leases, cancellation. Only place with DBOS."""
