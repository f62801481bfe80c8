"""A cache of downloaded weights, filled with random ones: each file says in its metadata that it is a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub.constants as hub
import pytest
import torch
from safetensors.torch import save_file

from headstart.models.create import create_backbone
from headstart.models.line_ups.table import BY_NAME
from headstart.models.weights.registry import timm_weights

MARK = {"stand_in": "random weights of a test, not the published ones"}


def empty_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Point both caches at empty folders, and forbid every download; return the hub's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def place_for(cache: Path, name: str) -> Path:
    """Return where the hub keeps the weights of a network of the table; the folder is made."""
    known = BY_NAME[name]
    repo = timm_weights(known.architecture.name)[known.weights.partition(":")[2]]["hf_hub_id"]
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    return snapshot / "model.safetensors"


def put_random(cache: Path, name: str) -> Path:
    """Write random weights of a network of the table, under its library's names."""
    backbone, _ = create_backbone(name, seed=7)
    theirs = {ours: key for key, ours in backbone.original_keys.items() if ours}
    state = {theirs[key]: value.contiguous() for key, value in backbone.state_dict().items() if key in theirs}
    place = place_for(cache, name)
    save_file(state, place, metadata=MARK)
    return place


def put_marker(cache: Path, name: str) -> Path:
    """Write a small whole safetensors file in the place of a network's weights: enough to be found, not to be read."""
    place = place_for(cache, name)
    save_file({"stand_in": torch.zeros(1)}, place, metadata=MARK)
    return place


def described(place: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file."""
    with place.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    found: dict[str, str] = header["__metadata__"]
    return found
