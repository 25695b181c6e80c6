"""The options of a proof in EC2: `vmie boot ami-…`, and what `vmie import --prove` shares with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator

from vmie.errors import Set, UsageError, says
from vmie.options.base import Options, option
from vmie.options.spelling import ARGUMENTS, FLAGS
from vmie.options.types import InstanceProfile, InstanceTypes, Money, SecurityGroups, Subnet, Text

#: seconds
USUAL, LONGEST = 600, 86_400
_THERE: dict[str, Any] = {"group": "In EC2", "in_plans": False}


def _image(text: str) -> str:
    if not re.fullmatch(r"ami-[0-9a-f]{8,17}", text):
        raise ValueError(f"{text!r} is no AMI", "name one (ami-…)")
    return text


class ProofRequest(Options):
    """A launch that shows whether an AMI starts. `timeout` is in seconds, `max_cost` in US dollars."""

    image_id: Annotated[Text, AfterValidator(_image)] = option(
        ..., "The AMI.", argument=True, metavar=ARGUMENTS["image_id"], in_plans=False
    )
    instance_types: InstanceTypes = option(
        (), "Launch as these, one instance each. Default: t3.micro, or what suits the AMI.", metavar="T,T", **_THERE
    )
    subnet: Subnet = option("", "A subnet's id. Default: the default VPC's.", metavar="subnet-…", **_THERE)
    security_groups: SecurityGroups = option(
        (), "Ids or names. Default: the VPC's own.", flags=FLAGS["security_groups"], metavar="sg-…|NAME", **_THERE
    )
    instance_profile: InstanceProfile = option(
        "", "Give the instance this role; without it the instance may do nothing.", metavar="NAME|ARN", **_THERE
    )
    ssm: bool = option(False, "Ask the SSM agent of the guest, too; it needs {instance_profile}.", **_THERE)
    timeout: int = option(
        USUAL, "Seconds until it is given up (600).", bounds={"ge": 1, "le": LONGEST}, metavar="S", in_plans=False
    )
    max_cost: Money = option(
        1.0, "Launch nothing that may cost more US dollars than this (1).", metavar="USD", **_THERE
    )

    def conflicts(self) -> Iterator[UsageError]:
        """See `Options.conflicts`."""
        if self.ssm and not self.instance_profile:
            yield UsageError(
                says("{ssm} needs {instance_profile}"),
                cause="the agent of an instance that may do nothing cannot say that it is there",
                cure=Set("instance_profile", "NAME", "one with AmazonSSMManagedInstanceCore"),
            )

    def lasting(self) -> dict[str, Any]:
        """What makes two proofs different ones."""
        return {name: value for name, value in self.as_json().items() if name not in ("timeout", "max_cost")}
