"""The EBS direct API whole: snapshots written and read by blocks, without moto, whose part for it is a stub."""
