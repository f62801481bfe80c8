"""Bands that weights were trained on: where each is among the bands of the pictures, and whether the numbers fit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headstart.bands import TOP, BandChoice
from headstart.errors import ModelError
from headstart.models.preprocessing import Preprocessing

_RGB = (("R", "G", "B"), ("B4", "B3", "B2"))  # red, green and blue: by letter, or of Sentinel-2
_LEAST, _MOST = 0.03, 30.0  # widths of a band after normalisation: some are wider, and some narrower, than these


def canonical(name: str) -> str:
    """Return how a band's name is compared: B01, b1 and B1 are one band, as are B8a and B8A."""
    return re.sub(r"(?<=B)0+(?=\d)", "", name.upper())


def are_unnamed(choice: BandChoice) -> bool:
    """Return whether the files name none of these bands, so that they are called by their numbers."""
    return all(name == str(index) for name, index in zip(choice.names, choice.indices, strict=True))


def places(trained: Sequence[str], choice: BandChoice, name: str) -> list[int]:
    """Return for each band of the pictures which input of the network it is; bands without names are taken in order.

    Args:
        trained: the bands that the weights take, in order.
        choice: the bands that are read.
        name: of the network, for the message.

    Raises:
        ModelError: they are not the same bands.
    """
    takes = f"the weights of {name} take the bands {', '.join(trained)}"
    if are_unnamed(choice):
        if len(choice.indices) != len(trained):
            raise ModelError(
                f"{takes}, and {len(choice.indices)} bands without names are read: give bands: with the"
                f" {len(trained)} indices of these bands, in this order"
            )
        return list(range(len(trained)))
    wanted, found = [canonical(each) for each in trained], [canonical(each) for each in choice.names]
    if sorted(wanted) == sorted(found):
        return [wanted.index(each) for each in found]
    absent = [each for each in trained if canonical(each) not in found]
    if absent:
        raise ModelError(
            f"{takes}; of these, {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not among the bands that are"
            f" read: {', '.join(choice.names)}"
        )
    own = [choice.names[found.index(each)] for each in wanted]
    raise ModelError(f"{takes}, and {', '.join(choice.names)} are read: give bands: [{', '.join(own)}]")


def check_colours(trained: Sequence[str], name: str) -> None:
    """Refuse ordinary pictures where the weights take other bands than red, green and blue.

    Raises:
        ModelError: they do.
    """
    if tuple(canonical(each) for each in trained) not in _RGB:
        raise ModelError(
            f"the weights of {name} take the bands {', '.join(trained)}, and pictures of red, green and blue are read:"
            " give data.bands (--bands), or choose other weights"
        )


def check_numbers(needs: Preprocessing, name: str) -> None:
    """Refuse pictures whose numbers cannot be those that the weights were trained on: of another unit or scale.

    Args:
        needs: the network's preprocessing, of numbers scaled to 0 … 1.
        name: of the network.

    Raises:
        ModelError: after normalisation all bands are far too narrow, or all far too wide.
    """
    widths = [1 / std for std in needs.std]
    if max(widths) >= _LEAST and min(widths) <= _MOST:
        return
    ranges = needs.bands
    low, high = (0.0, TOP) if ranges is None else (min(ranges.low), max(ranges.high))
    raise ModelError(
        f"the numbers of these pictures, {low:g} to {high:g}, are not on the scale that the weights of {name} were"
        f" trained on: normalised for them, the bands' ranges are {min(widths):.2g} to {max(widths):.2g} wide"
    )
