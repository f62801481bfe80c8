"""Bands: which are chosen, how their numbers become pixels, and what people see of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headstart.bands import BandChoice, Bands, bands_from, check_show, choose_bands, options_of
from headstart.cli.options import listed_bands
from headstart.errors import DataError

NAMES = ("B01", "B02", "B03", "B04")


def two() -> Bands:
    choice = BandChoice((3, 1), ("B04", "B02"), (0, 1, 1), 4, "uint16")
    return Bands(choice, (100.0, 0.0), (300.0, 51.0), (0.4, 0.5), (0.1, 0.2), (51.0, 0.0), (204.0, 255.0))


def test_each_band_is_scaled_by_its_own_range_and_clipped() -> None:
    numbers = np.array([[[0, 51, 0, 100], [0, 102, 0, 200], [0, 10, 0, 900]]], dtype=np.uint16)
    planes = two().scaled(numbers)
    np.testing.assert_allclose(planes, [[[0, 127.5, 255]], [[255, 255, 50]]])


def test_what_is_not_a_number_is_black() -> None:
    numbers = np.full((1, 3, 4), 200.0, dtype=np.float32)
    numbers[0, :, 3] = (np.nan, np.inf, -np.inf)
    np.testing.assert_array_equal(two().scaled(numbers)[0, 0], [0, 255, 0])


def test_other_images_are_asked_for_by_the_indices_of_the_file() -> None:
    choice = BandChoice((3, 0, 1), ("B04", "B01", "B02"), (1, 2, 0), 4, "uint16")
    assert choice.asked == {"bands": [3, 0, 1], "show": [0, 1, 3]}


def test_people_see_three_bands_between_their_percentiles() -> None:
    pixels = np.array([[[51, 0], [204, 255], [102, 100]]], dtype=np.uint8)
    np.testing.assert_array_equal(two().picture(pixels), [[[0, 0, 0], [255, 255, 255], [85, 100, 100]]])


def test_bands_are_read_back_from_json() -> None:
    assert bands_from(json.loads(json.dumps(two().facts()))) == two()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"low": (100.0,)}, "inconsistent: each list needs 2 entries"),
        ({"high": (100.0, 51.0)}, "a band has no range"),
        ({"mean": (float("nan"), 0.5)}, "not finite"),
        ({"choice": replace(two().choice, indices=(9, 1))}, "not all among 4"),
        ({"choice": replace(two().choice, dtype="(2,,)f4")}, "which is no type of numbers"),
        ({"choice": replace(two().choice, show=(0, 1, 2))}, "the bands shown must be among them"),
    ],
)
def test_descriptions_that_cannot_be_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        bands_from(replace(two(), **changed).facts())
    with pytest.raises(DataError, match="not described"):
        bands_from({"choice": 3})


def test_bands_are_chosen_by_index_and_by_name() -> None:
    chosen = choose_bands(["B04", 0, "1"], [0, "B02", 3], NAMES, "uint16")
    assert chosen == BandChoice((3, 0, 1), ("B04", "B01", "B02"), (1, 2, 0), 4, "uint16")
    assert choose_bands("all", None, NAMES, "uint8").show == (0, 1, 2)
    assert choose_bands([2], None, NAMES, "uint8").show == (0, 0, 0)
    assert choose_bands("all", ["B03"], NAMES, "uint8").show == (2, 2, 2)


@pytest.mark.parametrize(
    ("bands", "show", "said"),
    [
        (["B05"], None, "unknown band 'B05'; did you mean"),
        ([4], None, "there is no band 4: the pictures have 4, counted from 0"),
        ([1, "B02"], None, "give each band once"),
        ([0, 1], [0, 1], "give three bands"),
        ([0, 1, 2], [0, 1, 3], "band 3 is not among the bands that are read"),
    ],
)
def test_bands_that_are_not_there_are_refused(bands: list[int | str], show: list[int | str] | None, said: str) -> None:
    with pytest.raises(DataError, match=said):
        choose_bands(bands, show, NAMES, "uint16")


def test_the_options_of_the_command_line_choose_the_same_bands_again() -> None:
    some, whole = (
        choose_bands(["B04", 0, "1"], [0, "B02", 3], NAMES, "uint16"),
        choose_bands("all", None, NAMES, "uint8"),
    )
    assert options_of(some) == ["--bands", "3,0,1", "--show", "0,1,3"] and options_of(None) == []
    assert options_of(whole) == ["--bands", "all", "--show", "0,1,2"]
    for choice in (
        some,
        whole,
        choose_bands([3, 2, 1, 0], None, NAMES, "uint16"),
        choose_bands([1], None, NAMES, "u1"),
    ):
        _, bands, _, show = options_of(choice)
        assert choose_bands(listed_bands(bands), listed_bands(show), NAMES, choice.dtype) == choice  # type: ignore[arg-type]


def test_bands_to_show_need_bands_that_are_read() -> None:
    check_show(None, None)
    check_show("all", [1])
    with pytest.raises(DataError, match="give bands, too"):
        check_show(None, [1])


def test_what_is_read_and_shown_is_said() -> None:
    words = "bands B04, B02 (2 of 4, uint16); shown as red, green and blue: B04, B02, B02"
    assert two().choice.words == words


def test_a_name_where_the_files_name_no_bands_is_answered_with_indices() -> None:
    with pytest.raises(DataError, match=r"'B02' is unknown, because the files do not name their bands; .* 0 to 12"):
        choose_bands(["B02"], None, [str(place) for place in range(13)], "uint16")
