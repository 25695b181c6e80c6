"""Findings that can be mended, mended in a layer over a disk that is never written. No AWS, no guest code.

Start with `model`: the nouns. `files` shows mends the guest, `engine` writes what they want and looks again.
"""

from __future__ import annotations

from vmie.repair.engine import apply, repair
from vmie.repair.files import GuestFiles, encoded
from vmie.repair.model import Edit, FileChange, Left, Mend, Reason, Repair

__all__ = ["Edit", "FileChange", "GuestFiles", "Left", "Mend", "Reason", "Repair", "apply", "encoded", "repair"]
