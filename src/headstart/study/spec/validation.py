"""Checks what a file says against a schema: the first mistake in one line, with its place and the nearest word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from headstart.errors import SpecError, unknown_name
from headstart.study.spec.schema import Spec
from headstart.study.spec.yaml_lines import Path as KeyPath
from headstart.study.spec.yaml_lines import place_of

_ALTERNATIVES = ("function-", "lax-", "constrained-")  # in pydantic's places: no key of a file
_NO_KEYS = ("dict_type", "model_type", "model_attributes_type")


S = TypeVar("S", bound=Spec)


def validate(kind: type[S], value: Any, *, name: str, at: KeyPath, lines: dict[KeyPath, int]) -> S:
    """Return the typed value.

    Raises:
        SpecError: one line: the place, the fault and the nearest valid word.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # an unknown key explains the rest
        path = (*at, *(part for part in first["loc"] if not str(part).startswith(_ALTERNATIVES)))
        raise SpecError(f"{place_of(name, path, lines)}: {_say(kind, first, path)}") from error


def _say(kind: type[Spec], first: Mapping[str, Any], path: KeyPath) -> str:
    if first["type"] == "extra_forbidden":
        return unknown_name("key", path[-1], _fields(kind, first["loc"][:-1]), limit=30)
    shown = ".".join(str(part) for part in path)
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{shown} is missing"
    if first["type"] in _NO_KEYS:
        message = f"expected keys with values, 'key: value', not {first['input']!s:.60}"
    return f"{shown or 'value'}: {message}" if "function" not in first["type"] else message


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
