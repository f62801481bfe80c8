from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import SpecError
from headstart.study.spec.load import load_study

BASE = {"name": "s", "data": "somewhere"}


def names(runs: dict[str, object], **more: object) -> list[str]:
    return [run.name for run in load_study({**BASE, **more, "runs": runs}).runs]


def test_each_multiplies_into_runs_and_grid_into_choices() -> None:
    study = load_study(
        {
            **BASE,
            "runs": {
                "a": {
                    "backbone": {"each": ["x", "y"]},
                    "recipe": {"lr": {"grid": [1, 2]}, "momentum": {"grid": [0, 0.9]}},
                }
            },
        }
    )
    assert [run.name for run in study.runs] == ["a · x", "a · y"]
    assert study.runs[0].configurations() == [
        {("recipe", "lr"): 1, ("recipe", "momentum"): 0},
        {("recipe", "lr"): 1, ("recipe", "momentum"): 0.9},
        {("recipe", "lr"): 2, ("recipe", "momentum"): 0},
        {("recipe", "lr"): 2, ("recipe", "momentum"): 0.9},
    ]
    assert study.runs[1].with_values({("recipe", "lr"): 7}).recipe["lr"] == 7


def test_shots_and_fractions_are_axes() -> None:
    assert names({"a": {"shots": [1, 5, "all"]}}) == ["a · shots 1", "a · shots 5", "a · shots all"]
    assert names({"a": {"fraction": [0.1, 1.0]}}) == ["a · fraction 0.1", "a · fraction 1.0"]


def test_runs_come_after_those_they_start_from() -> None:
    assert names({"b": {"weights": {"run": "a"}}, "a": {}}) == ["a", "b"]


def test_weights_of_a_run_replace_those_of_the_defaults() -> None:
    study = load_study(
        {**BASE, "defaults": {"weights": {"path": "f.pt"}}, "runs": {"a": {}, "b": {"weights": {"run": "a"}}}}
    )
    assert study.run("b").spec.weights.run == "a" and study.run("b").spec.weights.path is None


