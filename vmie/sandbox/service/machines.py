"""Instances that start: their consoles, screens and status checks, and RunInstances once per ClientToken.

What moto runs is running at once; here a machine's disk decides what it shows, and the sandbox's clock when.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance, StateReason
from moto.ec2.responses import EC2Response

from vmie.sandbox.clock import SandboxClock
from vmie.sandbox.fault_injection import FaultInjector
from vmie.sandbox.moto_fixes import compute
from vmie.sandbox.moto_fixes.compute import RegisteredImage, SnapshotContents
from vmie.sandbox.patching import Patcher
from vmie.sandbox.service import guest_console, launch_rules
from vmie.sandbox.service.guest_console import GuestConsole, InstanceHardware

#: GetConsoleOutput without Latest shows what was posted some minutes after the start
#: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html
_POSTED_AFTER = 240.0
_MOST_OUTPUT = 64 << 10
_STARTED = "vmie_started"


class Machines:
    """The instances of one world."""

    def __init__(self, contents: SnapshotContents, clock: SandboxClock, faults: FaultInjector) -> None:
        self._contents = contents
        self._clock = clock
        self._faults = faults
        self._consoles: dict[tuple[str, InstanceHardware], GuestConsole] = {}
        self._lock = threading.Lock()

    def install(self, patcher: Patcher) -> None:
        """Patch what starts instances, and what shows how they are."""
        response = EC2Response
        patcher.attribute(response, "run_instances", self._run(response.run_instances))
        patcher.attribute(response, "get_console_output", _of_instance(self._output))
        patcher.attribute(response, "get_console_screenshot", _of_instance(self._screenshot))
        patcher.attribute(response, "replace_image_instance_type_specification", _replace_specification)
        patcher.attribute(Instance, "start", self._starting(Instance.start))
        for name in ("instance_status", "system_status"):
            patcher.attribute(Instance, name, self._status(name, vars(Instance)[name]))

    # --- starting -------------------------------------------------------------------------------------

    def _run(self, original: Callable[[Any], Any]) -> Any:
        def run_instances(response: Any) -> Any:
            params, backend = response._get_params(), response.ec2_backend  # noqa: SLF001 - moto's own way
            known = vars(backend).setdefault("vmie_launches", {})
            token = str(params.get("ClientToken") or "")
            asked = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()
            with self._lock:
                if token and not params.get("DryRun") and (found := known.get(token)):
                    if found[0] != asked:
                        raise EC2ClientError(
                            "IdempotentParameterMismatch",
                            f"Arguments on this idempotent request are inconsistent with arguments used in previous "
                            f"request(s) with the client token {token}.",
                        )
                    return ActionResult(found[1])
                answer = original(response)
                self._begin(answer.result.instances)
                known[token] = asked, answer.result
            return answer

        return run_instances

    def _begin(self, instances: list[Any]) -> None:
        for instance in instances:
            vars(instance)[_STARTED] = self._clock.worked()
            if fault := self._faults.for_instance("end_instance"):
                instance.terminate()
                code = fault.code or "Client.InternalError"
                instance.state_reason = StateReason(fault.message or f"{code}: Client error on launch", code)
                instance._reason = ""  # noqa: SLF001 - moto has no other way
            vars(instance)["vmie_silent"] = self._faults.for_instance("no_console") is not None

    def _starting(self, original: Any) -> Any:
        def start(instance: Any) -> Any:
            vars(instance)[_STARTED] = self._clock.worked()
            return original(instance)

        return start

    # --- how it is ------------------------------------------------------------------------------------

    def _age(self, instance: Any) -> float:
        """Seconds of AWS's work since its start; one that was there before began long ago."""
        started: float | None = vars(instance).get(_STARTED)
        return float("inf") if started is None else self._clock.worked() - started

    def _console(self, instance: Any) -> GuestConsole:
        image = instance.ec2_backend.amis.get(instance.image_id)
        kind = instance.instance_type
        hardware = InstanceHardware(
            nitro=launch_rules.nitro(kind),
            firmware=launch_rules.firmware_of(image, kind),
            prepared=bool(getattr(image, "prepared", False)),
        )
        if not isinstance(image, RegisteredImage):
            return guest_console.good(hardware)  # one of Amazon's own
        key = (image.id, hardware)
        with self._lock:
            if key not in self._consoles:
                opened = [self._contents.open(device.snapshot_id) for device in image.devices]
                disks = [disk for disk in opened if disk is not None]
                self._consoles[key] = guest_console.of(disks, hardware) if disks else guest_console.good(hardware)
            return self._consoles[key]

    def _output(self, response: Any, instance: Any) -> dict[str, Any]:
        latest = bool(response._get_param("Latest"))  # noqa: SLF001 - moto's own way
        if latest and not launch_rules.nitro(instance.instance_type):
            raise EC2ClientError(
                "UnsupportedOperation", "This instance type does not support retrieving the latest console logs."
            )
        age = self._age(instance)
        silent = bool(vars(instance).get("vmie_silent")) or not (latest or age >= _POSTED_AFTER)
        shown = "" if silent else self._console(instance).text(age)
        answer = {"InstanceId": instance.id, "Timestamp": self._clock.now()}
        output = base64.b64encode(shown.encode()[-_MOST_OUTPUT:]).decode()
        return {**answer, "Output": output} if output else answer

    def _screenshot(self, response: Any, instance: Any) -> dict[str, Any]:
        if instance.state != "running":
            raise EC2ClientError(
                "IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'running' state."
            )
        console = self._console(instance)
        return {"InstanceId": instance.id, "ImageData": base64.b64encode(jpeg(console.screen)).decode()}

    def _status(self, name: str, original: property) -> property:
        def status(instance: Any) -> dict[str, Any]:
            if instance.state_code != 16:
                return dict(original.fget(instance))  # type: ignore[misc] # it has one
            if self._age(instance) < guest_console.STATUS_AFTER:
                return {"Details": [{"Name": "reachability", "Status": "initializing"}], "Status": "initializing"}
            if name == "system_status" or self._console(instance).reachable:
                return {"Details": [{"Name": "reachability", "Status": "passed"}], "Status": "ok"}
            since = self._clock.now()
            return {
                "Details": [{"Name": "reachability", "Status": "failed", "ImpairedSince": since}],
                "Status": "impaired",
            }

        return property(status)


