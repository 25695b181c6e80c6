"""What the buttons do: the same calls as the command line's verbs, those that last in threads of their own."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import replace

from vmie.batch.context import BatchContext
from vmie.batch.run import api
from vmie.errors import Interrupted, VmieError
from vmie.poll import Clock

#: seconds that work of ours has for stopping: as long as it gives its own uploads, and some
_STOP_WITHIN = 20.0


class _Stoppable:
    """A clock that interrupts the thread which it was made for as Ctrl-C does the main one, when it next sleeps."""

    def __init__(self, clock: Clock, over: threading.Event) -> None:
        self._clock, self._over, self._thread = clock, over, threading.current_thread()

    def now(self) -> dt.datetime:
        """See `Clock.now`."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        if threading.current_thread() is not self._thread:
            self._clock.sleep(seconds)
        elif self._over.wait(seconds):
            raise KeyboardInterrupt

    def uniform(self, low: float, high: float) -> float:
        """See `Clock.uniform`."""
        return self._clock.uniform(low, high)


class Steering:
    """Of one batch. `said` is what the last thing that went wrong was, "" for nothing."""

    def __init__(self, context: BatchContext, batch: str) -> None:
        self._context, self._batch = context, batch
        self._over = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self.said = ""

    @property
    def busy(self) -> bool:
        """Whether something that was asked for is being done here."""
        return any(one.is_alive() for one in self._threads.values())

    def pause(self) -> None:
        """Let no further item begin."""
        self._at_once(lambda: api.pause(self._context, self._batch))

    def resume(self, *, retry_failed: bool = False) -> None:
        """Let the batch go on, in the process that has it or else in this one."""

        def resume() -> None:
            if api.resume_elsewhere(self._context, self._batch, retry_failed=retry_failed) is None:
                self._begin("run", lambda context: api.run(context, self._batch, retry_failed=retry_failed))

        self._at_once(resume)

    def retry(self) -> None:
        """Begin failed items anew."""
        self.resume(retry_failed=True)

    def cancel(self) -> None:
        """Give the batch up; what is under way is undone by the process that has it, or else by this one."""
        self._begin("cancel", lambda context: api.cancel(context, self._batch))

    def stop(self) -> bool:
        """Interrupt what is done here, as Ctrl-C would; whether all of it has stopped."""
        self._over.set()
        for thread in list(self._threads.values()):
            thread.join(_STOP_WITHIN)
        return not self.busy

    def _at_once(self, work: Callable[[], object]) -> None:
        self.said = ""
        try:
            work()
        except VmieError as error:
            self._report(error)

    def _begin(self, name: str, work: Callable[[BatchContext], object]) -> None:
        """Do work in a thread, unless the same is being done already."""

        def body() -> None:
            context = replace(self._context, clock=_Stoppable(self._context.clock, self._over))
            try:
                work(context)
            except Interrupted:
                pass  # was asked to
            except VmieError as error:
                if error.code != "BatchLocked":  # another process has just begun
                    self._report(error)

        with self._lock:
            known = self._threads.get(name)
            if known is None or not known.is_alive():
                self.said = ""
                self._threads[name] = threading.Thread(target=body, name=f"batch-{name}", daemon=True)
                self._threads[name].start()

    def _report(self, error: VmieError) -> None:
        self.said = f"{error.message}: {error.cause}" if error.cause else error.message
