from __future__ import annotations

from headstart.report.render.halving_text import halving_lines


def test_each_rung_shows_scores_by_the_metric_of_the_study() -> None:
    rows = [
        {"run": "a", "validation_accuracy": 0.9, "validation_score": 0.31},
        {"run": "b", "validation_accuracy": 0.8, "validation_score": 0.64},
    ]
    halving = {"metric": "log_loss", "tried": 2, "rungs": [{"share": 1 / 3, "runs": rows, "kept": ["a"]}]}
    assert halving_lines(halving)[1] == "rung 1, 33 % of the labels or epochs: a 0.310 continued; dropped: b 0.640"