def _of_instance(answer: Callable[[Any, Any], dict[str, Any]]) -> Any:
    def method(response: Any) -> Any:
        response.error_on_dryrun()
        wanted = response._get_param("InstanceId")  # noqa: SLF001 - moto's own way
        return ActionResult(answer(response, response.ec2_backend.get_instance(wanted)))

    return method


def _replace_specification(response: Any) -> Any:
    """ReplaceImageInstanceTypeSpecification, which moto lacks."""
    params = response._get_params()  # noqa: SLF001 - moto's own way
    image = compute.find_image(response.ec2_backend, str(params.get("ImageId") or ""))
    given = params.get("InstanceTypeSpecification") or {}
    listed = {
        name: [str(one) for one in given.get(name) or ()]
        for name in ("SupportedInstanceTypes", "UnsupportedInstanceTypes")
    }
    if image.owner_id != response.ec2_backend.account_id:
        raise EC2ClientError("AuthFailure", f"Not authorized for image {image.id}")
    launch_rules.require_specification(listed)
    response.error_on_dryrun()
    image.instance_type_specification = {
        name: [{"InstanceType": one} for one in entries] for name, entries in listed.items() if entries
    }
    return ActionResult({"ReturnValue": True})


def jpeg(text: str) -> bytes:
    """A grey picture of 8 × 8 pixels, a JPEG file (ITU-T T.81) with `text` as its comment."""
    words = text.encode()[:60000]

    def segment(marker: int, content: bytes) -> bytes:
        return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content

    counts = bytes([1] + [0] * 15)
    return b"".join(
        (
            b"\xff\xd8",
            segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            segment(0xFE, words),
            segment(0xDB, b"\0" + b"\x10" * 64),
            segment(0xC0, b"\x08\0\x08\0\x08\x01\x01\x11\0"),
            segment(0xC4, b"\0" + counts + b"\0"),
            segment(0xC4, b"\x10" + counts + b"\0"),
            segment(0xDA, b"\x01\x01\0\0\x3f\0"),
            b"\x3f",
            b"\xff\xd9",
        )
    )
