"""A seed file read: bounded, validated, and each mistake named by where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vmie.errors import UsageError
from vmie.escaping import visible
from vmie.sandbox.world.schema import SeedContent, World

#: of a seed file
MOST_BYTES = 8 << 20
_MOST_MISTAKES = 20


@dataclass(frozen=True)
class SeedSource:
    """A world and where its files are: in the seed file's folder, or already open (`blobs`, by their names)."""

    world: World
    folder: Path
    name: str
    blobs: Mapping[str, Any] = field(default_factory=dict)

    def path(self, content: SeedContent) -> Path:
        """The file that holds it. Raises UsageError for one outside the folder, one that is none, one not there."""
        asked = self.folder / str(content.file)
        try:
            found, root = asked.resolve(strict=True), self.folder.resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise refused(self.name, f"the file {content.file} cannot be read: {why_not(error)}") from error
        if not found.is_relative_to(root):
            raise refused(self.name, f"the file {content.file} is outside of the seed file's folder")
        if not found.is_file():
            raise refused(self.name, f"{content.file} is no file")
        return found


class _SeedLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML whose dates stay text: the Version of a policy looks like one."""


_SeedLoader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))


def parse(data: bytes, *, name: str) -> World:
    """The world that a seed file's bytes describe. Raises UsageError."""
    if len(data) > MOST_BYTES:
        raise refused(name, f"it is larger than {MOST_BYTES >> 20} MiB")
    try:
        given = _plain(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise refused(name, "it is not text in UTF-8") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be read as YAML"
        raise refused(name, f"{visible(str(problem))}{where}") from error
    return parse_plain({} if given is None else given, name=name)


def parse_plain(given: Any, *, name: str) -> World:
    """The world that plain values describe. Raises UsageError."""
    try:
        return World.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        lines = [f"{_place(one['loc'])}{_sentence(one)}" for one in found[:_MOST_MISTAKES]]
        if len(found) > _MOST_MISTAKES:
            lines.append(f"and {len(found) - _MOST_MISTAKES} more")
        raise refused(name, "; ".join(map(visible, lines))) from error
    except RecursionError as error:
        raise refused(name, "it is nested too deeply") from error


def _plain(text: str) -> Any:
    """What the YAML says. Raises yaml.YAMLError, also for aliases: they may stand for more than there is memory."""
    loader = _SeedLoader(text)
    try:
        node = loader.get_single_node()
        seen, left = set(), [node] if node else []
        while left:
            one = left.pop()
            if id(one) in seen:
                raise yaml.MarkedYAMLError(problem="aliases (*name) are not read", problem_mark=one.start_mark)
            if isinstance(one, yaml.CollectionNode):
                seen.add(id(one))
                left += [part for entry in one.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        return loader.construct_document(node) if node else None
    finally:
        loader.dispose()


def _place(location: tuple[int | str, ...]) -> str:
    """``buckets[0].objects[2].key: ``, "" for the whole file."""
    out = ""
    for one in location:
        out += f"[{one}]" if isinstance(one, int) else f".{one}" if out else str(one)
    return f"{out[:200]}: " if out else ""


def _sentence(mistake: Any) -> str:
    if mistake["type"] == "extra_forbidden":
        return "there is no such field"
    return str(mistake["msg"]).removeprefix("Value error, ").replace("\n", " ")


def why_not(error: Exception) -> str:
    """Why a file cannot be read, in a word or two."""
    return str(getattr(error, "strerror", None) or "its name cannot be one")


def refused(name: str, why: str) -> UsageError:
    """The error for a seed file."""
    return UsageError(
        f"the seed file {visible(name)}: {why}",
        cause="a sandbox begins with all that its seed file says, or not at all",
        cure="mend it; docs/how-to/use-the-sandbox.md shows every field",
        code="SeedRefused",
    )
