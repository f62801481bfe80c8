"""Source and target measured inside a study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import SpecError
from headstart.evaluate.similarity import frechet_distance
from headstart.storage.opening import default_store
from headstart.study.resources import Resources
from headstart.study.spec.load import load_study
from headstart.study.spec.schema import ExplainSpec
from tests.study.analysis.conftest import Finished, run


@pytest.mark.long
def test_distances_are_those_of_the_features_and_larger_than_within_the_target(finished: Finished) -> None:
    rows = json.loads((finished.root / "similarity.json").read_text())["frechet"]
    assert [row["network"] for row in rows] == ["lenet5, none", "lenet5, source"]
    assert all(row["n"] == 14 and row["source"] == "dark" and row["target"] == "pictures" for row in rows)
    assert all(row["distance"] > row["within_target"] > 0 for row in rows)  # darker pictures are another kind
    loaded = load_study(finished.spec)
    resources, own = Resources(default_store(), "cpu"), loaded.run("random")
    features = resources.features(own.data, own.network, 0).reshape(42, -1)
    split = resources.split(own.data, 0, own.subset)
    learning = np.sort(np.concatenate([split.train, split.validation]))
    chosen = np.sort(np.random.default_rng(0).permutation(learning)[:28])
    mixed = np.random.default_rng(1).permutation(28)
    assert not set(chosen) & set(split.test)
    expected = frechet_distance(features[chosen][mixed[14:]], features[chosen][mixed[:14]])
    assert rows[0]["within_target"] == pytest.approx(expected, rel=1e-6)


def test_a_network_is_like_itself_stage_by_stage(finished: Finished) -> None:
    pairs = json.loads((finished.root / "similarity.json").read_text())["stages"]
    other, same = pairs
    assert same["runs"] == ["source", "source"] and same["first"] == same["second"] == other["first"]
    assert np.allclose(np.diag(same["cka"]), 1.0)
    assert np.diag(other["cka"])[-1] < 0.999
    assert other["n"] == 14


def test_a_second_run_measures_and_draws_nothing_again(finished: Finished, tmp_path: Path) -> None:
    study = finished.changed()
    root = Path(shutil.copytree(finished.root, tmp_path / "out" / finished.root.name))
    before = {name: (root / name).stat().st_mtime_ns for name in ("similarity.json", "explained.json")}
    run(study, tmp_path / "out")
    assert before == {name: (root / name).stat().st_mtime_ns for name in before}
    study["similarity"]["images"] = 12
    run(study, tmp_path / "out")
    assert (root / "similarity.json").stat().st_mtime_ns > before["similarity.json"]
    assert (root / "explained.json").stat().st_mtime_ns == before["explained.json"]


def test_transferability_is_scored_again_when_a_run_is_added(finished: Finished, tmp_path: Path) -> None:
    study = finished.changed()
    root = run(study, tmp_path / "out", "similarity=null", "explain=0")
    before = json.loads((root / "transferability.json").read_text())
    study["runs"]["cut"] = {"strategy": "ridge", "truncate_at": "conv1"}
    root = run(study, tmp_path / "out", "similarity=null", "explain=0")
    after = json.loads((root / "transferability.json").read_text())
    assert (len(before["rows"]), len(after["rows"])) == (2, 3)


def test_a_number_under_explain_asks_for_mistakes(study: dict[str, Any]) -> None:
    assert load_study(study, ["explain=3"]).spec.explain == ExplainSpec(mistakes=3)
    assert load_study(study, ["explain.mistakes=3"]).spec.explain.pairs == [["carried", "scratch"]]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("explain.pairs=[[carried, scrach]]", "explain.pairs: unknown run 'scrach'; did you mean 'scratch'"),
        ("explain.pairs=[[carried, pixels]]", "'pixels' has no network"),
        ("explain.pairs=[[source, scratch]]", "no test images in common"),
        ("explain.pairs=[[source]]", "at least 2"),
        ("explain.methods=[lim]", "did you mean 'lime'"),
        ("similarity.sources=[carried]", "learns from the study's own images"),
        ("similarity.stages=[[source, elsewhere]]", "similarity.stages: unknown run 'elsewhere'"),
        ("similarity.imags=3", "did you mean 'images'"),
    ],
)
def test_what_cannot_be_is_refused_when_the_file_is_read(study: dict[str, Any], override: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        load_study(study, [override])
