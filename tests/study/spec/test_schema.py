from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study.spec import schema
from headstart.study.spec.schema import (
    DataSpec,
    EpisodesSpec,
    ExplainSpec,
    HalvingSpec,
    RunSpec,
    SimilaritySpec,
    SplitSpec,
    StudySpec,
    WeightsSpec,
)
from headstart.study.spec.validation import validate

BASE = {"name": "s", "data": "d", "runs": {"a": {}}}


def refusal(kind: Any, value: Any) -> str:
    with pytest.raises(SpecError) as caught:
        validate(kind, value, name="f", at=(), lines={})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_the_documented_ones() -> None:
    study = StudySpec.model_validate(BASE)
    assert (study.seeds, study.seed_list, study.audit, study.budget, study.halving) == (3, [0, 1, 2], True, None, None)
    assert (study.compare.baseline, study.compare.metric) == (None, "accuracy")
    assert (study.explain.mistakes, study.explain.methods, study.explain.images) == (0, ["lime", "grad_cam"], 6)
    assert (study.data.source, study.data.strict, study.data.drop_duplicates) == ("d", False, False)
    split = SplitSpec()
    assert (split.given, split.validation, split.test, split.folds, split.fold, split.seed) == (
        True,
        0.2,
        0.2,
        None,
        None,
        0,
    )
    run = RunSpec()
    assert (run.backbone, run.weights.name, run.strategy) == ("efficientnet_lite0", "imagenet", "linear_probe")
    episodes = EpisodesSpec()
    assert (episodes.ways, episodes.shots, episodes.queries, episodes.episodes) == (5, 5, 15, 1000)
    assert (episodes.method, episodes.split) == ("prototypes", "random")
    halving = HalvingSpec()
    assert (halving.eta, halving.rungs, halving.over, halving.runs) == (3, 2, "labels", None)
    assert (SimilaritySpec().images, SimilaritySpec().sources, SimilaritySpec().stages) == (2000, [], [])


def test_short_forms_stand_for_long_ones() -> None:
    assert StudySpec.model_validate({**BASE, "explain": 4}).explain == ExplainSpec(mistakes=4)
    assert RunSpec.model_validate({"weights": None}).weights == WeightsSpec(name="none")
    assert RunSpec.model_validate({"weights": "x"}).weights == WeightsSpec(name="x")
    assert RunSpec.model_validate({"weights": {"path": "p"}}).weights == WeightsSpec(path="p")
    assert RunSpec.model_validate({"data": "d"}).data == DataSpec(source="d")
    assert RunSpec.model_validate({"strategy": "scratch"}).weights.name == "none"
    assert StudySpec.model_validate({**BASE, "seeds": [4, 2]}).seed_list == [4, 2]


def test_paths_may_name_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/disk")
    assert DataSpec(source="$PLACE/photos").source == "/disk/photos"
    assert WeightsSpec(path="$PLACE/w.pt").path == "/disk/w.pt"


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, "logistic"),
        ({"recipe": {"lr": 1}}, "sgd"),
        ({"recipe": {"augment": ["rotate"]}}, None),
        ({"strategy": "ridge"}, "ridge"),
        ({"strategy": "majority"}, "majority"),
        ({"strategy": "fine_tune"}, None),
        ({"strategy": "as_is", "weights": {"run": "b"}}, None),
    ],
)
def test_the_head_follows_from_strategy_and_recipe(settings: dict[str, Any], kind: str | None) -> None:
    assert RunSpec.model_validate(settings).head_kind == kind


