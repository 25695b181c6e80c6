"""Which volumes there are: types, sizes, IOPS and throughput.

Source: botocore's EC2 model, EbsBlockDevice and CreateVolumeRequest.
"""

from __future__ import annotations

from dataclasses import dataclass

from moto.ec2.exceptions import EC2ClientError


@dataclass(frozen=True, slots=True)
class VolumeKind:
    """Bounds of a volume type: GiB, IOPS and MiB/s; (0, 0) where they cannot be chosen."""

    size: tuple[int, int]
    iops: tuple[int, int] = (0, 0)
    throughput: tuple[int, int] = (0, 0)
    needs_iops: bool = False
    boots: bool = True


KINDS = {
    "standard": VolumeKind((1, 1024)),
    "gp2": VolumeKind((1, 16384)),
    "gp3": VolumeKind((1, 65536), (3000, 80000), (125, 2000)),
    "io1": VolumeKind((4, 16384), (100, 64000), needs_iops=True),
    "io2": VolumeKind((4, 65536), (100, 256000), needs_iops=True),
    "st1": VolumeKind((125, 16384), boots=False),
    "sc1": VolumeKind((125, 16384), boots=False),
}


def kind(name: str | None) -> VolumeKind:
    """The bounds of a type; raises moto's error for one that there is not."""
    found = KINDS.get(name or "gp2")
    if found is None:
        raise EC2ClientError("InvalidParameterValue", f"Value ({name}) for parameter volumeType is invalid.")
    return found


def require_size(name: str | None, size: int) -> None:
    """Raise moto's error for a size that the type does not have."""
    least, most = kind(name).size
    if size < least:
        raise EC2ClientError("InvalidParameterValue", f"Volume of {size}GiB is too small; minimum is {least}GiB.")
    if size > most:
        raise EC2ClientError("InvalidParameterValue", f"Volume of {size}GiB is too large; maximum is {most}GiB.")


def require_rates(name: str | None, iops: int | None, throughput: int | None) -> None:
    """Raise moto's error for IOPS and throughput that the type does not have, or lacks."""
    bounds = kind(name)
    if bounds.needs_iops and iops is None:
        raise EC2ClientError("MissingParameter", f"The parameter iops must be specified for {name} volumes.")
    for what, value, most in (("iops", iops, bounds.iops[1]), ("throughput", throughput, bounds.throughput[1])):
        if value is not None and not most:
            message = f"The parameter {what} is not supported for {name or 'gp2'} volumes."
            raise EC2ClientError("InvalidParameterCombination", message)
    require_ranges(name, iops, throughput)


def require_ranges(name: str | None, iops: int | None, throughput: int | None) -> None:
    """Raise moto's error for IOPS and throughput out of the type's ranges."""
    bounds = kind(name)
    for what, value, (least, most) in (("iops", iops, bounds.iops), ("throughput", throughput, bounds.throughput)):
        if value is not None and most and not least <= value <= most:
            message = f"Volume {what} of {value} is not within the allowed range of {least} to {most}."
            raise EC2ClientError("InvalidParameterValue", message)
