"""Write docs/reference and man/ from the code; with --check, fail when a page is stale (CI)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import errors_page
import man_pages
import pages
import permissions_page
import plan_page
import screens_page

from vmie.checks.docs_page import rules
from vmie.cli.terms import TERMS

REFERENCE = Path(__file__).parent / "reference"
MANUAL = Path(__file__).parents[1] / "man"

#: page name -> what renders it; each verb, rule or table adds its own
PAGES: dict[str, Callable[[], str]] = {
    "cli.md": pages.cli,
    "errors.md": lambda: errors_page.errors(TERMS),
    "exit-codes.md": pages.exit_codes,
    "permissions.md": permissions_page.permissions_page,
    "plan-file.md": plan_page.plan_file,
    "plan.schema.json": plan_page.schema,
    "rules.md": lambda: rules(TERMS),
    "screens.md": screens_page.screens,
    "settings.md": pages.settings,
}


def main() -> int:
    """Return 1 when --check finds a stale page."""
    wanted = {REFERENCE / name: render() for name, render in PAGES.items()}
    wanted |= {MANUAL / name: text for name, text in man_pages.man_pages().items()}
    stale = [page.name for page in MANUAL.glob("*") if page not in wanted]
    for page, text in wanted.items():
        if "--check" in sys.argv:
            if not page.exists() or page.read_text() != text:
                stale.append(page.name)
        else:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text)
    if stale:
        print(f"stale: {', '.join(stale)}; run `make docs`")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
