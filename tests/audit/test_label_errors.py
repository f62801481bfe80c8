from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from headstart.audit import label_errors
from headstart.audit.label_errors import _folds, find_label_errors, out_of_fold, rank_labels


def clusters(n: int, classes: int, d: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    centres = generator.normal(size=(classes, d))
    return (centres[labels] + spread * generator.normal(size=(n, d))).astype(np.float32), labels


def with_errors(labels: np.ndarray, classes: int, count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    wrong = generator.permutation(len(labels))[:count]
    noisy = labels.copy()
    noisy[wrong] = (noisy[wrong] + generator.integers(1, classes, count)) % classes
    return noisy, wrong


def test_wrong_labels_are_found_first() -> None:
    features, labels = clusters(600, 5, 20, 0.4)
    noisy, wrong = with_errors(labels, 5, 20)
    found = find_label_errors(features, noisy, 5)
    assert len(set(wrong.tolist()) & set(found.rows[:20].tolist())) >= 19
    assert (found.suggested[:18] == labels[found.rows[:18]]).all()
    own = found.probabilities[found.rows, noisy[found.rows]]
    assert (np.diff(own) >= 0).all()
    assert found.accuracy == pytest.approx(np.mean(found.probabilities.argmax(axis=1) == noisy))


def test_right_labels_that_the_classifier_agrees_with_are_not_listed() -> None:
    features, labels = clusters(300, 4, 20, 0.3)
    assert len(find_label_errors(features, labels, 4).rows) == 0


def test_the_ranking_is_that_of_cleanlab() -> None:
    cleanlab = pytest.importorskip("cleanlab.rank")
    features, labels = clusters(800, 6, 12, 1.0, seed=3)
    noisy, _ = with_errors(labels, 6, 40)
    found = find_label_errors(features, noisy, 6)
    quality = cleanlab.get_label_quality_scores(noisy, found.probabilities, method="self_confidence")
    own_class_is_likeliest = found.probabilities.argmax(axis=1) == noisy
    expected = [row for row in np.argsort(quality, kind="stable").tolist() if not own_class_is_likeliest[row]]
    assert found.rows.tolist() == expected[: len(found.rows)]
    assert 30 <= len(found.rows) < len(expected)


def test_precision_at_k_reaches_cleanlabs_and_exceeds_that_of_the_margin() -> None:
    cleanlab = pytest.importorskip("cleanlab.filter")
    hits = {"ours": 0, "cleanlab": 0, "margin": 0}
    for seed in range(4):
        features, labels = clusters(1200, 10, 24, 1.5, seed)
        noisy, wrong = with_errors(labels, 10, 60, seed)
        found = find_label_errors(features, noisy, 10, seed=seed)
        probabilities = found.probabilities
        own = probabilities[np.arange(1200), noisy]
        others = probabilities.copy()
        others[np.arange(1200), noisy] = -1
        issues = cleanlab.find_label_issues(noisy, probabilities, return_indices_ranked_by="self_confidence")
        rows = {"ours": found.rows, "cleanlab": issues, "margin": np.argsort(own - others.max(axis=1))}
        for name, ranked in rows.items():
            hits[name] += len(set(ranked[: min(60, len(found.rows))].tolist()) & set(wrong.tolist()))
    assert hits["ours"] >= hits["cleanlab"]
    assert hits["ours"] > hits["margin"]


def test_how_many_labels_look_wrong_is_estimated_by_confident_learning() -> None:
    # class 0 has its own probability at 0.8 on average, class 1 at 0.6; rows 4 to 6 are labelled 1
    probabilities = np.array(
        [[0.9, 0.1], [0.7, 0.3], [0.8, 0.2], [0.8, 0.2], [0.1, 0.9], [0.15, 0.85], [0.95, 0.05], [0.4, 0.6]]
    )
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    rows, suggested = rank_labels(probabilities, labels)
    assert (rows.tolist(), suggested.tolist()) == ([6], [0])  # 0.95 for class 0 is at least its usual 0.8
    probabilities[6] = [0.79, 0.21]  # likelier than its label, and less sure than class 0 usually is
    assert rank_labels(probabilities, labels)[0].tolist() == []
    probabilities[6] = [0.8, 0.2]  # as sure as usual
    assert rank_labels(probabilities, labels)[0].tolist() == [6]


def test_the_least_likely_labels_are_listed_not_the_widest_margins() -> None:
    # one confident rival makes the count 1; row 4 has the wider margin, row 5 the less likely label
    probabilities = np.array(
        [
            [0.9, 0.05, 0.05],
            [0.9, 0.05, 0.05],
            [0.05, 0.9, 0.05],
            [0.05, 0.05, 0.9],
            [0.9, 0.08, 0.02],
            [0.5, 0.04, 0.46],
        ]
    )
    labels = np.array([0, 0, 1, 2, 1, 1])
    rows, suggested = rank_labels(probabilities, labels)
    assert (rows.tolist(), suggested.tolist()) == ([5], [0])


def test_classes_with_fewer_images_than_the_least_are_neither_judged_nor_suggested() -> None:
    # row 0 looks like class 1, row 3 like class 0; class 1 has one image, class 2 two
    probabilities = np.array(
        [[0.1, 0.8, 0.1], [0.9, 0.05, 0.05], [0.7, 0.2, 0.1], [0.9, 0.0, 0.1], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]]
    )
    labels = np.array([0, 0, 0, 2, 2, 1])
    found = {least: rank_labels(probabilities, labels, least=least) for least in (1, 2, 3)}
    assert [(rows.tolist(), suggested.tolist()) for rows, suggested in found.values()] == [
        ([0, 3], [1, 0]),
        ([3], [0]),
        ([], []),
    ]


def test_probabilities_are_those_of_classifiers_that_never_saw_the_image() -> None:
    # labels are noise: a classifier that had seen them would do better than chance
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


def test_probabilities_are_calibrated() -> None:
    features, labels = clusters(1500, 4, 12, 1.4)
    probabilities = out_of_fold(features, labels, 4)
    right = probabilities.argmax(axis=1) == labels
    assert 0.6 < right.mean() < 0.95
    assert probabilities.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.03)


