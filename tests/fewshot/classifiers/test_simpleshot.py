from __future__ import annotations

import numpy as np
import pytest
from episode_scene import D, distances, prototypes_of, scene, unit

from headstart.fewshot.classifiers.simpleshot import simpleshot
from headstart.fewshot.scores import first_best

SCENE = scene()


@pytest.mark.parametrize("centred", [False, True])
def test_simpleshot_equals_a_plain_loop(centred: bool) -> None:
    mean = SCENE.features.mean(axis=0) if centred else np.zeros(D, np.float32)
    predicted = first_best(simpleshot(SCENE.gram(mean if centred else None))).numpy()
    for i in range(200):
        support, query = (unit(part - mean) for part in SCENE.episode(i))
        np.testing.assert_array_equal(predicted[i], distances(query, prototypes_of(support)).argmin(axis=1))
