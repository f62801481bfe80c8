from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from headstart.errors import DataError
from headstart.evaluate.uncertainty import drift
from headstart.evaluate.uncertainty.appearance import APPEARANCE
from headstart.evaluate.uncertainty.drift import (
    EMBEDDINGS,
    FEWEST,
    LEVEL,
    MIX,
    DriftTest,
    Sketch,
    compare,
    nearest_labels,
    projected,
    sketch_of,
)
from headstart.evaluate.uncertainty.familiarity import unit_length

D, CLASSES = 16, 6
CENTRES = np.random.default_rng(3).normal(0, 1, (CLASSES, D))


def images(n: int, generator: np.random.Generator, classes: range = range(CLASSES)) -> tuple[np.ndarray, ...]:
    """Draw embeddings, appearances and classes."""
    labels = generator.choice(classes, n)
    looks = generator.normal(0, 1, (n, len(APPEARANCE))).astype(np.float32)
    return CENTRES[labels] + generator.normal(0, 0.6, (n, D)), looks, labels


def sketch(m: int, generator: np.random.Generator) -> Sketch:
    train, _, labels = images(200, generator)
    return sketch_of(train, labels, *images(m, generator))


def compared(own: Sketch, new: tuple[np.ndarray, ...], **options: Any) -> DriftTest:
    embeddings, looks, labels = new
    return compare(own, projected(own, embeddings), looks, labels, **options)


def test_directions_have_unit_variance_on_training_images_and_are_their_principal_ones() -> None:
    generator = np.random.default_rng(0)
    train, _, labels = images(400, generator)
    own = sketch_of(train, labels, *images(20, generator))
    unit = unit_length(train)
    found = projected(own, train)
    assert found.mean(0) == pytest.approx(np.zeros(D), abs=1e-2) and found.std(0) == pytest.approx(np.ones(D), abs=1e-2)
    first = np.linalg.svd(unit - unit.mean(0))[2][0]
    assert abs(first @ own.basis[:, 0]) == pytest.approx(1, abs=1e-3)
    few, _, codes = images(5, generator)
    assert sketch_of(few, codes, *images(20, generator)).basis.shape == (D, 4)  # no more than the images span


def test_what_is_beyond_half_precision_is_its_end() -> None:
    """A direction that hardly varies in training has a large scale; infinity would make every distance a NaN."""
    generator = np.random.default_rng(0)
    own = sketch(20, generator)
    far = projected(replace(own, scales=own.scales * 1e30), images(5, generator)[0])
    assert np.isfinite(far).all() and np.abs(far).max() == 65504


def test_the_nearest_training_image_gives_its_class() -> None:
    generator = np.random.default_rng(0)
    train, _, labels = images(300, generator)
    own = sketch_of(train, labels, *images(20, generator))
    new = projected(own, images(50, generator)[0])
    assert np.array_equal(nearest_labels(own, new), labels[cdist(new, projected(own, train)).argmin(1)])


