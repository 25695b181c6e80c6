"""A batch followed: the state is asked whether anything has changed, and read only if it has and somebody looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vmie.batch.context import BatchContext
from vmie.batch.report import history, page
from vmie.batch.report.history import History
from vmie.batch.store.locations import Location
from vmie.batch.store.store import Store
from vmie.batch.web import controls
from vmie.batch.web.board import Board
from vmie.batch.web.server import WatchServer
from vmie.batch.web.steering import Steering
from vmie.errors import VmieError
from vmie.escaping import visible

#: seconds between two looks, and between two drawings of the charts
_PAUSE, _DRAW_EVERY = 1.0, 30.0


class BatchWatch:
    """One batch, followed and steered; `server` has the page."""

    def __init__(self, context: BatchContext, batch: str, *, port: int) -> None:
        self._context, self._batch = context, batch
        self._location: Location = context.locations.of(batch)
        self._read_once()
        self._board = Board()
        self._steering = Steering(context, batch)
        names = ("pause", "resume", "retry", "cancel")
        actions = {name: self._waking(getattr(self._steering, name)) for name in names}
        self.server = WatchServer(port, self._board, self._page, actions)
        self._wake, self._over = threading.Event(), threading.Event()

    def follow(self) -> None:
        """Look at the batch again and again, until `stop`."""
        while not self._over.is_set():
            try:
                with self._location.open(self._context.clock.now) as store:
                    self._follow(store)
            except VmieError as error:
                self._steering.said = f"{error.message}: {error.cause}"
                self._wake.wait(5 * _PAUSE)

    def stop(self) -> bool:
        """Close the page; whether what was done here has stopped."""
        self._over.set()
        self._wake.set()
        self._board.close()
        return self._steering.stop()

    def _follow(self, store: Store) -> None:
        seen: object = None
        drawn = 0.0
        while not self._over.is_set():
            now = self._context.clock.now()
            mark = (store.mark(self._batch), self._location.in_use(), self._steering.said)
            if self._board.watched and mark != seen:
                seen, redraw = mark, now.timestamp() - drawn >= _DRAW_EVERY
                read = history.read(store, self._location, self._batch, now=now)
                pieces = controls.everything(read, said=self._steering.said)
                if redraw or read.status.ended:
                    drawn = now.timestamp()
                    pieces["drawn"] = page.charts(read)
                self._board.put({name: visible(text) for name, text in pieces.items()})
            self._wake.wait(_PAUSE)
            self._wake.clear()

    def _waking(self, action: Callable[[], None]) -> Callable[[], None]:
        def act() -> None:
            action()
            self._wake.set()

        return act

    def _page(self, still: bool) -> str:
        version = self._board.version
        read = self._read_once()
        frame = controls.frame(read, version=version, said=self._steering.said, still=still)
        return visible(page.whole(read, frame=frame))

    def _read_once(self) -> History:
        with self._location.open(self._context.clock.now) as store:
            return history.read(store, self._location, self._batch, now=self._context.clock.now())


@contextmanager
def serving(context: BatchContext, batch: str, *, port: int = 0) -> Iterator[BatchWatch]:
    """A batch's live page, on loopback, while the block runs. Raises UsageError where batch or port cannot be had."""
    watch = BatchWatch(context, batch, port=port)
    thread = threading.Thread(target=watch.server.serve_forever, name="batch-page", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.server.shutdown()
        watch.server.server_close()
        watch.stop()
