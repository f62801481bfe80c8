"""Bands of pictures that are more, or other, than red, green and blue: which, their ranges, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError, unknown_name

BandsAsked = str | Sequence[int | str]  # "all", or the indices from 0 and the names of bands

_TYPES = tuple(np.dtype(code).name for code in "?" + np.typecodes["AllInteger"] + np.typecodes["Float"])  # of numbers
TOP = 255.0  # what the upper end of a band's range becomes


@dataclass(frozen=True)
class BandChoice:
    """Some bands of files that all have the same ones.

    Args:
        indices: which, counted from 0.
        names: what they are called: by the file, else by their number.
        show: three places among the indices, which people see as red, green and blue.
        of: how many bands a file has.
        dtype: the type of its numbers, such as "uint16".
    """

    indices: tuple[int, ...]
    names: tuple[str, ...]
    show: tuple[int, int, int]
    of: int
    dtype: str

    @property
    def asked(self) -> dict[str, list[int]]:
        """The settings `bands` and `show` by which other images are read in the same bands."""
        return {"bands": list(self.indices), "show": [self.indices[place] for place in self.show]}

    @property
    def words(self) -> str:
        """What is read and shown, for people."""
        shown = ", ".join(self.names[place] for place in self.show)
        which = f"bands {', '.join(self.names)} ({len(self.names)} of {self.of}, {self.dtype})"
        return f"{which}; shown as red, green and blue: {shown}"


@dataclass(frozen=True)
class Bands:
    """Chosen bands, with what was measured of each on training images.

    Args:
        choice: which bands.
        low, high: its robust range; `scaled` makes 0 and 255 of the two.
        mean, std: of its scaled numbers, divided by 255.
        dark, bright: the percentiles, of its scaled numbers, that are black and white to people.
    """

    choice: BandChoice
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dark: tuple[float, ...]
    bright: tuple[float, ...]

    @property
    def count(self) -> int:
        """The number of chosen bands."""
        return len(self.choice.indices)

    def scaled(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the chosen bands of numbers [h, w, of] as float32 [count, h, w] in 0 … 255; not a number becomes 0."""
        planes = np.empty((self.count, *numbers.shape[:2]), dtype=np.float32)
        for place, index in enumerate(self.choice.indices):
            spread = self.high[place] - self.low[place]
            plane = (numbers[:, :, index].astype(np.float64) - self.low[place]) * (TOP / spread)
            planes[place] = np.clip(np.nan_to_num(plane, nan=0.0, posinf=TOP, neginf=0.0), 0.0, TOP)
        return planes

    def picture(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return what people see of pixels [..., count]: uint8 [..., 3], stretched between the percentiles."""
        shown = list(self.choice.show)
        dark = np.array([self.dark[place] for place in shown])
        spread = np.maximum(np.array([self.bright[place] for place in shown]) - dark, 1.0)
        stretched = np.clip(np.rint((pixels[..., shown] - dark) * (TOP / spread)), 0, TOP)
        seen: npt.NDArray[np.uint8] = stretched.astype(np.uint8)
        return seen

    def facts(self) -> dict[str, Any]:
        """Return all of it as plain values, from which `bands_from` makes it again."""
        return asdict(self)


def bands_from(facts: Mapping[str, Any]) -> Bands:
    """Return the bands that `Bands.facts` described.

    Raises:
        DataError: a key is missing, or a value cannot be.
    """
    try:
        told = facts["choice"]
        choice = BandChoice(
            tuple(int(each) for each in told["indices"]),
            tuple(str(each) for each in told["names"]),
            _three([int(each) for each in told["show"]]),
            int(told["of"]),
            str(told["dtype"]),
        )
        low, high, mean, std, dark, bright = (
            tuple(float(each) for each in facts[key]) for key in ("low", "high", "mean", "std", "dark", "bright")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the bands are not described as they must be ({error})") from error
    count = len(choice.indices)
    lists = (choice.names, low, high, mean, std, dark, bright)
    if not count or any(len(each) != count for each in lists) or not all(0 <= place < count for place in choice.show):
        raise DataError(
            f"the description of the bands is inconsistent: each list needs {count} entries, and the bands shown must"
            " be among them"
        )
    if choice.dtype not in _TYPES:
        raise DataError(f"the bands are of {choice.dtype!r}, which is no type of numbers")
    if not all(0 <= index < choice.of for index in choice.indices):
        raise DataError(f"the bands {list(choice.indices)} are not all among {choice.of}")
    if not all(bottom < top and spread > 0 for bottom, top, spread in zip(low, high, std, strict=True)):
        raise DataError("a band has no range")
    if not np.isfinite([low, high, mean, std, dark, bright]).all():
        raise DataError("a number of the bands is not finite")
    return Bands(choice, low, high, mean, std, dark, bright)


def choose_bands(asked: BandsAsked, show: BandsAsked | None, names: Sequence[str], dtype: str) -> BandChoice:
    """Return the bands asked for.

    Args:
        asked: "all", or indices from 0 and names.
        show: the three that people see, by index in the file or by name; None: the first three chosen, or the only
            one in grey.
        names: of all bands of a file.
        dtype: of its numbers.

    Raises:
        DataError: there is no such band, one is given twice, or `show` names one that is not chosen.
    """
    indices = list(range(len(names))) if asked == "all" else [_index(each, names, "bands") for each in as_list(asked)]
    if not indices or len(set(indices)) < len(indices):
        raise DataError("bands: give each band once, such as bands: [0, 1, 2], or bands: all")
    if show is None:
        places = [0, 1, 2] if len(indices) > 2 else [0, 0, 0]
    else:
        wanted = [_index(each, names, "show") for each in as_list(show)]
        if len(wanted) not in (1, 3):
            raise DataError(f"show: give three bands, as red, green and blue, or one, not {len(wanted)}")
        absent = [each for each in wanted if each not in indices]
        if absent:
            raise DataError(f"show: band {absent[0]} is not among the bands that are read: {indices}")
        places = [indices.index(each) for each in (wanted if len(wanted) == 3 else wanted * 3)]
    return BandChoice(tuple(indices), tuple(names[each] for each in indices), _three(places), len(names), dtype)


def options_of(choice: BandChoice | None) -> list[str]:
    """Return the options of the command line by which other images are read in these bands; none for ordinary ones."""
    if choice is None:
        return []
    bands, show = (",".join(map(str, listed)) for listed in choice.asked.values())
    whole = choice.indices == tuple(range(choice.of))
    return ["--bands", "all" if whole else bands, "--show", show]


def check_show(bands: BandsAsked | None, show: BandsAsked | None) -> None:
    """Refuse bands to show where none are read.

    Raises:
        DataError: `show` is given without `bands`.
    """
    if show is not None and bands is None:
        raise DataError("show says how bands are shown, and none are read; give bands, too, such as all of them")


def as_list(asked: BandsAsked) -> list[int | str]:
    """Return bands that are asked for as a list; one name is one band."""
    return [asked] if isinstance(asked, str) else list(asked)


def _index(asked: int | str, names: Sequence[str], key: str) -> int:
    """Return the index of a band that is given by index or by name."""
    if isinstance(asked, str) and asked in names:
        return names.index(asked)
    number = int(asked) if isinstance(asked, int) or asked.isdecimal() else None
    if number is None and list(names) == [str(place) for place in range(len(names))]:
        raise DataError(
            f"{key}: {asked!r} is unknown, because the files do not name their bands;"
            f" give indices, 0 to {len(names) - 1}"
        )
    if number is None:
        raise DataError(f"{key}: {unknown_name('band', asked, names)}")
    if not 0 <= number < len(names):
        raise DataError(f"{key}: there is no band {number}: the pictures have {len(names)}, counted from 0")
    return number


def _three(places: Sequence[int]) -> tuple[int, int, int]:
    first, second, third = places
    return first, second, third
