"""Whatever a study file says, it is read or refused in one line."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.study.spec.load import load_study
from headstart.study.spec.settings import check_settings

RECIPE = {
    "lr": {"grid": [0.1, 0.2]},
    "epochs": 2,
    "optimizer": "sgd",
    "clip": 1.0,
    "ema": 0.9,
    "early_stopping": 3,
    "augment": ["horizontal_flip"],
    "augment_options": {"horizontal_flip": {"p": 0.5}},
    "milestones": [1],
    "monitor": "validation_loss",
    "class_weights": None,
}
STUDY: dict[str, Any] = {
    "name": "s",
    "question": "q",
    "data": {"source": "somewhere", "label": "l", "classes": ["a", "b"], "split": {"folds": 3, "fold": "seed"}},
    "seeds": 2,
    "defaults": {"backbone": "lenet5"},
    "runs": {
        "a": {"strategy": "linear_probe", "head": {}, "recipe": {}},
        "b": {"strategy": "fine_tune", "weights": {"name": "none"}, "layer_decay": 0.9, "recipe": RECIPE},
        "c": {"strategy": "knn", "head": {"k": 3, "metric": "cosine"}, "shots": [1, 5]},
        "d": {"strategy": "lora", "recipe": {"lr": {"search": {"low": 0.1, "high": 0.2, "log": True}}}, "trials": 3},
        "e": {"weights": {"run": "b"}, "strategy": "as_is"},
        "f": {"episodes": {"ways": 2, "method": "finetune", "options": {"epochs": 1}}, "recipe": {}},
        "g": {"strategy": "protonet", "episodes": {"ways": 2, "split": "given"}, "recipe": {"steps": 1}},
        "h": {"backbone": {"each": ["lenet5", "conv4"]}, "strategy": "ridge", "head": {"penalty": {"grid": [1, 2]}}},
        "i": {"strategy": "fine_tune", "weights": "none", "train_only": ["conv1"], "truncate_at": "conv2"},
    },
    "compare": {"baseline": "a", "metric": "accuracy", "margin": 0.01},
    "budget": "20min",
    "halving": {"eta": 2, "runs": ["a", "h · lenet5"]},
    "explain": {"mistakes": 1, "pairs": [["a", "b"]]},
    "similarity": {"stages": [["b", "b"]]},
    "ensembles": {"both": ["a", "b"]},
    "smoke": {"seeds": 1},
}
WRONG: tuple[Any, ...] = (None, True, -1, 10**30, float("nan"), float("inf"), "", "\0", "a" * 5000, [], [None], [[]])
WRONG += ({}, {"x": 1}, {1: 2}, {"each": [1, {}]}, {"grid": ["a", None]}, {"search": [1, 2]}, {"search": {}}, b"bytes")


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in nested mappings and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def with_value(study: Any, at: tuple[Any, ...], value: Any) -> Any:
    """Return a copy with another value at a path."""
    if not at:
        return value
    changed = copy.copy(study)
    changed[at[0]] = with_value(study[at[0]], at[1:], value)
    return changed


def is_read_or_refused(study: Any, *overrides: str) -> bool:
    """Say whether a study is refused in one line; raise whatever else happens."""
    try:
        for run in load_study(study, overrides).runs:
            check_settings(run, None)
    except HeadstartError as error:
        assert "\n" not in str(error)
        return True
    return False


def test_the_study_of_these_tests_is_read() -> None:
    assert not is_read_or_refused(STUDY)


PLACES = places(STUDY)[1:]


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(at=st.sampled_from(PLACES), value=st.sampled_from(WRONG))
@example(at=("runs", "b", "layer_decay"), value={"search": [1, 2]})
@example(at=("runs", "b", "recipe", "epochs"), value=float("inf"))
@example(at=("runs", "b", "recipe", "augment"), value=[[]])
@example(at=("runs", "g", "recipe", "steps"), value=None)
@example(at=("smoke",), value=[1])
def test_a_value_of_any_type_at_any_key_is_read_or_refused(at: tuple[Any, ...], value: Any) -> None:
    is_read_or_refused(with_value(STUDY, at, value))


@pytest.mark.slow
@pytest.mark.parametrize("value", WRONG, ids=range(len(WRONG)))
def test_every_value_at_every_key_is_read_or_refused(value: Any) -> None:
    for at in PLACES:
        is_read_or_refused(with_value(STUDY, at, value))


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(study=st.dictionaries(st.sampled_from(sorted(STUDY)), VALUES, max_size=5))
def test_any_mapping_is_read_or_refused(study: dict[str, Any]) -> None:
    is_read_or_refused(study)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=st.text(alphabet="abc:-[]{}&*!|>?%@`'\",#\n \t0123456789.eE+<~\0é\x85", max_size=60))
def test_any_text_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8")
    is_read_or_refused(path)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = yaml.safe_dump(STUDY, sort_keys=False)
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 12)))
    path: Path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_text(text[:start] + data.draw(st.text(max_size=4)) + text[stop:], encoding="utf-8")
    is_read_or_refused(path)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(key=st.sampled_from(PLACES), value=st.text(max_size=10))
def test_any_override_is_read_or_refused(key: tuple[Any, ...], value: str) -> None:
    is_read_or_refused(STUDY, f"{'.'.join(map(str, key))}={value}")
