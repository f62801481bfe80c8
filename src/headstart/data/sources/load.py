"""Images in: one function that accepts every kind of source and reads every image once."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.addresses import is_address
from headstart.bands import BandsAsked, check_show
from headstart.data.class_names import check_lookalikes
from headstart.data.dataset import Dataset, Skip, fingerprint_of
from headstart.data.decoding.digests import ABSENT, examine
from headstart.data.reasons import counted_reasons
from headstart.data.sources.archives import SUFFIXES as ARCHIVES
from headstart.data.sources.archives import TAR_SUFFIXES as TARS
from headstart.data.sources.archives import archive_tree
from headstart.data.sources.arrays import from_mapping
from headstart.data.sources.banded import with_bands
from headstart.data.sources.catalogue import DATASETS
from headstart.data.sources.corrections import apply_corrections
from headstart.data.sources.folders import folder_tree
from headstart.data.sources.groceries import groceries
from headstart.data.sources.huggingface import from_huggingface
from headstart.data.sources.label_tables import BY_FOLDER, from_tree_or_tables
from headstart.data.sources.layout import is_image_name, with_note
from headstart.data.sources.lists import Lists, default_lists, from_lists
from headstart.data.sources.manifest import from_manifest
from headstart.data.sources.parquet_files import from_parquet_files
from headstart.data.sources.places import find_local, places
from headstart.data.sources.published import PUBLISHED, published
from headstart.data.sources.shard_names import PARQUET, expanded, is_pattern, listed, shards_among, without_braces
from headstart.data.sources.table_files import SUFFIXES as MANIFESTS
from headstart.data.sources.torchvision_sets import torchvision_set
from headstart.data.sources.webdataset import from_shards, is_webdataset
from headstart.data.splits import rank_in_stratum, strata_of
from headstart.errors import DataError

HUB = "hf:"
ALWAYS_DISTINCT = ("groceries",)  # its makers included each test image twice by mistake
_LIMIT_STREAM = 5


def load_dataset(
    source: str | Path | Mapping[str, Any],
    *,
    label: str | None = None,
    lists: Lists | None = None,
    limit: int | None = None,
    drop_duplicates: bool = False,
    strict: bool = False,
    name: str | None = None,
    corrections: str | Path | None = None,
    bands: BandsAsked | None = None,
    show: BandsAsked | None = None,
) -> Dataset:
    """Return the images and labels of a source; every image file is checked (see `Dataset.digests`).

    Args:
        source: a folder of class folders, a zip or tar archive of them, a manifest (CSV, TSV, Parquet), WebDataset
            shards or Parquet files (a folder, a pattern such as `data-{000..123}.tar`, an address), the name
            of a dataset (see `DATASETS`), `hf:NAME`, a folder in `$HEADSTART_DATA` by its name, or
            {"images": …, "labels": …}. An existing path takes precedence over a name.
        label: the label to use if there are several: a column of a manifest, "coarse" of groceries, "cls" of shards.
        lists: files that name the images of each part, such as ["train.txt", "test.txt"] or {"train": …}; by
            default those in `FOLDER.splits`.
        limit: keep at most this many images of each class and each given part, always the same ones.
        drop_duplicates: keep the first of images of equal content.
        strict: refuse what would otherwise be skipped and listed.
        name: for people; by default the source's own.
        corrections: a CSV of images to leave out and labels to change, as written by `headstart review`.
        bands: "all", or the indices (from 0) and names of the bands to read of each file; None: ordinary pictures.
        show: the three bands that people see as red, green and blue, or the one that they see in grey.

    Raises:
        DataError: the source or the corrections cannot be used as they are; with `strict` also if any image had to
            be left out.
    """
    found = _find(source, label, lists, name)
    if corrections is not None:
        found = apply_corrections(found, Path(corrections).expanduser())
    if strict and found.skipped:
        raise DataError(_refusal(found, found.skipped[0], len(found.skipped)))
    drop_duplicates |= source in ALWAYS_DISTINCT if isinstance(source, str) else False
    check_show(bands, show)
    asked = None if bands is None else (bands, show)
    return _limited(_looked_at(found, strict=strict, drop_duplicates=drop_duplicates, asked=asked), limit)


def list_dataset(source: str | Path, *, label: str | None = None) -> Dataset:
    """Return the images and labels as the source describes them; no image has been opened yet.

    Raises:
        DataError: the source cannot be used as it is.
    """
    return _find(source, label, None, None)


def title_of(source: str) -> str:
    """Return what to call a source: the name of its folder, or of its file without the suffix of a table or archive."""
    if source.startswith(HUB):
        return source.removeprefix(HUB).rpartition("/")[2]
    if is_address(source) or is_pattern(source):
        source = without_braces(source)
    path = _absolute(Path(source).expanduser())
    suffix = next((each for each in (*ARCHIVES, *MANIFESTS) if path.name.lower().endswith(each)), "")
    return (path.name if path.is_dir() else path.name[: len(path.name) - len(suffix)]) or "data"


def _find(source: str | Path | Mapping[str, Any], label: str | None, lists: Lists | None, name: str | None) -> Dataset:
    """Return the dataset as its source describes it; no image has been opened yet."""
    if isinstance(source, Mapping):
        return from_mapping(source, name)
    text = str(source)
    if text.startswith(HUB):
        return from_huggingface(text.removeprefix(HUB), label, name)
    path = Path(source).expanduser()
    if is_address(text) or (is_pattern(text) and not path.exists()):
        return _sharded(text, _shards(text), label, lists, name)
    if not path.exists() and isinstance(source, str) and not _is_path(text):
        if text in DATASETS:
            return _by_name(text, label, lists, name)
        path = find_local(text) or path
    if not path.exists():
        raise DataError(_nowhere(text))
    return _from_path(path, label, lists, name)


def _by_name(key: str, label: str | None, lists: Lists | None, name: str | None) -> Dataset:
    """Return a dataset of the catalogue: a local copy in class folders, else as its makers publish it."""
    if key == "groceries":
        return groceries(label, name)
    if key in PUBLISHED:
        return published(key, name)
    local = find_local(key) if label is None else None
    found = torchvision_set(key, label, name) if local is None else _from_path(local, None, lists, name)
    info = DATASETS[key]
    return replace(found, about={"licence": info.licence, "homepage": info.homepage, **found.about})


def _from_path(path: Path, label: str | None, lists: Lists | None, name: str | None) -> Dataset:
    """Return the dataset of a folder, an archive or a manifest."""
    path = _absolute(path)
    lowered = path.name.lower()
    if path.is_file() and lowered.endswith(MANIFESTS):
        return from_manifest(path, label, name)
    if path.is_dir():
        tree = folder_tree(path)
        shards = [] if lists or any(map(is_image_name, tree.files)) else shards_among(tree.files)
        if shards:
            return _sharded(str(path), [f"{path}/{shard}" for shard in shards], label, lists, name)
    elif lowered.endswith(TARS) and is_webdataset(path):
        return _sharded(str(path), [str(path)], label, lists, name)
    elif lowered.endswith(ARCHIVES):
        tree = archive_tree(path)
    else:
        known = ", ".join((*MANIFESTS, *ARCHIVES))
        raise DataError(f"{path} is not a folder, manifest or archive that headstart can read ({known})")
    chosen = lists or default_lists(path)
    if chosen and label not in (None, BY_FOLDER):
        raise DataError(f"{path}: a label can be chosen only in a table, not with lists of the images")
    found = from_lists(tree, chosen, name) if chosen else from_tree_or_tables(tree, label, name)
    return replace(found, about={"source": str(path), **found.about})


def _shards(source: str) -> list[str]:
    """Return the files of an address or of a pattern with braces."""
    if is_pattern(source):
        return [place if is_address(place) else str(_absolute(Path(place).expanduser())) for place in expanded(source)]
    return [source] if source.lower().endswith((*TARS, *PARQUET)) else listed(source)


def _sharded(source: str, places: list[str], label: str | None, lists: Lists | None, name: str | None) -> Dataset:
    """Return the dataset of WebDataset shards, or of Parquet files with the images' bytes."""
    if lists:
        raise DataError(
            f"{source}: lists of images cannot divide shards; name the shards by their part, as train-0.tar"
        )
    read = from_parquet_files if places[0].lower().endswith(PARQUET) else from_shards
    return read(source, places, label, name or title_of(source))


