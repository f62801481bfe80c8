"""Every figure of five small comparisons, as recorded when the simulations of benchmarks/verdict_simulation.py held.

A constant changed by mistake, or a term that is dropped, shows here at once; whether the figures are right is the
subject of the other tests and of the simulations. An intended change of the method records them anew:
PYTHONPATH=tests/support python tests/evaluate/comparison/test_recorded_figures.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_studies import study

from headstart.evaluate.comparison.compare import compare_runs, over_seeds
from headstart.evaluate.comparison.families import best_against_each, chances_of, paired_chance, stepped_down
from headstart.evaluate.comparison.leader import means_of
from headstart.evaluate.comparison.sources import Pairs, Runs, paired_pairs, pairs_of, runs_of
from headstart.evaluate.comparison.training_images import over_splits, with_training_images
from headstart.evaluate.comparison.verdict import beliefs_of, needed_for

FILE = Path(__file__).with_name("recorded_figures.json")
NAMES = ["a", "b", "c"]
EQUAL = dict(zip(NAMES, study(np.random.default_rng(21), [0.9, 0.8, 0.7], 3, 80, 0.1).values(), strict=True))
UNEQUAL = {"a": EQUAL["a"], "b": EQUAL["b"][:2], "c": EQUAL["c"][:1]}
IMAGES = np.stack([np.random.default_rng(k).permutation(120)[:80] for k in range(3)])
LOSSES = {name: np.random.default_rng(30 + k).exponential(size=(3, 50)) + 0.3 * k for k, name in enumerate(NAMES)}
BOUNDED = {name: np.minimum(scores, 3.0) for name, scores in LOSSES.items()}


def compared(which: str) -> tuple[Runs, Pairs]:
    if which == "shares":
        runs = runs_of(UNEQUAL, NAMES, None, ("c",), (0.0, 1.0))
    elif which == "losses":
        runs = runs_of(LOSSES, NAMES, None, (), None)
    elif which == "bounded":
        runs = runs_of(BOUNDED, NAMES, None, (), (0.0, 3.0))
    else:
        images = IMAGES if which == "images" else None
        runs = runs_of(EQUAL, NAMES, images, (), (0.0, 1.0))
        return runs, paired_pairs(EQUAL, runs, images)
    return runs, pairs_of(runs)


def figures(which: str) -> dict[str, list[float]]:
    """Return everything that is computed without drawing."""
    runs, pairs = compared(which)
    means = means_of(runs)
    beliefs = beliefs_of(runs, pairs, 0.05, -1.0 if which == "losses" else 1.0)
    found: dict[str, Any] = {
        "mean": runs.means,
        "images": runs.image_variance,
        "facts": [(fact.variance, fact.freedom, fact.noise, fact.slope) for fact in runs.facts],
        "seeds": runs.spread.expected(),
        "doubt": runs.spread.covariance(),
        "centre": pairs.centre,
        "scale": pairs.scale,
        "freedom": pairs.freedom,
        "seed_variance": pairs.seed_variance,
        "image_variance": pairs.image_variance,
        "noise": pairs.noise,
        "half": [pairs.half_width(), pairs.half_width(0.9)],
        "p": pairs.p_value(),
        "error": means.error,
        "reach": means.reach,
        "effective": means.images,
        "interval": [means.interval(0), means.interval(1), means.interval(2, 1.5, 2.0)],
        "probability": beliefs.probability,
        "ahead": beliefs.ahead,
        "behind": beliefs.behind,
        "believed": [beliefs.interval(0), beliefs.interval(1), beliefs.interval(2, 2.0)],
    }
    return {name: np.asarray(value, dtype=np.float64).ravel().tolist() for name, value in found.items()}


def needed(which: str) -> list[list[Any]]:
    runs, pairs = compared(which)
    return [list(needed_for(runs, pairs, place, 0.05, 1.2).values()) for place in range(3)]


def drawn(which: str) -> dict[str, list[float]]:
    """Return what is corrected by drawing: the same up to the chance of the draws, which differ by platform."""
    runs, pairs = compared(which)
    if which in ("paired", "images"):
        rows = np.stack([EQUAL[name].mean(axis=1) for name in NAMES], axis=1)
        chance = paired_chance(runs, pairs, rows, 20_000, 1)
    else:
        chance, _ = chances_of(runs, pairs, 20_000, 1)  # of three runs the two are the same
    every, best = stepped_down(chance, pairs, np.arange(3)), best_against_each(chance, pairs, 3, 0)
    return {
        "sd": chance.errors.std(axis=0).tolist(),
        "factor": chance.factor.tolist(),
        "every": [*every.p.tolist(), every.reach],
        "best": [*best.p.tolist(), best.reach],
    }


def tables(which: str) -> list[Any]:
    """Return the ranking and the rows of a comparison without what is drawn."""
    scores, options = {
        "shares": (UNEQUAL, {"deterministic": ["c"], "baseline": "b"}),
        "paired": (EQUAL, {"pair_seeds": True, "baseline": "a", "margin": 0.02}),
        "losses": (LOSSES, {"higher_is_better": False, "baseline": "c"}),
    }[which]
    found: Any = compare_runs(scores, **options)  # type: ignore[arg-type]
    corrected = ("p_adjusted", "wide_low", "wide_high", "needed", "verdict")
    rows = [row for name in ("against_best", "against_baseline", "pairwise") for row in found[name]]
    ranking = [list(row.values()) for row in found["ranking"]]
    return ranking + [[value for key, value in row.items() if key not in corrected] for row in rows]


def one_run(scores: np.ndarray, **options: Any) -> list[float]:
    row = compare_runs({"": scores}, **options)["ranking"][0]
    return [row["mean"], row["low"], row["high"]]


def intervals(_: str) -> dict[str, list[float | None]]:
    resampled = np.random.default_rng(40).random((6, 50)) < np.linspace(0.7, 0.9, 6)[:, None]
    estimates = {
        "resampled": with_training_images(0.8, resampled),
        "resampled losses": with_training_images(1.1, LOSSES["b"], bounds=None, level=0.9),
        "resampled on one image": with_training_images(0.5, np.array([[0.2], [0.5], [0.9]]), bounds=None),
        "resampled on four images": with_training_images(
            0.5, LOSSES["a"][0, :4] + LOSSES["c"][:, :4] / 99, bounds=None
        ),
        "splits": over_splits([0.9, 0.8, 0.95], 0.25),
        "splits of losses": over_splits([0.9, 1.8, 0.95], 0.5, bounds=None, level=0.9),
        "equal splits": over_splits([1.0, 1.0, 1.0], 0.25),
    }
    return {
        **{name: [each["value"], each["low"], each["high"], each["n"]] for name, each in estimates.items()},
        "over seeds": list(over_seeds([0.9, 0.8, 0.95], bounds=(0.0, 1.0)).values()),
        "over equal seeds": list(over_seeds([0.9, 0.9], 0.9, bounds=(0.0, 1.0)).values()),
        "one run": one_run(EQUAL["a"]),
        "one run on images of each seed": one_run(EQUAL["a"], images=IMAGES),
        "one run of losses": one_run(BOUNDED["a"], bounds=(0.0, 3.0)),
    }


Tolerance = tuple[float, float]  # relative, absolute
EXACT, ROUGH = (1e-5, 1e-12), (0.06, 0.004)
RECORDED: list[tuple[Callable[[str], Any], str, Tolerance]] = [
    (figures, which, EXACT) for which in ("shares", "paired", "images", "losses", "bounded")
]
RECORDED += [(needed, which, EXACT) for which in ("shares", "images", "losses")]
RECORDED += [(drawn, which, ROUGH) for which in ("shares", "paired", "images", "losses")]
RECORDED += [(tables, which, EXACT) for which in ("shares", "paired", "losses")]
RECORDED += [(intervals, "", EXACT)]


def assert_same(found: Any, expected: Any, tolerance: Tolerance, place: str = "") -> None:
    if isinstance(expected, dict):
        assert list(found) == list(expected), place
        for key, value in expected.items():
            assert_same(found[key], value, tolerance, f"{place} {key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for k, (mine, its) in enumerate(zip(found, expected, strict=True)):
            assert_same(mine, its, tolerance, f"{place} {k}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=tolerance[0], abs=tolerance[1]), place
    else:
        assert (list(found) if isinstance(found, tuple) else found) == expected, place


@pytest.mark.parametrize(("make", "which", "tolerance"), RECORDED)
def test_figures_are_those_recorded(make: Callable[[str], Any], which: str, tolerance: Tolerance) -> None:
    expected = json.loads(FILE.read_text())[f"{make.__name__} {which}"]
    assert_same(make(which), expected, tolerance)


if __name__ == "__main__":
    lines = [f"{json.dumps(f'{make.__name__} {which}')}: {json.dumps(make(which))}" for make, which, _ in RECORDED]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
