"""Saved models that teach, and images without labels beside those that have one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.data.dataset import Dataset
from headstart.data.sources.in_memory import PictureReader
from headstart.errors import DataError, WeightsError
from headstart.study.teachers import COPIES, new_images, read_teacher, with_unlabelled


def images(*digests: str, labels: list[int], classes: tuple[str, ...] = ()) -> Dataset:
    pixels = PictureReader(np.zeros((len(digests), 2, 2, 3), np.uint8))
    return Dataset("some", pixels, np.array(labels, np.int64), classes, digests=np.array(digests, dtype=np.bytes_))


def test_copies_of_labelled_images_and_of_one_another_are_left_out() -> None:
    labelled = images("a", "b", labels=[0, 1], classes=("x", "y"))
    fresh = new_images(images("c", "a", "d", "c", labels=[-1] * 4), labelled)
    assert fresh.digests is not None and fresh.digests.tolist() == [b"c", b"d"]
    assert fresh.about[COPIES] == "1 equal to a labelled image, 1 equal to another one"
    near = new_images(images("c", "a", "d", "e", "e", labels=[-1] * 5), labelled, np.array([1, 2]))
    assert near.digests is not None and near.digests.tolist() == [b"c", b"e"]
    told = "1 equal to a labelled image, 1 with the photograph of a labelled image, 1 equal to another one"
    assert near.about[COPIES] == told
    assert COPIES not in new_images(images("c", labels=[-1]), labelled).about
    both = with_unlabelled(labelled, fresh)
    assert both.labels.tolist() == [0, 1, -1, -1] and both.classes == ("x", "y") and len(both.reader) == 4
    other = with_unlabelled(labelled, replace(fresh, digests=np.array([b"c", b"e"])))
    assert both.fingerprint != other.fingerprint
    with pytest.raises(DataError, match="each of the 2 images of some is a copy of a labelled one"):
        new_images(images("a", "b", labels=[-1, -1]), labelled)


def test_a_teacher_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        read_teacher(str(tmp_path / "none.safetensors"))