def test_overrides_and_smoke_are_laid_on_the_file() -> None:
    raw = {**BASE, "defaults": {"recipe": {"lr": 1}}, "runs": {"a": {}}, "smoke": {"seeds": 1, "data": {"limit": 3}}}
    study = load_study({**raw, "data": {"source": "somewhere"}}, ["defaults.recipe.lr=0.5", "data.limit=9"], smoke=True)
    assert study.runs[0].spec.recipe["lr"] == 0.5
    assert (study.spec.seeds, study.spec.data.source, study.spec.data.limit) == (1, "somewhere", 9)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("name: s\ndata: d\nseedz: 3\nruns: {a: {}}\n", 3, "did you mean 'seeds'"),
        ("name: s\ndata:\n  source: d\n  splt: {}\nruns: {a: {}}\n", 4, "did you mean 'split'"),
        ("name: s\ndata: d\nruns:\n  a:\n    strategy: finetune\n", 5, "did you mean 'fine_tune'"),
        ("name: s\ndata: d\ndefaults:\n  backbon: x\nruns: {a: {}}\n", 4, "did you mean 'backbone'"),
        ("name: s\ndata: d\nruns:\n  a: {}\n  a: {}\n", 5, "is repeated (first in line 4)"),
        ("name: s\ndata: [d\n", 3, "not YAML"),
        ("name: s\ndata: d\nruns: 3\n", 3, "runs is a mapping, not 3"),
        ("name: s\ndata: d\nruns:\n  a: {recipe: {lr: {grid: []}}}\n", 4, "grid needs a list with at least one value"),
        (
            "name: s\ndata: d\nruns:\n  a:\n    strategy: ridge\n    trials: 0\n",
            6,
            "trials must be between 1 and 10,000",
        ),
        (
            "name: s\ndata: d\nruns:\n  a:\n    strategy: ridge\n    weights: {run: b}\n",
            6,
            "starts from unknown run 'b'",
        ),
        ("name: s\ndata: d\nruns:\n  a:\n    shots: [1, 5]\n    weights: {run: b}\n", 6, "starts from unknown run 'b'"),
        ("name: s\ndata: d\nruns:\n  a:\n    shots: [1, 5]\n    strategy: distil\n    teacher: b\n", 7, "learns from"),
        ("name: s\ndata: d\nruns:\n  a: {}\ncompare:\n  baseline: b\n", 6, "compare.baseline: unknown run 'b'"),
        ("name: s\ndata: d\nruns:\n  a:\n    strategy: distil\n    teacher: b\n", 6, "learns from unknown run or"),
        ("name: s\nruns: {a: {}}\ndata: d\nnetworks: [nothing]\n", 4, "nothing"),
    ],
)
def test_a_mistake_is_pointed_at_by_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_study(path)
    assert str(caught.value).startswith(str(path))
    assert f"line {line}" in str(caught.value) and says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        ({"a": {"recipe": {"lr": {"grid": []}}}}, "at least one value"),
        ({"a": {"recipe": {"lr": {"search": [2, 1]}}}}, "low < high"),
        ({"a": {"recipe": {"lr": {"search": {"low": 0, "high": 1, "log": True}}}}}, "low > 0"),
        ({"a": {"weights": {"run": "b"}}}, "unknown run 'b'"),
        ({"a": {"weights": {"run": "b"}}, "b": {"weights": {"run": "a"}}}, "circle"),
        ({"a": {"strategy": "scratch", "weights": "imagenet"}}, "weights: none"),
        ({"a": {"backbone": "pixels", "strategy": "fine_tune"}}, "no network to tune"),
        ({"a": {"strategy": "ridge", "freeze_until": "stage1"}}, "drop freeze_until"),
        ({"a": {"shots": 5, "fraction": 0.5}}, "exclude each other"),
        ({}, "at least 1"),
    ],
)
def test_impossible_combinations_are_refused(runs: dict[str, object], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        load_study({**BASE, "runs": runs})


CHAIN = {"source": {}, "carried": {"weights": {"run": "source"}}, "wide": {"shots": [1, 5]}}


@pytest.mark.parametrize("override", ["~runs.wide", "runs.wide=null", "runs.wide=~"])
def test_a_run_is_left_out_with_all_that_each_makes_of_it(override: str) -> None:
    study = load_study({**BASE, "runs": CHAIN}, [override])
    assert {run.name for run in study.runs} == {"source", "carried"}


def test_one_of_the_runs_that_each_makes_can_be_left_out() -> None:
    study = load_study({**BASE, "runs": CHAIN}, ["~runs.wide · shots 1"])
    assert {run.name for run in study.runs} == {"source", "carried", "wide · shots 5"}


def test_a_setting_of_a_run_can_still_be_set_to_null() -> None:
    study = load_study(
        {**BASE, "runs": {"a": {"freeze_until": "stage1", "strategy": "fine_tune"}}}, ["runs.a.freeze_until=null"]
    )
    assert study.run("a").spec.freeze_until is None


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ["~runs.source"],
            "'source' cannot be excluded, because other runs start or learn from it: 'carried'; exclude these too",
        ),
        (["~runs.surce"], "did you mean 'source'"),
        (["~wide"], "exclude a run with ~runs.NAME"),
        (
            ["~runs.wide", "compare.baseline=wide · shots 1"],
            "'wide' cannot be excluded, because the others are compared with it.*compare.baseline=null",
        ),
        (["~runs.source", "~runs.carried", "~runs.wide"], "every run is excluded"),
    ],
)
def test_a_run_that_is_needed_is_not_left_out(overrides: list[str], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        load_study({**BASE, "runs": CHAIN}, overrides)


def test_a_chain_is_left_out_whole() -> None:
    study = load_study({**BASE, "runs": CHAIN}, ["~runs.source", "~runs.carried"])
    assert [run.name for run in study.runs] == ["wide · shots 1", "wide · shots 5"]


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ({"low": 0.1, "high": float("inf")}, "low < high"),
        ({"low": 1, "high": 5, "step": 0}, "step must be above 0"),
        ({"low": 1, "high": 5, "step": 9}, "at most 4"),
        ({"choices": []}, "at least one value"),
        (["a", "b"], "low < high"),
    ],
)
def test_ranges_that_cannot_be_are_refused(search: object, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        load_study({**BASE, "runs": {"a": {"strategy": "fine_tune", "recipe": {"lr": {"search": search}}}}})


def test_an_override_sets_one_key_and_leaves_the_mapping_alone() -> None:
    raw = {**BASE, "runs": {"a": {"recipe": {"lr": 1}}}}
    study = load_study(raw, ["runs.a.recipe.epochs=4", "data.limit=2", "seeds=[3, 5]", "question='a = b'"])
    assert study.runs[0].spec.recipe == {"lr": 1, "epochs": 4}
    assert (study.spec.data.source, study.spec.data.limit) == ("somewhere", 2)
    assert (study.spec.seed_list, study.spec.question) == ([3, 5], "a = b")
    assert raw == {**BASE, "runs": {"a": {"recipe": {"lr": 1}}}}
    assert load_study(raw, ["data=elsewhere"]).spec.data.source == "elsewhere"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seeds", "write an override as key=value"),
        ("=5", "write an override as key=value"),
        ("seeds=[", "the value is not YAML"),
    ],
)
def test_an_override_is_a_key_and_a_value(override: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        load_study({**BASE, "runs": {"a": {}}}, [override])


def test_names_of_runs_show_the_values_of_each() -> None:
    weights = [{"path": "w.pt"}, "none"]
    runs = {
        "a": {"weights": {"each": weights}},
        "b": {"strategy": "fine_tune", "recipe": {"lr": {"each": [0.1, 1]}}},
        "c": {"strategy": "fine_tune", "train_only": {"each": [["s1", "s2"], []]}},
        "d": {"backbone": {"each": ["x", "y"]}, "shots": [1, "all"]},
        "e": {"head": {"each": [{"C": 1, "normalise": "l2"}]}},
        "f": {"data": {"source": "d", "split": {"test": {"each": [0.1, 0.3]}}}},
    }
    assert names(runs) == [
        "a · w.pt",
        "a · none",
        "b · lr 0.1",
        "b · lr 1",
        "c · s1+s2",
        "c · none",
        "d · x · shots 1",
        "d · x · shots all",
        "d · y · shots 1",
        "d · y · shots all",
        "e · 1 l2",
        "f · test 0.1",
        "f · test 0.3",
    ]


def test_a_run_keeps_its_axes_trials_metric_and_data() -> None:
    runs = {"a": {"shots": [1, 2], "trials": 7}, "b": {"data": "other", "head": {"C": {"grid": [1]}}}}
    study = load_study({**BASE, "compare": {"metric": "f1_macro"}, "runs": runs})
    first, last = study.runs[0], study.runs[-1]
    assert (first.axes, first.trials, first.metric, first.data.source) == ({"shots": 1}, 7, "f1_macro", "somewhere")
    assert (last.axes, last.trials, last.data.source) == ({}, 20, "other")
    assert [choice.values for choice in last.choices] == [(1,)]


@pytest.mark.parametrize("trials", [0, -1, 2.5, "many"])
def test_trials_are_a_whole_number_above_zero(trials: object) -> None:
    with pytest.raises(SpecError, match="run 'a': trials must be between 1 and 10,000, not"):
        load_study({**BASE, "runs": {"a": {"trials": trials}}})
    assert load_study({**BASE, "runs": {"a": {"trials": 1}}}).runs[0].trials == 1


def test_every_candidate_of_a_grid_is_checked() -> None:
    with pytest.raises(SpecError, match="unknown strategy 'rigde'"):
        load_study({**BASE, "runs": {"a": {"strategy": {"grid": ["ridge", "rigde"]}}}})


def test_unusable_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such study file"):
        load_study(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match=r"is a folder, not a study file|cannot read this study file"):
        load_study(tmp_path)
    listed = tmp_path / "list.yaml"
    listed.write_text("- a\n")
    with pytest.raises(SpecError, match="a study file is a mapping with name, data and runs; this one is a list"):
        load_study(listed)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: é".encode("latin-1"))
    with pytest.raises(SpecError, match=r"is a folder, not a study file|cannot read this study file"):
        load_study(latin)


def test_a_study_keeps_its_text_and_its_file(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: s\ndata: d\nruns: {a: {}}  # a comment\n")
    study = load_study(path)
    assert (study.source, study.file) == (path.read_text(), str(path))
    assert (load_study({**BASE, "runs": {"a": {}}}).source) == "name: s\ndata: somewhere\nruns:\n  a: {}\n"


def test_names_must_be_known_and_different() -> None:
    with pytest.raises(SpecError, match="two runs are named 'a · x'"):
        load_study({**BASE, "runs": {"a": {"backbone": {"each": ["x"]}}, "a · x": {}}})
    with pytest.raises(SpecError, match=r"compare\.baseline: unknown run 'b'"):
        load_study({**BASE, "compare": {"baseline": "b"}, "runs": {"a": {}}})


def test_long_chains_are_ordered_and_others_keep_their_place() -> None:
    runs: dict[str, object] = {
        "c": {"weights": {"run": "b"}},
        "x": {},
        "b": {"weights": {"run": "a"}},
        "a": {},
        "y": {},
    }
    assert names(runs) == ["x", "a", "y", "b", "c"]


def test_the_smoke_block_is_not_applied_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    raw = {**BASE, "runs": {"a": {}}, "smoke": {"seeds": 1}}
    assert (load_study(raw).spec.seeds, load_study(raw, smoke=True).spec.seeds) == (3, 1)
    assert capsys.readouterr().err == ""
    whole = load_study({**BASE, "runs": {"a": {}}}, smoke=True).spec
    assert (whole.seeds, whole.name) == (3, BASE["name"])
    assert "has no smoke block, so its small form is the whole study" in capsys.readouterr().err
    assert load_study(raw, smoke=True).spec.name == f"{BASE['name']}-smoke"  # its results overwrite nothing
    assert load_study({**raw, "smoke": {"name": "quick"}}, smoke=True).spec.name == "quick"


def test_a_smoke_block_that_is_none_is_pointed_at_by_line(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: s\ndata: d\nruns: {a: {}}\nsmoke: 3\n")
    with pytest.raises(SpecError) as caught:
        load_study(tmp_path / "s.yaml", smoke=True)
    assert str(caught.value) == f"{tmp_path / 's.yaml'}, line 4: smoke is a mapping, not 3"


def test_a_run_with_a_dot_in_its_name_can_be_excluded() -> None:
    study = load_study({**BASE, "runs": {"a.b": {}, "c": {}}}, ["runs.a.b=null"])
    assert [run.name for run in study.runs] == ["c"]


FILE = "name: a\ndata: photos\nseeds: 2\nruns:\n  probe: {backbone: pixels, strategy: ridge, head: {penalty: 1}}\n"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("runs.probe.strategey=ridge", "study.yaml, override runs.probe.strategey=ridge: unknown key 'strategey'"),
        ("seeds=abc", "study.yaml, override seeds=abc: seeds: expected a whole number or a list, such as [a, b]"),
        ("name=../up", "study.yaml, override name=../up: name: '../up' cannot name a folder: begin with a letter"),
        ("runs.probe.shots=0", "study.yaml, override runs.probe.shots=0: "),
        ("budget=soon", "study.yaml, override budget=soon: budget: 'soon' is not a duration"),
    ],
)
def test_what_is_wrong_with_an_override_is_said_of_it(tmp_path: Path, override: str, says: str) -> None:
    (tmp_path / "study.yaml").write_text(FILE)
    with pytest.raises(SpecError) as caught:
        load_study(tmp_path / "study.yaml", [override])
    assert says in str(caught.value)


def test_the_place_of_a_run_names_what_was_typed_for_it(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(FILE)
    run = load_study(tmp_path / "study.yaml", ["runs.probe.head={normalise: l2}", "seeds=1"]).runs[0]
    assert run.place == f"{tmp_path / 'study.yaml'}, line 5, with runs.probe.head={{normalise: l2}}"


def test_an_override_leaves_the_lines_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(FILE.replace("ridge,", "rigde,"))
    with pytest.raises(SpecError, match=r"study\.yaml, line 5: "):
        load_study(tmp_path / "study.yaml", ["seeds=3"])


def test_what_is_no_study_file_is_refused_with_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    with pytest.raises(SpecError, match=r"this one is empty$"):
        load_study(tmp_path / "empty.yaml")
    (tmp_path / "word.yaml").write_text("photos")
    with pytest.raises(SpecError, match=r"this one is a single value$"):
        load_study(tmp_path / "word.yaml")
    with pytest.raises(SpecError, match=r"is a folder, not a study file; .*: headstart compare "):
        load_study(tmp_path)
