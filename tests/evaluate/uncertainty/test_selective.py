from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headstart.errors import DataError
from headstart.evaluate.uncertainty.selective import exact, fewest, guarantee, most_accurate, risk_coverage


def test_a_curve_worked_out_by_hand() -> None:
    confidence = np.array([0.9, 0.8, 0.8, 0.6, 0.5])
    correct = np.array([True, True, False, True, False])
    found = risk_coverage(confidence, correct)
    assert found.coverage.tolist() == pytest.approx([0.2, 0.6, 0.8, 1.0])
    assert found.risk.tolist() == pytest.approx([0, 1 / 3, 1 / 4, 2 / 5])
    assert found.threshold.tolist() == [0.9, 0.8, 0.6, 0.5]
    assert found.area == pytest.approx(0.4 / 3 + 0.2 / 4 + 0.2 * 2 / 5)


def test_without_images_there_is_no_curve() -> None:
    with pytest.raises(DataError, match="labelled images"):
        risk_coverage(np.zeros(0), np.zeros(0, bool))


def test_how_many_images_a_guarantee_takes() -> None:
    assert (fewest(0.99), fewest(0.95), fewest(0.9)) == (299, 59, 29)
    assert 0.99 <= most_accurate(299) < 0.9901 and most_accurate(0) == 0
    assert guarantee(np.ones(298), np.ones(298, bool), 0.99) is None


def test_all_right_leaves_nothing_and_equal_confidences_stay_together() -> None:
    found = guarantee(np.linspace(0.5, 1, 400), np.ones(400, bool), 0.99)
    assert found is not None and (found.kept, found.wrong, found.left["value"]) == (400, 0, 0.0)
    assert found.low == pytest.approx(0.05 ** (1 / 400))
    tied = np.concatenate([np.full(350, 0.9), np.full(50, 0.4)])
    correct = np.concatenate([np.ones(350, bool), np.zeros(50, bool)])
    found = guarantee(tied, correct, 0.99)
    assert found is not None and (found.kept, found.above, found.left["value"]) == (350, 0.4, 0.125)


def test_the_threshold_is_before_the_first_test_that_fails() -> None:
    correct = np.ones(1000, bool)
    correct[700:] = False
    found = guarantee(np.linspace(1, 0, 1000), correct, 0.9)
    assert found is not None
    most = max(k for k in range(700, 1000) if stats.binomtest(k - 700, k, 0.1, "less").pvalue <= 0.05)
    assert (found.kept, found.wrong) == (most, most - 700)
    assert found.low == pytest.approx(1 - stats.binomtest(most - 700, most).proportion_ci(0.9).high)


@pytest.mark.parametrize("shape", [1, 6])
def test_the_guarantee_is_broken_in_one_draw_of_twenty_at_most(shape: int) -> None:
    """The confidence of an image is 1 - u, its chance to be wrong 0.1 (shape + 1) u ** shape; 0.95 is guaranteed."""
    broken, guaranteed = 0, 0
    for seed in range(600):
        generator = np.random.default_rng(seed)
        u = generator.random(500)
        correct = generator.random(500) >= np.minimum(1, 0.1 * (shape + 1) * u**shape)
        found = guarantee(1 - u, correct, 0.95)
        if found is not None:
            guaranteed += 1
            part = np.linspace(0, min(1.0, 1 - found.above), 4001)
            broken += bool(np.minimum(1, 0.1 * (shape + 1) * part**shape).mean() > 0.05)
    assert guaranteed > 200
    assert broken <= stats.binom.ppf(0.999, 600, 0.05)


def test_the_exact_interval_is_that_of_scipy() -> None:
    for k, n in ((0, 20), (7, 20), (20, 20)):
        found, peer = exact(k, n), stats.binomtest(k, n).proportion_ci(0.95, "exact")
        assert (found["low"], found["high"]) == pytest.approx((peer.low, peer.high))
    assert exact(0, 0)["value"] is None


def test_an_accuracy_of_one_cannot_be_guaranteed() -> None:
    with pytest.raises(DataError, match=r"such as 0\.99"):
        guarantee(np.ones(500), np.ones(500, bool), 1.0)
