from __future__ import annotations

import numpy as np
import torch
from episode_scene import SHOTS, TARGETS, WAYS, scene, unit
from sklearn.neighbors import KNeighborsClassifier

from headstart.fewshot.classifiers.knn import knn
from headstart.fewshot.gram import EpisodeGram
from headstart.fewshot.scores import first_best

SCENE = scene()


def test_one_nearest_neighbour_equals_scikit_learn() -> None:
    predicted = first_best(knn(SCENE.gram(), 1)).numpy()
    for i in range(50):
        support, query = SCENE.episode(i)
        reference = KNeighborsClassifier(1).fit(unit(support), TARGETS)
        np.testing.assert_array_equal(predicted[i], reference.predict(unit(query)))


def test_equal_votes_go_to_the_closer_neighbours_and_more_votes_win() -> None:
    # cosines of one query with 2 ways x 2 shots: [0.9, 0.1 | 0.5, 0.4]
    cross = torch.tensor([[[0.9], [0.1], [0.5], [0.4]]])
    made = EpisodeGram(
        2,
        2,
        support=lambda: torch.eye(4)[None],
        cross=lambda: cross,
        query=lambda: torch.ones(1, 1, 1),
        query_norms=lambda: torch.ones(1, 1),
    )
    assert first_best(knn(made, 2)).item() == 0  # one vote each: 0.9 against 0.5
    assert first_best(knn(made, 3)).item() == 1  # 0.9 against 0.5 and 0.4


def test_as_many_neighbours_vote_as_there_are_shots() -> None:
    predicted = first_best(knn(SCENE.gram())).numpy()
    for i in range(50):
        support, query = (unit(part) for part in SCENE.episode(i))
        cosines = query @ support.T
        near = np.argsort(-cosines, axis=1)[:, :SHOTS]
        votes = np.zeros((len(query), WAYS))
        for row, chosen in enumerate(near):
            for neighbour in chosen:
                votes[row, TARGETS[neighbour]] += 1 + 1e-3 * cosines[row, neighbour]
        np.testing.assert_array_equal(predicted[i], votes.argmax(axis=1))
