from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from headstart.evaluate.uncertainty.answers import Uncertainty, held_out_of
from headstart.evaluate.uncertainty.costs import costs_of
from headstart.evaluate.uncertainty.measured import measured
from tests.evaluate.uncertainty.test_conformal import honest
from tests.evaluate.uncertainty.test_stored import NAMES, known


def sharp(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw probabilities of three classes that are right, nine of ten of them nearly certain."""
    generator = np.random.default_rng(seed)
    best = np.where(generator.random(n) < 0.9, 0.998, 0.6)
    probabilities = np.stack([best, (1 - best) / 2, (1 - best) / 2], 1)
    return probabilities, (probabilities.cumsum(1) < generator.random((n, 1))).sum(1)


def test_coverage_and_guarantees_hold_on_images_drawn_alike() -> None:
    own = Uncertainty(3, held_out_of(*sharp(2000, 0)))
    found = measured(own, *sharp(5000, 1), None)
    assert found["familiarity"] is None and found["costs"] is None
    assert (found["held_out"], found["test"]) == (2000, 5000)
    for row in found["sets"]:
        assert row["coverage"]["value"] >= 0.95 and sum(row["sizes"]) == 5000
    guaranteed = {row["at_least"]: row for row in found["promises"]}
    assert guaranteed[0.99]["left"]["value"] == pytest.approx(0.1, abs=0.02)
    assert guaranteed[0.99]["on_test"]["right"]["value"] >= 0.99
    assert guaranteed[0.99]["on_test"]["left"]["value"] == pytest.approx(0.1, abs=0.02)
    assert guaranteed[0.9]["on_test"]["left"]["value"] == 0.0
    assert found["curve"]["coverage"][-1] == 1.0 and found["curve"]["risk"][-1] == pytest.approx(0.042, abs=0.01)


def test_the_least_familiar_images_and_the_costs_are_told() -> None:
    own = known()
    probabilities, labels = honest(50, 8, 5)
    shares = np.linspace(0.01, 1, 50)
    found = measured(own, probabilities, labels, shares)
    assert found["familiarity"]["least"] == [[0, 0.01], [1, pytest.approx(0.0302041)]]
    assert found["familiarity"]["rejected"]["value"] == 0.04
    asked = found["costs"]["asked"]["value"]
    assert 0 < asked < 1 and found["costs"]["ask"] == 0.5
    without = measured(replace(own, costs=costs_of(NAMES, {})), probabilities, labels, shares)["costs"]
    dear = measured(replace(own, costs=costs_of(NAMES, {}, ask=99)), probabilities, labels, shares)["costs"]
    assert dear["asked"]["value"] == 0.04  # the two unfamiliar ones, as `predict` answers
    assert without["asked"]["value"] == 0 and without["ask"] is None
    assert without["least_cost"]["value"] == pytest.approx((probabilities.argmax(1) != labels).mean())


def test_a_guarantee_that_cannot_be_made_says_why_and_all_of_it_is_json() -> None:
    found = measured(known(), *honest(50, 8, 5), None)
    rows = {row["at_least"]: row for row in found["promises"]}
    assert rows[0.99]["left"] is None and "takes 299" in rows[0.99]["why"]
    assert json.loads(json.dumps(found))["level"] == 0.95
    assert [row["kind"] for row in found["answers"]] == ["sure", "one of", "don't know"]
    assert sum(row["n"] for row in found["answers"]) == 50
