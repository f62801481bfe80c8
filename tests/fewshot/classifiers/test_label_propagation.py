from __future__ import annotations

import numpy as np
from episode_scene import TARGETS, WAYS, scene, unit

from headstart.fewshot.classifiers.label_propagation import label_propagation

SCENE = scene()


def test_label_propagation_equals_a_plain_loop() -> None:
    predicted = label_propagation(SCENE.gram(), 6, 0.6, 8.0).numpy()
    for i in range(20):
        support, query = SCENE.episode(i)
        z = unit(np.concatenate([support, query]))
        weights = np.exp(8.0 * (z @ z.T - 1))
        np.fill_diagonal(weights, 0)
        kept = np.where(weights >= np.sort(weights, axis=1)[:, -6][:, None], weights, 0)
        graph = np.maximum(kept, kept.T)
        scale = graph.sum(axis=1) ** -0.5
        system = np.eye(len(z)) - 0.6 * scale[:, None] * graph * scale
        labels = np.concatenate([np.eye(WAYS)[TARGETS], np.zeros((len(query), WAYS))])
        expected = np.linalg.solve(system, labels)[len(support) :]
        np.testing.assert_allclose(predicted[i].T, expected, atol=1e-4)
