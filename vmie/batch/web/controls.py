"""What a live page has beside the report: its head, the buttons, and what is read out."""

from __future__ import annotations

from collections import Counter
from html import escape

from vmie.batch.model import State
from vmie.batch.report import page
from vmie.batch.report.history import History
from vmie.batch.report.page import Frame
from vmie.batch.report.status import Status
from vmie.batch.store.rows import Batch

#: seconds until a page without a script is loaded anew
_RELOAD = 10


def frame(read: History, *, version: int, said: str, still: bool) -> Frame:
    """Of a page as new as `version`; without a script it reloads itself while the batch goes on, or (`still`) not."""
    reload = f'<meta http-equiv="refresh" content="{_RELOAD}">' if not (still or read.status.ended) else ""
    hint = (
        '<p>This page is as it was when it was loaded. <a href="./">Keep it up to date</a></p>'
        if still
        else f'<p>This page is loaded anew every {_RELOAD} seconds. <a href="./?still">Let it stand still</a></p>'
    )
    parts = pieces(read.batch, read.status, said=said)
    return Frame(
        head=f'<noscript>{reload}</noscript><script src="live.js" defer></script>',
        top=(
            f'<div id="live" data-version="{version}">{parts["controls"]}'
            f'<p id="spoken" class="unseen" role="status">{parts["spoken"]}</p>'
            '<p id="lost" class="bad" role="alert" hidden>The server of this page does not answer any more.</p>'
            f"<noscript>{'' if read.status.ended else hint}</noscript></div>"
        ),
    )


def everything(read: History, *, said: str) -> dict[str, str]:
    """All pieces of a live page but the charts."""
    return {**page.pieces(read.batch, read.status), **pieces(read.batch, read.status, said=said)}


def pieces(batch: Batch, shown: Status, *, said: str) -> dict[str, str]:
    """The buttons that do something now, and the sentence that is read out when it changes."""
    count = Counter(item.state for item in shown.items)
    failed, total = count[State.FAILED], max(len(shown.items), 1)
    tenth = 10 * count[State.COMPLETED] // total * 10
    return {
        "controls": _controls(batch, shown, failed=failed, said=said),
        "spoken": f"{shown.status}: {tenth} % completed, {failed} failed",
    }


def _controls(batch: Batch, shown: Status, *, failed: int, said: str) -> str:
    parts = []
    if not (batch.cancelling or shown.ended):
        pausing = shown.status == "running"
        parts.append(_form("pause", "Pause", "turn") if pausing else _form("resume", "Go on", "turn"))
    if failed and not (batch.cancelling or batch.paused):
        parts.append(_form("retry", f"Try {failed} failed again", "retry"))
    if not batch.cancelling and (failed or not shown.ended):
        parts.append(
            '<details id="cancelling"><summary id="cancel">Cancel…</summary><p>No further item begins, the tasks are '
            "cancelled, what was uploaded is removed. What is completed stays.</p>"
            f"{_form('cancel', 'Cancel the batch', 'cancel-now', sure=True)}</details>"
        )
    wrong = f'<p class="bad" role="alert">{escape(said)}</p>' if said else ""
    return f'<div id="controls" role="group" aria-label="Steer the batch">{"".join(parts)}{wrong}</div>'


def _form(action: str, words: str, name: str, *, sure: bool = False) -> str:
    hidden = '<input type="hidden" name="sure" value="yes">' if sure else ""
    return f'<form method="post" action="{action}">{hidden}<button id="{name}">{words}</button></form>'
