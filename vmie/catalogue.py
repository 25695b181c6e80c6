"""Service messages: cause and cure. Data in ``catalogue.toml``; here is how a message finds its entry.

One source for what is said after a failed call or task, for what is tried again, and for the words that the
sandbox fails with.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from vmie.errors import PYTHON, Action, Do, Drop, Run, Set, Terms

#: may be tried again at once, after IAM or EC2 has caught up, when a task has ended, or not without a change
RETRY_CLASSES = ("retry", "propagation", "wait-for-quota", "permanent")

# Old and new tasks word the same failure with and without this (aws-facts 1.12).
_PREFIX = re.compile(r"^\s*(?:(?:CLIENT|SERVER)_ERROR\s*:\s*)+", re.IGNORECASE)
_BOTO = re.compile(r"An error occurred \(([\w.]+)\) when calling the (\w+) operation")
#: as vmie words a refusal
_ASKED = re.compile(r"^AWS (?:refused|failed) ([A-Z][A-Za-z]+)\b")
_TOKEN = re.compile(r"[\w.]+")
#: a code that is an English word too ("Unsupported", "500") is not believed in running text
_PLAIN = re.compile(r"[A-Z]?[a-z]+|\d+")
# What signs a request, or is a key: wherever it stands, in a URL, a header, JSON or a settings file.
_SECRET = re.compile(
    r"""((?:X-Amz-(?:Signature|Credential|Security-Token)|(?<![\w-])Signature|AWSAccessKeyId)=
      | (?:aws_?)?(?:secret_?(?:access_?)?key|session_?token|security_?token)["']?\s*[=:]\s*["']?)
      [^&\s"'<>,;]+""",
    re.IGNORECASE | re.VERBOSE,
)
#: the password in a URL of any scheme (a proxy, an endpoint, a database); a port is none
_URL_PASSWORD = re.compile(
    r"""(://[^\s/?#:@"'<>]*:)(?!\d{1,5}(?:[/?#\s"'<>]|$))(?:[^\s"'<>/]{0,512}@|[^\s"'<>]{0,512}@)"""
)
_URL_PARAMETER = re.compile(r"""([?&](?:ssl)?password=)[^&\s"'<>]+""", re.IGNORECASE)
_KEY_ID = re.compile(r"\b(A[KS]IA)[A-Z0-9]{16}\b")
#: no message of AWS is longer; what is longer is somebody's log
_LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One message of the service. `words` hold {names} that `example` fills.

    `operations` are the calls of which `codes` are believed, () for all. A `general` entry's code says so little that
    it explains no words but its own.
    """

    id: str
    kind: str
    words: str
    causes: tuple[str, ...]
    cure: tuple[Action, ...]
    retry: str
    source: str
    codes: tuple[str, ...] = ()
    pattern: str = ""
    example: Mapping[str, str] = field(default_factory=dict)
    operations: tuple[str, ...] = ()
    general: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why AWS said `message`: `causes` most likely first.

    `retry` is one of `RETRY_CLASSES`; `known` is False where the catalogue has nothing to offer. `by_code`: the words
    are not known, the code is.
    """

    id: str
    message: str
    causes: tuple[str, ...]
    cure: tuple[Action, ...]
    retry: str = "permanent"
    kind: str = ""
    code: str = ""
    source: str = ""
    known: bool = True
    by_code: bool = False

    def as_json(self, terms: Terms = PYTHON) -> dict[str, Any]:
        """The contracted ``result`` of `vmie explain`."""
        return {
            "id": self.id,
            "known": self.known,
            "by_code": self.by_code,
            "message": self.message,
            "code": self.code,
            "kind": self.kind,
            "causes": list(self.causes),
            "cure": [action.text(terms) for action in self.cure],
            "retry": self.retry,
            "source": self.source,
        }


def explain(message: str, code: str = "", operation: str = "") -> Explanation:
    """Explain what the service said; never raises.

    `code` is the API's error code and `operation` the call ("ImportImage"), where they are known; else they are read
    from the message. The message comes back without the secrets that it may hold.
    The words decide before the code, since one code ("InvalidParameter") stands for many things. Words that are not
    known are reported as unknown where the code, or the code of this call, does not say enough by itself.
    """
    text = _PREFIX.sub("", str(message)[:_LONGEST])
    given, call = str(code), str(operation)
    if boto := _BOTO.search(text):
        given, call = given or boto[1], call or boto[2]
    elif asked := _ASKED.match(text):
        call = call or asked[1]
    given = _bare(given)
    if entry := _by_words(text):
        return explanation(entry, message, given)
    if entry := _by_code(text.strip(), call):
        return explanation(entry, message, given)
    entry = _by_code(given, call) or _by_codes_in(text, call)
    if entry is None or (entry.general and text.strip()):
        return _unknown(redact(str(message)), given, call, entry)
    return replace(explanation(entry, message, given), by_code=bool(text.strip()))


def explanation(entry: CatalogueEntry, message: str, code: str = "") -> Explanation:
    """What `entry` says of `message`, which comes back without secrets."""
    return Explanation(
        id=entry.id,
        message=redact(str(message)),
        causes=entry.causes,
        cure=entry.cure,
        retry=entry.retry,
        kind=entry.kind,
        code=code,
        source=entry.source,
    )


def containing(fragment: str) -> tuple[CatalogueEntry, ...]:
    """The entries whose words have `fragment` in them, whole words of it in its order; none for less than two.

    For a person who types a part of a message. Nothing that is decided by program asks here.
    """
    wanted = _words_of(fragment[:_LONGEST])
    if len(wanted) < 2 or len(wanted) > 60:
        return ()
    sought = f" {' '.join(wanted)} "
    return tuple(entry for entry in entries().values() if sought in f" {' '.join(_words_of(words(entry.id)))} ")


def _words_of(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def redact(text: str) -> str:
    """`text` without what signs a request (signatures and tokens of presigned URLs, secret keys, access key ids) and
    without the passwords of URLs.
    """
    for pattern in (_SECRET, _KEY_ID, _URL_PARAMETER):
        text = pattern.sub(r"\1[redacted]", text)
    return _URL_PASSWORD.sub(r"\1[redacted]@", text)


def redacted(value: Any) -> Any:
    """`redact` for every string in a JSON value."""
    match value:
        case str():
            return redact(value)
        case dict():
            return {name: redacted(one) for name, one in value.items()}
        case list() | tuple():
            return [redacted(one) for one in value]
        case _:
            return value


def words(entry_id: str, **values: str) -> str:
    """What the service says for entry `entry_id`, with `values` (or the entry's example) filled in.

    Raises KeyError for an id that is not in the catalogue.
    """
    entry = entries()[entry_id]
    return entry.words.format_map({**entry.example, **values})


@cache
def entries() -> Mapping[str, CatalogueEntry]:
    """The whole catalogue by id, in the order in which it is searched."""
    import tomllib  # noqa: PLC0415 - a run that explains nothing parses nothing
    from importlib import resources  # noqa: PLC0415

    raw = tomllib.loads(resources.files("vmie").joinpath("catalogue.toml").read_text(encoding="utf-8"))
    found = [_entry(item) for item in raw["entry"]]
    return MappingProxyType({entry.id: entry for entry in found})


def _entry(item: dict[str, Any]) -> CatalogueEntry:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in item.items()}
    fields["cure"] = tuple(_action(one) for one in item["cure"])
    return CatalogueEntry(**fields)


def _action(item: str | dict[str, Any]) -> Action:
    match item:
        case str():
            return Do(item)
        case {"run": command}:
            return Run(tuple(shlex.split(command)), item.get("note", ""))
        case {"set": option}:
            return Set(option, item.get("value", ""), item.get("note", ""))
        case {"drop": options}:
            return Drop(tuple(options), item.get("note", ""))
    raise ValueError(f"no action: {item}")


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], CatalogueEntry], ...]:
    return tuple(
        (re.compile(entry.pattern, re.IGNORECASE | re.DOTALL), entry) for entry in entries().values() if entry.pattern
    )