@pytest.mark.parametrize(
    ("settings", "baseline"),
    [({}, False), ({"strategy": "majority"}, True), ({"backbone": "pixels"}, True), ({"strategy": "ridge"}, False)],
)
def test_baselines_have_no_network_or_ignore_the_images(settings: dict[str, Any], baseline: bool) -> None:
    assert RunSpec.model_validate(settings).is_baseline is baseline


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (SplitSpec, {"validation": 1.0}, "f: validation: Input should be less than 1"),
        (SplitSpec, {"test": -0.1}, "f: test: Input should be greater than or equal to 0"),
        (SplitSpec, {"folds": 1}, "folds: Input should be greater than or equal to 2"),
        (SplitSpec, {"fold": -1}, "fold"),
        (DataSpec, {"source": "d", "limit": 0}, "limit: Input should be greater than or equal to 1"),
        (DataSpec, {}, "f: source is missing"),
        (WeightsSpec, {}, "f: weights need exactly one of name, path or run"),
        (WeightsSpec, {"name": "a", "run": "b"}, "weights need exactly one of name, path or run"),
        (EpisodesSpec, {"ways": 1}, "ways: Input should be greater than or equal to 2"),
        (EpisodesSpec, {"shots": 0}, "shots: "),
        (EpisodesSpec, {"queries": 0}, "queries: "),
        (EpisodesSpec, {"episodes": 0}, "episodes: "),
        (HalvingSpec, {"eta": 1}, "eta: Input should be greater than or equal to 2"),
        (HalvingSpec, {"rungs": 0}, "rungs: "),
        (HalvingSpec, {"rungs": 9}, "rungs: Input should be less than or equal to 8"),
        (HalvingSpec, {"runs": ["a"]}, "runs: List should have at least 2 items"),
        (SimilaritySpec, {"images": 7}, "images: Input should be greater than or equal to 8"),
        (SimilaritySpec, {"stages": [["a"]]}, "stages.0: List should have at least 2 items"),
        (RunSpec, {"layer_decay": 0}, "layer_decay: Input should be greater than 0"),
        (RunSpec, {"layer_decay": 1.1}, "layer_decay: Input should be less than or equal to 1"),
        (RunSpec, {"input_size": 7}, "input_size: Input should be greater than or equal to 8"),
        (RunSpec, {"fraction": 0}, "fraction: Input should be greater than 0"),
        (RunSpec, {"fraction": 1.5}, "fraction: Input should be less than or equal to 1"),
        (RunSpec, {"shots": 0}, "shots"),
        (RunSpec, {"refit": "some"}, "refit: Input should be 'train+validation' or 'none'"),
        (RunSpec, {"refit": "all"}, "refit: 'all' is a setting of the study; write `refit: all` beside `runs`"),
        (RunSpec, {"strategy": "ridg"}, "unknown strategy 'ridg'; did you mean 'ridge'"),
        (RunSpec, {"strategy": "protonet"}, "strategy 'protonet' trains for episodes; describe them"),
        (RunSpec, {"backbone": "pixels", "strategy": "scratch"}, "backbone 'pixels' has no network to tune"),
        (RunSpec, {"strategy": "scratch", "weights": "imagenet"}, "set weights: none"),
        (RunSpec, {"strategy": "as_is"}, "set weights: {run: NAME}, and drop episodes"),
        (RunSpec, {"strategy": "as_is", "weights": {"run": "b"}, "episodes": {}}, "and drop episodes"),
        (RunSpec, {"strategy": "knn", "train_only": ["a"]}, "drop freeze_until and train_only"),
        (RunSpec, {"strategy": "knn", "freeze_until": "a"}, "drop freeze_until and train_only"),
        (RunSpec, {"shots": 1, "fraction": 0.5}, "shots and fraction exclude each other"),
        (StudySpec, {**BASE, "seeds": 0}, "seeds"),
        (StudySpec, {**BASE, "seeds": []}, "seeds must be a number, or a list of different seeds"),
        (StudySpec, {**BASE, "seeds": [1, 1]}, "seeds must be a number, or a list of different seeds"),
        (StudySpec, {**BASE, "name": "../up"}, "cannot name a folder: begin with a letter or a digit"),
        (StudySpec, {**BASE, "name": "n" * 81}, "name: String should have at most 80 characters"),
        (StudySpec, {**BASE, "runs": {}}, "runs: Dictionary should have at least 1 item"),
        (StudySpec, {**BASE, "ensembles": {"e": ["a"]}}, "ensembles.e: List should have at least 2 items"),
        (StudySpec, {**BASE, "explain": {"methods": ["lim"]}}, "did you mean 'lime'"),
        (StudySpec, {**BASE, "explain": {"methods": []}}, "explain.methods: List should have at least 1 item"),
        (StudySpec, {**BASE, "compare": {"metric": "acuracy"}}, "did you mean 'accuracy'"),
        (StudySpec, {**BASE, "budget": "soon"}, "'soon' is not a duration"),
        (StudySpec, {**BASE, "data": {"source": "d", "split": {"tst": 1}}}, "unknown key 'tst'; did you mean 'test'"),
        (StudySpec, {**BASE, "halving": {"etta": 2}}, "unknown key 'etta'; did you mean 'eta'"),
    ],
)
def test_an_invalid_value_is_one_line_with_its_key(kind: Any, value: dict[str, Any], says: str) -> None:
    assert says in refusal(kind, value)


def test_bounds_are_inside() -> None:
    assert SplitSpec(validation=0, test=0, folds=2, fold=0).folds == 2
    assert DataSpec(source="d", limit=1, classes=2).limit == 1
    assert RunSpec(layer_decay=1, input_size=8, resize=8, fraction=1, lora_rank=1, thaw_every=1, views=0).views == 0
    assert RunSpec(shots=1, probe_epochs=0, lora_alpha=0.1).shots == 1
    assert EpisodesSpec(ways=2, shots=1, queries=1, episodes=1).ways == 2
    assert HalvingSpec(eta=2, rungs=8, runs=["a", "b"]).rungs == 8 and HalvingSpec(rungs=1).rungs == 1
    assert SimilaritySpec(images=8).images == 8
    assert StudySpec.model_validate({**BASE, "seeds": 1, "name": "n" * 80}).seed_list == [0]


@pytest.mark.parametrize(
    ("given", "refit"),
    [
        ({}, None),
        ({"shots": "all"}, None),
        ({"fraction": 1}, None),
        ({"shots": 5}, "none"),
        ({"fraction": 0.1}, "none"),
        ({"shots": 5, "refit": "train+validation"}, "train+validation"),
    ],
)
def test_a_run_with_few_labels_learns_from_no_others_unless_asked_to(given: dict[str, Any], refit: str | None) -> None:
    assert RunSpec(strategy="logistic", **given).refit == refit


def test_every_key_of_a_study_file_is_in_the_documentation() -> None:
    docs = Path(__file__).parents[3] / "docs"
    pages = "\n".join(page.read_text(encoding="utf-8") for page in docs.glob("*.md"))
    table = (docs / "study-files.md").read_text(encoding="utf-8")
    specs = {found for found in vars(schema).values() if isinstance(found, type) and issubclass(found, schema.Spec)}
    assert {schema.StudySpec, schema.RunSpec, schema.DataSpec, schema.EpisodesSpec} <= specs
    for spec in specs:
        text = table if spec in (schema.StudySpec, schema.RunSpec) else pages
        quoted = r"`[^`\n]*\b{}\b[^`\n]*`" if text is table else r"[`.{{ \n]{}[`:,]"
        absent = [key for key in spec.model_fields if not re.search(quoted.format(key), text)]
        assert absent == [], spec.__name__
    assert [key for key in schema.DataSpec.model_fields if f"`data.{key}`" not in table] == []