@pytest.mark.parametrize("rows", [drift._ROWS, 7])  # of thirty: one part, and five of which the last is shorter
def test_the_discrepancy_is_that_of_its_formula(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gretton et al. 2012, equation 3, worked out pair by pair, for the division at hand and a random one."""
    monkeypatch.setattr(drift, "_ROWS", rows)
    generator = np.random.default_rng(1)
    together, m, n = generator.normal(0, 1, (30, 3)), 18, 12
    groups = drift._divisions(m, n, 1, 0)
    found = drift._discrepancy(together, groups, n)
    distances = cdist(together, together, "sqeuclidean")
    kernel = np.exp(-distances / np.median(distances[np.triu_indices(30, 1)]))
    for row, value in zip(groups.astype(bool), found, strict=True):
        first, second = kernel[~row][:, ~row], kernel[row][:, row]
        own = [(each.sum() - len(each)) / (len(each) * (len(each) - 1)) for each in (first, second)]
        assert value == pytest.approx(sum(own) - 2 * kernel[~row][:, row].mean(), abs=1e-6)


def test_the_distances_of_appearances_are_those_of_scipy_with_ties_too() -> None:
    generator = np.random.default_rng(2)
    for values in (generator.normal(0, 1, 40), generator.integers(0, 4, 40).astype(float)):
        groups = drift._divisions(25, 15, 3, 0)
        found = drift._kolmogorov(values, groups.T.astype(np.int16), 25, 15)
        expected = [stats.ks_2samp(values[row == 0], values[row == 1]).statistic for row in groups]
        assert found == pytest.approx(expected, abs=1e-6)


def test_the_ratio_of_a_class_is_that_of_scipy() -> None:
    codes = np.array([0] * 20 + [1] * 10 + [0] * 4 + [1] * 12 + [2] * 4)
    groups = drift._divisions(30, 20, 2, 0)
    ratios, numbers = drift._class_ratios(codes, groups, 30, 20)
    assert numbers.tolist() == [0, 1, 2]
    for row, found in zip(groups, ratios, strict=True):
        for number, value in zip(numbers, found, strict=True):
            table = [[np.sum((codes == number) & (row == k)), np.sum((codes != number) & (row == k))] for k in (0, 1)]
            expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
            assert value == pytest.approx(expected, abs=1e-4)


def alarms(count: int, permutations: int) -> float:
    found = []
    for draw in range(count):
        generator = np.random.default_rng(draw)
        own, new = sketch(40, generator), images(30, generator)
        found.append(compared(own, new, permutations=permutations, seed=draw).found)
    return float(np.mean(found))


def test_false_alarms_are_no_more_than_they_may_be() -> None:
    """Of 200 draws 5 % are 10; more than 17 come in one of a hundred such tests."""
    assert alarms(200, 59) <= 17 / 200


@pytest.mark.slow
def test_false_alarms_are_five_in_a_hundred_over_two_thousand_draws() -> None:
    assert 0.025 <= alarms(2000, 199) <= LEVEL + 0.012


def test_each_change_is_found_and_named_and_no_other() -> None:
    generator = np.random.default_rng(0)
    own, (embeddings, looks, labels) = sketch(200, generator), images(150, generator)
    darker = looks - np.eye(len(APPEARANCE))[APPEARANCE.index("brightness")].astype(np.float32)
    found = compared(own, (embeddings, darker, labels))
    assert [each.what for each in found.changes if each.found] == ["brightness"] and found.found
    assert [each.what for each in found.changes] == [EMBEDDINGS, MIX, *APPEARANCE]
    (bright,) = [each for each in found.changes if each.found]
    assert bright.now == pytest.approx(bright.before - 1, abs=0.3)
    found = compared(own, (embeddings + 0.5, looks, labels))
    assert EMBEDDINGS in [each.what for each in found.changes if each.found]
    assert not compared(own, (embeddings, looks, labels)).found


def test_a_missing_class_is_named_with_its_shares() -> None:
    generator = np.random.default_rng(0)
    own, new = sketch(200, generator), images(150, generator, range(1, CLASSES))
    found = compared(own, new)
    assert MIX in [each.what for each in found.changes if each.found]
    (gone,) = found.classes
    assert (gone.number, gone.now) == (0, 0.0) and gone.before == pytest.approx((own.predicted == 0).mean())
    assert gone.p <= LEVEL and (found.held_out, found.new) == (200, 150)


def test_no_p_is_below_what_the_divisions_can_tell_and_more_images_than_are_looked_at_are_sampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(0)
    own, (embeddings, looks, labels) = sketch(50, generator), images(60, generator)
    monkeypatch.setattr(drift, "MOST_COMPARED", 40)
    found = compared(own, (embeddings, looks + 9, labels), permutations=19)
    assert found.p == pytest.approx(1 / 20) and found.new == 40


@pytest.mark.parametrize(("held", "new"), [(FEWEST - 1, 50), (50, FEWEST - 1)])
def test_too_few_images_are_refused_with_their_number(held: int, new: int) -> None:
    generator = np.random.default_rng(0)
    own = sketch(50, generator)
    own = replace(own, **{name: getattr(own, name)[:held] for name in ("embeddings", "looks", "predicted")})
    with pytest.raises(DataError, match=f"{FEWEST - 1} (held-out|new) images are too few .* at least {FEWEST} of each"):
        compared(own, images(new, generator))
