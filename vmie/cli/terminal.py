"""A rich console that no foreign text can drive: nothing is markup, and controls are shown as escapes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from vmie.escaping import visible


class SafeConsole(Console):
    """Every piece of text that is printed, from whatever renderable it comes, passes here."""

    def __init__(self, stream: IO[str], **settings: Any) -> None:
        super().__init__(file=stream, highlight=False, markup=False, emoji=False, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `Console.render`; rich's own control codes stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
