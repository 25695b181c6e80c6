"""Decorators that give a function the keywords of a class's constructor, for type checkers.

The options of an operation are declared once, as fields of its request; a function that takes them as ``**options``
gets their names and types from there. At run time each decorator returns the function as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
First = TypeVar("First")
Second = TypeVar("Second")
ResultT = TypeVar("ResultT")


def keywords(_: Callable[P, object]) -> Callable[[Callable[..., ResultT]], Callable[P, ResultT]]:
    """Keywords only."""
    return lambda function: function


def one_and_keywords(
    _: Callable[P, object],
) -> Callable[[Callable[Concatenate[First, ...], ResultT]], Callable[Concatenate[First, P], ResultT]]:
    """The function's own first parameter, then keywords."""
    return lambda function: function


def two_and_keywords(
    _: Callable[P, object],
) -> Callable[[Callable[Concatenate[First, Second, ...], ResultT]], Callable[Concatenate[First, Second, P], ResultT]]:
    """The function's own first two parameters, then keywords."""
    return lambda function: function
