"""How much of an image a network sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from headstart.data.decoding import image_store
from headstart.data.decoding.decode import UndecodableError, View
from headstart.data.decoding.image_store import images_key
from headstart.errors import SpecError, StoreError
from headstart.models.bundle import read_bundle
from headstart.models.bundle_file import find_bundle
from headstart.models.freeze import fingerprint
from headstart.storage.names import folder_name
from headstart.storage.store import Store
from headstart.study.resources import Resources
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.study.spec.network import NetworkSpec
from headstart.study.spec.schema import DataSpec, WeightsSpec
from headstart.transfer.frozen import features
from headstart.transfer.frozen.features import features_key
from headstart.transfer.frozen.views import view_of
from tests.study.conftest import draw


def study(pictures: Path, resizes: list[int]) -> dict[str, Any]:
    return {
        "name": "views",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none", "strategy": "ridge"},
        "runs": {f"at {resize}": {"resize": resize} for resize in resizes},
    }


def test_resize_changes_the_view_and_is_kept_in_the_network(pictures: Path, tmp_path: Path) -> None:
    root = run_study(load_study(study(pictures, [32, 40])), tmp_path / "out", device="cpu").root
    seen = {}
    for resize in (32, 40):
        folder = root / "runs" / folder_name(f"at {resize}") / "seed-0"
        needs = read_bundle(find_bundle(folder)).preprocessing
        assert (needs.size, needs.resize) == (32, resize)
        with np.load(folder / "predictions.npz") as kept:
            seen[resize] = kept["test_probabilities"]
    assert not np.array_equal(seen[32], seen[40])


def test_a_crop_larger_than_the_image_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="resize: 24 px is less than the network's 32 px"):
        run_study(load_study(study(pictures, [24])), tmp_path / "out", device="cpu")


def test_the_weights_of_a_network_are_hashed_once_however_often_its_features_are_asked_for(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[nn.Module] = []
    monkeypatch.setattr(features, "fingerprint", lambda module: (hashed.append(module), fingerprint(module))[1])
    none = WeightsSpec(name="none")
    resources, data = Resources(Store(tmp_path), "cpu"), DataSpec(source=str(pictures))
    networks = [NetworkSpec("lenet5", none, resize=resize, redrawn=True) for resize in (32, 32, 40)]
    keys = [resources.features_key(data, network, seed) for network in networks for seed in (0, 1, 0)]
    assert len(hashed) == 4 and len(set(keys)) == 4
    backbone = resources.loaded(networks[0], 0).backbone
    images = images_key(resources.dataset(data), view_of(backbone.preprocessing))
    assert keys[0] == features_key(images, backbone.stages, backbone.preprocessing, "cpu")


SIDES = ((0, 32), (32, 64), (64, 72))  # a part is a multiple of 32 images, the batch of a network


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
    for rows in reversed(SIDES):  # by several processes, in any order
        Resources(store, "cpu").part_features(data, network, 0, rows)
    again = Resources(store, "cpu")
    spare = again.features_of_parts(data, network, 0, SIDES)
    assert sum(counted) == (70 if decoded else 72), "each image is decoded once, copies once in each part"
    np.testing.assert_array_equal(again.features(data, network, 0), wanted)
    assert again.bad_rows(again.dataset(data)) == bad
    assert again.features_facts(data, network, 0)["shape"] == list(wanted.shape)

    made = {(row["kind"], row["key"]) for row in store.entries()}
    key = again.features_key(data, network, 0)
    assert ("features", key) in made and ("features", key) not in spare
    assert len(set(spare)) == 6 and made >= {pair for pair in spare if pair[0] == "features" or not decoded}
    for kind, entry in spare:
        store.drop(kind, entry)
    assert sorted(row["kind"] for row in store.entries()) == ["features", "images"]
    Resources(store, "cpu").part_features(data, network, 0, SIDES[0])  # somebody who comes late
    assert len(store.entries()) == 2


def test_a_part_whose_entries_another_process_deleted_is_no_error(
    parted: tuple[DataSpec, NetworkSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, network = parted
    resources = Resources(Store(tmp_path / "store"), "cpu")

    def deleted(*given: Any, **how: Any) -> None:
        raise StoreError("not in the cache any more")

    monkeypatch.setattr("headstart.study.resources.extract", deleted)
    with pytest.raises(StoreError):
        resources.part_features(data, network, 0, SIDES[0])
    key = resources.features_key(data, network, 0)

    def finished(*given: Any, **how: Any) -> None:
        with resources.store.building("features", key) as entry:
            assert entry is not None
        deleted()

    monkeypatch.setattr("headstart.study.resources.extract", finished)
    resources.part_features(data, network, 0, SIDES[0])
