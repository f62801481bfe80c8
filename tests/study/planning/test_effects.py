from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study.planning.effects import check_effects
from headstart.study.spec.load import load_study

TUNED = {"backbone": "lenet5", "weights": "none", "strategy": "fine_tune"}
GRID = {"optimizer": {"grid": ["adamw", "sgd"]}, "momentum": 0.8}


def check(run: dict[str, Any], **more: Any) -> None:
    check_effects(load_study({"name": "s", "data": "d", "runs": {"r": run}, **more}))


@pytest.mark.parametrize(
    ("run", "says"),
    [
        ({"strategy": "ridge", "lora_rank": 4}, "lora_rank .* fits a head on stored features"),
        ({"strategy": "linear_probe", "freeze_until": "stage2"}, "freeze_until .* fits a head on stored features"),
        ({"strategy": "linear_probe", "views": 2}, "views .* fits a head"),
        ({**TUNED, "head": {"k": 3}}, r"head\.k .* trains the head with the network; use recipe"),
        ({**TUNED, "thaw_every": 2}, "thaw_every .* 'fine_tune' does not read it; drop it, or use gradual"),
        ({**TUNED, "recipe": {"optimizer": "adamw", "momentum": 0.8}}, r"recipe\.momentum .* optimizer adamw"),
        ({**TUNED, "recipe": {"step_size": 3}}, r"recipe\.step_size .* schedule onecycle"),  # of the family's recipe
        ({"strategy": "sgd", "head": {"optimizer": "adam", "momentum": 0.2}}, r"head\.momentum .* optimizer adam"),
        ({"strategy": "sgd", "head": {"step_size": 2}}, r"head\.step_size .* schedule cosine"),
        ({"episodes": {"ways": 2}, "recipe": {"epochs": 3}}, r"recipe\.epochs .* not trained first"),
        ({"episodes": {"ways": 2}, "refit": "none"}, "refit .* episodes do not read it"),
        ({"backbone": "pixels", "strategy": "ridge", "truncate_at": "stage1"}, "truncate_at .* has no stages"),
        ({"backbone": "pixels", "strategy": "ridge", "weights": {"path": "w.pt"}}, "weights .* has no weights"),
    ],
)
def test_a_setting_that_changes_nothing_is_refused(run: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=f"run 'r': {says.replace(' .* ', ' has no effect: .*', 1)}"):
        check(run)


@pytest.mark.parametrize(
    "run",
    [
        {"strategy": "linear_probe", "recipe": {"epochs": 3}},  # its head is then trained by gradients
        {"strategy": "linear_probe", "recipe": {"augment": ["horizontal_flip"]}, "views": 2},
        {"strategy": "ridge", "head": {"penalty": 0.1}, "refit": "none", "shots": 3},
        {**TUNED, "recipe": GRID},  # one of the two reads it
        {**TUNED, "recipe": {"optimizer": "muon", "momentum": 0.9, "schedule": "plateau", "gamma": 0.5}},
        {**TUNED, "strategy": "lora", "lora_rank": 2, "lora_alpha": 4, "freeze_until": "conv1"},
        {**TUNED, "strategy": {"each": ["fine_tune", "lora"]}, "lora_rank": 2},
        {**TUNED, "head": {}, "lora_rank": None},
        {**TUNED, "recipe": {"optimiser": "sgd", "momentum": 0.5}},  # refused by its name, elsewhere
    ],
)
def test_a_setting_that_one_of_its_runs_reads_is_accepted(run: dict[str, Any]) -> None:
    check(run)


def test_a_default_must_change_one_run() -> None:
    with pytest.raises(SpecError, match="run 'r': probe_epochs has no effect: strategy 'fine_tune' does not read it"):
        check(TUNED, defaults={"probe_epochs": 1})
    with_both = {"r": TUNED, "s": {**TUNED, "strategy": "lp_ft"}}
    check_effects(load_study({"name": "s", "data": "d", "runs": with_both, "defaults": {"probe_epochs": 1}}))


def test_a_run_that_is_not_in_the_file_is_no_fault() -> None:
    study = load_study({"name": "s", "data": "d", "runs": {"r": {"strategy": "ridge"}}})
    check_effects(replace(study, runs=(replace(study.runs[0], name="made by hand"),)))
