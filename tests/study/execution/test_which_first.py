"""Which network a budget is spent on first: LogME on some training images."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from told import Told

from headstart.errors import DataError, SpecError
from headstart.evaluate.transferability import logme
from headstart.report.read.summary import load_summary
from headstart.report.render.formats import markdown
from headstart.report.render.halving_text import proxy_lines
from headstart.study.execution import which_first as module
from headstart.study.execution.budget import Budget, OverBudget
from headstart.study.execution.which_first import order_by_proxy
from headstart.study.planning import microbenchmarks
from headstart.study.planning.plan import TaskGroup
from headstart.study.planning.priority import pretrained
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from headstart.study.spec.network import Subset
from headstart.study.task import Task
from tests.study.conftest import OpenStudy, draw

NETWORKS = ("conv4", "small_cnn", "lenet5")


def study(pictures: Path, **settings: Any) -> dict[str, Any]:
    return {
        "name": "first",
        "data": str(pictures),
        "seeds": 1,
        "audit": False,
        "budget": "10min",
        "runs": {
            "floor": {"backbone": "pixels", "strategy": "ridge", "input_size": 16},
            **{name: {"backbone": name, "weights": "none", "strategy": "ridge", "input_size": 32} for name in NETWORKS},
        },
        **settings,
    }


@pytest.fixture(autouse=True)
def scored(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Say that networks with random weights are pretrained ones, and note on which rows each is scored."""
    asked: dict[str, list[int]] = {}
    real = module._scores

    def score(task: Any, rows: Any, session: Any) -> Any:
        asked[task.run.spec.backbone] = rows.tolist()
        return real(task, rows, session)

    monkeypatch.setattr(module, "_scores", score)
    monkeypatch.setattr(microbenchmarks, "_PATIENCE", 0.01)
    monkeypatch.setattr(module, "pretrained", lambda group: pretrained(group) or group.first.run.name in NETWORKS)
    return asked


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return draw(tmp_path / "many", 40)


def run(spec: dict[str, Any], out: Path) -> tuple[Path, dict[str, Any]]:
    root = run_study(load_study(spec), out, device="cpu").root
    return root, json.loads((root / "study.json").read_text())


@pytest.mark.long
def test_the_best_by_logme_on_training_images_comes_first(
    many: Path, tmp_path: Path, scored: dict[str, list[int]]
) -> None:
    root, facts = run(study(many, proxy=30), tmp_path / "out")
    found = facts["proxy"]
    values = [row["logme"] for row in found["networks"]]
    assert found["images"] == 30 and found["pairs"] == 3 and 0 <= found["alike"] <= 3
    assert {row["network"] for row in found["networks"]} == {f"{name} (none, 32 px)" for name in NETWORKS}
    assert values == sorted(values, reverse=True) and len(set(values)) == 3
    with np.load(root / "runs" / "conv4" / "seed-0" / "split.npz") as split:
        train = split["train"].tolist()
    drawn = scored["conv4"]
    assert len(drawn) == 30 and set(drawn) <= set(train) and scored["lenet5"] == scored["small_cnn"] == drawn
    text = markdown(load_summary(root))
    assert "## Which network first" in text and f"Two halves of these images order {found['alike']} of 3 pairs" in text


def test_scores_are_those_of_the_features_and_the_groups_change_places(
    many: Path, tmp_path: Path, open_study: OpenStudy
) -> None:
    session = open_study(study(many)["runs"], data=str(many), budget="10min", proxy=30)
    before = [group.first.run.name for group in session.plan.groups]
    order_by_proxy(session, 30, Budget(600.0))
    after = [group.first.run.name for group in session.plan.groups]
    ranked = [row["network"].split(" (")[0] for row in (session.state.proxy or {})["networks"]]
    assert after == ["floor", *ranked] and sorted(after) == sorted(before) and before[0] == "floor"
    task = next(task for task in session.plan.tasks if task.run.name == "conv4")
    split = session.resources.split(task.run.data, 0, task.run.subset)
    rows = np.sort(np.random.default_rng(0).permutation(split.train)[:30])
    features = session.resources.features(task.run.data, task.run.network, 0)[rows]
    expected = logme(np.asarray(features), session.resources.dataset(task.run.data).labels[rows])
    found = {row["network"]: row["logme"] for row in (session.state.proxy or {})["networks"]}
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert found["conv4 (none, 32 px)"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("images", "without", "why"),
    [
        (30, ["conv4"], "2 networks are frozen, and 3 are needed"),
        (30, ["conv4", "lenet5"], "1 network is frozen, and 3 are needed"),
        (60, [], "27 training images are fewer than 2 × 60"),
    ],
)
def test_too_few_networks_or_images_leave_the_order_and_it_is_said(
    images: int, without: list[str], why: str, pictures: Path, open_study: OpenStudy
) -> None:
    runs = {name: run for name, run in study(pictures)["runs"].items() if name not in without}
    session = open_study(runs, budget="10min", proxy=images)
    told = Told()
    session.listener = told
    groups = session.plan.groups
    order_by_proxy(session, images, Budget(600.0))
    assert session.plan.groups == groups and session.state.proxy is None
    assert told.notes == [f"no proxy pass: {why}; networks run in the order of the plan"]


