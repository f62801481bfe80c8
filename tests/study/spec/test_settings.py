from __future__ import annotations

from typing import Any

import pytest

from headstart.errors import HeadstartError, ModelError, SpecError
from headstart.models.create import create_backbone
from headstart.study.spec.load import load_study
from headstart.study.spec.run import Choice, Run
from headstart.study.spec.schema import DataSpec, RunSpec
from headstart.study.spec.settings import (
    check_settings,
    ends,
    finetune_options,
    head_options,
    is_whole,
    placeholder,
    rate_is_found,
    recipe_of,
    strategy_of,
    training_options,
)


def run(**settings: Any) -> Run:
    return load_study({"name": "s", "data": "d", "runs": {"a": {"backbone": "lenet5", **settings}}}).runs[0]


def spec(**settings: Any) -> RunSpec:
    return run(**settings).spec


def test_an_automatic_rate_gives_way_to_the_familys_own() -> None:
    found = spec(strategy="scratch", recipe={"lr": "auto", "epochs": 3})
    assert rate_is_found(found) and not rate_is_found(spec(strategy="scratch", recipe={"lr": 0.1}))
    assert placeholder(found).recipe == {"epochs": 3}
    plain = spec(strategy="scratch", recipe={"epochs": 3})
    assert recipe_of(found) == recipe_of(plain) and placeholder(plain) is plain


def test_a_recipe_is_the_familys_default_with_the_settings_of_the_study() -> None:
    default, changed = recipe_of(spec(strategy="scratch")), recipe_of(spec(strategy="scratch", recipe={"epochs": 77}))
    assert changed.epochs == 77 and default.epochs != 77 and changed.lr == default.lr


def test_a_key_of_the_run_in_its_recipe_is_sent_one_level_up() -> None:
    with pytest.raises(SpecError, match="'views' is a key of the run, not of its recipe; write it beside `recipe`"):
        recipe_of(spec(strategy="fine_tune", recipe={"views": 2}))


def test_a_strategy_takes_only_what_is_set() -> None:
    found = strategy_of(spec(strategy="fine_tune", train_only=["conv1"], views=2, layer_decay=0.5))
    assert (found.kind, found.train_only, found.views, found.layer_decay) == ("fine_tune", ("conv1",), 2, 0.5)
    assert strategy_of(spec(strategy="lora", lora_rank=3)).lora_rank == 3
    vit = spec(strategy="fine_tune", backbone="vit_small_patch16_224")
    assert strategy_of(vit).layer_decay != strategy_of(spec(strategy="norm_only", backbone=vit.backbone)).layer_decay


@pytest.mark.parametrize(
    ("path", "search", "whole"),
    [
        (("recipe", "epochs"), {"low": 3, "high": 9}, True),
        (("recipe", "epochs"), {"low": 3.0, "high": 9}, False),
        (("recipe", "lr"), {"low": 1, "high": 2}, False),
        (("recipe", "weight_decay"), {"low": 0, "high": 1}, False),
        (("layer_decay",), {"low": 0, "high": 1}, False),
        (("lora_rank",), {"low": 1, "high": 8}, True),
        (("head", "k"), {"low": 1, "high": 8}, True),
        (("recipe", "epochs"), {"choices": [1, 2]}, False),
        (("recipe", "epochs"), None, False),
    ],
)
def test_a_range_is_whole_if_its_ends_and_its_setting_are(path: Any, search: Any, whole: bool) -> None:
    assert is_whole(Choice(path, (), search)) is whole


def test_the_options_of_a_head_list_what_is_tried() -> None:
    one = run(strategy="logistic", head={"penalty": {"grid": [1, 2]}, "tolerance": 0.1})
    assert head_options(one) == {"penalty": [1, 2], "tolerance": 0.1}


def test_the_ends_of_ranges_are_checked() -> None:
    one = run(
        strategy="fine_tune",
        weights="none",
        recipe={"lr": {"search": [1, 2]}, "epochs": {"search": {"choices": [3, 4]}}, "momentum": {"grid": [0.5]}},
    )
    lr, epochs = ("recipe", "lr"), ("recipe", "epochs")
    assert ends(one) == [{lr: 1}, {lr: 2}, {epochs: 3}, {epochs: 4}]


