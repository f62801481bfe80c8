"""The rate of each step: warm-up, schedule, the two phases of lp_ft, multipliers and plateau."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from tuning_subject import network

from headstart.transfer.finetune.rates import Rates
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.strategy import Strategy, resolve


def rates(recipe: Recipe, strategy: Strategy | None = None, steps: int = 4) -> Rates:
    return Rates(recipe, resolve(strategy or Strategy("fine_tune"), network(), recipe.epochs), steps)


def test_the_rate_follows_half_a_cosine() -> None:
    made = rates(Recipe(lr=0.5, epochs=10, schedule="cosine"))
    assert made.share(0.0) == 1 and made.share(5.0) == pytest.approx(0.5)
    assert made.at_end_of(9) == pytest.approx(0.5 * 0.5 * (1 + math.cos(math.pi * 9.75 / 10)))


def test_each_phase_of_lp_ft_has_a_schedule_of_its_own() -> None:
    made = rates(Recipe(lr=1.0, epochs=8, schedule="cosine"), Strategy("lp_ft", probe_epochs=2))
    assert [made.share(t) for t in (0.0, 1.0, 2.0, 5.0)] == pytest.approx([1, 0.5, 1, 0.5])
    one = rates(Recipe(lr=1.0, epochs=8, schedule="cosine"), Strategy("lp_ft", probe_epochs=0))
    assert one.share(4.0) == pytest.approx(0.5)


def test_a_warm_up_takes_at_most_half_of_a_phase() -> None:
    made = rates(Recipe(lr=1.0, epochs=4, schedule="none", warmup_epochs=3.0))
    assert made.share(0.0) == pytest.approx(0.25 / 2.25) and made.share(2.0) == 1


def test_groups_keep_their_multipliers() -> None:
    groups = [{"multiplier": 1.0, "lr": 0.0}, {"multiplier": 0.1, "lr": 0.0}]
    rates(Recipe(lr=0.5, epochs=4, schedule="cosine")).apply(SimpleNamespace(param_groups=groups), epoch=2, step=0)
    assert [group["lr"] for group in groups] == pytest.approx([0.25, 0.025])


def test_plateau_lowers_what_follows() -> None:
    made = rates(Recipe(lr=1.0, epochs=8, schedule="plateau", step_size=1, gamma=0.1))
    for loss in (1.0, 1.0, 1.0):
        made.plateau.observe(loss)
    assert made.share(3.0) == pytest.approx(0.1)
