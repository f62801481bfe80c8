"""Which files a sharded data set consists of: `data-{000..123}.tar`, a folder of shards, here or at an address."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from headstart.addresses import as_given, is_local, needs_path
from headstart.data.file_ranges import answers, file_system
from headstart.data.sources.parts import part_of
from headstart.errors import DataError

TAR, PARQUET = (".tar",), (".parquet", ".pq")
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MOST = 100_000  # shards
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def is_pattern(source: str) -> bool:
    """Return whether a source names several files by braces: a range `{000..123}` or a list `{a,b}`."""
    return any(_RANGE.fullmatch(inner) or "," in inner for inner in _BRACES.findall(source))


def expanded(pattern: str) -> list[str]:
    """Return the names that a pattern with braces stands for, in its order, as a shell would write them.

    Raises:
        DataError: there are more than `MOST`.
    """
    pieces = _BRACES.split(pattern)  # text, what is in braces, text, …
    choices = [_choices(piece) if index % 2 else [piece] for index, piece in enumerate(pieces)]
    count = 1
    for each in choices:
        count *= len(each)
        if count > MOST:
            raise DataError(f"{pattern}: expands to more than {MOST:,} files")
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def without_braces(pattern: str) -> str:
    """Return a pattern as a title: `data/train-{000..123}.tar` is `data/train.tar`, `data/{000..123}.tar` is `data`."""
    folder, slash, file = pattern.rstrip("/").rpartition("/")
    stem, dot, suffix = file.rpartition(".")
    tidy = _BRACES.sub("", stem).strip("-_. ")
    if not is_pattern(file):
        return pattern
    return f"{folder}{slash}{tidy}{dot}{suffix}" if tidy else folder


def _choices(inner: str) -> Sequence[str]:
    found = _RANGE.fullmatch(inner)
    if found is None:
        return inner.split(",") if "," in inner else [f"{{{inner}}}"]
    first, last = found.groups()
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
    start, stop = int(first), int(last)
    if abs(stop - start) >= MOST:
        raise DataError(f"{{{inner}}} expands to more than {MOST:,} files")
    step = 1 if stop >= start else -1
    return [f"{number:0{width}d}" for number in range(start, stop + step, step)]


def shards_among(files: Iterable[str]) -> list[str]:
    """Return the tar files among these, or, where there is none, the Parquet files; sorted."""
    files = sorted(files)
    tars = [file for file in files if file.lower().endswith((*TAR, *PACKED))]
    return tars or [file for file in files if file.lower().endswith(PARQUET)]


def listed(address: str) -> list[str]:
    """Return the addresses of all shards in a remote folder.

    Raises:
        DataError: there is none.
    """
    root = address.rstrip("/")
    with answers(address):
        system, path = file_system(root)
        names = [str(name) for name in system.find(path, maxdepth=3)]
    path = path.rstrip("/")
    found = shards_among(name[len(path) :].lstrip("/") for name in names if name.startswith(path))
    if not found:
        more = "" if is_local(address) else " (only .tar shards and Parquet are read there)"
        raise DataError(f"{as_given(address)}: {needs_path(address, 'dataset', 'its path')}{more}")
    return [f"{root}/{name}" for name in found]


def parts_of(places: Sequence[str]) -> list[str]:
    """Return "train", "validation", "test" or "" of each shard, by its name and those of the folders above it.

    All are "" unless some are for training and some for another part.
    """
    shared = _shared_folder(places)
    found = [_part(place[len(shared) :]) for place in places]
    return found if "train" in found and len(set(found) - {""}) > 1 else [""] * len(found)


def _shared_folder(places: Sequence[str]) -> str:
    """Return the beginning, up to a "/", that all places have: what it says is true of all of them."""
    first, last = min(places), max(places)
    same = next(
        (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(map(len, (first, last)))
    )
    return first[: first.rfind("/", 0, same) + 1]


def _part(place: str) -> str:
    path = PurePosixPath(place)
    words = [*path.parts[:-1], *re.split(r"[^A-Za-z]+", path.name.partition(".")[0])]
    return next((part for word in words if word and (part := part_of(word))), "")