def test_episodes_give_a_training_its_sizes_and_the_recipe_overrides_them() -> None:
    settings: dict[str, Any] = {"ways": 3, "shots": 2, "queries": 4, "episodes": 9}
    found = training_options(spec(strategy="protonet", episodes=settings, recipe={"ways": 6}), 5)
    assert (found.objective, found.seed, found.ways, found.shots) == ("episodes", 5, 6, 2)
    assert (found.test_ways, found.test_shots, found.test_queries, found.test_episodes) == (3, 2, 4, 9)
    assert training_options(spec(strategy="pretrain", episodes={}), 0).objective == "classes"


@pytest.mark.parametrize("key", ["wayz", "objective", "seed"])
def test_an_unknown_key_of_an_episodic_recipe_is_refused(key: str) -> None:
    with pytest.raises(SpecError, match=f"unknown recipe key of protonet '{key}'"):
        training_options(spec(strategy="protonet", episodes={}, recipe={key: 1}), 0)


def test_options_of_tuning_in_episodes_are_checked() -> None:
    episodes = {"method": "finetune", "options": {"epochs": 7}}
    assert finetune_options(spec(episodes=episodes)).epochs == 7
    with pytest.raises(SpecError, match=r"episodes\.options: unknown key 'epochz'; did you mean 'epochs'"):
        finetune_options(spec(episodes={"method": "finetune", "options": {"epochz": 7}}))


@pytest.mark.parametrize(
    ("settings", "kind", "says"),
    [
        ({"strategy": "as_is", "weights": {"run": "a"}, "head": {"C": 1}}, SpecError, "learns nothing and chooses"),
        ({"strategy": "as_is", "weights": {"run": "a"}, "recipe": {"lr": 1}}, SpecError, "learns nothing and chooses"),
        (
            {"strategy": "scratch", "recipe": {"lr": {"grid": ["auto", 1]}}},
            SpecError,
            "'auto' cannot be one of several",
        ),
        (
            {"strategy": "scratch", "recipe": {"epochs": {"search": {"low": 2, "high": 8, "step": 1.5}}}},
            SpecError,
            "1.5",
        ),
        ({"strategy": "scratch", "recipe": {"epochs": {"grid": [1, -1]}}}, SpecError, "epochs"),
        ({"strategy": "scratch", "recipe": {"epochs": {"search": [-1, 5]}}}, SpecError, "epochs"),
        ({"strategy": "fine_tune", "weights": "none", "freeze_until": "stage9"}, ModelError, "stage9"),
        ({"strategy": "sgd", "recipe": {"lr": "auto"}}, SpecError, "lr: auto is for tuned networks"),
        ({"strategy": "knn", "head": {"k": []}}, SpecError, "k is an empty list; give at least one value"),
        ({"strategy": "knn", "input_size": {"grid": [32]}}, SpecError, "a head cannot choose input_size; use each"),
        ({"strategy": "logistic", "head": {"penalty": {"search": [1, 2]}}}, SpecError, "a head takes a grid"),
        ({"episodes": {"method": "protypes"}}, SpecError, "did you mean 'prototypes'"),
        (
            {"episodes": {"options": {"steps": 1}}},
            SpecError,
            "episodes.options are for method finetune; prototypes has",
        ),
        ({"episodes": {"method": "finetune", "options": {"freeze_until": "no"}}}, ModelError, "no stage 'no'"),
        ({"backbone": "pixels", "episodes": {"method": "finetune"}}, SpecError, "has no network to tune in episodes"),
        ({"strategy": "protonet", "episodes": {}, "recipe": {"stepz": 1}}, SpecError, "did you mean 'steps'"),
    ],
)
def test_invalid_settings_are_refused_with_the_name_of_the_run(
    settings: dict[str, Any], kind: type[HeadstartError], says: str
) -> None:
    one = Run("a", *_checked(settings))
    backbone = create_backbone("lenet5", None, seed=0)[0]
    with pytest.raises(kind) as caught:
        check_settings(one, backbone)
    assert str(caught.value).startswith("run 'a': ") and says in str(caught.value)


def _checked(settings: dict[str, Any]) -> tuple[RunSpec, DataSpec, tuple[Choice, ...]]:
    runs: dict[str, Any] = {"b": {"backbone": "lenet5", **settings}}
    if runs["b"].get("weights") == {"run": "a"}:
        runs["a"] = {"backbone": "lenet5"}
    found = load_study({"name": "s", "data": "d", "runs": runs}).run("b")
    return found.spec, found.data, found.choices


def test_valid_settings_pass_without_a_network_too() -> None:
    several: tuple[dict[str, Any], ...] = ({"strategy": "scratch"}, {"strategy": "ridge"}, {"episodes": {}})
    for settings in several:
        check_settings(run(**settings), None)
