from __future__ import annotations

from dataclasses import replace
from typing import Any

from headstart.study.spec.network import IMAGENET, NetworkSpec, Subset
from headstart.study.spec.run import Choice, ResolvedStudy, Run, set_at
from headstart.study.spec.schema import DataSpec, RunSpec, StudySpec, WeightsSpec

DATA = DataSpec(source="photos")
LR, HEADS = Choice(("recipe", "lr"), (0.1, 0.2)), Choice(("head", "C"), (1, 2, 3))
RANGE = Choice(("recipe", "lr"), (), {"low": 0.1, "high": 1.0})


def run(*choices: Choice, trials: int = 20, **settings: Any) -> Run:
    return Run("a", RunSpec.model_validate(settings), DATA, choices, trials=trials)


def test_a_grid_is_every_combination_the_last_choice_fastest() -> None:
    found = run(LR, HEADS).configurations()
    assert [tuple(values.values()) for values in found] == [(0.1, 1), (0.1, 2), (0.1, 3), (0.2, 1), (0.2, 2), (0.2, 3)]
    assert list(found[0]) == [("recipe", "lr"), ("head", "C")]
    assert run().configurations() == [{}]


def test_a_search_tries_its_trials_and_a_grid_its_combinations() -> None:
    assert (run(LR, HEADS).tries, run(LR, HEADS).searches) == (6, False)
    assert (run(RANGE, HEADS, trials=7).tries, run(RANGE, HEADS).searches) == (7, True)
    assert run().tries == 1
    assert run(RANGE).tries == 20
    assert run(RANGE, HEADS).configurations() == [{("head", "C"): value} for value in (1, 2, 3)]


def test_values_replace_settings_and_leave_the_run_alone() -> None:
    one = run(recipe={"lr": 1, "momentum": 0.9}, strategy="fine_tune")
    changed = one.with_values({("recipe", "lr"): 5, ("freeze_until",): "stage2"})
    assert changed.recipe == {"lr": 5, "momentum": 0.9} and changed.freeze_until == "stage2"
    assert one.spec.recipe["lr"] == 1 and one.spec.freeze_until is None


def test_the_network_of_a_head_is_drawn_once_and_that_of_a_training_for_each_seed() -> None:
    settings: dict[str, Any] = {"backbone": "vgg", "truncate_at": "s1", "input_size": 64, "resize": 72}
    assert run(**settings).network == NetworkSpec("vgg", IMAGENET, "s1", 64, 72, redrawn=False)
    assert run(**settings, strategy="fine_tune").network.redrawn
    assert run(weights="none").network.weights == WeightsSpec(name="none")


def test_the_subset_is_a_fraction_or_shots_and_all_shots_are_no_subset() -> None:
    assert run(fraction=0.5).subset == Subset(fraction=0.5, shots=None)
    assert run(shots=4).subset == Subset(fraction=None, shots=4)
    assert run(shots="all").subset == Subset()


def test_a_run_needs_the_run_whose_weights_it_takes() -> None:
    assert run(weights={"run": "b"}).needs == "b"
    assert run().needs is None


def test_a_run_is_found_by_its_name() -> None:
    first, second = run(), Run("b", RunSpec(), DATA)
    spec = StudySpec.model_validate({"name": "s", "data": "d", "runs": {"a": {}, "b": {}}})
    assert ResolvedStudy(spec, (first, second), "", "").run("b") is second


def test_setting_a_path_makes_what_is_missing_and_copies_what_is_there() -> None:
    inner = {"x": 1}
    target: dict[str, Any] = {"a": inner, "s": "text"}
    set_at(target, ("a", "y"), 2)
    set_at(target, ("b", "c", "d"), 3)
    set_at(target, ("s", "t"), 4)
    assert target == {"a": {"x": 1, "y": 2}, "b": {"c": {"d": 3}}, "s": {"t": 4}}
    assert inner == {"x": 1}


def test_a_message_names_a_run_after_its_place() -> None:
    assert run().called == "run 'a'"
    assert replace(run(), place="f.yaml, line 3, with x=1").called == "f.yaml, line 3, with x=1: run 'a'"


def test_a_head_is_fitted_again_and_a_network_only_where_there_was_a_choice() -> None:
    assert run(strategy="logistic").refits and run(LR, strategy="fine_tune").refits
    assert not run(strategy="fine_tune").refits
    assert run(strategy="fine_tune", refit="train+validation").refits
    assert not run(strategy="logistic", refit="none").refits and not run(strategy="logistic", shots=5).refits
