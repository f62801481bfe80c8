"""What is in a shard: one pass over the headers of a tar, kept in the store, so that images are read by their place.

A WebDataset shard is a tar whose members `KEY.EXTENSION` follow one another: `000017.jpg`, `000017.cls`, …
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from headstart.data.file_ranges import FileRanges
from headstart.data.sources.archive_bounds import SmallReads, check_count
from headstart.data.sources.debris import is_debris
from headstart.data.sources.layout import NOT_AN_IMAGE, is_image_name
from headstart.data.sources.manifest import COLUMNS, SEPARATOR
from headstart.errors import DataError
from headstart.storage.arrow import arrow, arrow_parquet
from headstart.storage.opening import default_store_in_use
from headstart.storage.store import Store, content_key

LABELS = ("cls", "json", "txt")  # extensions of labels; where an image has several, the first counts
_FORMAT = 1  # raise it when the same shard would be described differently
_LONGEST = 1 << 16  # bytes of a label's member
_BLOCK = 512  # bytes of a header of a tar; its content is filled up to a multiple of that
_COLUMNS = ("name", "start", "size", "folder", *LABELS)


@dataclass
class ShardIndex:
    """The images of one shard.

    Args:
        images: an Arrow table: member, start, size, the folder in its name, and the text of each kind of label.
        problems: (member, reason) of what was left out.
    """

    images: Any
    problems: list[tuple[str, str]]


def shard_index(file: FileRanges, label_field: str | None) -> ShardIndex:
    """Return what is in a shard; a shard that was read before and has not changed is not read again.

    Args:
        label_field: of a .json label; by default the first of those that a manifest's label may be called.

    Raises:
        DataError: it is no tar, or changed while it was read.
    """
    with default_store_in_use() as store:
        return _stored(file, label_field, store)


def _stored(file: FileRanges, label_field: str | None, store: Store) -> ShardIndex:
    state = file.state()
    key = content_key([file.place, state, label_field, _FORMAT])
    with store.building("shards", key, wait_message=f"{file.place}: another process is reading it") as entry:
        if entry is not None:
            found = _read(file, label_field)
            if file.state() != state:
                raise DataError(f"{file.place} changed while it was being read; run the command again")
            arrow_parquet().write_table(found.images, entry.path / "images.parquet")
            (entry.path / "problems.json").write_text(json.dumps(found.problems), encoding="utf-8")
            entry.manifest.update(source=file.place, images=found.images.num_rows)
    folder = store.path("shards", key)
    problems = json.loads((folder / "problems.json").read_text(encoding="utf-8"))
    table = arrow_parquet().read_table(folder / "images.parquet")
    return ShardIndex(table, [(name, why) for name, why in problems])


@dataclass
class _Sample:
    """The members of one key, as far as they were read."""

    key: str = ""
    image: tuple[str, int, int] | None = None
    labels: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


@dataclass
class _Pass:
    """One pass over a shard."""

    file: BinaryIO
    label_field: str | None
    rows: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _COLUMNS})
    problems: list[tuple[str, str]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    sample: _Sample = field(default_factory=_Sample)

    def add(self, info: tarfile.TarInfo) -> None:
        """Take one member."""
        name = info.name.removeprefix("./")
        if is_debris(name):
            return
        key, extension = key_of(name)
        if key != self.sample.key:
            self.end_sample()
            self.sample = _Sample(key)
        if is_image_name(name):
            self._add_image(name, info)
        elif extension in LABELS:
            self._add_label(name, extension, info)
        else:
            self.sample.others.append(name)

    def _add_image(self, name: str, info: tarfile.TarInfo) -> None:
        if self.sample.image is not None:
            self.problems.append((name, "is a second image of its key; the first is used"))
        elif self.sample.key in self.seen:
            self.problems.append((name, "has the key of an earlier image in the shard"))
            self.sample.image = ("", 0, 0)
        else:
            self.seen.add(self.sample.key)
            self.sample.image = (name, info.offset_data, info.size)

    def _add_label(self, name: str, extension: str, info: tarfile.TarInfo) -> None:
        if info.size > _LONGEST:
            self.problems.append((name, f"has {info.size:,} bytes, too many for a label"))
            return
        self.file.seek(info.offset_data)
        try:
            text = self.file.read(info.size).decode("utf-8-sig").strip()
            label = _label_of(text, self.label_field) if extension == "json" else text
            if label:
                self.sample.labels[extension] = label
        except ValueError:  # of UTF-8 or of JSON
            self.problems.append((name, f"is not text in UTF-8{' or not JSON' if extension == 'json' else ''}"))

    def end_sample(self) -> None:
        """Note the image of the current key, or why there is none."""
        sample = self.sample
        if sample.image is None:
            if sample.labels:
                self.problems.append((f"{sample.key}.{next(iter(sample.labels))}", "is a label without an image"))
            self.problems += [(name, NOT_AN_IMAGE) for name in sample.others]
        elif sample.image[0]:
            folder = PurePosixPath(sample.image[0]).parent.name
            values = (*sample.image, folder, *(sample.labels.get(kind) for kind in LABELS))
            for column, value in zip(_COLUMNS, values, strict=True):
                self.rows[column].append(value)
        self.sample = _Sample()


def key_of(member: str) -> tuple[str, str]:
    """Return what members of one image share, and the rest after the first dot, in lower case, "" where there is none.

    >>> key_of("train/000017.seg.PNG")
    ('train/000017', 'seg.png')
    """
    folder, slash, name = member.rpartition("/")
    stem, _, extension = name.partition(".")
    return f"{folder}{slash}{stem}", extension.lower()


def _read(file: FileRanges, label_field: str | None) -> ShardIndex:
    """Read all headers of a shard, and its labels."""
    pyarrow = arrow()
    with file.open() as opened:
        reading = _Pass(opened, label_field)
        end, damage = 0, ""
        try:
            for info in members(file, opened):
                end = info.offset_data + -(-info.size // _BLOCK) * _BLOCK
                if info.offset_data + info.size > file.size():
                    damage = f"is cut short ({info.name} is not complete)"
                    break
                if info.isreg() and not info.sparse:
                    reading.add(info)
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:
            damage = f"is damaged ({' '.join(str(error).split())[:100]})"
        reading.end_sample()
    if not damage and end + _BLOCK > file.size():
        damage = "is cut short (it has no end mark)"
    if damage:
        reading.problems.append((f"after {len(reading.rows['name']):,} images", damage))
    kinds = {"start": pyarrow.int64(), "size": pyarrow.int64()}
    columns = {name: pyarrow.array(rows, kinds.get(name, pyarrow.string())) for name, rows in reading.rows.items()}
    return ShardIndex(pyarrow.table(columns), reading.problems)


def members(file: FileRanges, opened: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a tar as their headers are read.

    Raises:
        TarError, OSError, ValueError, EOFError: it is no tar, or is damaged from here on.
    """
    archive: Any
    with tarfile.open(fileobj=cast(Any, SmallReads(opened)), mode="r:") as archive:
        for count, info in enumerate(archive):
            check_count(file.place, count)
            archive.members = []  # or it keeps all of them
            yield info


def _label_of(text: str, label_field: str | None) -> str:
    """Return the label in a JSON object; several are joined; "" where there is none.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if isinstance(found, dict):
        names = (label_field,) if label_field else ("cls", *COLUMNS["label"])
        found = next((found[name] for name in names if found.get(name) is not None), "")
    if isinstance(found, list):
        return SEPARATOR.join(str(each) for each in found)
    return "" if isinstance(found, dict) or found is None else str(found)
