"""What the classifier serves: views averaged, calibrated, each pass made once, labels by the threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from headstart.deploy.classifier import Classifier
from headstart.models.bundle import Bundle, Ensemble, Origin
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.models.preprocessing import as_tensor, normalise
from headstart.models.test_time_augmentation import TTA

CLASSES = ("a", "b", "c")
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)


def bundle(seed: int = 0, head: int = 0, **changes: Any) -> Bundle:
    backbone, _ = create_backbone("small_cnn", None, seed=seed)
    linear = LinearHead(256, 3, multi_label=bool(changes.get("multi_label")))
    torch.nn.init.normal_(linear.weight, std=0.2, generator=torch.Generator().manual_seed(head))
    return Bundle(Network(backbone, linear).eval(), Origin("small_cnn", seed=seed), CLASSES, **changes)


def by_hand(one: Bundle) -> np.ndarray:
    """Return the mean over the views of the softmax, then softmax(log p / temperature)."""
    views = TTA[one.tta](normalise(as_tensor(PIXELS), one.preprocessing))
    with torch.no_grad():
        mean = np.mean([softmax(one.network(view).double().numpy(), 1) for view in views], axis=0)
    found: np.ndarray = softmax(np.log(mean) / one.temperature, 1)
    return found


@pytest.mark.parametrize("tta", sorted(TTA))
@pytest.mark.parametrize("temperature", [1.0, 0.4, 3.0])
def test_probabilities_are_the_calibrated_mean_over_the_views(tta: str, temperature: float) -> None:
    one = bundle(tta=tta, temperature=temperature)
    np.testing.assert_allclose(Classifier(one).probabilities(PIXELS), by_hand(one), atol=2e-6)
    served = Classifier(one).predict(list(PIXELS))
    np.testing.assert_allclose([each.probabilities for each in served], by_hand(one), atol=2e-6)
    assert [each.label for each in served] == [CLASSES[k] for k in by_hand(one).argmax(1)]


def test_an_ensemble_averages_calibrated_probabilities_and_calibrates_the_mean() -> None:
    members = (bundle(0, 0, tta="flip", temperature=0.5), bundle(0, 1), bundle(1, 2, temperature=2.0))
    served = Classifier(Ensemble(members, 0.6)).predict(list(PIXELS))
    mean = np.mean([by_hand(each) for each in members], axis=0)
    np.testing.assert_allclose([each.probabilities for each in served], softmax(np.log(mean) / 0.6, 1), atol=2e-6)


def test_networks_that_share_a_backbone_and_views_share_their_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    members = (bundle(0, 0), bundle(0, 1), bundle(0, 2, tta="flip"), bundle(1, 3), bundle(0, 4, tta="flip"))
    classifier, passes = Classifier(Ensemble(members)), list[str]()
    features = classifier._features

    def counted(number: int, pixels: np.ndarray) -> list[torch.Tensor]:
        passes.append(members[number].tta)
        return features(number, pixels)

    monkeypatch.setattr(classifier, "_features", counted)
    served = classifier.predict(list(PIXELS))
    assert passes == ["none", "flip", "none"]
    mean = np.mean([by_hand(each) for each in members], axis=0)
    np.testing.assert_allclose([each.probabilities for each in served], mean, atol=2e-6)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_classes_above_the_threshold_are_the_labels(threshold: float) -> None:
    one = bundle(multi_label=True, threshold=threshold)
    with torch.no_grad():
        logits = one.network(normalise(as_tensor(PIXELS), one.preprocessing))
    expected = 1 / (1 + np.exp(-logits.double().numpy()))
    served = Classifier(one).predict(list(PIXELS))
    np.testing.assert_allclose([each.probabilities for each in served], expected, atol=2e-6)
    assert [each.label for each in served] == ["|".join(np.array(CLASSES)[row > threshold]) for row in expected]
    assert [each.labels for each in served] == [tuple(np.array(CLASSES)[row > threshold]) for row in expected]
    assert len({each.label for each in Classifier(replace(one, threshold=0.001)).predict(list(PIXELS))}) == 1