def frozen(**runs: dict[str, Any]) -> list[TaskGroup]:
    """Return a group for each run, on the images "d" unless it says otherwise."""
    study = load_study({"name": "s", "data": "d", "seeds": [4, 5], "runs": runs})
    return [TaskGroup("heads", (Task(run, 4, run.name),)) for run in study.runs]


def test_several_labels_other_images_or_few_in_the_subset_leave_the_order() -> None:
    few: dict[str, Any] = {"fraction": 0.5}
    groups, other = frozen(a=few, b=few, c=few), frozen(a=few, b=few, c={**few, "data": "e"})

    def why(groups: list[TaskGroup], images: int, *, multi_label: bool = False) -> str:
        def split(data: Any, seed: int, subset: Subset) -> Any:
            assert (data.source, seed, subset) == ("d", 4, Subset(fraction=0.5))
            return SimpleNamespace(train=np.arange(60))

        resources = SimpleNamespace(split=split, dataset=lambda data: SimpleNamespace(multi_label=multi_label))
        return module._why_not(groups, images, cast(Any, SimpleNamespace(resources=resources)))

    assert why(groups, 30) == "" and why(groups, 31) == "60 training images are fewer than 2 × 31"
    assert why(groups, 30, multi_label=True) == "an image has several labels"
    assert why(other, 30) == "the networks see different images"


def test_a_network_is_scored_on_the_images_that_decode_and_on_each_half_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator, rows = np.random.default_rng(0), np.array([3, 5, 8, 13, 21, 30, 34, 38, 39])
    features, labels = generator.normal(size=(9, 2)), generator.integers(0, 2, 40)
    good = np.arange(9) != 4
    monkeypatch.setattr(module, "features_of_rows", lambda task, asked, resources: (features[asked == rows], good))
    resources = SimpleNamespace(dataset=lambda data: SimpleNamespace(labels=labels))
    (group,) = frozen(a={})
    found = module._scores(group.first, rows, cast(Any, SimpleNamespace(resources=resources)))
    parts = ([0, 1, 2, 3, 5, 6, 7, 8], [0, 2, 5, 7], [1, 3, 6, 8])
    single = features.astype(np.float32)
    assert found == pytest.approx([logme(single[part], labels[rows[part]]) for part in parts], abs=1e-6)


