from __future__ import annotations

import numpy as np
import pytest
import torch
from episode_scene import SHOTS, WAYS, Scene, prototypes_of, scene, unit

from headstart.fewshot.gram import EpisodeGram, episode_gram
from headstart.fewshot.products import make_products

SCENE = scene(episodes=6)
MEAN = np.linspace(-0.5, 1.5, 40).astype(np.float32)


def plain(gram: EpisodeGram, i: int) -> dict[str, np.ndarray]:
    names = ("support", "cross", "query", "query_norms", "support_norms", "prototype_cross", "prototype_norms")
    return {name: getattr(gram, name)[i].numpy() for name in names}


def expected(support: np.ndarray, query: np.ndarray) -> dict[str, np.ndarray]:
    means = prototypes_of(support)
    return {
        "support": support @ support.T,
        "cross": support @ query.T,
        "query": query @ query.T,
        "query_norms": (query**2).sum(axis=1),
        "support_norms": (support**2).sum(axis=1),
        "prototype_cross": means @ query.T,
        "prototype_norms": (means**2).sum(axis=1),
    }


def test_products_are_those_of_the_features() -> None:
    gram = SCENE.gram()
    for i in range(6):
        for name, value in expected(*SCENE.episode(i)).items():
            np.testing.assert_allclose(plain(gram, i)[name], value, rtol=1e-4, atol=1e-3, err_msg=name)


def test_centred_takes_the_base_mean_off_and_unit_scales_to_length_one() -> None:
    gram = SCENE.gram(MEAN).centred
    for i in range(6):
        support, query = (part - MEAN for part in SCENE.episode(i))
        for name, value in expected(support, query).items():
            np.testing.assert_allclose(plain(gram, i)[name], value, rtol=1e-4, atol=1e-3, err_msg=name)
        for name, value in expected(unit(support), unit(query)).items():
            np.testing.assert_allclose(plain(gram.unit, i)[name], value, atol=1e-5, err_msg=name)


def test_without_a_base_mean_nothing_is_centred() -> None:
    gram = SCENE.gram()
    assert gram.centred is gram


def test_support_centred_takes_the_mean_of_the_support_set_off() -> None:
    gram = SCENE.gram().support_centred
    for i in range(6):
        support, query = SCENE.episode(i)
        middle = support.mean(axis=0)
        for name, value in expected(support - middle, query - middle).items():
            np.testing.assert_allclose(plain(gram, i)[name], value, rtol=1e-4, atol=1e-3, err_msg=name)


def test_targets_are_one_hot_class_by_class() -> None:
    assert torch.equal(SCENE.gram().targets.argmax(dim=1), torch.arange(WAYS).repeat_interleave(SHOTS))
    assert torch.equal(SCENE.gram().targets.sum(dim=1), torch.ones(WAYS * SHOTS))


@pytest.mark.parametrize("asked", ["prototype_cross", "prototype_norms"])
def test_prototypes_need_no_products_between_classes(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = next(iter(SCENE.episodes.batches(6)))
    products = make_products(SCENE.features, SCENE.episodes.rows)
    gram = episode_gram(products, batch, WAYS, SHOTS)
    monkeypatch.setattr(EpisodeGram, "support", property(lambda self: pytest.fail("all support products were read")))
    monkeypatch.setattr(EpisodeGram, "cross", property(lambda self: pytest.fail("all cross products were read")))
    assert getattr(gram, asked).shape[:2] == (6, WAYS)


def test_a_query_of_length_zero_stays_finite() -> None:
    features = SCENE.features.copy()
    features[SCENE.episodes.query[0, 0]] = 0
    gram = Scene(features, SCENE.episodes).gram().unit
    assert torch.isfinite(gram.query).all() and torch.isfinite(gram.cross).all()
