from __future__ import annotations

import numpy as np
import pytest
import torch
from episode_scene import QUERY_WAYS, WAYS, distances, prototypes_of, scene, unit

from headstart.fewshot.classifiers.laplacian_shot import laplacian_shot
from headstart.fewshot.classifiers.simpleshot import simpleshot
from headstart.fewshot.gram import EpisodeGram
from headstart.fewshot.scores import first_best

SCENE = scene()


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def rectified(support: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The paper's rectification, image by image: (prototypes, shifted queries)."""
    query = query + support.mean(axis=0) - query.mean(axis=0)
    every, means = np.concatenate([support, query]), prototypes_of(support)
    cosines = unit(every) @ unit(means).T
    share, nearest = softmax(10 * cosines), cosines.argmax(axis=1)
    rows = [np.flatnonzero(nearest == way) for way in range(WAYS)]
    parts = [(share[own, way, None] * every[own]).mean(axis=0) for way, own in enumerate(rows)]
    return np.stack(parts), query


def reference(support: np.ndarray, query: np.ndarray, neighbours: int, weight: float, steps: int) -> np.ndarray:
    centres, query = rectified(support, query)
    distance = distances(query, centres)
    others = distances(query, query)
    np.fill_diagonal(others, np.inf)
    links = np.zeros_like(others)
    np.put_along_axis(links, np.argsort(others, axis=1)[:, :neighbours], 1.0, axis=1)
    logits = -distance
    for _ in range(steps):
        logits = weight * links @ softmax(logits) - distance
    return logits


@pytest.mark.parametrize(("shots", "neighbours", "weight", "steps"), [(5, 2, 0.7, 20), (1, 2, 1.0, 20), (5, 4, 0.4, 3)])
def test_scores_equal_a_plain_loop(shots: int, neighbours: int, weight: float, steps: int) -> None:
    hard = scene(2.0, shots, episodes=30)
    mean = hard.features.mean(axis=0)
    found = laplacian_shot(hard.gram(mean), neighbours, weight, steps).numpy()
    for i in range(30):
        support, query = (unit(part - mean) for part in hard.episode(i))
        np.testing.assert_allclose(found[i].T, reference(support, query, neighbours, weight, steps), atol=1e-4)


@pytest.mark.parametrize(
    ("spread", "shots", "weight", "rectify", "right"),
    [
        (1.5, 5, 0.7, True, 2888),
        (2.5, 1, 0.7, True, 1333),
        (2.5, 1, 0.7, False, 1307),
        (2.5, 1, 1.0, True, 1339),
        (2.5, 5, 0.7, True, 1977),
    ],
)
def test_as_many_queries_are_right_as_by_the_authors_code(
    spread: float, shots: int, weight: float, rectify: bool, right: int
) -> None:
    # metric_class_type of github.com/imtiazziko/LaplacianShot (src/train_lshot.py) with CL2N, knn 3 (the query counts
    # as its own neighbour) and lmd = weight, on the same 100 episodes: the same prediction for all 3,000 queries.
    hard = scene(spread, shots, episodes=100)
    scores = laplacian_shot(hard.gram(hard.features.mean(axis=0)), weight=weight, rectify=rectify)
    assert int((first_best(scores).numpy() == QUERY_WAYS).sum()) == right


def test_without_links_and_rectification_it_is_simpleshot() -> None:
    plain = first_best(laplacian_shot(SCENE.gram(), weight=0.0, rectify=False))
    assert torch.equal(plain, first_best(simpleshot(SCENE.gram())))


def test_a_class_that_no_image_is_nearest_to_keeps_its_prototype() -> None:
    # Four ways in the plane with two shots each. The two shots of the last class are opposite: their mean is 0, its
    # cosine with everything 0, and every image is nearer to another class.
    angles = np.radians([0, 10, 90, 100, 200, 210, 30, 210.0])
    support = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    query = support[:6] @ np.array([[np.cos(0.05), np.sin(0.05)], [-np.sin(0.05), np.cos(0.05)]])
    support, query = (torch.from_numpy(part.astype(np.float32))[None] for part in (support, query))
    made = EpisodeGram(
        4,
        2,
        support=lambda: support @ support.transpose(1, 2),
        cross=lambda: support @ query.transpose(1, 2),
        query=lambda: query @ query.transpose(1, 2),
        query_norms=lambda: query.square().sum(dim=2),
    )
    logits = laplacian_shot(made, weight=0.0, steps=1)[0].numpy()
    moved = query[0].numpy() + support[0].numpy().mean(axis=0) - query[0].numpy().mean(axis=0)
    np.testing.assert_allclose(-logits[3], (moved**2).sum(axis=1), atol=1e-5)  # its prototype is still the origin
