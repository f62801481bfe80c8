"""How much of an image a network sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from headstart.data.decoding.image_store import images_key
from headstart.errors import SpecError
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