def test_copies_of_one_photograph_do_not_confirm_each_others_label() -> None:
    features, labels = clusters(300, 4, 400, 0.8)
    noisy = labels.copy()
    noisy[:20] = (labels[:20] + 1) % 4
    twins, twin_labels = np.vstack([features, features[:20]]), np.concatenate([noisy, noisy[:20]])
    groups = np.concatenate([np.arange(300), np.arange(20)])
    together = find_label_errors(twins, twin_labels, 4, groups=groups)
    apart = find_label_errors(twins, twin_labels, 4)
    wrong = {*range(20), *range(300, 320)}
    assert len(wrong & set(together.rows.tolist())) > len(wrong & set(apart.rows.tolist()))


def test_a_class_of_two_images_is_not_judged() -> None:
    features, labels = clusters(200, 3, 20, 0.4)
    labels[:2] = 3
    assert not set(find_label_errors(features, labels, 4).rows.tolist()) & {0, 1}


def test_very_wide_features_are_projected_and_the_result_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_errors, "_WIDEST", 64)
    features, labels = clusters(300, 3, 200, 0.5)
    first, second = (find_label_errors(features, labels, 3).probabilities for _ in range(2))
    assert (first == second).all()
    assert (first.argmax(axis=1) == labels).mean() > 0.9


@pytest.mark.parametrize(("width", "spread"), [(61, 2.0), (200, 6.0)])
def test_few_images_are_judged_by_their_coordinates_as_by_all_their_features(
    width: int, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, labels = clusters(20, 3, width, spread)
    narrow = out_of_fold(features, labels, 3)
    monkeypatch.setattr(label_errors, "_are_few", lambda n, d: False)
    np.testing.assert_allclose(narrow, out_of_fold(features, labels, 3), atol=5e-4)
    assert 0.4 < (narrow.argmax(axis=1) == labels).mean() < 1  # neither a guess nor a certainty


def test_of_very_many_images_a_sample_chooses_penalty_and_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clusters(3000, 4, 12, 1.0)
    whole = out_of_fold(features, labels, 4)
    monkeypatch.setattr(label_errors, "_SAMPLE", 600)
    monkeypatch.setattr(label_errors, "_BLOCK", 256)
    sampled = out_of_fold(features, labels, 4)
    assert np.abs(sampled - whole).mean() < 0.01  # the temperature of 600 images is nearly that of 3,000
    assert (sampled.argmax(axis=1) == whole.argmax(axis=1)).mean() > 0.99
    np.testing.assert_allclose(sampled.sum(axis=1), 1, atol=1e-5)
    in_blocks = rank_labels(whole, labels)[0].tolist()
    monkeypatch.undo()
    assert in_blocks == rank_labels(whole, labels)[0].tolist()


def test_the_images_of_each_class_are_dealt_in_the_order_that_the_seed_drew() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 1000)
    drawn = sorted(np.random.default_rng(5).permutation(1000).tolist(), key=lambda row: labels[row])  # stable
    found = _folds(labels, None, 4, np.random.default_rng(5))
    assert found[drawn].tolist() == [turn % 4 for turn in range(1000)]
