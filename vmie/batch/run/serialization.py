"""What DBOS records of a workflow, as JSON; and no pickle, whoever wrote it.

DBOS pickles by default, and obeys each row's own `serialization` column: a row that says ``py_pickle`` is unpickled
whatever serialiser is configured (dbos 3.4, `_serialization.py`: `deserialize_value`, `deserialize_args`,
`deserialize_exception`). To unpickle is to run what the writer of the row wants. So there is a serialiser of our own,
rows that name another one are refused before the launch (`store.workflow_rows`), and the unpickling itself is taken
out of DBOS, for the row that is written after that look.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from dbos import Serializer
from dbos._serialization import DefaultSerializer

from vmie.batch.store.workflow_rows import SERIALIZER, untrusted
from vmie.errors import VmieError


class RecordedError(Exception):
    """The failure of a workflow, as read back: its type's name and its words, never an object of that type."""


class JsonSerializer(Serializer):
    """JSON values and nothing else; an exception becomes its name and its words. Equal values give equal text."""

    def name(self) -> str:
        """What our rows say in their column `serialization`."""
        return SERIALIZER

    def serialize(self, data: Any) -> str:
        """Raises TypeError or ValueError for what JSON cannot hold."""
        if isinstance(data, BaseException):
            data = {"error": {"name": type(data).__name__, "message": str(data)}}
        else:
            data = {"value": data}
        return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def deserialize(self, serialized_data: str) -> Any:
        """Raises ValueError, KeyError or TypeError for what `serialize` has not written."""
        data = json.loads(serialized_data)
        if "error" in data:
            return RecordedError(f"{data['error']['name']}: {data['error']['message']}")
        return data["value"]


def refuse_pickles(report: Callable[[VmieError], None]) -> None:
    """Take pickle out of DBOS for the rest of this process: there is one DBOS in a process, and it is ours now.

    `report` gets what is raised: DBOS only logs it, and would leave the workflow where it is for ever.
    """

    def refuse(*_: object) -> NoReturn:
        error = untrusted("py_pickle")
        report(error)
        raise error

    DefaultSerializer.serialize = refuse  # type: ignore[method-assign, assignment]
    DefaultSerializer.deserialize = refuse  # type: ignore[method-assign, assignment]
