"""Bands by name: B1 and B01 are one, and what does not fit is named in one line."""

from __future__ import annotations

import pytest

from headstart.bands import BandChoice
from headstart.errors import ModelError
from headstart.models.preprocessing import Preprocessing
from headstart.models.trained_bands import canonical, check_colours, check_numbers, places

TRAINED = ("B1", "B2", "B8a", "B10")


def choice(*names: str) -> BandChoice:
    return BandChoice(tuple(range(len(names))), names, (0, 0, 0), len(names), "uint16")


@pytest.mark.parametrize(
    ("name", "other"), [("B1", "B01"), ("b2", "B2"), ("B8a", "B8A"), ("SR_B1", "sr_b01"), ("VV", "vv")]
)
def test_two_spellings_of_a_band_are_one(name: str, other: str) -> None:
    assert canonical(name) == canonical(other)


@pytest.mark.parametrize(("name", "other"), [("B1", "B10"), ("B1", "SR_B1"), ("B8", "B8A"), ("B6_VCID_1", "B6_VCID_2")])
def test_two_bands_are_not_one(name: str, other: str) -> None:
    assert canonical(name) != canonical(other)


def test_bands_are_found_by_name_in_any_order() -> None:
    assert places(TRAINED, choice("B10", "B01", "B8A", "B02"), "net") == [3, 0, 2, 1]


def test_bands_without_names_are_taken_in_order() -> None:
    assert places(TRAINED, choice("0", "1", "2", "3"), "net") == [0, 1, 2, 3]
    reordered = BandChoice((2, 0, 3, 1), ("2", "0", "3", "1"), (0, 0, 0), 4, "uint16")
    assert places(TRAINED, reordered, "net") == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("B1", "B2"), "of these, B8a, B10 are not among the bands that are read: B1, B2"),
        (("B1", "B2", "B8", "B10"), "of these, B8a is not among the bands that are read: B1, B2, B8, B10"),
        (
            ("QA", "B10", "B01", "B02", "B8A"),
            "and QA, B10, B01, B02, B8A are read: give bands: [B01, B02, B8A, B10]",
        ),
        (("B1", "B01", "B2", "B8A", "B10"), "and B1, B01, B2, B8A, B10 are read: give bands: [B1, B2, B8A, B10]"),
        (("0", "1", "2"), "and 3 bands without names are read: give bands: with the 4 indices of these bands"),
    ],
)
def test_other_bands_are_named_in_one_line(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ModelError) as found:
        places(TRAINED, choice(*names), "net")
    assert str(found.value).startswith("the weights of net take the bands B1, B2, B8a, B10")
    assert said in str(found.value) and "\n" not in str(found.value)


def test_ordinary_pictures_fit_weights_for_red_green_and_blue_alone() -> None:
    check_colours(("R", "G", "B"), "net")
    check_colours(("B04", "B03", "B02"), "net")
    with pytest.raises(ModelError, match=r"take the bands B1, B2, B8a, B10, and pictures of red, green and blue"):
        check_colours(TRAINED, "net")
    with pytest.raises(ModelError):
        check_colours(("B2", "B3", "B4"), "net")  # blue comes first


@pytest.mark.parametrize(
    ("stds", "fits"),
    [
        ((2.0, 50.0), True),  # 10,000 over a range of 5,000, and a band that is nearly constant
        ((1 / 100, 1 / 3), True),  # one band far beyond what was normal, such as clouds in the band for cirrus
        ((10000.0, 10000.0), False),  # reflectances from 0 to 1 for weights that divide by 10,000
        ((10000 / 255, 10000 / 255), False),  # eight-bit pictures for the same weights
        ((0.229 / 255, 0.225 / 255), False),  # 0 to 255 for weights that take 0 to 1
    ],
)
def test_numbers_on_another_scale_are_refused(stds: tuple[float, ...], fits: bool) -> None:
    needs = Preprocessing(mean=(0.0,) * len(stds), std=stds)
    if fits:
        check_numbers(needs, "net")
    else:
        with pytest.raises(ModelError, match=r"numbers of these pictures, 0 to 255, are not on the scale"):
            check_numbers(needs, "net")
