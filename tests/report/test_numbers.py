from __future__ import annotations

import pytest
from markupsafe import Markup

from headstart.report import numbers


def test_shares_are_shown_in_percent_and_losses_as_they_are() -> None:
    assert numbers.score(0.9312, "accuracy") == "93.1 %" and numbers.score(0.9312, "log_loss") == "0.931"
    assert numbers.interval(0.9, 1.0, "f1_macro") == "90.0–100.0 %" and numbers.interval(None, 1.0, "mcc") == "–"
    assert numbers.difference(0.012, -0.003, 0.021, "accuracy") == "+1.2 points (-0.3 to +2.1)"
    assert numbers.difference(-0.0, -0.0004, 0.0006, "accuracy") == "+0.0 points (+0.0 to +0.1)"
    assert numbers.difference(-0.0, -0.0004, 0.0006, "log_loss") == "+0.000 (+0.000 to +0.001)"


@pytest.mark.parametrize(
    ("metric", "bounds"),
    [("accuracy", (0, 1)), ("mcc", (-1, 1)), ("brier", (0, 2)), ("log_loss", None), ("top5_accuracy", (0, 1))],
)
def test_every_metric_has_its_bounds(metric: str, bounds: tuple[float, float] | None) -> None:
    assert numbers.bounds_of(metric) == bounds
    assert numbers.least_of(metric) == (bounds[0] if bounds else 0.0)


def test_long_lists_are_cut_short() -> None:
    assert numbers.listed(["a"]) == "a" and numbers.listed(["a", "b"]) == "a and b"
    assert numbers.listed(["a", "b", "c", "d"]) == "a, b, c and 1 other" and numbers.listed([]) == ""


def test_prose_keeps_figures_with_their_units_and_has_minus_signs() -> None:
    assert numbers.prose("a-1 is 5 % worse: -2.8 points (-14.2 to +15.0)") == (
        "a-1 is 5\N{NO-BREAK SPACE}% worse: \N{MINUS SIGN}2.8 points (\N{MINUS SIGN}14.2 to +15.0)"
    )
    assert numbers.prose("found (p = 0.622)") == "found (p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.622)"
    assert numbers.prose("headstart compare --seeds 2 -o x") == "headstart compare --seeds 2 -o x"
    assert isinstance(numbers.prose(Markup("<b>-1 %</b>")), Markup)
