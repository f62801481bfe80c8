"""Options that a study file gives as a plain mapping, checked against the types of what takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_type_hints

from headstart.errors import SpecError

_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def typed(kind: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the values as the fields of a dataclass take them: a fraction without a rest is a whole number.

    Args:
        kind: a dataclass whose fields are numbers, truth values and words.
        values: of fields that it has.
        where: what the message begins with.

    Raises:
        SpecError: a value is of another type.
    """
    hints = get_type_hints(kind)
    found: dict[str, Any] = {}
    for key, value in values.items():
        hint = hints[key]
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if hint is int and number and value == int(value):
            found[key] = int(value)
        elif hint is float and number:
            found[key] = float(value)
        elif hint in (bool, str) and isinstance(value, hint):
            found[key] = value
        else:
            raise SpecError(f"{where}.{key} must be {_WORDS[hint]}, not {value!r:.40}")
    return found
