from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn import metrics as sk

from headstart.errors import SpecError
from headstart.evaluate.metrics.contributions import contributions
from headstart.evaluate.metrics.scoring import METRICS, score_of

NO_MEANS = ("f1_macro", "f1_micro", "mcc", "roc_auc", "map")


def one_label(n: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    return labels, special.softmax(generator.normal(size=(n, 4)) + 1.5 * np.eye(4)[labels], axis=1)


def several_labels(n: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.random((n, 4)) < 0.3
    return labels, special.expit(generator.normal(size=(n, 4)) + 2 * labels - 1)


def has_meaning(metric: str, labels: np.ndarray) -> bool:
    return (METRICS[metric].multi_label if labels.ndim == 2 else METRICS[metric].single_label) is not None


@pytest.mark.parametrize("metric", METRICS)
def test_contributions_have_the_score_as_their_mean(metric: str) -> None:
    for labels, probabilities in (one_label(), several_labels()):
        if has_meaning(metric, labels):
            each = contributions(probabilities, labels, metric)
            assert each is not None
            assert each.shape == (150,)
            assert each.mean() == pytest.approx(score_of(probabilities, labels, metric), abs=1e-12)


def test_a_contribution_to_f1_is_its_derivative_by_the_weight_of_the_image() -> None:
    for labels, probabilities in (one_label(), several_labels()):
        own = labels if labels.ndim == 2 else labels[:, None] == np.arange(4)
        said = probabilities > 0.5 if labels.ndim == 2 else probabilities.argmax(axis=1)[:, None] == np.arange(4)
        for metric, average in (("f1_macro", "macro"), ("f1_micro", "micro")):
            if not has_meaning(metric, labels):
                continue
            each = contributions(probabilities, labels, metric)
            assert each is not None
            for image in (0, 7, 31):
                step = 1e-4
                more, less = (1.0 + step * sign * (np.arange(150) == image) for sign in (1, -1))
                ends = [sk.f1_score(own, said, average=average, sample_weight=weight) for weight in (more, less)]
                slope = 150 * (ends[0] - ends[1]) / (2 * step)
                assert each[image] - each.mean() == pytest.approx(slope, abs=1e-5)


def test_a_contribution_to_matthews_correlation_is_its_derivative() -> None:
    labels, probabilities = one_label()
    each = contributions(probabilities, labels, "mcc")
    assert each is not None
    said, step = probabilities.argmax(axis=1), 1e-4
    for image in (0, 7, 31):
        ends = [
            sk.matthews_corrcoef(labels, said, sample_weight=1.0 + sign * step * (np.arange(150) == image))
            for sign in (1, -1)
        ]
        assert each[image] - each.mean() == pytest.approx(150 * (ends[0] - ends[1]) / (2 * step), abs=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("metric", NO_MEANS)
def test_the_error_of_a_difference_is_that_of_a_paired_bootstrap(metric: str) -> None:
    for draw in (one_label, several_labels):
        labels, probabilities = draw(400)
        if not has_meaning(metric, labels):
            continue
        noise = np.random.default_rng(1).random(probabilities.shape)
        other = 0.6 * probabilities + 0.4 * noise / (noise.sum(axis=1, keepdims=True) if labels.ndim == 1 else 1.0)
        mine, its = contributions(probabilities, labels, metric), contributions(other, labels, metric)
        assert mine is not None
        assert its is not None
        error = (mine - its).std() / 20  # 400 images
        rows = np.random.default_rng(2).integers(0, 400, (500, 400))
        gaps = [score_of(probabilities[r], labels[r], metric) - score_of(other[r], labels[r], metric) for r in rows]
        assert error == pytest.approx(np.std(gaps), rel=0.12)


def test_an_undefined_score_has_no_contributions() -> None:
    alone = np.zeros(4, dtype=np.int64), np.tile([0.7, 0.3], (4, 1))
    assert contributions(alone[1], alone[0], "roc_auc") is None
    each = contributions(alone[1], alone[0], "mcc")  # one side is constant: 0 by definition
    assert each is not None
    assert each.tolist() == [0.0] * 4
    with pytest.raises(SpecError, match="did you mean 'mcc'"):
        contributions(alone[1], alone[0], "mc")
