"""The page of screens: what is kept for the tests, shown."""

from __future__ import annotations

from pathlib import Path

from pages import HEAD

SCREENS = Path(__file__).parent / "reference" / "screens"
_ALL = "https://github.com/vmie/vmie/tree/main/docs/reference/screens"
#: the screens in the order of the page, each with what was typed and what is to be seen
SHOWN = {
    "check": (
        "vmie check demo.ova",
        "One image: the verdict, the routes, then each finding once, with its rule and cure.",
    ),
    "folder": ("vmie check images", "A folder: one table, worst first, and how many images have each finding."),
    "import": (
        "vmie import demo.ova --name demo",
        "An import: what was made, what was sent, and the command to type next.",
    ),
    "refused": ("vmie import images/web-02.qcow2", "An image that AWS would refuse: nothing was sent."),
    "error": ("vmie import demo.ova --bucket my-images", "An error: what, why, and the command that mends it."),
    "batch": ("vmie batch status BATCH --watch", "The live table of a batch; `vmie batch run` shows it too."),
    "help": ("vmie convert --help", "A page of help."),
}


def screens() -> str:
    """The screens of 80 columns; those of 100 and 200 lie beside them."""
    parts = [
        HEAD + "# What the terminal shows\n",
        "Drawn by tmux from the real commands at 80x24, 100x30 and 200x50, and compared by the tests.",
        f"These have 80 columns, [all of them]({_ALL}) are in the repository. Ids, times and rates stand for others.\n",
    ]
    for name, (typed, words) in SHOWN.items():
        text = (SCREENS / f"{name}-80x24.txt").read_text(encoding="utf-8").rstrip()
        parts += [f"## {words.partition(':')[0].rstrip('.')}\n", f"{words}\n", f"```text\n$ {typed}\n{text}\n```\n"]
    return "\n".join(parts)
