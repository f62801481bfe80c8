"""What a study file may say of bands: which are read, and which people see."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator


def _bands(value: Any) -> Any:
    if value in (None, "all") or (isinstance(value, list | tuple) and value and all(map(_is_band, value))):
        return value
    raise ValueError("give all, or bands by index from 0 or by name, such as [0, 1, B8A]")


def _shown(value: Any) -> Any:
    if value is None or (isinstance(value, list | tuple) and len(value) in (1, 3) and all(map(_is_band, value))):
        return value
    raise ValueError("give three bands, as red, green and blue, or one, such as [3, 2, 1]")


def _is_band(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


ReadBands = Annotated[Literal["all"] | list[int | str] | None, BeforeValidator(_bands)]
ShownBands = Annotated[list[int | str] | None, BeforeValidator(_shown)]
