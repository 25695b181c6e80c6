"""ImportVolume: a disk becomes a volume."""

from __future__ import annotations

from vmie.ops.import_.conversion import ConversionImport


class VolumeImport(ConversionImport):
    """An import by ImportVolume."""
