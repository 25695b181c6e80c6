"""What the options of every operation share: how one is declared, judged, kept in a job and read back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from vmie.errors import Set, UsageError, says
from vmie.options.reasons import reason

#: the groups of options in the help, in its order
GROUPS = ("What", "Where to", "The guest", "Encryption", "Sending", "By EBS direct", "Instance", "In EC2", "Waiting")


@dataclass(frozen=True, slots=True)
class Extra:
    """What a field says of itself beside its type, default and help.

    `flags`: how it is typed, by default ``--`` and its name; `metavar`: what stands for its value; an `argument` has no
    flag. `routes` take it, () for all; `via` is the way to AWS that takes it, "" for every way. `single`: it says
    something of one VM, so it is no default of a plan; `in_plans` False: a plan has not got it at all. `guesses`: what
    people call it elsewhere.
    """

    flags: tuple[str, ...] = ()
    metavar: str = ""
    argument: bool = False
    group: str = "What"
    routes: tuple[str, ...] = ()
    via: str = ""
    single: bool = False
    in_plans: bool = True
    guesses: tuple[str, ...] = ()

    def __call__(self, schema: dict[str, Any]) -> None:
        """Add nothing to a JSON Schema."""


def option(default: Any, words: str, *, bounds: Any = None, **extra: Any) -> Any:
    """A field of `Options`. `words` are its help; `bounds` are pydantic's, `extra` is `Extra`'s."""
    return Field(default, description=words, json_schema_extra=Extra(**extra), **(bounds or {}))


def extra(info: FieldInfo) -> Extra:
    """What a field of `Options` says of itself."""
    return info.json_schema_extra if isinstance(info.json_schema_extra, Extra) else Extra()


class OneOf:
    """In an annotation: the values that a text may have."""

    def __init__(self, *values: str) -> None:
        self.values = values

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """As pydantic judges a literal, but a text to the type checker: "" stands for what was not given."""
        return core_schema.literal_schema(list(self.values))


def choices(info: FieldInfo) -> tuple[str, ...]:
    """The values that a field takes, () for one that has no list of them."""
    return next(filter(None, map(_choices, (*info.metadata, info.annotation))), ())


def _choices(annotation: Any) -> tuple[str, ...]:
    if isinstance(annotation, OneOf):
        return annotation.values
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(str(one.value) for one in annotation)
    return next(filter(None, map(_choices, get_args(annotation))), ())


def kind(annotation: Any) -> str:
    """What a type is for people: flag, number, list, mapping or text."""
    origin = get_origin(annotation)
    if origin in (Annotated, Union, UnionType):
        return kind(get_args(annotation)[0])
    return _KINDS.get(origin or annotation, "text")


_KINDS: Mapping[Any, str] = {
    bool: "flag",
    int: "number",
    tuple: "list",
    list: "list",
    Sequence: "list",
    dict: "mapping",
}


def allow_names() -> None:
    """Let fields be called `copy` and `register`, as their flags are: those methods of BaseModel are not used."""
    warnings.filterwarnings("ignore", message=r'Field name "(copy|register)" .* shadows an attribute')


class Options(BaseModel):
    """The options of one operation as values: right in themselves and among each other, or not made.

    Positional arguments are fields in the order of `fields_of`. Raises UsageError with every mistake.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def __init__(self, *args: Any, **given: Any) -> None:
        cls = type(self)
        given |= zip(fields_of(cls), args, strict=False)
        mistakes: list[UsageError] = []
        try:
            super().__init__(**given)
        except ValidationError as error:
            mistakes = _mistakes(error)
            wrong = {name for mistake in mistakes for name in mistake.fields}
            try:
                # The other options are judged among each other all the same.
                super().__init__(**{name: value for name, value in given.items() if name not in wrong})
            except ValidationError:
                raise refused(mistakes) from None
        found = {name for mistake in mistakes for name in mistake.fields}
        mistakes += (one for one in self.conflicts() if not found & set(one.fields))
        if mistakes:
            raise refused(mistakes)

    # Reading a job back judges each value, not the whole: a plan fills in what the image says of itself.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="before")
    @classmethod
    def _given(cls, data: Any) -> Any:
        """What was given: None and a field's own default are not."""
        if not isinstance(data, dict):
            return data
        fields = cls.model_fields
        return {
            name: value
            for name, value in data.items()
            if name not in fields or (value is not None and not _same(value, fields[name].default))
        }

    def conflicts(self) -> Iterator[UsageError]:
        """What cannot be combined: mistakes, not raised."""
        yield from ()

    def as_json(self) -> dict[str, Any]:
        """For the journal: everything, no secret among it."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read back what `as_json` wrote. Raises UsageError for what another version of vmie wrote."""
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise UsageError(
                f"the job's options cannot be read: {'; '.join(one.message for one in _mistakes(error))}",
                cause="another version of vmie wrote them",
                cure="start it again",
            ) from error

    def group(self, name: str) -> dict[str, Any]:
        """The options of one group of the help, with their values."""
        return {
            field: getattr(self, field) for field, info in fields_of(type(self)).items() if extra(info).group == name
        }


@cache
def fields_of(model: type[Options]) -> Mapping[str, FieldInfo]:
    """The fields of a model: its own, then those that it shares with others."""
    fields = model.model_fields
    own = [name for name in fields if name in model.__annotations__]
    return {name: fields[name] for name in (*own, *(name for name in fields if name not in own))}


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def _mistakes(error: ValidationError) -> list[UsageError]:
    return [_mistake(one) for one in error.errors(include_url=False)]


def _mistake(one: Any) -> UsageError:
    """One of pydantic's errors in our words."""
    name = str(one["loc"][0]) if one["loc"] else ""
    match str(one["type"]):
        case "missing":
            return UsageError(says(f"{{{name}}} is missing"), cure=Set(name))
        case kind_ if kind_ == "extra_forbidden" or not name.isidentifier():
            return UsageError(f"there is no option {name!r}", fields=(name,))
        case _:
            what, wanted = reason(one)
            if wanted and one["type"] != "value_error":
                what = f"{what} does not fit"
            return UsageError(says(f"{{{name}}}: {{_what}}", _what=what), cure=wanted)


class OptionsError(UsageError):
    """Several mistakes in the options of one operation; `mistakes` are they."""

    def __init__(self, mistakes: list[UsageError]) -> None:
        super().__init__(
            f"{len(mistakes)} options are wrong",
            fields=tuple(dict.fromkeys(name for one in mistakes for name in one.fields)),
        )
        self.mistakes = tuple(mistakes)
        self.add_cause(*(words for one in mistakes for words in (one.what, *one.why)))
        self.add_cure(action for one in mistakes for action in one.actions)


def refused(mistakes: list[UsageError]) -> UsageError:
    """One error for all mistakes: the mistake itself where there is one."""
    return mistakes[0] if len(mistakes) == 1 else OptionsError(mistakes)


def each(error: UsageError) -> tuple[UsageError, ...]:
    """The mistakes in an error that a request raised."""
    return error.mistakes if isinstance(error, OptionsError) else (error,)
