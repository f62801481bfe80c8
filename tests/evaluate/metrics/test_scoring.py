from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from headstart.errors import DataError, SpecError
from headstart.evaluate.metrics.metrics import evaluate
from headstart.evaluate.metrics.scoring import METRICS, POINTWISE, image_scores, merit, score_of

NAMES = ["a", "b", "c", "d", "e"]
SINGLE = [name for name, metric in METRICS.items() if metric.single_label is not None]
SEVERAL = [name for name, metric in METRICS.items() if metric.multi_label is not None]


def one_label(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.choice(5, 120, p=[0.4, 0.3, 0.2, 0.1, 0.0])  # the last class has no images
    return labels, special.softmax(generator.normal(size=(120, 5)) + 1.5 * np.eye(5)[labels], axis=1)


def several_labels(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.random((120, 5)) < 0.3
    return labels, special.expit(generator.normal(size=(120, 5)) + 2 * labels - 1)


@pytest.mark.parametrize("metric", SINGLE)
def test_a_score_of_one_label_is_the_one_that_evaluate_reports(metric: str) -> None:
    labels, probabilities = one_label()
    assert score_of(probabilities, labels, metric) == pytest.approx(
        evaluate(labels, probabilities, NAMES, draws=2)[metric]["value"]
    )


@pytest.mark.parametrize("metric", SEVERAL)
def test_a_score_of_several_labels_is_the_one_that_evaluate_reports(metric: str) -> None:
    labels, probabilities = several_labels()
    assert score_of(probabilities, labels, metric) == pytest.approx(
        evaluate(labels, probabilities, NAMES, draws=2)[metric]["value"]
    )


def test_scores_of_four_images_are_worked_out_by_hand() -> None:
    labels = np.array([0, 0, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    assert score_of(probabilities, labels) == score_of(probabilities, labels, "accuracy") == 0.75
    assert score_of(probabilities, labels, "balanced_accuracy") == pytest.approx((2 / 3 + 1) / 2)
    assert score_of(probabilities, labels, "f1_macro") == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert score_of(probabilities, labels, "log_loss") == pytest.approx(-np.log([0.9, 0.6, 0.3, 0.8]).mean())
    assert score_of(probabilities, labels, "brier") == pytest.approx(2 * (0.01 + 0.16 + 0.49 + 0.04) / 4)
    assert score_of(probabilities, labels, "roc_auc") == 1.0


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_images_have_the_score_as_their_mean(metric: str) -> None:
    means = 0
    for labels, probabilities in (one_label(), several_labels()):
        each = image_scores(probabilities, labels, metric)
        if each is not None:
            means += 1
            assert each.shape == (120,)
            assert each.dtype == np.float64
            assert each.mean() == pytest.approx(score_of(probabilities, labels, metric))
    expected = {"accuracy": 2, "log_loss": 2, "balanced_accuracy": 1, "label_accuracy": 1, "brier": 1}
    assert means == expected.get(metric, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_better_probabilities_have_more_merit_and_scores_stay_in_bounds(metric: str) -> None:
    low, high = METRICS[metric].bounds
    for labels, probabilities in (one_label(), several_labels()):
        side = METRICS[metric].single_label if labels.ndim == 1 else METRICS[metric].multi_label
        if side is None:
            continue
        truth = np.eye(5)[labels] if labels.ndim == 1 else labels.astype(np.float64)
        scores = [score_of(share * truth + (1 - share) * probabilities, labels, metric) for share in (0.0, 0.3, 1.0)]
        scores.append(score_of(1 - truth if labels.ndim == 2 else np.roll(truth, 1, axis=1), labels, metric))
        assert all(low <= score <= high for score in scores)
        best, worst = merit(scores[2], metric), merit(scores[3], metric)
        assert worst < merit(scores[0], metric) < merit(scores[1], metric) <= best


def test_an_undefined_score_has_the_least_merit() -> None:
    for metric in METRICS:
        assert merit(None, metric) == merit(math.nan, metric) == -math.inf
    alone = np.zeros(4, dtype=np.int64), np.tile([0.7, 0.3], (4, 1))
    assert math.isnan(score_of(alone[1], alone[0], "roc_auc"))
    assert merit(0.3, "accuracy") == 0.3
    assert merit(0.3, "log_loss") == -0.3


def test_what_cannot_be_scored_is_refused_in_one_line() -> None:
    labels, probabilities = one_label()
    for wrong in (lambda: score_of(probabilities, labels, "acuracy"), lambda: merit(0.5, "acuracy")):
        with pytest.raises(SpecError, match=r"metric.*did you mean 'accuracy'"):
            wrong()
    with pytest.raises(SpecError, match=r"metric.*did you mean 'log_loss'"):
        image_scores(probabilities, labels, "logloss")
    with pytest.raises(
        DataError, match=r"f1_micro is not defined for images with one label: choose one of accuracy, .*brier$"
    ):
        score_of(probabilities, labels, "f1_micro")
    with pytest.raises(
        DataError, match=r"^brier is not defined for images with several labels: .*accuracy, f1_macro, .*, log_loss$"
    ):
        score_of(probabilities, several_labels()[0], "brier")
    with pytest.raises(DataError, match=r"^there are no images to score: give at least one$"):
        score_of(probabilities[:0], labels[:0])
    with pytest.raises(DataError, match=r"120 labels need as many rows of probabilities, not \[119, 5\]"):
        image_scores(probabilities[:119], labels)
    assert image_scores(probabilities, labels, "mcc") is None


def test_the_page_on_statistics_lists_every_metric_with_its_direction() -> None:
    page = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (higher|lower) \| (.+?) \| (.+?) \|$", page, flags=re.MULTILINE)
    assert [row[0] for row in rows] == list(METRICS)
    for name, direction, labels, meaning in rows:
        metric = METRICS[name]
        assert direction == ("higher" if metric.higher_is_better else "lower")
        assert meaning == metric.meaning
        both = [kind for kind, side in (("one", metric.single_label), ("several", metric.multi_label)) if side]
        assert labels == ", ".join(both)


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_pointwise_if_other_images_do_not_change_the_score_of_one(metric: str) -> None:
    for labels, probabilities in (one_label(), several_labels()):
        few, every = (
            image_scores(probabilities[:n], labels[:n], metric) if _has(metric, labels) else None for n in (30, 120)
        )
        if few is not None and every is not None:
            assert (metric in POINTWISE) == np.allclose(few, every[:30])
        else:
            assert metric not in POINTWISE or not _has(metric, labels)


def _has(metric: str, labels: np.ndarray) -> bool:
    return (METRICS[metric].multi_label if labels.ndim == 2 else METRICS[metric].single_label) is not None
