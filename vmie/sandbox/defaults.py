"""What a sandbox is made with unless asked otherwise, and how a client reaches it."""

from __future__ import annotations

import math

from vmie.errors import Set, UsageError

#: seconds of AWS's work per second. An import is half an hour of work: three quarters of a minute, in which a person
#: can look at it and cancel it, or a second and a half
SPEEDS = {"human": 40.0, "fast": 1200.0}
DEFAULT_SPEED = SPEEDS["fast"]
#: seconds until a new snapshot, image, role or bucket is there for other requests
APPEARS_AFTER = 0.0
#: the account that keys belong to which the sandbox did not give out
ACCOUNT = "123456789012"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
#: of the seeded user; any other is accepted too, as the account itself
ACCESS_KEY = "AKIAVMIESANDBOX00000"
SECRET_KEY = "sandbox"  # noqa: S105 - made up, and no secret
#: what is seeded
BUCKET = "vmie-sandbox"
ROLE = "vmimport"


def speed_of(given: float | str) -> float:
    """A speed by its name or number. Raises UsageError for anything else."""
    if isinstance(given, str) and given in SPEEDS:
        return SPEEDS[given]
    try:
        speed = float(given)
    except ValueError:
        speed = math.nan
    if not (math.isfinite(speed) and speed >= 0):
        raise UsageError(
            f"{given!r} is no speed of the sandbox",
            cause="it is the seconds of AWS's work per second: 1 is as slow as AWS, 0 stands still",
            cure=Set("speed", note=f"a number, or one of {', '.join(SPEEDS)}"),
        )
    return speed


def environment(url: str, *, region: str = "us-east-1") -> dict[str, str]:
    """The variables with which a client talks to the sandbox at `url` and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        # vmie polls at AWS's pace: half hours, which are seconds here
        "VMIE_POLL_SECONDS": "0.2",
    }
