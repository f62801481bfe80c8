"""Passes over images in parts, by several workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.decoding import image_store
from headstart.data.decoding.decode import UndecodableError, View
from headstart.errors import StoreError
from headstart.storage.store import Store
from headstart.study.execution.budget import OverBudget
from headstart.study.passes import entries_of, part_features
from headstart.study.resources import Resources
from headstart.study.spec.network import NetworkSpec
from headstart.study.spec.schema import DataSpec, WeightsSpec
from headstart.transfer.frozen.engine import Engine
from tests.study.conftest import draw

SIDES = ((0, 32), (32, 64), (64, 72))  # a part is a multiple of 32 images, the batch of a network


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.study.parts.SMALLEST", 32)
    monkeypatch.setattr("headstart.study.parts.LARGEST", 32)


@pytest.fixture
def parted(tmp_path: Path) -> tuple[DataSpec, NetworkSpec]:
    """Return 72 images of noise, of which two are copies of images in another part, and a network."""
    folder = draw(tmp_path / "many", 24)
    (folder / "red/004.png").write_bytes((folder / "blue/003.png").read_bytes())
    (folder / "red/005.png").write_bytes((folder / "green/003.png").read_bytes())
    return DataSpec(source=str(folder)), NetworkSpec(backbone="lenet5", weights=WeightsSpec(name="none"))


@pytest.mark.parametrize("decoded", [False, True])
def test_features_of_parts_are_those_of_one_pass(
    decoded: bool, parted: tuple[DataSpec, NetworkSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, network = parted
    damaged = Path(data.source, "green/010.png").read_bytes()
    counted, decode = [], image_store.decode

    def decode_all_but_one(content: bytes, view: View, **how: Any) -> Any:
        counted.append(1)
        if content == damaged:
            raise UndecodableError("breaks off")
        return decode(content, view, **how)

    monkeypatch.setattr(image_store, "decode", decode_all_but_one)
    whole = Resources(Store(tmp_path / "whole"), "cpu")
    wanted = np.array(whole.features(data, network, 0))
    bad = whole.bad_rows(whole.dataset(data))
    assert len(wanted) == 72 and bad == {34: "breaks off"} and sum(counted) == 70
    counted.clear()
    store = Store(tmp_path / "parts")
    if decoded:  # for another network, say
        needs = whole.loaded(network, 0).backbone.preprocessing
        Resources(store, "cpu").images(data, needs)
    made: list[tuple[str, str]] = []
    for rows in reversed(SIDES):  # by several processes, in any order
        made += part_features(Resources(store, "cpu"), data, network, 0, rows)
    again = Resources(store, "cpu")
    features = again.features(data, network, 0)
    assert sum(counted) == (70 if decoded else 72), "each image is decoded once, copies once in each part"
    np.testing.assert_array_equal(features, wanted)
    assert again.bad_rows(again.dataset(data)) == bad
    facts, alone = (each.features_facts(data, network, 0) for each in (again, whole))
    assert facts["shape"] == alone["shape"] and facts["images_per_second"] > 0
    assert facts["seconds"] >= sum(store.manifest(*pair)["seconds"] for pair in made if pair[0] == "features")

    kept = entries_of(again, data, network, 0)
    assert len(set(made)) == (3 if decoded else 6) and not set(kept) & set(made)
    for pair in made:
        store.drop(*pair)
    assert sorted((row["kind"], row["key"]) for row in store.entries()) == sorted(kept)
    assert part_features(Resources(store, "cpu"), data, network, 0, SIDES[0]) == ()  # somebody who comes late
    assert len(store.entries()) == 2


def test_a_pass_that_was_interrupted_continues_with_any_number_of_workers(
    parted: tuple[DataSpec, NetworkSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, network = parted
    wanted = np.array(Resources(Store(tmp_path / "whole"), "cpu").features(data, network, 0))
    seen, run = [0], Engine.__call__

    def counted(engine: Engine, pixels: Any) -> Any:
        seen[0] += len(pixels)
        return run(engine, pixels)

    monkeypatch.setattr(Engine, "__call__", counted)
    store = Store(tmp_path / "store")
    part_features(Resources(store, "cpu"), data, network, 0, SIDES[0])  # two workers, stopped; then one
    assert seen == [32]
    np.testing.assert_array_equal(Resources(store, "cpu").features(data, network, 0), wanted)
    assert seen == [72]

    def stopped() -> None:
        if seen[0] >= 96:
            raise OverBudget

    store = Store(tmp_path / "other")  # one, stopped after its first chunk; then two, of which one has not finished
    alone = Resources(store, "cpu", watch=stopped)
    with pytest.raises(OverBudget):
        alone.features(data, network, 0)
    assert seen[0] < 72 + 72
    for rows in SIDES[:2]:
        part_features(Resources(store, "cpu"), data, network, 0, rows)
    before = seen[0]
    np.testing.assert_array_equal(Resources(store, "cpu").features(data, network, 0), wanted)
    assert seen[0] - before == 8


def test_a_part_whose_entries_another_process_deleted_is_no_error(
    parted: tuple[DataSpec, NetworkSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, network = parted
    resources = Resources(Store(tmp_path / "store"), "cpu")

    def deleted(*given: Any, **how: Any) -> None:
        raise StoreError("was removed from the cache")

    monkeypatch.setattr("headstart.study.resources.extract", deleted)
    with pytest.raises(StoreError):
        part_features(resources, data, network, 0, SIDES[0])
    key = resources.features_key(data, network, 0)

    def finished(*given: Any, **how: Any) -> None:
        with resources.store.building("features", key) as entry:
            assert entry is not None
        deleted()

    monkeypatch.setattr("headstart.study.resources.extract", finished)
    assert part_features(resources, data, network, 0, SIDES[0]) == ()
