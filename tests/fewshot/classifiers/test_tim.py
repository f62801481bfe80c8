from __future__ import annotations

import numpy as np
import pytest
import torch
from episode_scene import QUERY_WAYS, SHOTS, TARGETS, WAYS, distances, prototypes_of, scene, unit

from headstart.fewshot.classifiers.simpleshot import simpleshot
from headstart.fewshot.classifiers.tim import tim
from headstart.fewshot.scores import first_best

SCENE = scene()


def test_tim_starts_as_simpleshot_and_its_weights_equal_a_plain_loop() -> None:
    assert torch.equal(first_best(tim(SCENE.gram(), steps=0)), first_best(simpleshot(SCENE.gram())))
    found = tim(SCENE.gram(), steps=3).softmax(dim=1).numpy()
    for i in range(20):
        support, query = (unit(part) for part in SCENE.episode(i))
        weights, labels = prototypes_of(support), np.eye(WAYS)[TARGETS]

        def share(x: np.ndarray, w: np.ndarray) -> np.ndarray:
            logits = -7.5 * distances(x, w)
            e = np.exp(logits - logits.max(axis=1, keepdims=True))
            return np.asarray(e / e.sum(axis=1, keepdims=True))

        a, b = 0.1 / 1.1, len(support) / len(query)
        for _ in range(3):
            ps, pq = share(support, weights), share(query, weights)
            q = pq**1.1 / np.sqrt((pq**1.1).sum(axis=0))
            q /= q.sum(axis=1, keepdims=True)
            top = a * (labels.T @ support + ps.sum(axis=0)[:, None] * weights - ps.T @ support)
            top += b * (q.T @ query + pq.sum(axis=0)[:, None] * weights - pq.T @ query)
            weights = top / (a * SHOTS + b * q.sum(axis=0))[:, None]
        np.testing.assert_allclose(found[i].T, share(query, weights), atol=2e-3)


@pytest.mark.parametrize(("spread", "shots", "right"), [(1.5, 5, 2943), (2.5, 1, 1281), (2.5, 5, 1959)])
def test_as_many_queries_are_right_as_by_the_authors_code(spread: float, shots: int, right: int) -> None:
    # TIM_ADM of github.com/mboudiaf/TIM (src/tim.py) with temp 15, loss_weights [0.1, 1, 0.1], alpha 1 and iter 100,
    # on the same 100 episodes, centred and scaled to length one: the same prediction for all 3,000 queries.
    hard = scene(spread, shots, episodes=100)
    predicted = first_best(tim(hard.gram(hard.features.mean(axis=0)))).numpy()
    assert int((predicted == QUERY_WAYS).sum()) == right