@cache
def _codes() -> Mapping[str, CatalogueEntry]:
    return MappingProxyType({code: entry for entry in entries().values() for code in entry.codes})


@cache
def _own_words() -> tuple[tuple[re.Pattern[str], CatalogueEntry], ...]:
    """The words themselves as patterns, their {names} standing for anything."""
    found = []
    for entry in entries().values():
        parts = (re.escape(part) for part in re.split(r"\{\w+\}", entry.words.rstrip(".")))
        found.append((re.compile(".{1,200}?".join(parts), re.IGNORECASE | re.DOTALL), entry))
    return tuple(found)


def _by_words(text: str) -> CatalogueEntry | None:
    return next((entry for pattern, entry in (*_patterns(), *_own_words()) if pattern.search(text)), None)


def _by_code(code: str, operation: str) -> CatalogueEntry | None:
    code = _bare(code)
    # "InvalidAMIID.Whatever" is at least as well explained as "InvalidAMIID".
    entry = _codes().get(code) or _codes().get(code.partition(".")[0])
    if entry is None or (operation and entry.operations and operation not in entry.operations):
        return None
    return entry


def _bare(code: str) -> str:
    """EC2's query API writes ``Client.Unsupported``."""
    return code.removeprefix("Client.").removeprefix("Server.")


def _by_codes_in(text: str, operation: str) -> CatalogueEntry | None:
    tokens = (match[0].strip(".") for match in _TOKEN.finditer(text))
    found = (_by_code(token, operation) for token in tokens if not _PLAIN.fullmatch(token))
    return next((entry for entry in found if entry), None)


def _unknown(message: str, code: str, operation: str, general: CatalogueEntry | None) -> Explanation:
    client = re.match(r"\s*(CLIENT_ERROR|ClientError)\b", message) is not None
    causes = ["vmie does not know this message"]
    if general is not None:
        causes.append(f"its code says no more than: {general.causes[0]}")
    if client:
        causes.append(
            "it begins with ClientError: AWS blames the image or the request, so that trying again changes nothing"
        )
    importing = not operation or operation.startswith("Import")
    return Explanation(
        id="unknown",
        message=message,
        causes=tuple(causes),
        cure=(
            *((Run(("vmie", "check", "FILE"), "when an import failed with it"),) if importing else ()),
            Do("ask AWS support with the task id or request id, the Region and the time"),
            Do("and report the message to vmie, so that it can be explained"),
        ),
        code=code,
        known=False,
    )
