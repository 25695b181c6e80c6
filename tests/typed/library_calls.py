"""What mypy says of calls of the library: `make lint` reads this, and nothing runs it.

An option that there is not, or a value of another type, is an error: else the comment that expects one is.
"""

from __future__ import annotations

import vmie


def right() -> None:
    vmie.import_image("a", bucket="b", route="snapshot", skip_check=["all"], wait=False, on_event=print)
    print(vmie.export("ami-1", format="vmdk", download="out", profile="work").location)
    print(vmie.upload("a", "s3://b/c", accelerate=True).object)
    print(vmie.setup_role(buckets=["a"], create_bucket=True).role_arn)


def wrong() -> None:
    vmie.import_image("a", buckett="b")  # type: ignore[call-arg]
    vmie.import_image("a", bucket=3)  # type: ignore[arg-type]
