"""What is probably intended: the nearest field or key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache

from pydantic import BaseModel

from vmie.batch.plan.schema import Common, ItemModel, LimitsModel, PlanModel, spelled
from vmie.options.base import extra

#: what people call what is not a field of an item
_GUESSES: Mapping[str, str] = {
    "client_token": "",
    "concurrency": "limits",
    "jobs": "items",
    "keypair": "",
    "machines": "items",
    "parallel": "limits",
    "vms": "items",
}


@cache
def _guesses() -> Mapping[str, str]:
    """What people call things elsewhere → our names."""
    fields = ItemModel.model_fields.items()
    return {**_GUESSES, **{guess: info.alias or name for name, info in fields for guess in extra(info).guesses}}


def unknown(name: str, model: type[BaseModel]) -> str:
    """The sentence for a field that there is not."""
    plain = name.lower().replace("-", "_").replace(" ", "_")
    known = spelled(model)
    guess = _guesses().get(plain, "")
    if plain not in known and guess not in known:
        guess = next(iter(get_close_matches(plain, known, n=1, cutoff=0.7)), guess)
    elif plain in known:
        guess = plain
    if guess in known:
        return f"there is no such field; did you mean {guess}?"
    for other, where in ((PlanModel, "the top of the file"), (LimitsModel, "`limits`"), (Common, "an item")):
        if {plain, guess} & set(spelled(other)) and other is not model:
            known_as = plain if plain in spelled(other) else guess
            return f"there is no such field here; {known_as} is a field of {where}"
    if model is not ItemModel and {plain, guess} & set(spelled(ItemModel)):
        return f"there is no such field here; {plain if plain in spelled(ItemModel) else guess} is a field of an item"
    return "there is no such field"


def name(given: str, known: Iterable[str]) -> str:
    """``; did you mean web-1?`` for a key that is none, or "" """
    near = get_close_matches(given, list(known)[:2000], n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""
