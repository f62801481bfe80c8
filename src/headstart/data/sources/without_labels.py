"""Images whose labels nobody has given yet, as a dataset: every row's label is `UNKNOWN`, and there are no classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.bands import BandChoice, BandsAsked, check_show
from headstart.data.dataset import ChosenRows, Dataset, Reader, Skip, fingerprint_of
from headstart.data.decoding.digests import examine
from headstart.data.image_files import file_identity, read_file
from headstart.data.readers import FileReader
from headstart.data.reasons import counted_reasons
from headstart.data.sources.banded import in_bands, with_bands
from headstart.data.sources.layout import NOT_AN_IMAGE
from headstart.data.sources.unlabelled import NO_IMAGE, Member, Unlabelled, find_images
from headstart.errors import DataError

UNKNOWN = -1  # the label of an image that has none


class UnlabelledReader:
    """Images found by `find_images`, without those that are not usable.

    Args:
        images: each with a source.
        root: what the names are relative to, where the images are below it.
    """

    def __init__(self, images: Sequence[Unlabelled], root: Path | None = None) -> None:
        self.images, self.root = images, root

    def __len__(self) -> int:
        return len(self.images)

    def name(self, row: int) -> str:
        """Return the path relative to the folder that was searched, else as it was given."""
        image = self.images[row]
        if self.root is not None and image.path is not None and image.path.is_relative_to(self.root):
            return image.path.relative_to(self.root).as_posix()
        return image.name

    def path(self, row: int) -> Path | None:
        """Return the image's own file, if it has one."""
        return self.images[row].path

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the file's bytes."""
        source = self.images[row].source
        if isinstance(source, Member):
            return source.reader.read(source.row)
        assert isinstance(source, str | Path), "inputs are paths or members of archives"
        return read_file(Path(source).expanduser())

    def identity(self, row: int) -> str:
        """Return the path and the state of the file."""
        source = self.images[row].source
        if isinstance(source, Member):
            return source.reader.identity(source.row)
        assert isinstance(source, str | Path), "inputs are paths or members of archives"
        return file_identity(Path(source).expanduser())


def load_without_labels(
    source: str | Path,
    name: str | None = None,
    *,
    bands: BandsAsked | None = None,
    show: BandsAsked | None = None,
    like: BandChoice | None = None,
) -> Dataset:
    """Return the images of a folder (searched to any depth), a glob, a table of paths or an archive.

    Args:
        source: what is searched.
        name: for people; by default the last part of the path.
        bands, show: as `load_dataset` takes them.
        like: in place of both, the bands in which other images are read.

    Raises:
        DataError: there is no usable image, or no such band.
    """
    check_show(bands, show)
    found = find_images([source])
    usable = [image for image in found.images if image.error is None]
    skipped = [Skip(image.name, image.error) for image in found.images if image.error is not None]
    skipped += [Skip(f"*{suffix}", NOT_AN_IMAGE) for suffix in found.ignored.elements()]
    title = name or Path(source).expanduser().absolute().name or "images"
    reader = UnlabelledReader(usable, found.folders[0] if len(found.folders) == 1 else None)
    seen = examine(reader, bands=bands is not None or like is not None)
    labels = np.full(len(usable), UNKNOWN, dtype=np.int64)
    whole = Dataset(title, reader, labels, (), about={"source": str(source)}, digests=seen.digests)
    if like is not None:
        whole, seen = in_bands(whole, seen, like)
    elif bands is not None:
        whole, seen = with_bands(whole, seen, bands, show)
    skipped += [Skip(reader.name(row), why) for row, why in sorted(seen.problems.items())]
    keep = np.setdiff1d(np.arange(len(usable)), np.fromiter(seen.problems, dtype=np.int64))
    if not len(keep):
        reasons = [skip.reason for skip in skipped if not skip.reason.startswith(NO_IMAGE)]
        if len(reasons) == 1 and skipped[0].name == str(source):  # of the place itself
            raise DataError(f"{source}: {reasons[0]}")
        raise DataError(
            f"{source}: no usable image: {counted_reasons(reasons)}" if reasons else f"{source}: {NO_IMAGE}"
        )
    digests = seen.digests[keep]
    return replace(
        whole,
        reader=UnlabelledReader([usable[row] for row in keep], reader.root),
        labels=labels[keep],
        fingerprint=fingerprint_of(digests, labels[keep], ()),
        skipped=tuple(skipped),
        digests=digests,
    )


def file_of(reader: Reader, row: int) -> Path | None:
    """Return the file of an image, or None where it is inside an archive or a table."""
    while isinstance(reader, ChosenRows):
        reader, row = reader.at(row)
    return reader.path(row) if isinstance(reader, FileReader | UnlabelledReader) else None
