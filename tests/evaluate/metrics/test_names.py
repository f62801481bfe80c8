"""Every measure has a name that a person can read."""

from __future__ import annotations

import numpy as np

from headstart.evaluate.metrics.metrics import evaluate
from headstart.evaluate.metrics.multilabel import evaluate_multi_label
from headstart.evaluate.metrics.names import MEASURES, measure_name
from headstart.evaluate.metrics.scoring import METRICS


def test_everything_that_is_measured_has_a_name_of_its_own() -> None:
    generator = np.random.default_rng(0)
    names = [f"class {k}" for k in range(7)]
    labels, chances = np.arange(70) % 7, generator.dirichlet(np.ones(7), 70)
    found = evaluate(labels, chances, names, draws=10) | evaluate_multi_label(chances > 0.2, chances, names, draws=10)
    scores = {
        key for key, value in found.items() if isinstance(value, float) or (isinstance(value, dict) and "low" in value)
    }
    assert scores | METRICS.keys() <= MEASURES.keys()
    assert len(set(MEASURES.values())) == len(MEASURES)
    assert [name for name in MEASURES.values() if "_" in name] == []


def test_an_unknown_measure_has_its_key_as_name() -> None:
    assert measure_name("top5_accuracy") == "top-5 accuracy"
    assert measure_name("tau_of_something") == "tau of something"