def _absolute(path: Path) -> Path:
    """Return a path that ends in a name."""
    path = path.absolute()
    return path.resolve() if path.name in ("", "..") else path


def _is_path(text: str) -> bool:
    return "/" in text or "\\" in text or text.startswith((".", "~"))


def _nowhere(text: str) -> str:
    """Return the line that says that a source is neither a path nor a name."""
    near = difflib.get_close_matches(text, DATASETS, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if "$" in text:
        return f"{text}: this environment variable is not set"
    if _is_path(text):
        return f"no such file or folder: {text}{hint}"
    looked = ", ".join(str(place) for place in places())
    return f"no dataset, file or folder {text!r}{hint} (looked in {Path.cwd()}, {looked}; see 'headstart datasets')"


def _looked_at(
    dataset: Dataset, *, strict: bool, drop_duplicates: bool, asked: tuple[BandsAsked, BandsAsked | None] | None
) -> Dataset:
    """Return the dataset without the files that are not images, with digests and fingerprint."""
    seen = examine(dataset.reader, bands=asked is not None)
    dataset = replace(dataset, digests=seen.digests)
    if asked is None:
        dataset = _with_depths(dataset, seen.depths)
    else:
        dataset, seen = with_bands(dataset, seen, *asked)
    if seen.problems:
        skips = [Skip(dataset.reader.name(row), why) for row, why in sorted(seen.problems.items())]
        if strict:
            raise DataError(_refusal(dataset, skips[0], len(skips)))
        _check_parts(dataset, seen.problems)
        dataset = dataset.without(np.fromiter(seen.problems, dtype=np.int64), *skips)
    if drop_duplicates:
        dataset = without_duplicates(dataset)
    dataset = check_lookalikes(_with_present_classes(dataset))
    if len(dataset.classes) < 2:
        some = "".join(f" ({len(dataset.skipped)} left out: {skip.name} {skip.reason})" for skip in dataset.skipped[:1])
        count = "is only one class" if dataset.classes else "are no classes"
        only = f"there {count}{''.join(f', {name!r}' for name in dataset.classes)}; at least two are needed"
        raise DataError(f"{dataset.name}: {only}{some}")
    assert dataset.digests is not None
    return replace(dataset, fingerprint=fingerprint_of(dataset.digests, dataset.labels, dataset.classes))


def _check_parts(dataset: Dataset, problems: Mapping[int, str]) -> None:
    """Refuse a dataset, or a given part of one, of which no image can be used.

    Raises:
        DataError: which, and why, with counts.
    """
    bad = np.zeros(len(dataset), dtype=bool)
    bad[list(problems)] = True
    parts = {"": np.ones(len(dataset), dtype=bool)}
    if dataset.given_split is not None:
        given = dataset.given_split
        parts |= {f" in the part {part!r}": given == part for part in ("train", "validation", "test")}
    for where, rows in parts.items():
        if rows.any() and bad[rows].all():
            why = counted_reasons(reason for row, reason in sorted(problems.items()) if rows[row])
            first = dataset.reader.name(int(np.flatnonzero(rows)[0]))
            sought = f"; looked for in {_folder_of(dataset)}" if set(problems.values()) == {ABSENT} else ""
            raise DataError(f"{dataset.name}: no usable image{where}: {why} (the first: {first}{sought})")


def _folder_of(dataset: Dataset) -> Path:
    """Return where the paths of a dataset start: the folder of a manifest, or the source itself."""
    source = Path(dataset.about.get("source", ""))
    return source.parent if source.is_file() else source


def _with_depths(dataset: Dataset, depths: Mapping[int, str]) -> Dataset:
    """Return the dataset with a note on images of more than 8 bits."""
    if not depths:
        return dataset
    counts = Counter(depths.values())
    shown = ", ".join(f"{count} of {words}" for words, count in sorted(counts.items()))
    return with_note(dataset, "depth", f"{shown}; each is scaled to 8 bits by its own range")


def without_duplicates(dataset: Dataset) -> Dataset:
    """Return the dataset with the first of all images of equal content, and say how many went.

    Raises:
        DataError: equal images have two labels.
    """
    assert dataset.digests is not None
    _, first, inverse = np.unique(dataset.digests, return_index=True, return_inverse=True)
    differs = dataset.labels != dataset.labels[first][inverse]
    differs = differs.any(axis=1) if differs.ndim == 2 else differs
    if differs.any():
        row = int(np.flatnonzero(differs)[0])
        twin = int(first[inverse[row]])
        raise DataError(
            f"{dataset.name}: {dataset.reader.name(row)} and {dataset.reader.name(twin)} are the same image "
            f"with two labels; correct one of them"
        )
    gone = len(dataset) - len(first)
    if not gone:
        return dataset
    return with_note(dataset.select(np.sort(first)), "duplicates", f"{gone} exact duplicates dropped")


def _with_present_classes(dataset: Dataset) -> Dataset:
    """Return the dataset less the classes that have no image."""
    counts = dataset.counts()
    if counts.all():
        return dataset
    kept = np.flatnonzero(counts)
    gone = [dataset.classes[code] for code in np.flatnonzero(counts == 0)]
    place = np.cumsum(counts > 0) - 1
    labels = dataset.labels[:, kept] if dataset.multi_label else place[dataset.labels]
    slimmer = replace(dataset, labels=labels, classes=tuple(dataset.classes[code] for code in kept))
    return with_note(slimmer, "classes", f"without a usable image, left out: {', '.join(gone)}")


def _limited(dataset: Dataset, limit: int | None) -> Dataset:
    """Return at most `limit` images of each class and each given part, always the same ones."""
    if limit is None:
        return dataset
    if limit < 1:
        raise DataError(f"a limit of images per class is at least 1, not {limit}")
    strata = strata_of(dataset.labels)
    if dataset.given_split is not None:
        strata = strata * 4 + np.unique(dataset.given_split, return_inverse=True)[1]
    order, rank = rank_in_stratum(strata, np.random.default_rng([0, _LIMIT_STREAM]))
    rows = np.sort(order[rank < limit])
    note = f"at most {limit} images of each class: {len(rows):,} of {len(dataset):,} are used"
    return with_note(dataset.select(rows), "limit", note)


def _refusal(dataset: Dataset, skip: Skip, count: int) -> str:
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"{dataset.name}: {skip.name} {skip.reason}{more}; remove it, or drop strict to skip it"
