from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from headstart.errors import DataError, SpecError
from headstart.fewshot.episodes import EpisodeBatch, sample_episodes
from headstart.fewshot.methods import METHODS
from headstart.fewshot.scores import evaluate_episodes, first_best

GENERATOR = np.random.default_rng(0)
LABELS = np.repeat(np.arange(8), 30)
X = (GENERATOR.standard_normal((8, 16))[LABELS] + GENERATOR.standard_normal((240, 16))).astype(np.float32)


def test_accuracy_is_the_share_of_right_queries() -> None:
    episodes = sample_episodes(LABELS, 4, 2, 5, 50, seed=0)
    seen: list[np.ndarray] = []

    def keep(name: str, batch: EpisodeBatch, predicted: torch.Tensor) -> None:
        assert name == "prototypes"
        seen.append((predicted.numpy() == batch.query_ways).mean(axis=1))

    scores = evaluate_episodes(X, episodes, ["prototypes"], on_predictions=keep)["prototypes"]
    np.testing.assert_allclose(scores.accuracy, np.concatenate(seen), atol=1e-6)
    np.testing.assert_array_equal(scores.classes, episodes.classes)
    assert scores.mean == pytest.approx(scores.accuracy.mean())


def test_with_and_without_the_gram_matrix_every_method_says_the_same() -> None:
    episodes = sample_episodes(LABELS, 5, 5, 10, 60, seed=1)
    quick = evaluate_episodes(X, episodes, list(METHODS))
    direct = evaluate_episodes(X, episodes, list(METHODS), gram_bytes=0)
    for name in METHODS:
        np.testing.assert_allclose(quick[name].accuracy, direct[name].accuracy, atol=0.021, err_msg=name)
        assert abs(quick[name].mean - direct[name].mean) < 1e-3


def test_results_do_not_depend_on_the_other_methods_or_on_the_number_of_episodes() -> None:
    all_of_them = evaluate_episodes(X, sample_episodes(LABELS, 5, 1, 10, 200, seed=1), list(METHODS))
    for name in METHODS:
        alone = evaluate_episodes(X, sample_episodes(LABELS, 5, 1, 10, 40, seed=1), [name])[name]
        np.testing.assert_allclose(alone.accuracy, all_of_them[name].accuracy[:40], atol=0.021, err_msg=name)


def test_same_call_gives_the_same_bits() -> None:
    episodes = sample_episodes(LABELS, 5, 2, 10, 100, seed=1)
    one, two = (evaluate_episodes(X, episodes, list(METHODS)) for _ in range(2))
    for name in METHODS:
        np.testing.assert_array_equal(one[name].accuracy, two[name].accuracy)


def test_first_of_equal_scores_wins() -> None:
    scores = torch.tensor([[[1.0, 0.0], [1.0, 2.0], [0.5, 2.0]]])
    assert first_best(scores).tolist() == [[0, 1]]


def test_memory_stays_bounded_whatever_the_number_of_images(tmp_path: object) -> None:
    n, d = 40_000, 64
    labels = np.repeat(np.arange(400), 100)
    features = GENERATOR.standard_normal((n, d), dtype=np.float32)
    episodes = sample_episodes(labels, 5, 5, 15, 500, seed=0)
    tracemalloc.start()
    evaluate_episodes(features, episodes, ["prototypes"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # numpy's part; the Gram matrix alone would be 6.4 GB


def test_base_mean_changes_simpleshot_only_where_it_centres() -> None:
    episodes = sample_episodes(LABELS, 5, 2, 10, 100, seed=1)
    shifted = X + 3.0
    plain = evaluate_episodes(shifted, episodes, ["simpleshot", "prototypes"])
    centred = evaluate_episodes(shifted, episodes, ["simpleshot", "prototypes"], base_mean=shifted.mean(axis=0))
    np.testing.assert_array_equal(plain["prototypes"].accuracy, centred["prototypes"].accuracy)
    assert (plain["simpleshot"].accuracy != centred["simpleshot"].accuracy).any()


def test_wrong_names_and_lengths_are_refused() -> None:
    episodes = sample_episodes(LABELS, 5, 2, 10, 10, seed=1)
    with pytest.raises(SpecError, match="did you mean 'prototypes'"):
        evaluate_episodes(X, episodes, ["prototype"])
    with pytest.raises(DataError, match="239 features, but 240 labels"):
        evaluate_episodes(X[:239], episodes, ["prototypes"])
