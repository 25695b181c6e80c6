"""The guide names every export rule, and no other."""

from __future__ import annotations

import re

from tests.tools import ROOT
from vmie.ops.export.rules import RULES


def test_the_guide_lists_the_rules() -> None:
    guide = (ROOT / "docs" / "how-to" / "export-a-vm.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (VMIE-EXPORT-\d{3}) \|", guide, re.MULTILINE)
    assert rows == [rule.id for rule in RULES]
