"""Functions as DBOS takes them: workflows that it can mark, steps whose failures it does not record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbos import DBOS


def step(name: str, call: Callable[[], Any]) -> Any:
    """A step of DBOS whose failure DBOS does not see: it would record it, and raise it again after a restart."""

    def tried() -> Any:
        try:
            return call()
        except Exception as error:
            raise _Failed(error) from error

    try:
        return DBOS.run_step({"name": name}, tried)
    except _Failed as failed:
        raise failed.error from failed.error.__cause__


class _Failed(BaseException):
    """A step's failure on its way past DBOS, which records what is an Exception."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def plain(body: Callable[[str, str, int], None]) -> Callable[[str, str, int], None]:
    """A function of its own: DBOS marks what it registers, and a bound method cannot be marked."""

    def workflow(batch: str, key: str, number: int) -> None:
        body(batch, key, number)

    workflow.__qualname__ = workflow.__name__ = body.__name__
    return workflow
