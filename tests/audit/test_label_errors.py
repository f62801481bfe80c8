from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from headstart.audit.label_errors import disputed_labels, out_of_fold


def clusters(n: int, classes: int, d: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    centres = generator.normal(size=(classes, d))
    return (centres[labels] + spread * generator.normal(size=(n, d))).astype(np.float32), labels


def test_wrong_labels_are_found_first() -> None:
    features, labels = clusters(600, 5, 20, 0.4)
    generator = np.random.default_rng(1)
    wrong = generator.permutation(600)[:20]
    noisy = labels.copy()
    noisy[wrong] = (noisy[wrong] + generator.integers(1, 5, 20)) % 5
    found = disputed_labels(features, noisy, 5)
    assert len(set(wrong.tolist()) & set(found.rows[:20].tolist())) >= 19
    assert (found.suggested[:18] == labels[found.rows[:18]]).all()
    assert (np.diff(found.doubt) <= 0).all()


def test_right_labels_that_the_features_tell_apart_are_left_in_peace() -> None:
    features, labels = clusters(300, 4, 20, 0.3)
    assert len(disputed_labels(features, labels, 4).rows) == 0


def test_probabilities_are_those_of_heads_that_never_saw_the_image() -> None:
    # labels are noise: a head that had seen them would do better than chance
    features, _ = clusters(400, 4, 300, 1.0)
    labels = np.random.default_rng(2).integers(0, 4, 400)
    probabilities = out_of_fold(features, labels, 4)
    assert (probabilities.argmax(axis=1) == labels).mean() < 0.36
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(400))


def test_the_closed_form_ranks_like_scikit_learns_ridge() -> None:
    features, labels = clusters(500, 4, 12, 1.2)
    centred = features - features.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    probabilities = out_of_fold(features, labels, 4)
    trained = Ridge(0.1 * 500 / 12).fit(unit[100:], np.eye(4)[labels[100:]])
    agree = trained.predict(unit[:100]).argmax(axis=1) == probabilities[:100].argmax(axis=1)
    assert agree.mean() > 0.95


def test_copies_of_one_photograph_do_not_vouch_for_each_other() -> None:
    features, labels = clusters(300, 4, 400, 0.8)
    noisy = labels.copy()
    noisy[:20] = (labels[:20] + 1) % 4
    twins, twin_labels = np.vstack([features, features[:20]]), np.concatenate([noisy, noisy[:20]])
    groups = np.concatenate([np.arange(300), np.arange(20)])
    together = disputed_labels(twins, twin_labels, 4, groups=groups)
    apart = disputed_labels(twins, twin_labels, 4)
    wrong = {*range(20), *range(300, 320)}
    assert len(wrong & set(together.rows.tolist())) > len(wrong & set(apart.rows.tolist()))


def test_a_class_of_two_images_is_left_in_peace() -> None:
    features, labels = clusters(200, 3, 20, 0.4)
    labels[:2] = 3
    assert not set(disputed_labels(features, labels, 4).rows.tolist()) & {0, 1}


def test_very_wide_features_are_bearable_and_the_result_is_the_same_each_time() -> None:
    features, labels = clusters(120, 3, 5000, 0.5)
    first, second = (disputed_labels(features, labels, 3).probabilities for _ in range(2))
    assert (first == second).all()
    assert (first.argmax(axis=1) == labels).mean() > 0.9
