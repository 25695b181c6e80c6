"""What is inside a disk: partitions, volumes, file systems, Linux, Windows."""
