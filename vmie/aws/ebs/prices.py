"""What the EBS direct API costs, in USD: estimates only, us-east-1's prices. https://aws.amazon.com/ebs/pricing/"""

from __future__ import annotations

#: per 1,000 calls, as of 2026-09
PUT, GET, LIST = 0.006, 0.003, 0.0006
#: blocks of a page of a listing
_PAGE = 10_000


def reading(blocks: int) -> float:
    """Of listing and reading so many blocks."""
    return blocks * GET / 1000 + -(-blocks // _PAGE) * LIST / 1000


def writing(blocks: int) -> float:
    """Of writing so many blocks."""
    return blocks * PUT / 1000
