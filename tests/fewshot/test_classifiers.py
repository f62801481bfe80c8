from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier

from headstart.fewshot.classifiers.baseline_plus_plus import baseline_plus_plus
from headstart.fewshot.classifiers.knn import knn
from headstart.fewshot.classifiers.label_propagation import label_propagation
from headstart.fewshot.classifiers.laplacian_shot import laplacian_shot
from headstart.fewshot.classifiers.logistic import logistic_scores
from headstart.fewshot.classifiers.ridge import ridge_scores
from headstart.fewshot.classifiers.simpleshot import simpleshot
from headstart.fewshot.classifiers.tim import tim
from headstart.fewshot.episodes import sample_episodes
from headstart.fewshot.gram import EpisodeGram, episode_gram
from headstart.fewshot.methods import METHODS
from headstart.fewshot.products import make_products
from headstart.fewshot.scores import first_best

WAYS, SHOTS, QUERIES, D = 5, 5, 6, 40


def blobs(spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(7)
    centres = generator.standard_normal((9, D)) + 0.5
    labels = np.repeat(np.arange(9), 20)
    return (centres[labels] + spread * generator.standard_normal((180, D))).astype(np.float32), labels


X, Y = blobs()
EPISODES = sample_episodes(Y, WAYS, SHOTS, QUERIES, 200, seed=2)
TARGETS = np.repeat(np.arange(WAYS), SHOTS)


def gram(base_mean: np.ndarray | None = None) -> EpisodeGram:
    batch = next(iter(EPISODES.batches(200)))
    return episode_gram(make_products(X, EPISODES.rows, base_mean=base_mean), batch, WAYS, SHOTS)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def episode(i: int) -> tuple[np.ndarray, np.ndarray]:
    return X[EPISODES.support[i]].astype(np.float64), X[EPISODES.query[i]].astype(np.float64)


def prototypes_of(support: np.ndarray) -> np.ndarray:
    return support.reshape(WAYS, SHOTS, -1).mean(axis=1)


def distances(query: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((query[:, None] - centres[None]) ** 2).sum(axis=2)


def test_prototypes_equal_a_plain_loop() -> None:
    predicted = first_best(METHODS["prototypes"](gram())).numpy()
    for i in range(200):
        support, query = episode(i)
        np.testing.assert_array_equal(predicted[i], distances(query, prototypes_of(support)).argmin(axis=1))


def test_cosine_prototypes_equal_a_plain_loop() -> None:
    predicted = first_best(METHODS["cosine"](gram())).numpy()
    for i in range(200):
        support, query = episode(i)
        np.testing.assert_array_equal(predicted[i], (unit(query) @ unit(prototypes_of(support)).T).argmax(axis=1))


@pytest.mark.parametrize("centred", [False, True])
def test_simpleshot_equals_a_plain_loop(centred: bool) -> None:
    mean = X.mean(axis=0) if centred else np.zeros(D, np.float32)
    predicted = first_best(simpleshot(gram(mean if centred else None))).numpy()
    for i in range(200):
        support, query = (unit(part - mean) for part in episode(i))
        np.testing.assert_array_equal(predicted[i], distances(query, prototypes_of(support)).argmin(axis=1))


def test_ridge_equals_scikit_learn_on_200_episodes() -> None:
    predicted = first_best(ridge_scores(gram(), 2.0)).numpy()
    for i in range(200):
        support, query = episode(i)
        np.testing.assert_array_equal(predicted[i], RidgeClassifier(alpha=2.0).fit(support, TARGETS).predict(query))


def test_logistic_regression_equals_scikit_learn_on_200_episodes() -> None:
    scores = logistic_scores(gram(), 0.5)
    predicted, probabilities = first_best(scores).numpy(), scores.softmax(dim=1).transpose(1, 2).numpy()
    for i in range(200):
        support, query = episode(i)
        reference = LogisticRegression(C=2.0, tol=1e-8, max_iter=2000).fit(support, TARGETS)
        np.testing.assert_allclose(probabilities[i], reference.predict_proba(query), atol=2e-3)
        np.testing.assert_array_equal(predicted[i], reference.predict(query))


def test_one_nearest_neighbour_equals_scikit_learn() -> None:
    predicted = first_best(knn(gram(), 1)).numpy()
    for i in range(50):
        support, query = episode(i)
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


def test_label_propagation_equals_a_plain_loop() -> None:
    predicted = label_propagation(gram(), 6, 0.6, 8.0).numpy()
    for i in range(20):
        support, query = episode(i)
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


def test_laplacian_shot_equals_a_plain_loop_and_without_ties_it_is_simpleshot() -> None:
    predicted = laplacian_shot(gram(), 3, 0.7, 5).numpy()
    for i in range(20):
        support, query = (unit(part) for part in episode(i))
        distance = distances(query, prototypes_of(support))
        affinity = query @ query.T
        np.fill_diagonal(affinity, -np.inf)
        ties = np.zeros_like(affinity)
        np.put_along_axis(ties, np.argsort(-affinity, axis=1)[:, :3], 1.0, axis=1)
        logits = -distance
        for _ in range(5):
            share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            logits = 0.7 * ties @ share - distance
        np.testing.assert_allclose(predicted[i].T, logits, atol=1e-4)
    alone = first_best(laplacian_shot(gram(), weight=0.0))
    assert torch.equal(alone, first_best(simpleshot(gram())))


def test_tim_starts_as_simpleshot_and_its_weights_equal_a_plain_loop() -> None:
    assert torch.equal(first_best(tim(gram(), steps=0)), first_best(simpleshot(gram())))
    found = tim(gram(), steps=3).softmax(dim=1).numpy()
    for i in range(20):
        support, query = (unit(part) for part in episode(i))
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


def test_baseline_plus_plus_equals_automatic_differentiation() -> None:
    found = baseline_plus_plus(gram(), 8.0, 10, 0.05, 0.9).numpy()
    for i in range(10):
        support, query = (torch.from_numpy(unit(part)) for part in episode(i))
        start = torch.nn.functional.normalize(support.view(WAYS, SHOTS, -1).mean(dim=1), dim=1)
        weights = start.clone().requires_grad_()
        optimizer = torch.optim.SGD([weights], lr=0.05, momentum=0.9)
        for _ in range(10):
            logits = 8.0 * support @ torch.nn.functional.normalize(weights, dim=1).T
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, torch.from_numpy(TARGETS)).backward()
            optimizer.step()
        expected = 8.0 * query @ torch.nn.functional.normalize(weights.detach(), dim=1).T
        np.testing.assert_allclose(found[i].T, expected.numpy(), atol=1e-3)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_scores_every_query_and_beats_chance(name: str) -> None:
    scores = METHODS[name](gram())
    assert scores.shape == (200, WAYS, WAYS * QUERIES)
    assert torch.isfinite(scores).all()
    right = first_best(scores) == torch.arange(WAYS).repeat_interleave(QUERIES)
    assert right.float().mean() > 0.6


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_takes_one_shot_and_two_ways(name: str) -> None:
    episodes = sample_episodes(Y, 2, 1, 1, 10, seed=0)
    batch = next(iter(episodes.batches(10)))
    scores = METHODS[name](episode_gram(make_products(X, episodes.rows), batch, 2, 1))
    assert scores.shape == (10, 2, 2)
    assert torch.isfinite(scores).all()


def test_identical_images_do_not_break_a_method() -> None:
    same = np.ones_like(X)
    batch = next(iter(EPISODES.batches(5)))
    for name, method in METHODS.items():
        scores = method(episode_gram(make_products(same, EPISODES.rows), batch, WAYS, SHOTS))
        assert torch.isfinite(scores).all(), name
