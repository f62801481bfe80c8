from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from headstart.errors import WeightsError
from headstart.models.create import create_backbone
from headstart.models.preprocessing import Preprocessing
from headstart.models.weights.huggingface_folder import folder_facts

NAMES = [f"class {number}" for number in range(1000)]
MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]


def folder(place: Path, **files: Any) -> Path:
    for name, content in files.items():
        (place / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return place / "model.safetensors"


def test_a_folder_of_timm_says_its_preprocessing_and_classes(tmp_path: Path) -> None:
    cfg = {"input_size": [3, 96, 96], "interpolation": "bilinear", "crop_pct": 0.75, "mean": MEAN, "std": STD}
    file = folder(tmp_path, config={"architecture": "resnet18", "pretrained_cfg": cfg, "label_names": NAMES})
    expected = Preprocessing(96, 128, "bilinear", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert folder_facts(file) == (expected, tuple(NAMES))
    torch.manual_seed(0)
    network = timm.create_model("resnet18")
    save_file(network.state_dict(), file)
    backbone, weights = create_backbone("resnet18", tmp_path)
    assert backbone.source_classes == tuple(NAMES) and weights.preprocessing == expected
    assert torch.equal(backbone.state_dict()["classifier.weight"], network.fc.weight)


@pytest.mark.parametrize(
    ("processor", "sizes"),
    [
        ({"size": 224}, (224, 224)),
        ({"size": {"height": 384, "width": 384}, "resample": 3}, (384, 384)),
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
            (224, 256),
        ),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, (224, 256)),
        ({"size": {"shortest_edge": 384}}, (384, 384)),
    ],
)
def test_a_folder_of_transformers_says_its_preprocessing_and_classes(
    tmp_path: Path, processor: dict[str, Any], sizes: tuple[int, int]
) -> None:
    config = {"id2label": {"1": "bee", "0": "ant", "10": "cat"}}
    file = folder(tmp_path, config=config, preprocessor_config={**processor, "image_mean": MEAN, "image_std": STD})
    interpolation = "bicubic" if processor.get("resample") == 3 else "bilinear"
    preprocessing = Preprocessing(*sizes, interpolation, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert folder_facts(file) == (preprocessing, ("ant", "bee", "cat"))


def test_files_that_say_nothing_of_use_are_passed_over(tmp_path: Path) -> None:
    assert folder_facts(tmp_path / "model.safetensors") == (None, ())
    file = folder(tmp_path, config="no json", preprocessor_config=[1])
    assert folder_facts(file) == (None, ())
    file = folder(tmp_path, config={"id2label": {"0": "ant"}})
    assert folder_facts(file) == (None, ("ant",)) and folder_facts(tmp_path / "mine.pth") == (None, ())


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("preprocessor_config", {"image_mean": [0.5], "image_std": [0.5]}, "expected 3, got 1"),
        ("preprocessor_config", {"image_mean": 0.5, "image_std": 0.5}, "float"),
        ("preprocessor_config", {"image_mean": MEAN, "image_std": [0, 1, 1]}, "deviations numbers above zero"),
        ("preprocessor_config", {"image_mean": MEAN, "image_std": STD, "resample": "bicubic"}, "bicubic"),
        ("config", {"pretrained_cfg": {"input_size": 224, "crop_pct": 0.9, "mean": MEAN, "std": STD}}, "subscriptable"),
        ("config", {"pretrained_cfg": {"input_size": [3, 9, 9], "crop_pct": 0, "mean": MEAN, "std": STD}}, "zero"),
        (
            "config",
            {"pretrained_cfg": {"input_size": [3, 9, 9], "crop_pct": 1, "mean": ["a"] * 3, "std": STD}},
            "float",
        ),
    ],
)
def test_values_that_make_no_sense_are_refused_by_the_file_that_has_them(
    tmp_path: Path, name: str, content: dict[str, Any], why: str
) -> None:
    for each in content.values():
        if isinstance(each, dict):
            each["interpolation"] = "bicubic"
    with pytest.raises(WeightsError, match=rf"{name}\.json: its .* cannot be understood .*{why}"):
        folder_facts(folder(tmp_path, **{name: content}))


def test_classes_without_numbers_are_not_taken(tmp_path: Path) -> None:
    assert folder_facts(folder(tmp_path, config={"id2label": {"LABEL_0": "ant", "1": "bee"}})) == (None, ())
