"""What a sandbox is made with unless asked otherwise, and how a client reaches it."""

from __future__ import annotations

#: seconds of AWS's work per second: an import, half an hour of work, takes a second and a half
DEFAULT_SPEED = 1200.0
#: of the seeded user; any other is accepted too, as a caller without policies
ACCESS_KEY = "AKIAVMIESANDBOX00000"
SECRET_KEY = "sandbox"  # noqa: S105 - made up, and no secret
#: what is seeded
BUCKET = "vmie-sandbox"
ROLE = "vmimport"


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
