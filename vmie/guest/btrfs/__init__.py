"""Btrfs, read only: what it takes to open a file by its path.

    superblock ── chunks (logical address → devices) ── btree (nodes, items) ── subvolumes ── files ── extents, lzo
                                                                  filesystem: all of it behind `guest.filesystem.Files`

On-disk format: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html and, where that is silent,
https://github.com/torvalds/linux/blob/master/include/uapi/linux/btrfs_tree.h. Not read: the log tree
(`FileSystem.clean` says so), checksums of data, the trees of free space, quotas and devices.
Nothing here is imported before a Btrfs is found.
"""
