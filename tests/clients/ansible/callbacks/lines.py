"""One line of JSON per task: its name, whether it worked, and what it said."""

from __future__ import annotations

import json

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Ansible's way to hand results to a program."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "lines"

    def _line(self, result, worked):
        said = result._result
        print(
            json.dumps(
                {
                    "task": result._task.get_name(),
                    "ok": worked,
                    "message": str(said.get("msg", ""))[:500],
                    "more": str(said)[-800:] if not worked else "",
                }
            ),
            flush=True,
        )

    def v2_runner_on_ok(self, result):
        """A task that worked."""
        self._line(result, True)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        """A task that failed."""
        self._line(result, False)
