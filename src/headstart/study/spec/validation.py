"""Checks what a file says against a schema: the first mistake in one line, with its place and the nearest word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from headstart.errors import SpecError, unknown_name
from headstart.study.spec.value import Spec
from headstart.study.spec.yaml_lines import Path as KeyPath
from headstart.study.spec.yaml_lines import place_of

_ALTERNATIVE = re.compile(r"(function|lax|constrained)-|(str|int|float|bool)$|(list|dict|tuple)\[")  # no key of a file
_TYPES = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list, such as [a, b]",
    **dict.fromkeys(("dict", "model", "model_attributes"), "keys with values, 'key: value'"),
}
_WRONG_TYPES = re.compile(rf"({'|'.join(_TYPES)})_(type|parsing|from_float)$")


S = TypeVar("S", bound=Spec)


def validate(kind: type[S], value: Any, *, name: str, at: KeyPath, lines: dict[KeyPath, int]) -> S:
    """Return the typed value.

    Raises:
        SpecError: one line: the place, the fault and the nearest valid word.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        told = error.errors()
        first = min(told, key=lambda e: e["type"] != "extra_forbidden")  # an unknown key explains the rest
        same = _same_value(told, first["loc"])
        best = max(same, key=lambda e: (not _expected(e), len(e["loc"])))  # of a value of several types: that it means
        path = (*at, *(part for part in best["loc"] if not _is_alternative(part)))
        raise SpecError(f"{place_of(name, path, lines)}: {_say(kind, best, same, path)}") from error


def _is_alternative(part: str | int) -> bool:
    return _ALTERNATIVE.match(str(part)) is not None


def _same_value(told: Sequence[Any], at: tuple[str | int, ...]) -> list[Any]:
    """Return what is said of one value: of several, where it may be of several types."""
    until = next((place for place, part in enumerate(at) if _is_alternative(part)), None)
    return [each for each in told if (each["loc"] == at if until is None else each["loc"][:until] == at[:until])]


def _expected(mistake: Mapping[str, Any]) -> str:
    """Return the type that was expected, in plain words; nothing if the type is not what is wrong."""
    found = _WRONG_TYPES.match(mistake["type"])
    return _TYPES[found[1]] if found else ""


def _say(kind: type[Spec], best: Mapping[str, Any], same: Sequence[Mapping[str, Any]], path: KeyPath) -> str:
    if best["type"] == "extra_forbidden":
        return unknown_name("key", path[-1], _fields(kind, best["loc"][:-1]), limit=30)
    shown = ".".join(str(part) for part in path)
    message = str(best["msg"]).removeprefix("Value error, ").replace(" after validation", "")
    if best["type"] == "missing":
        return f"{shown} is missing"
    if _expected(best):
        types = [_expected(each) for each in same if len(each["loc"]) == len(best["loc"]) and _expected(each)]
        message = f"expected {' or '.join(dict.fromkeys(types))}, not {best['input']!r:.60}"
    return f"{shown}: {message}" if shown and "function" not in best["type"] else message


def _fields(kind: type[Spec], parents: tuple[Any, ...]) -> list[str]:
    """Return the known keys at the place of an unknown one."""
    current: type[BaseModel] = kind
    for part in parents:
        field = current.model_fields.get(str(part))
        found = _spec_in(field.annotation) if field else None
        if found is not None:
            current = found
    return list(current.model_fields)


def _spec_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _spec_in(argument)
        if found is not None:
            return found
    return None
