"""Datasets: selecting rows, counting classes, and fingerprints that depend on everything."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.data.dataset import ChosenRows, Dataset, Skip, Split, fingerprint_of
from headstart.data.sources.in_memory import PictureReader

LABELS = np.array([2, 0, 0, 2, 0])
PIXELS = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((5, 1, 1), dtype=np.uint8)
DIGESTS = np.array([b"a", b"b", b"c", b"d", b"e"])


def dataset(digests: np.ndarray | None = DIGESTS) -> Dataset:
    return Dataset(
        "toy",
        PictureReader(PIXELS),
        LABELS,
        ("ash", "oak", "yew"),
        given_split=np.array(["train", "test", "train", "", "test"]),
        groups=np.array(["g0", "g1", "g2", "g3", "g4"]),
        digests=digests,
    )


def test_selected_rows_keep_their_order_and_everything_that_belongs_to_them() -> None:
    found = dataset().select([3, 1], Skip("x", "why"))
    assert found.labels.tolist() == [2, 0] and found.classes == ("ash", "oak", "yew")
    assert [int(found.reader.read(row)[0, 0]) for row in range(2)] == [3, 1]  # type: ignore[arg-type]
    assert [found.reader.name(row) for row in range(2)] == ["#3", "#1"]
    assert found.given_split is not None and found.given_split.tolist() == ["", "test"]
    assert found.groups is not None and found.groups.tolist() == ["g3", "g1"]
    assert found.digests is not None and found.digests.tolist() == [b"d", b"b"]
    assert found.skipped == (Skip("x", "why"),)


def test_a_selection_of_a_selection_reads_the_first_reader_at_once() -> None:
    found = dataset().select([4, 3, 1]).select(np.array([2, 0]))
    assert isinstance(found.reader, ChosenRows) and isinstance(found.reader.base, PictureReader)
    assert found.reader.rows.tolist() == [1, 4] and len(found) == len(found.reader) == 2


def test_without_is_the_selection_of_the_others() -> None:
    found = dataset().without(iter([0, 4]), Skip("x", "why"))
    assert found.groups is not None and found.groups.tolist() == ["g1", "g2", "g3"]
    assert found.fingerprint == dataset().select([1, 2, 3]).fingerprint and len(found.skipped) == 1
    assert len(dataset().without([])) == 5


def test_a_selection_has_a_fingerprint_only_where_the_contents_are_known() -> None:
    expected = fingerprint_of(DIGESTS[[1, 0]], LABELS[[1, 0]], ("ash", "oak", "yew"))
    assert dataset().select([1, 0]).fingerprint == expected
    assert dataset(digests=None).select([1, 0]).fingerprint == ""


def test_classes_are_counted_with_the_empty_ones() -> None:
    data = dataset()
    assert data.counts().tolist() == [3, 0, 2] and not data.multi_label
    assert data.counts(np.array([0, 1])).tolist() == [1, 0, 1]
    several = Dataset(
        "toy", PictureReader(PIXELS), np.eye(5, 3, dtype=bool) | np.eye(5, 3, 1, dtype=bool), tuple("abc")
    )
    assert several.counts().tolist() == [1, 2, 2] and several.multi_label
    assert several.counts(np.array([1, 3])).tolist() == [0, 1, 1] and several.counts().dtype == np.int64


def test_a_fingerprint_depends_on_contents_labels_classes_and_order() -> None:
    classes = ("ash", "oak", "yew")
    found = {
        fingerprint_of(DIGESTS, LABELS, classes),
        fingerprint_of(DIGESTS[::-1], LABELS, classes),
        fingerprint_of(DIGESTS, LABELS[::-1], classes),
        fingerprint_of(DIGESTS, LABELS, ("ash", "elm", "yew")),
        fingerprint_of(DIGESTS[:4], LABELS[:4], classes),
    }
    assert len(found) == 5 and all(len(each) == 32 for each in found)
    assert fingerprint_of(DIGESTS.copy(), LABELS.copy(), classes) in found


def test_a_split_without_rows_notes_how_many_are_left_out() -> None:
    split = Split(np.array([0, 2]), np.array([1]), np.array([3, 4]), "rule", 7, ("first",))
    less = split.without([2, 3])
    assert [part.tolist() for part in (less.train, less.validation, less.test)] == [[0], [1], [4]]
    assert less.notes == ("first", "2 images left out of the split") and (less.rule, less.seed) == ("rule", 7)
    assert split.without([]) is split


@pytest.mark.parametrize("several", [False, True])
def test_labels_as_indices_into_other_classes(several: bool) -> None:
    labels = np.eye(3, dtype=bool)[[2, 0, 1]] | np.array([True, False, False]) if several else np.array([2, 0, 1])
    digests = np.array([b"a" * 32, b"b" * 32, b"c" * 32])
    data = Dataset("d", PictureReader(PIXELS[:3]), labels, ("b", "d", "x"), digests=digests)
    found = data.with_classes(("a", "b", "x", "z"))
    wanted = [[0, 1, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0]] if several else [2, 1, -1]
    assert found.classes == ("a", "b", "x", "z") and found.labels.tolist() == wanted
    assert found.fingerprint == fingerprint_of(digests, found.labels, found.classes)
