"""Run the families and print right, wrong and refused: `python -m tests.field [FAMILY…] [--page FILE] [--fetch]`.

Ends with 1 when something is wrong that known.toml does not list, fewer are right than it says, or a corpus cannot be
had.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path

from tests.field import corpora, families, report
from tests.field.judging import Word


def main() -> int:
    """Judge, print, write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.field")
    parser.add_argument("family", nargs="*", help="names of families; none is all")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    parser.add_argument("--fetch", action="store_true", help="only download what `make test` needs")
    parser.add_argument("--refused", action="store_true", help="also print what was refused")
    given = parser.parse_args()
    if given.fetch:
        for name in dict.fromkeys(name for family in families.SLICE for name in family.CORPORA):
            corpora.folder(name)
        return 0
    done = [families.run(family) for family in families.chosen(given.family)]
    print(report.table(done))
    for tally in done:
        for one in tally.outcomes:
            if one.word is Word.WRONG or (one.word is Word.REFUSED and given.refused):
                print(f"{tally.family}: {one}")
        for name in tally.mended():
            print(f"{tally.family}: {name} is wrong no more: take it from known.toml")
        if not tally.missing and tally.few():
            print(f"{tally.family}: {tally.few()}")
        for why in tally.missing:
            print(f"{tally.family}: not judged, as a corpus is missing: {why}")
    if given.page:
        report.write(given.page, done, day=dt.datetime.now(dt.UTC).date())
    return 1 if any(tally.news() or tally.missing or tally.few() for tally in done) else 0


if __name__ == "__main__":
    sys.exit(main())
