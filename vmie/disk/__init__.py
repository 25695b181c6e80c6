"""Bytes to disks, and disks to streams."""
