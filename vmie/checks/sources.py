"""Where rules come from: lines of the 2016 prerequisites page and pages of the current guide."""

from __future__ import annotations

GUIDE = "https://docs.aws.amazon.com/vm-import/latest/userguide"

FORMATS = f"{GUIDE}/prerequisites.html (image formats)"
SYSTEMS = f"{GUIDE}/prerequisites.html (operating systems)"
BOOT_MODES = f"{GUIDE}/prerequisites.html (boot modes)"
VOLUMES = f"{GUIDE}/prerequisites.html (volume types and file systems)"
LIMITATIONS = f"{GUIDE}/limitations-image-importing.html"
PREPARE = f"{GUIDE}/prepare-vm-image.html"
CHANGES = f"{GUIDE}/import-modify-vm.html"
LICENCES = f"{GUIDE}/licensing.html"
TROUBLE = f"{GUIDE}/vmimport-troubleshooting.html"
API_INSTANCE = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ImportInstance.html"
OVF = "https://www.dmtf.org/sites/default/files/standards/documents/DSP0243_2.1.1.pdf"
ENA = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/enhanced-networking-ena.html"


def seed(*lines: int) -> str:
    """Lines of the 2016 page "VM Import/Export の前提条件" as plain text."""
    return f"VM Import/Export prerequisites, 2016, line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
