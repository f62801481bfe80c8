from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from exported_models import linear
from huggingface_hub import ModelCard

from headstart.deploy.classifier import Classifier
from headstart.deploy.export.checking import check_forms
from headstart.deploy.export.huggingface import (
    CONFIG,
    WEIGHTS,
    build,
    card_data,
    configuration,
    crop_share,
    finish,
    usage,
)
from headstart.deploy.export.pictures import Material, noise
from headstart.deploy.export.target import Parts
from headstart.models.bundle import Bundle, Ensemble
from tests.docs.readers_files import check_here

RESULTS = {"n": 40, "accuracy": {"value": 0.9, "low": 0.77, "high": 0.96, "n": 40}}
DATA = {"name": "insects", "fingerprint": "ab", "counts": {"train": 80, "validation": 20, "test": 40}}


def parts_of(bundle: Bundle) -> Parts:
    return Parts(Ensemble((bundle,)), Material(noise(), results=RESULTS, data=DATA))


@pytest.mark.long
@pytest.mark.parametrize("multi_label", [False, True])
def test_timm_loads_the_folder_in_another_process_and_agrees(
    tmp_path: Path, multi_label: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if multi_label:
        check_here(monkeypatch)  # one process shows that it needs nothing of this one
    parts = parts_of(linear("timm/test_efficientnet", multi_label=multi_label))
    (check,) = check_forms(Classifier(parts.ensemble), build(parts, tmp_path), parts.material.test)
    assert check.labels_differ == 0 and check.largest_difference < 1e-5
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_the_configuration_has_what_timm_preprocesses_by() -> None:
    bundle = linear("timm/test_efficientnet")
    found = json.loads(json.dumps(configuration(bundle, 256)))
    assert found["architecture"] == "test_efficientnet" and found["label_names"] == ["ant", "bee", "cat"]
    needs = bundle.preprocessing
    assert found["pretrained_cfg"]["input_size"] == [3, needs.size, needs.size]
    assert (found["pretrained_cfg"]["mean"], found["pretrained_cfg"]["crop_mode"]) == (list(needs.mean), "center")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_whoever_may_read_the_configuration_may_read_the_weights(tmp_path: Path) -> None:
    build(parts_of(linear("timm/test_efficientnet")), tmp_path)
    assert (tmp_path / WEIGHTS).stat().st_mode == (tmp_path / CONFIG).stat().st_mode


def test_timm_computes_the_same_resize_from_the_crop_share() -> None:
    for size in range(32, 400, 7):
        for resize in range(size, size + 80, 3):
            assert math.floor(size / crop_share(size, resize)) == resize


def test_the_card_is_one_that_the_hub_reads(tmp_path: Path) -> None:
    parts = parts_of(linear("timm/test_efficientnet"))
    finish(parts, tmp_path, [], [], usage(parts))
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "timm" and card.data.pipeline_tag == "image-classification"
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("accuracy", 0.9, "insects")
    assert "| accuracy | 0.9000 | 0.7700 to 0.9600 |" in card.text
    assert (card.data.license, card.data.license_name) == ("other", "none")


def test_a_licence_that_the_hub_knows_is_named_as_it_names_it() -> None:
    bundle = linear("timm/test_efficientnet")
    known = replace(
        bundle,
        origin=replace(
            bundle.origin,
            weights="imagenet",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    )
    assert card_data(parts_of(known)).license == "apache-2.0"
