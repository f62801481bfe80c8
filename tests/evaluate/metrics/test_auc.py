from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm
from sklearn import metrics as sk

from headstart.evaluate.metrics.auc import average_precision, macro_area, roc_area, standard_error


def scores(n: int, seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    positive = generator.random(n) < 0.35
    found = generator.normal(size=n) + positive
    return (np.round(found) if ties else found), positive


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_areas_agree_with_scikit_learn(seed: int, ties: bool) -> None:
    found, positive = scores(70, seed, ties)
    assert roc_area(found, positive)[0] == pytest.approx(sk.roc_auc_score(positive, found))
    assert average_precision(found, positive)[0] == pytest.approx(sk.average_precision_score(positive, found))


def test_areas_agree_with_torchmetrics() -> None:
    found, positive = scores(80, 9, True)
    probability = 1 / (1 + np.exp(-found))
    given = torch.tensor(probability), torch.tensor(positive.astype(np.int64))
    assert roc_area(found, positive)[0] == pytest.approx(float(tm.binary_auroc(*given)), abs=1e-6)
    assert average_precision(found, positive)[0] == pytest.approx(float(tm.binary_average_precision(*given)), abs=1e-6)


def weighted(measure: str, found: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> float:
    scorer = sk.roc_auc_score if measure == "roc" else sk.average_precision_score
    return float(scorer(positive, found, sample_weight=weights))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("measure", ["roc", "pr"])
def test_the_influence_of_an_image_is_the_derivative_by_its_weight(measure: str, ties: bool) -> None:
    found, positive = scores(40, 5, ties)
    area, influence = (roc_area if measure == "roc" else average_precision)(found, positive)
    step = 1e-5
    for k in range(40):
        more, less = np.ones(40), np.ones(40)
        more[k] += step
        less[k] -= step
        slope = (weighted(measure, found, positive, more) - weighted(measure, found, positive, less)) / (2 * step)
        assert influence[k] == pytest.approx(40 * slope, abs=1e-5)
    assert influence.mean() == pytest.approx(0.0, abs=1e-9)
    assert 0 < area < 1


def test_the_standard_error_of_the_roc_area_is_delongs() -> None:
    found, positive = scores(60, 6, False)
    wins = (found[positive][:, None] > found[~positive][None]).astype(float)
    by_positive, by_negative = wins.mean(axis=1), wins.mean(axis=0)
    delong = by_positive.var() / positive.sum() + by_negative.var() / (~positive).sum()
    influence = roc_area(found, positive)[1]
    assert standard_error(influence) == pytest.approx(np.sqrt(delong * 60 / 59))


def test_areas_without_a_side_are_undefined_and_left_out_of_the_mean() -> None:
    found = np.array([0.1, 0.7, 0.4])
    none, all_of_them = np.zeros(3, dtype=bool), np.ones(3, dtype=bool)
    assert np.isnan(roc_area(found, none)[0]) and np.isnan(roc_area(found, all_of_them)[0])
    assert roc_area(found, none)[1].tolist() == [0, 0, 0]
    assert np.isnan(average_precision(found, none)[0])
    assert average_precision(found, none)[1].tolist() == [0, 0, 0]
    assert average_precision(found, all_of_them)[0] == 1.0
    one = roc_area(found, np.array([False, True, True]))
    value, error = macro_area([roc_area(found, none), one])
    assert (value, error) == (one[0], standard_error(one[1]))
    assert np.isnan(macro_area([roc_area(found, none)])).all()


def test_the_macro_error_is_that_of_the_mean_influence() -> None:
    first, second = np.array([3.0, -1.0, -2.0]), np.array([1.0, 1.0, -2.0])
    value, error = macro_area([(0.5, first), (0.7, second)])
    assert value == pytest.approx(0.6)
    # mean influence 2, 0, -2: its mean square 8/3, divided by n - 1 = 2
    assert error == pytest.approx(np.sqrt(8 / 3 / 2))
    assert standard_error(np.array([0.5])) == pytest.approx(0.5)


@pytest.mark.long
def test_the_error_is_the_spread_under_resampling() -> None:
    found, positive = scores(300, 7, True)
    generator = np.random.default_rng(8)
    draws = generator.integers(0, 300, (600, 300))
    for scorer, area in ((sk.roc_auc_score, roc_area), (sk.average_precision_score, average_precision)):
        spread = np.std([scorer(positive[rows], found[rows]) for rows in draws])
        assert standard_error(area(found, positive)[1]) == pytest.approx(spread, rel=0.1)
