from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from exported_models import calibrated, linear, three

from headstart.deploy.export.facts import facts_of_model, licence_of, licence_of_weights
from headstart.deploy.export.program import inputs_of
from headstart.models.bundle import Ensemble, Origin
from headstart.models.bundle_file import licence_entry

LITE = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
RESNET = "25254364d9d2d366c00c1b5d1411cd7bd88a9a4dc5614845d7786a503d4f03dc"


@pytest.mark.parametrize(
    ("origin", "licence"),
    [
        (Origin("efficientnet_lite0", weights="imagenet", sha256=LITE), "Apache-2.0"),
        (Origin("resnet18", weights="resnet18.safetensors", sha256=RESNET), "BSD-3-Clause"),
        (Origin("resnet50", weights="imagenet", sha256="f" * 64), "BSD-3-Clause"),
        (Origin("efficientnet_lite1", weights="imagenet"), "Apache-2.0"),
        (Origin("vit_tiny_patch16_224", weights="imagenet", sha256="f" * 64), "Apache-2.0"),
        (Origin("dinov3_small", weights="timm:lvd1689m"), "DINOv3-License"),
        (Origin("resnet50", weights="timm:gluon_in1k"), "unknown"),
        (Origin("resnet18", weights="timm:absent"), "unknown"),
        (Origin("resnet18", weights="mine.pt", sha256="f" * 64), "unknown"),
        (Origin("lenet5"), "none"),
        (Origin("pixels"), "none"),
    ],
)
def test_the_licence_of_weights(origin: Origin, licence: str) -> None:
    assert licence_of_weights(replace(linear(), origin=origin)) == licence


def test_a_licence_that_a_file_or_its_card_named_is_told_unless_the_file_is_a_published_one() -> None:
    named = replace(linear(), provenance=licence_entry("cc-by-nc-4.0"))
    own = Ensemble((replace(named, origin=Origin("lenet5", weights="mine.pt", sha256="f" * 64)),))
    facts = facts_of_model(own, inputs_of(own))
    assert (facts["licence"], facts["licence_status"]) == ("cc-by-nc-4.0", "restricted")
    assert facts["networks"][0]["licence"] == "cc-by-nc-4.0"
    published = replace(named, origin=Origin("efficientnet_lite0", weights="mine.pt", sha256=LITE))
    assert licence_of_weights(published) == "Apache-2.0"
    assert licence_of_weights(replace(named, origin=Origin("lenet5"))) == "none"


def test_an_ensembles_facts_are_those_of_all_its_networks() -> None:
    ensemble = three()
    facts = facts_of_model(ensemble, inputs_of(ensemble), precision="int8")
    assert [each["backbone"] for each in facts["networks"]] == ["lenet5", "small_cnn", "lenet5"]
    assert [each["head"] for each in facts["networks"]] == ["linear", "linear", "neighbours"]
    assert (facts["temperature"], facts["precision"]) == (1.2, "int8")
    first = linear()
    mixed = Ensemble(
        (first, replace(first, origin=Origin("lenet5", weights="x")), replace(first, origin=Origin("lenet5")))
    )
    assert licence_of(mixed) == "none and unknown"
    assert facts_of_model(mixed, inputs_of(mixed))["licence_status"] == "unknown"


def test_a_share_of_exactly_a_twentieth_is_unfamiliar_in_single_precision_too() -> None:
    ensemble = calibrated(Ensemble((linear(),)), "distances+energy")
    rule = facts_of_model(ensemble, inputs_of(ensemble))["answers"]
    for count in (20, 60, 100, 1000):  # as graphs compute it: (1 + held-out images below) / (1 + held-out images)
        below, beyond = (np.float32(count // 20 + more) / np.float32(count) for more in (0, 1))
        assert float(below) <= rule["unfamiliar"] < float(beyond)


def test_the_label_rule_of_several_labels_has_its_threshold() -> None:
    ensemble = Ensemble((linear(multi_label=True, threshold=0.4),))
    assert facts_of_model(ensemble, inputs_of(ensemble))["label_rule"] == {"kind": "threshold", "threshold": 0.4}
