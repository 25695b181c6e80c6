"""The unit tests of augeas' lenses: a file's text, and the tree of what is in it.

    test Fstab.lns get "…" = { "1" { "spec" = "/dev/sda1" } … }

https://augeas.net/docs/language.html. Read are texts and trees, by themselves or by a name given with `let`; tests of
what augeas writes, and functions, are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\(\*|\*\)|[{}=.;*()]|[A-Za-z_][\w.]*|\s+|.', re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


@dataclass(frozen=True)
class Node:
    """One node of a tree: `label` and `value` None where there is none."""

    label: str | None
    value: str | None
    children: tuple[Node, ...]

    def all(self, label: str) -> list[Node]:
        """The children of this label."""
        return [one for one in self.children if one.label == label]

    def get(self, label: str) -> str:
        """The value of the first child of this label, "" without one."""
        return next((one.value or "" for one in self.all(label)), "")


Tree = tuple[Node, ...]


class _OtherError(Exception):
    """Something that is neither a text nor a tree."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.at = 0
        self.names: dict[str, str | Tree] = {}

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ""

    def expression(self) -> str | Tree:
        """A text, pieces of it joined by dots, or nodes and names of trees one after another."""
        if self.peek() == "{":
            return self.tree()
        found: str | Tree = ""
        while True:
            token = self.take()
            part = _text(token) if token.startswith('"') else self.names.get(token)
            if part is None:
                raise _OtherError(token)
            if isinstance(part, tuple):
                return (*part, *self.tree())
            found = f"{found}{part}"
            if self.peek() != ".":
                return found
            self.take()

    def tree(self) -> Tree:
        nodes: list[Node] = []
        while self.peek() == "{" or isinstance(self.names.get(self.peek()), tuple):
            named = self.names.get(self.peek())
            if isinstance(named, tuple):
                self.take()
                nodes += named
            else:
                nodes.append(self.node())
        return tuple(nodes)

    def node(self) -> Node:
        self.take()
        label = _text(self.take()) if self.peek().startswith('"') else None
        value = None
        if self.peek() == "=":
            self.take()
            value = _text(self.take())
        children = self.tree()
        if self.take() != "}":
            raise _OtherError("a node")
        return Node(label, value, children)


def cases(path: Path) -> Iterator[tuple[str, Tree]]:
    """The texts that a file's tests read, each with its tree."""
    reader = _Reader(path.read_text())
    while reader.peek():
        word = reader.take()
        before = reader.at
        try:
            if word == "let":
                name = reader.take()
                if reader.take() == "=":
                    reader.names[name] = reader.expression()
            elif word == "test" and reader.tokens[reader.at + 1 : reader.at + 2] == ["get"]:
                reader.at += 2
                text = reader.expression()
                if reader.take() == "=":
                    tree = reader.expression()
                    if isinstance(text, str) and isinstance(tree, tuple):
                        yield text, tree
        except _OtherError:
            reader.at = before


def _tokens(text: str) -> Iterator[str]:
    depth = 0
    for found in _TOKEN.finditer(text):
        token = found[0]
        depth += {"(*": 1, "*)": -1}.get(token, 0)
        if depth == 0 and token != "*)" and not token.isspace():
            yield token


def _text(token: str) -> str:
    if not token.startswith('"'):
        raise _OtherError(token)
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), token[1:-1], flags=re.DOTALL)


def flat(nodes: Sequence[Node]) -> list[str]:
    """Words of a command line: `ro`, `root=/dev/sda1`."""
    return [f"{one.label}={one.value}" if one.value is not None else str(one.label) for one in nodes]
