from __future__ import annotations

import sys
from typing import Any

import pytest
from absent_packages import without

from headstart.errors import MissingExtra
from headstart.study.planning.extras import check_extras, trains_network
from headstart.study.spec.load import load_study
from headstart.study.spec.schema import RunSpec

SEARCH = {"strategy": "scratch", "recipe": {"lr": {"search": {"low": 0.01, "high": 0.1}}}}


def check(run: dict[str, Any], **more: Any) -> None:
    check_extras(load_study({"name": "s", "data": "d", "runs": {"first": {"strategy": "ridge"}, "r": run}, **more}))


@pytest.mark.parametrize(
    ("strategy", "more", "trains"),
    [
        ("ridge", {}, False),
        ("linear_probe", {}, False),
        ("fine_tune", {}, True),
        ("scratch", {}, True),
        ("as_is", {"weights": {"run": "first"}}, False),
        ("protonet", {"episodes": {"ways": 2, "shots": 1, "queries": 1}}, False),
    ],
)
def test_lightning_trains_whole_networks_only(strategy: str, more: dict[str, Any], trains: bool) -> None:
    assert trains_network(RunSpec.model_validate({"strategy": strategy, **more})) is trains


@pytest.mark.parametrize(
    ("missing", "run", "more", "says"),
    [
        ("lightning", {"strategy": "fine_tune"}, {}, r"run 'r' trains a network, which.*headstart\[tune\]"),
        ("optuna", SEARCH, {}, r"run 'r' searches ranges, which.*headstart\[search\]"),
        ("captum", {}, {"explain": {"mistakes": 1, "methods": ["integrated_gradients"]}}, r"headstart\[explain\]"),
    ],
)
def test_a_missing_package_is_refused_with_the_extra_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, missing: str, run: dict[str, Any], more: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(sys, "meta_path", without([missing]))
    for name in [
        name for name in sys.modules if name.partition(".")[0] == missing
    ]:  # another test may have imported it
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtra, match=says):
        check(run, **more)


def test_packages_that_a_study_does_not_use_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", without(["lightning", "optuna", "captum"]))
    check({"strategy": "knn"}, explain={"mistakes": 0, "methods": ["integrated_gradients"]})
