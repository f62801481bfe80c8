"""WebDataset shards: images in tar files beside their labels, `000017.jpg` and `000017.cls`, read in place.

The shards are only indexed (see `shard_index`); an image is read by its place in its shard when it is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.addresses import is_address
from headstart.data.dataset import Dataset, IntArray, Reader, Skip
from headstart.data.file_ranges import FileRanges, LocalFile, RemoteFile, file_at
from headstart.data.image_files import MAX_BYTES, too_many
from headstart.data.sources.archives import DAMAGED, plain_tar
from headstart.data.sources.layout import is_image_name
from headstart.data.sources.manifest import Listing, from_table
from headstart.data.sources.numbered_labels import class_numbers
from headstart.data.sources.shard_index import LABELS, ShardIndex, key_of, members, shard_index
from headstart.data.sources.shard_names import PACKED, parts_of
from headstart.errors import DataError
from headstart.progress import progress
from headstart.storage.arrow import arrow
from headstart.threads import cores

BY_FOLDER = "folder"
NAMES = "classnames.txt"  # beside the shards or above them: the class names of numbered labels, one a line
_PEEK = 200  # members by which a shard is recognised
_CAPTIONS = 50  # texts of .txt that differ so often are captions, not classes


def from_shards(source: str, places: Sequence[str], label: str | None, name: str) -> Dataset:
    """Return the images of WebDataset shards, in their order.

    Args:
        source: what the user named.
        places: of the shards: paths or addresses.
        label: "cls", "json" or "txt" (the extension of the labels), "folder" (the folder in a member's name), or a
            field of the .json labels; by default the first of cls, json and txt that is there, else the folder.

    Raises:
        DataError: a shard is absent, no image is in them, or the images have no labels.
    """
    files = [_file(place) for place in places]
    labels_field = label if label not in (None, BY_FOLDER, *LABELS) else None
    indexes = _indexes(source, files, labels_field)
    shards = _Shards(source, files, indexes, _short_names(places))
    if not sum(index.images.num_rows for index in indexes):
        said = f" ({shards.skips[0].name} {shards.skips[0].reason})" if shards.skips else ""
        raise DataError(f"{source}: no image was found in {len(places)} shards{said}")
    kind = "json" if labels_field else label or _kind_of_labels(indexes)
    found = from_table(shards.listing(_labels(source, indexes, kind, places), parts_of(places)), name)
    if labels_field and not len(found):
        raise DataError(f"{source}: no .json label has a field {label!r}")
    about = {"source": source, "labels": _said(kind, labels_field), "shards": f"{len(places):,}"}
    skipped = tuple(replace(skip, reason=skip.reason.removesuffix(" in the manifest")) for skip in found.skipped)
    return replace(found, about={**found.about, **about}, skipped=(*skipped, *shards.skips))


def is_webdataset(path: Path) -> bool:
    """Return whether a tar begins as a WebDataset shard: .cls beside images, or labels beside images in no folder.

    Images in class folders may have texts of another kind beside them.
    """
    try:
        tar, held = plain_tar(path)
        plain = LocalFile(tar, str(path), held)
        with plain.open() as opened:
            names = [info.name.removeprefix("./") for info in islice(members(plain, opened), _PEEK)]
    except (OSError, *DAMAGED):
        return False  # who reads it as an archive says what is wrong
    keys = {key_of(name)[0] for name in names if is_image_name(name)}
    kinds = {key_of(name)[1] for name in names if key_of(name)[0] in keys}
    flat = not any("/" in key for key in keys)
    return "cls" in kinds or (flat and not kinds.isdisjoint(LABELS))


class ShardReader:
    """Members of shards.

    Args:
        files: the shards.
        titles: what to call each.
        states: of each when it was indexed.
        shards: int64 [n], the shard of each row.
        members: their names, an Arrow array of text.
        starts: int64 [n], where their bytes begin in the shard.
        sizes: int64 [n].
    """

    def __init__(
        self,
        files: Sequence[FileRanges],
        titles: Sequence[str],
        states: Sequence[str],
        shards: IntArray,
        members: Any,
        starts: IntArray,
        sizes: IntArray,
    ) -> None:
        self.files, self.titles, self.states = files, titles, states
        self.shards, self.members, self.starts, self.sizes = shards, members, starts, sizes

    def __len__(self) -> int:
        return len(self.shards)

    def name(self, row: int) -> str:
        """Return SHARD!MEMBER."""
        return f"{self.titles[int(self.shards[row])]}!{self.members[row].as_py()}"

    def read(self, row: int) -> bytes | npt.NDArray[np.uint8]:
        """Return the image's bytes."""
        size = int(self.sizes[row])
        if size > MAX_BYTES:
            raise OSError(too_many(size))
        return self.files[int(self.shards[row])].read(int(self.starts[row]), size)

    def identity(self, row: int) -> str:
        """Return shard, place and size, and the shard's state."""
        shard = int(self.shards[row])
        return f"{self.files[shard].place}!{self.starts[row]}|{self.sizes[row]}|{self.states[shard]}"


@dataclass(frozen=True)
class _Shards:
    """Shards and what is in them."""

    source: str
    files: Sequence[FileRanges]
    indexes: Sequence[ShardIndex]
    titles: Sequence[str]

    @property
    def skips(self) -> list[Skip]:
        """What was left out, each with its reason."""
        pairs = zip(self.titles, self.indexes, strict=True)
        return [Skip(f"{title}!{member}", why) for title, index in pairs for member, why in index.problems]

    def listing(self, labels: Any, parts: Sequence[str]) -> Listing:
        """Return the table of all images, whose paths are the numbers of its rows."""
        pyarrow = arrow()
        images = pyarrow.concat_tables([index.images for index in self.indexes])
        counts = [index.images.num_rows for index in self.indexes]
        shard = np.repeat(np.arange(len(counts)), counts)
        rows = pyarrow.array(np.arange(len(shard))).cast(pyarrow.string())
        columns = {"path": rows, "label": labels}
        if any(parts):
            columns["split"] = pyarrow.array(np.asarray(parts, dtype=np.str_)[shard])
        names = images["name"].combine_chunks()
        starts, sizes = (images[name].to_numpy().astype(np.int64) for name in ("start", "size"))
        states = [file.state() for file in self.files]

        def reader(numbers: list[str], codes: IntArray) -> Reader:
            kept = np.array(numbers, dtype=np.int64)[codes]
            chosen = names.take(pyarrow.array(kept))
            return ShardReader(self.files, self.titles, states, shard[kept], chosen, starts[kept], sizes[kept])

        return Listing(Path(self.source), pyarrow.table(columns), {name: name for name in columns}, str, reader)


def _file(place: str) -> FileRanges:
    """Return a shard; one that is compressed is first decompressed into the store."""
    if not place.lower().endswith(PACKED):
        return file_at(place)
    if is_address(place):
        raise DataError(f"{place}: a compressed shard cannot be read in place; store it as a plain .tar")
    file_at(place)
    try:
        plain, held = plain_tar(Path(place))
        return LocalFile(plain, place, held)
    except (OSError, *DAMAGED) as error:
        raise DataError(f"{place}: the shard cannot be decompressed ({error})") from error


def _indexes(source: str, files: Sequence[FileRanges], labels_field: str | None) -> list[ShardIndex]:
    workers = max(8, cores()) if any(isinstance(file, RemoteFile) for file in files) else cores()
    with (
        progress(f"reading the index of {source}", len(files), "shards") as ticker,
        ThreadPoolExecutor(workers, "shards") as pool,
    ):
        found = []
        for index in pool.map(lambda file: shard_index(file, labels_field), files):
            found.append(index)
            ticker.advance(note=f"{sum(each.images.num_rows for each in found):,} images")
    return found


def _kind_of_labels(indexes: Sequence[ShardIndex]) -> str:
    """Return the first kind of label that an image has, else "folder"."""
    for kind in LABELS:
        if any(index.images[kind].null_count < index.images.num_rows for index in indexes):
            return kind
    return BY_FOLDER


def _labels(source: str, indexes: Sequence[ShardIndex], kind: str, places: Sequence[str]) -> Any:
    """Return the label of each image as text, null where it has none."""
    pyarrow = arrow()
    column = pyarrow.concat_tables([index.images for index in indexes])[kind].combine_chunks()
    distinct = column.unique().to_pylist()
    if kind == BY_FOLDER and not any(distinct):
        raise DataError(
            f"{source}: the images have no labels: neither .cls, .json or .txt beside them nor folders in their names"
        )
    if kind == "txt" and len(distinct) > max(_CAPTIONS, len(column) // 2):
        raise DataError(
            f"{source}: {len(column):,} images have {len(distinct):,} different texts: .txt holds captions, not"
            " classes; add .cls files, or set label to 'folder' or to a field of the .json files"
        )
    names = _class_names(places)
    if names and distinct and all(value is None or value.isdecimal() for value in distinct):
        values = column.to_pylist()
        numbers = class_numbers(values, names, f"{source}, .{kind}", range(1, len(values) + 1))
        return pyarrow.array([names[number] if number >= 0 else None for number in numbers.tolist()])
    return column


def _class_names(places: Sequence[str]) -> list[str]:
    """Return the lines of `classnames.txt` in the folder of the first shard, or in the one above it; [] without it."""
    folder = places[0].rpartition("/")[0]
    for home in (folder, folder.rpartition("/")[0]):
        try:
            file = file_at(f"{home}/{NAMES}") if home else None
        except DataError:
            continue
        if file is not None:
            lines = file.read(0, file.size()).decode("utf-8-sig", "replace").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return []


def _short_names(places: Sequence[str]) -> list[str]:
    """Return the names of the shards, with the folder above each where two have the same."""
    paths = [PurePosixPath(place) for place in places]
    unique = len({path.name for path in paths}) == len(paths)
    return [path.name if unique else "/".join(path.parts[-2:]) for path in paths]


def _said(kind: str, labels_field: str | None) -> str:
    if kind == BY_FOLDER:
        return "the folder in each member's name"
    return f"field {labels_field!r} of .json" if labels_field else f".{kind} beside each image"
