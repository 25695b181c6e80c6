"""Every dependency's licence allows what vmie does with it: permissive, or a weak copyleft such as the LGPL's."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "dev.txt"
#: as an SPDX expression, a licence field or a classifier writes them
ALLOWED = re.compile(
    r"(MIT|MIT-0|BSD|[023]-Clause|BSD-[23]-Clause|Apache|Apache-2\.0|ISC|PSF|PSFL|PSF-2\.0|CNRI-Python"
    r"|Python Software Foundation"
    r"|MPL|MPL-2\.0|Mozilla Public|LGPL|LGPL-[23][.\d]*-(only|or-later)|Unlicense|Zlib|HPND)\b"
)
STRONG = re.compile(r"(?<!L)(A?GPL|GNU (Affero )?General Public|SSPL|BUSL|Commons Clause|Proprietary)", re.IGNORECASE)


def locked() -> list[str]:
    """Names of the locked packages whose marker holds on this machine."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    names = [line.partition("==")[0] for line in lines if "==" in line]
    return [name for name in dict.fromkeys(names) if _installed(name)]


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False  # of another Python or another system
    return True


def said(name: str) -> str:
    """All that a package says of its licence, on one line."""
    about = metadata.metadata(name)
    classifiers = [one for one in about.get_all("Classifier") or [] if one.startswith("License ::")]
    field = (about.get("License") or "").splitlines()[:1]
    return "; ".join(filter(None, [about.get("License-Expression"), *field, *classifiers]))


@pytest.mark.parametrize("name", locked())
def test_the_licence_is_known_and_allowed(name: str) -> None:
    words = said(name)
    assert ALLOWED.search(words), f"{name} says {words!r}: look at its licence, then allow it here"
    assert not STRONG.search(words), f"{name} says {words!r}"


def test_a_strong_copyleft_would_be_found() -> None:
    assert STRONG.search("GPL-3.0-or-later")
    assert STRONG.search("License :: OSI Approved :: GNU Affero General Public License v3")
    assert not STRONG.search("LGPL-3.0-or-later")
