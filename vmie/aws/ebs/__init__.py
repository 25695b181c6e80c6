"""The EBS direct API: a snapshot written and read by blocks of 512 KiB, without a bucket, a role or a volume."""
