"""Ways to make a valid document hostile: as a tree of values, and as bytes."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

#: what stands where something else is expected
TEXTS: tuple[str, ...] = (
    "",
    " ",
    "\0",
    "nul\0within",
    "\udc80",
    "lone\ud800surrogate",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe",
    "\u2028line",
    "\x9b31m",
    "A" * 70_000,
    "é" * 300,
    "../../../../etc/passwd",
    "/etc/passwd",
    "/",
    "..",
    "file:///etc/passwd",
    "https://127.0.0.1:9/x",
    "s3://bucket/key",
    "s3://",
    "s3:///k",
    "i-0123456789abcdef0",
    "ami-01234567",
    "*" * 40 + "b",
    "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
    "?" * 30,
    "[" * 40,
    "{}{0}%s%n${HOME}$$",
    "{bucket}",
    "!!python/object/apply:os.system ['true']",
    "=cmd|' /C calc'!A0",
    "-1",
    "1e400",
    "NaN",
    "0x7fffffffffffffff",
    "²",
    "١٢",
    "2026-13-45T99:99:99",
    "2026-11-28T00:00:00",
    "true",
    "null",
    "arn:aws:iam::123456789012:role/x",
    "arn:" * 50,
    "\\",
    '"',
    "'",
    "\r\n",
    "\t",
)
_NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    2**64,
    10**40,
    10**4000,
    0.0,
    -0.0,
    1.5,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)
#: what Python's own writer of JSON can still write; deeper ones are bytes
_DEPTHS = (3, 40, 200, 700)


def hostile(rng: random.Random, *, deep: bool = True) -> Any:
    """Some value that nobody expects."""
    kind = rng.randrange(10)
    if kind < 5:
        return rng.choice(TEXTS)
    if kind < 7:
        return rng.choice(_NUMBERS)
    if kind == 7:
        return rng.choice((None, True, False))
    if kind == 8:
        return rng.choice(([], {}, [[]], [None], [{}], {"": None}, {"a": {"b": []}}, ["x"] * 300))
    return _nested(rng) if deep else []


def _nested(rng: random.Random) -> Any:
    inner: Any = rng.choice(("x", 1, None))
    as_list = rng.random() < 0.5
    for _ in range(rng.choice(_DEPTHS)):
        inner = [inner] if as_list else {"n": inner}
    return inner


def tree(rng: random.Random, seed: Any, *, words: Sequence[str] = (), deep: bool = True) -> Any:
    """`seed` with one to four nodes dropped, doubled, replaced, exchanged, wrapped or renamed. `words`: more keys."""
    made = _copied(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        places = list(_places(made))
        if not places:
            return hostile(rng, deep=deep)
        holder, key = rng.choice(places)
        _change(rng, holder, key, places, words=words, deep=deep)
    return made if rng.random() > 0.01 else hostile(rng, deep=deep)


def _places(root: Any) -> list[tuple[Any, Any]]:
    """(holder, key or index) of every node; those of deep nests are not looked for."""
    found: list[tuple[Any, Any]] = []
    left = [root]
    while left and len(found) < 3000:
        node = left.pop()
        inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in inside:
            found.append((node, key))
            left.append(value)
    return found


def _change(
    rng: random.Random, holder: Any, key: Any, places: list[tuple[Any, Any]], *, words: Sequence[str], deep: bool
) -> None:
    kind = rng.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        for _ in range(rng.choice((1, 1, 50))):
            holder.insert(key, _copied(holder[key]))
    elif kind == 2:
        other, name = rng.choice(places)
        if name in other if isinstance(other, dict) else name < len(other):
            holder[key] = _copied(other[name])
    elif kind == 3:
        holder[key] = [holder[key]] if rng.random() < 0.5 else {"k": holder[key]}
    elif kind == 4 and isinstance(holder, dict):
        holder[rng.choice((*words, *TEXTS))] = holder.pop(key)
    elif kind == 5 and isinstance(holder, dict):
        holder[rng.choice((*words, *TEXTS))] = hostile(rng, deep=deep)
    elif kind == 6 and isinstance(holder[key], str):
        holder[key] = _spliced(rng, holder[key])
    else:
        holder[key] = hostile(rng, deep=deep)


def _copied(value: Any) -> Any:
    """A copy; the value itself where it is too deep for one."""
    try:
        return copy.deepcopy(value)
    except RecursionError:
        return "too deep"


def _spliced(rng: random.Random, text: str) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(TEXTS)[:200] + text[rng.randint(at, len(text)) :]


def damaged(rng: random.Random, data: bytes, *, tokens: Sequence[bytes] = ()) -> bytes:
    """`data` with one to six places flipped, cut, doubled, overwritten, or with one of `tokens` put in."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randint(0, len(out))
        kind = rng.randrange(7)
        if kind == 0 and at < len(out):
            out[at] ^= rng.randint(1, 255)
        elif kind == 1:
            del out[at : at + rng.choice((1, 2, 8, 100))]
        elif kind == 2:
            piece = out[at : at + rng.choice((1, 10, 200))]
            out[at:at] = piece * rng.choice((1, 1, 2, 100))
        elif kind == 3:
            out[at : at + 4] = rng.randbytes(rng.randint(1, 8))
        elif kind == 4 and rng.random() < 0.3:
            del out[at:]
        elif tokens:
            out[at:at] = rng.choice(tokens)
        else:
            out[at:at] = rng.choice((b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[2J", b"\xe2\x80\xae"))
    return bytes(out)


def as_json(rng: random.Random, document: Any) -> bytes:
    """The text of a tree, escaped or not; lone surrogates stay what they are."""
    try:
        return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", errors="surrogatepass")
    except RecursionError:
        return b'{"a": [' * 20_000
