"""What an hour of an instance costs, in USD: estimates only, us-east-1's on-demand prices of Linux, before discounts.

None was read from AWS's own pages on the day this was written: https://aws.amazon.com/ec2/pricing/on-demand/
"""

from __future__ import annotations

from collections.abc import Mapping

#: as of 2026-07: a public table that was held against instances.vantage.sh
_CURRENT: Mapping[str, float] = {
    "t3.nano": 0.0052,
    "t3.micro": 0.0104,
    "t3.small": 0.0208,
    "t3.medium": 0.0416,
    "t3.large": 0.0832,
    "t3.xlarge": 0.1664,
    "t3.2xlarge": 0.3328,
    "t4g.nano": 0.0042,
    "t4g.micro": 0.0084,
    "t4g.small": 0.0168,
    "t4g.medium": 0.0336,
    "t4g.large": 0.0672,
    "m5.large": 0.096,
    "m5.xlarge": 0.192,
    "m5.2xlarge": 0.384,
    "m6i.large": 0.096,
    "m6i.xlarge": 0.192,
    "m6i.2xlarge": 0.384,
    "m7i.large": 0.1008,
    "m7i.xlarge": 0.2016,
    "m7i.2xlarge": 0.4032,
}
#: of 2025 and 2026, the same in several public tables
_OTHERS: Mapping[str, float] = {
    "t2.nano": 0.0058,
    "t2.micro": 0.0116,
    "t2.small": 0.023,
    "t2.medium": 0.0464,
    "t2.large": 0.0928,
    "t3a.micro": 0.0094,
    "t3a.small": 0.0188,
    "t3a.medium": 0.0376,
    "t3a.large": 0.0752,
    "c5.large": 0.085,
    "c5.xlarge": 0.17,
    "r5.large": 0.126,
    "r5.xlarge": 0.252,
    "m3.medium": 0.067,
    "m3.large": 0.133,
    "m4.large": 0.10,
    "m4.xlarge": 0.20,
    "c4.large": 0.10,
    "c4.xlarge": 0.199,
}
HOURLY: Mapping[str, float] = {**_CURRENT, **_OTHERS}
#: of Windows' licence, per vCPU: m5.large is 0.188 with it, and 0.096 without
_WINDOWS = 0.046
#: of a public IPv4 address, since 2024-02
_ADDRESS = 0.005
#: of gp2, per GiB and month, as in the estimates of batches
_VOLUME, _HOURS_PER_MONTH = 0.10, 730
#: other Regions cost up to twice as much
_HOME, _ELSEWHERE = "us-east-1", 2.0
#: EC2 bills by the second, a minute at least: https://aws.amazon.com/ec2/pricing/
_LEAST = 60.0


def at_most(instance_type: str, *, seconds: float, gib: int, region: str, windows_vcpus: int = 0) -> float | None:
    """USD for an instance that runs so long with volumes of `gib`; None for a type without a price here.

    `windows_vcpus` are those that Windows' licence is paid for.
    """
    hourly = HOURLY.get(instance_type)
    if hourly is None:
        return None
    hourly += _ADDRESS + _WINDOWS * windows_vcpus + _VOLUME * gib / _HOURS_PER_MONTH
    return hourly * max(_LEAST, seconds) / 3600 * (1.0 if region == _HOME else _ELSEWHERE)
