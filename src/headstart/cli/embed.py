"""What `embed` and `similar` do and print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cli.outputs import check_file
from headstart.cli.tables import show_line, show_table
from headstart.disclosure import show
from headstart.errors import DataError, SpecError
from headstart.report.numbers import counted

if TYPE_CHECKING:
    from headstart.labelling.embeddings import Embeddings
    from headstart.labelling.similar import Similar


def embed_and_write(
    data: str, out: Path, backbone: str, weights: str, *, label: str | None, read: Mapping[str, Any], device: str
) -> None:
    """Compute the vectors of all images and write them to a file; `read` has the bands, as `asked_bands` returns them.

    Raises:
        SpecError: a file of another kind, or that cannot be written.
        DataError: there is no usable image.
    """
    from headstart.labelling.vector_files import check_suffix, write_vectors

    check_suffix(out)
    check_file(out)
    found = _embedded(data, backbone, weights, label, read, device)
    write_vectors(found, out)
    show_line(f"{counted(len(found), 'vector')} of {found.vectors.shape[1]:,} numbers by {backbone}: {out}")


def similar_and_show(
    data: str,
    picture: Path,
    count: int,
    backbone: str,
    weights: str,
    *,
    label: str | None,
    read: Mapping[str, Any],
    out: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Print the images of a dataset that are most like a picture, and draw them if asked; see `embed_and_write`.

    Raises:
        SpecError: the picture cannot be read, or the output cannot be written.
        DataError: there is no usable image.
    """
    from headstart.data.decoding.decode import UndecodableError
    from headstart.labelling.similar import most_similar

    if out is not None:
        if out.suffix.lower() != ".png":
            raise SpecError(f"--out {out}: choose a name that ends in .png")
        check_file(out)
    if not picture.expanduser().is_file():
        raise DataError(f"{picture}: is not a file; give one image")
    found = _embedded(data, backbone, weights, label, read, device)
    try:
        nearest = most_similar(found, picture, count)
    except UndecodableError as error:
        raise DataError(f"{picture}: {error}") from error
    if out is not None:
        from headstart.labelling.contact_sheet import contact_sheet
        from headstart.storage.files import write_atomic

        write_atomic(out, contact_sheet(found, picture, nearest))
    if as_json:
        listed = [{"name": each.name, "cosine": round(each.cosine, 6), "label": each.label} for each in nearest]
        print(json.dumps({"picture": str(picture), "network": found.network, "similar": listed}))
        return
    rows = [(each.name, f"{each.cosine:.3f}", each.label or "") for each in nearest]
    show_line(_answer(found, picture, nearest, backbone))
    show_table(("image", "cosine", "label"), rows)
    if out is not None:
        show(f"drawn: {out}")


def _answer(found: Embeddings, picture: Path, nearest: Sequence[Similar], backbone: str) -> str:
    """Return in a sentence which image is the most similar, and how many of the listed ones have its label."""
    first = nearest[0]
    of = f"the {len(found):,} images" if len(found) > 1 else "1 image"
    answer = f"Of {of}, {first.name} is the most like {picture.name}, by {backbone}"
    if not first.label or len(nearest) == 1:
        return f"{answer}{f'; its label is {first.label}' if first.label else ''}."
    alike = sum(each.label == first.label for each in nearest)
    return f"{answer}; {alike:,} of the {len(nearest):,} below have its label, {first.label}."


def _embedded(
    data: str, backbone: str, weights: str, label: str | None, read: Mapping[str, Any], device: str
) -> Embeddings:
    from headstart.data.overview import given_by, overview
    from headstart.labelling.embeddings import embed, images_of
    from headstart.progress import say

    dataset = images_of(data, label, **read)
    for line in overview(dataset, "" if dataset.given_split is None else given_by(dataset)):
        say(line)
    return embed(dataset, backbone=backbone, weights=weights, device=device)
