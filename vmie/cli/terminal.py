"""A rich console that no foreign text can drive: nothing is markup, and controls are shown as escapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.theme import Theme

from vmie.escaping import visible

#: colours by meaning, each with a contrast of 3.5 and more on white, on black and between
PALETTE: Mapping[str, str] = {
    "good": "green4",
    "bad": "red1",
    "worst": "bold red1",
    "warning": "dark_orange3",
    "unclear": "magenta3",
    "busy": "turquoise4",
    "quiet": "grey46",
}
#: rich's own bars in them
_BARS = {
    "bar.back": "quiet",
    "bar.complete": "busy",
    "bar.finished": "good",
    "bar.pulse": "busy",
    "progress.download": "busy",
    "progress.data.speed": "busy",
    "progress.remaining": "quiet",
    "progress.elapsed": "quiet",
    "status.spinner": "busy",
}
_THEME = Theme({**PALETTE, **{name: PALETTE[meaning] for name, meaning in _BARS.items()}})


class SafeConsole(Console):
    """Every piece of text that is printed, from whatever renderable it comes, passes here."""

    def __init__(self, stream: IO[str], **settings: Any) -> None:
        super().__init__(file=stream, highlight=False, markup=False, emoji=False, theme=_THEME, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `Console.render`; rich's own control codes stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