def test_a_network_that_another_run_trains_is_left_out_and_one_at_two_sizes_has_two_scores(
    many: Path, open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = study(many)["runs"]
    runs["tuned"] = {"backbone": "lenet5", "weights": "none", "strategy": "scratch", "recipe": {"epochs": 1}}
    runs["after"] = {"backbone": "lenet5", "weights": {"run": "tuned"}, "strategy": "ridge"}
    runs["conv4 large"] = {**runs["conv4"], "input_size": 64}
    monkeypatch.setattr(module, "pretrained", lambda group: pretrained(group) or "conv4" in group.first.run.name)
    monkeypatch.setattr(module, "FEWEST", 2)
    by_size = {32: (0.3, 0.0, 0.0), 64: (0.7, 1.0, 1.0)}
    monkeypatch.setattr(module, "_scores", lambda task, rows, session: by_size[task.run.spec.input_size])
    session = open_study(runs, data=str(many), budget="10min", proxy=30)
    order_by_proxy(session, 30, Budget(600.0))
    found = session.state.proxy or {}
    assert [row["network"] for row in found["networks"]] == ["conv4 (none, 64 px)", "conv4 (none, 32 px)"]
    assert [row["logme"] for row in found["networks"]] == [0.7, 0.3] and (found["pairs"], found["alike"]) == (1, 1)
    order = [group.first.run.name for group in session.plan.groups]
    assert order.index("conv4 large") < order.index("conv4") and order.index("tuned") < order.index("after")


def test_images_of_one_class_say_nothing_of_the_networks(
    many: Path, open_study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise DataError("all images are of one class")

    session, told = open_study(study(many)["runs"], data=str(many), budget="10min", proxy=30), Told()
    monkeypatch.setattr(module, "_scores", refused)
    session.listener, groups = told, session.plan.groups
    order_by_proxy(session, 30, Budget(600.0))
    assert session.plan.groups == groups and session.state.proxy is None
    why = "all images are of one class"
    assert told.notes == [f"no proxy pass: {why}; networks run in the order of the plan"]


def test_two_halves_order_a_pair_alike_if_both_put_the_same_network_first() -> None:
    groups = frozen(**{name: {"backbone": name} for name in "abcde"})
    names = [module._name(group.first) for group in groups]
    # by the first half: a < c < b < d = e; by the second: e < c < b < a < d. Alike: a-d, b-d, c-d and c-b
    scores = [(0.9, 0.1, 1.6), (0.8, 0.7, 1.5), (0.7, 0.3, 1.4), (0.6, 0.8, 1.9), (0.5, 0.8, 1.2)]
    found = module.facts(list(zip(groups, scores, strict=True)), 50)
    assert (found["images"], found["pairs"], found["alike"]) == (50, 10, 4)
    assert [(row["network"], row["logme"]) for row in found["networks"]] == list(
        zip(names, (0.9, 0.8, 0.7, 0.6, 0.5), strict=True)
    )


@pytest.mark.parametrize("within", [False, True])
def test_time_that_is_up_ends_the_proxy_within_a_network(within: bool, many: Path, open_study: OpenStudy) -> None:
    session = open_study(study(many)["runs"], data=str(many), budget="10min", proxy=30)
    groups, told, asked = session.plan.groups, Told(), []

    def watch() -> None:
        asked.append(1)
        raise OverBudget

    session.listener, session.resources.watch = told, watch
    order_by_proxy(session, 30, Budget(600.0 if within else 0.0))
    assert asked == [1] * within and session.plan.groups == groups and session.state.proxy is None
    took = "10 min" if within else "0 ms"
    why = f"its share of the budget, {took}, was not enough"
    assert told.notes == [f"no proxy pass: {why}; networks run in the order of the plan"]


@pytest.mark.long
def test_a_proxy_gets_half_of_the_budget_and_the_runs_all_that_is_left(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[Any] = []

    class Watching(Told):
        def running(self, run: str) -> None:
            super().running(run)
            watched.append(watched[0].watch.__self__.seconds)

    def proxy(session: Any, images: int, budget: Budget) -> None:
        assert session.resources.watch.__self__ is budget and images == 30
        watched.extend([session.resources, budget.seconds])

    monkeypatch.setattr("headstart.study.execution.budgeting.order_by_proxy", proxy)
    told = Watching()
    run_study(load_study(study(many, proxy=30)), tmp_path / "out", device="cpu", listener=told)
    _, share, *rest = watched
    assert 290 < share < 300 and rest == [600.0] * 4 and len(told.ran) == 4


def test_what_was_not_run_is_said_beside_the_order() -> None:
    proxy = {"images": 400, "networks": [{"network": "a (imagenet)", "logme": 0.5}], "pairs": 3, "alike": 2}
    left = [{"run": "b ridge", "seed": 0, "why": "over budget"}, {"run": "b ridge", "seed": 1, "why": "over budget"}]
    lines = proxy_lines(proxy, left)
    assert lines == [
        "The budget went to the most promising networks first, by LogME on 400 training images, more is better:"
        " a (imagenet): 0.500.",
        "Two halves of these images order 2 of 3 pairs of networks alike; by chance it would be half of them.",
        "Not run, in whole or in part: b ridge.",
    ]
    assert len(proxy_lines(proxy, [])) == 2


def test_a_proxy_without_a_budget_is_refused(pictures: Path) -> None:
    with pytest.raises(SpecError, match="proxy says on how many images a budget chooses"):
        load_study({**study(pictures, proxy=30), "budget": None})
