from __future__ import annotations

import numpy as np
import pytest
from episode_scene import TARGETS, scene, unit
from sklearn.linear_model import LogisticRegression

from headstart.errors import RunFailed
from headstart.fewshot.classifiers.logistic import logistic, logistic_scores
from headstart.fewshot.scores import first_best

SCENE = scene()


@pytest.mark.long
def test_logistic_regression_equals_scikit_learn_on_200_episodes() -> None:
    scores = logistic_scores(SCENE.gram(), 0.5)
    predicted, probabilities = first_best(scores).numpy(), scores.softmax(dim=1).transpose(1, 2).numpy()
    for i in range(200):
        support, query = SCENE.episode(i)
        reference = LogisticRegression(C=2.0, tol=1e-8, max_iter=2000).fit(support, TARGETS)
        np.testing.assert_allclose(probabilities[i], reference.predict_proba(query), atol=2e-3)
        np.testing.assert_array_equal(predicted[i], reference.predict(query))


def test_the_default_takes_features_of_length_one() -> None:
    predicted = logistic(SCENE.gram()).softmax(dim=1).transpose(1, 2).numpy()
    for i in range(20):
        support, query = (unit(part) for part in SCENE.episode(i))
        reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=2000).fit(support, TARGETS)
        np.testing.assert_allclose(predicted[i], reference.predict_proba(query), atol=2e-3)


def test_no_convergence_is_said_with_the_remedy() -> None:
    with pytest.raises(RunFailed, match=r"did not converge in 3 steps; use a larger penalty than 1e-06"):
        logistic_scores(SCENE.gram(), 1e-6, most_steps=3)
