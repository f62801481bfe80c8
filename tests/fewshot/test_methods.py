from __future__ import annotations

import numpy as np
import pytest
import torch
from episode_scene import QUERIES, SHOTS, WAYS, blobs, scene

from headstart.fewshot.episodes import EpisodeBatch, sample_episodes
from headstart.fewshot.gram import episode_gram
from headstart.fewshot.methods import METHODS, TRANSDUCTIVE
from headstart.fewshot.products import make_products
from headstart.fewshot.scores import first_best

SCENE = scene()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_scores_every_query_and_beats_chance(name: str) -> None:
    scores = METHODS[name](SCENE.gram())
    assert scores.shape == (200, WAYS, WAYS * QUERIES)
    assert torch.isfinite(scores).all()
    right = first_best(scores) == torch.arange(WAYS).repeat_interleave(QUERIES)
    assert right.float().mean() > 0.6


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_takes_one_shot_and_two_ways(name: str) -> None:
    episodes = sample_episodes(blobs(1.5)[1], 2, 1, 1, 10, seed=0)
    batch = next(iter(episodes.batches(10)))
    scores = METHODS[name](episode_gram(make_products(SCENE.features, episodes.rows), batch, 2, 1))
    assert scores.shape == (10, 2, 2)
    assert torch.isfinite(scores).all()


def test_identical_images_do_not_break_a_method() -> None:
    same = np.ones_like(SCENE.features)
    batch = next(iter(SCENE.episodes.batches(5)))
    for name, method in METHODS.items():
        scores = method(episode_gram(make_products(same, SCENE.episodes.rows), batch, WAYS, SHOTS))
        assert torch.isfinite(scores).all(), name


@pytest.mark.parametrize("name", sorted(METHODS))
def test_transductive_methods_alone_depend_on_the_other_queries(name: str) -> None:
    def scores(queries: int) -> torch.Tensor:
        batch = next(iter(SCENE.episodes.batches(200)))
        fewer = EpisodeBatch(
            batch.first, batch.classes, batch.support, batch.query[:, :queries], batch.query_ways[:, :queries]
        )
        made = episode_gram(make_products(SCENE.features, SCENE.episodes.rows), fewer, WAYS, SHOTS)
        return METHODS[name](made)[:, :, :QUERIES]

    close = torch.allclose(scores(QUERIES).softmax(dim=1), scores(WAYS * QUERIES).softmax(dim=1), atol=1e-3)
    assert close == (name not in TRANSDUCTIVE)
