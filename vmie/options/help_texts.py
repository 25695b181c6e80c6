"""Help of options that verbs without a request have too: `check` and `convert` load no schema for it."""

from __future__ import annotations

MACHINE_HELP = "Of an appliance with several machines: the id or name of the one that is meant, with its own disks."
EMPTY_DISKS_HELP = "Make the disks that an appliance lists without a file, all zeros; else they are left out."
