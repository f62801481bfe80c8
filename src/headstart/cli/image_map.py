"""What `map` does and prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.cli.outputs import check_file
from headstart.cli.tables import show_line
from headstart.errors import SpecError
from headstart.report.numbers import counted


def map_and_write(
    data: str,
    out: Path,
    backbone: str,
    weights: str,
    *,
    label: str | None,
    read: Mapping[str, Any],
    method: str,
    model: str | None,
    thumbnails: int,
    seed: int,
    device: str,
) -> None:
    """Compute the map of all images and write its page; `read` has the bands, as `asked_bands` returns them.

    Raises:
        SpecError: an unknown method, or a file that cannot be written.
        DataError: there is no usable image.
        MissingExtra: a t-SNE map was asked for, and the extra is not installed.
    """
    from headstart.data.overview import given_by, overview
    from headstart.labelling.embeddings import images_of
    from headstart.labelling.image_map import map_images
    from headstart.maps.projection import method_for
    from headstart.progress import say

    if out.suffix.lower() not in (".html", ".htm"):
        raise SpecError(f"--out {out}: choose a name that ends in .html")
    check_file(out)
    method_for(method, 1_000_000)
    dataset = images_of(data, label, **read)
    for line in overview(dataset, "" if dataset.given_split is None else given_by(dataset)):
        say(line)
    found = map_images(
        dataset, backbone=backbone, weights=weights, method=method, model=model, seed=seed, device=device
    )
    found.save(out, thumbnails=thumbnails)
    show_line(f"Map of {counted(len(found.embeddings), 'image')} by {backbone}: {out}")
    for line in found.projection.words:
        show_line(line)
