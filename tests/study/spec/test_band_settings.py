"""Bands in a study file: what is taken, and the one line about all else."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from headstart.study.spec.band_settings import ReadBands, ShownBands

READ, SHOWN = TypeAdapter[Any](ReadBands), TypeAdapter[Any](ShownBands)


@pytest.mark.parametrize("value", [None, "all", [0], [1, "B8A"]])
def test_bands_are_all_or_a_list_of_indices_and_names(value: Any) -> None:
    assert READ.validate_python(value) == value


@pytest.mark.parametrize("value", [[], "B04", [-1], [True], [1.5], 3, {"B04": 1}, [None]])
def test_anything_else_is_refused_with_an_example(value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        READ.validate_python(value)
    (fault,) = refused.value.errors()
    assert fault["msg"].endswith("give all, or bands by index from 0 or by name, such as [0, 1, B8A]")


@pytest.mark.parametrize("value", [None, [3], [3, "B03", 1]])
def test_one_band_or_three_are_shown(value: Any) -> None:
    assert SHOWN.validate_python(value) == value


@pytest.mark.parametrize("value", [[], "all", "B04", [1, 2], [1, 2, 3, 4], [-1], 3])
def test_another_number_of_shown_bands_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="give three bands, as red, green and blue, or one"):
        SHOWN.validate_python(value)
