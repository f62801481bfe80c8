"""The bands of a dataset: all of its pictures have the same ones, and some of them are read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from headstart.bands import BandChoice, BandsAsked, choose_bands
from headstart.data.dataset import Dataset
from headstart.data.decoding.band_numbers import kind_from, other_kind
from headstart.data.decoding.digests import Examined
from headstart.data.sources.layout import with_note
from headstart.errors import DataError


def with_bands(
    dataset: Dataset, seen: Examined, asked: BandsAsked, show: BandsAsked | None
) -> tuple[Dataset, Examined]:
    """Return the dataset with the bands asked for, and what was seen, pictures of other bands among its problems.

    Args:
        dataset: the pictures.
        seen: what was seen of them: their depths say which bands they have.
        asked, show: as `load_dataset` takes them.

    Raises:
        DataError: there is no such band.
    """
    if not seen.depths:
        return dataset, seen  # no picture can be used, and why is said of each
    counts = Counter(seen.depths.values())
    most = max(counts, key=lambda text: (counts[text], text))
    kind = kind_from(most)
    try:
        choice = choose_bands(asked, show, kind.names, kind.dtype)
    except DataError as error:
        raise DataError(f"{dataset.name}: {error}") from error
    others = {
        row: f"has {kind_from(text)} named {', '.join(kind_from(text).names)}; the other pictures have {kind}"
        if str(kind_from(text)) == str(kind)
        else f"has {kind_from(text)}; the other pictures have {kind}"
        for row, text in seen.depths.items()
        if text != most
    }
    said = f"{kind}, of which {', '.join(choice.names)}" if len(choice.indices) < choice.of else str(kind)
    note = f"{said}; each is scaled to 8 bits by its range in the training images"
    return with_note(replace(dataset, bands=choice), "bands", note), replace(seen, problems={**others, **seen.problems})


def in_bands(dataset: Dataset, seen: Examined, choice: BandChoice) -> tuple[Dataset, Examined]:
    """Return the dataset in the bands that were chosen of other images, and what was seen, pictures without them among
    its problems.
    """
    kinds = {text: other_kind(kind_from(text), choice) for text in set(seen.depths.values())}
    others = {row: why for row, text in seen.depths.items() if (why := kinds[text]) is not None}
    return replace(dataset, bands=choice), replace(seen, problems={**others, **seen.problems})
