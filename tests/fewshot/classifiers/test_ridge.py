from __future__ import annotations

import numpy as np
from episode_scene import TARGETS, scene, unit
from sklearn.linear_model import RidgeClassifier

from headstart.fewshot.classifiers.ridge import ridge, ridge_scores
from headstart.fewshot.scores import first_best

SCENE = scene()


def test_ridge_equals_scikit_learn_on_200_episodes() -> None:
    predicted = first_best(ridge_scores(SCENE.gram(), 2.0)).numpy()
    for i in range(200):
        support, query = SCENE.episode(i)
        np.testing.assert_array_equal(predicted[i], RidgeClassifier(alpha=2.0).fit(support, TARGETS).predict(query))


def test_the_default_takes_features_of_length_one() -> None:
    predicted = first_best(ridge(SCENE.gram())).numpy()
    for i in range(50):
        support, query = (unit(part) for part in SCENE.episode(i))
        reference = RidgeClassifier(alpha=0.5).fit(support, TARGETS)
        np.testing.assert_array_equal(predicted[i], reference.predict(query))
