from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.errors import ModelError
from headstart.study.results.folder import StudyFolder
from headstart.study.results.tested import find_tested, names_of, single_network


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return the folder of a study with one run of four images: two learned, one chosen on, one tested."""
    root = tmp_path / "study"
    run, data = root / "runs" / "probe" / "seed-0", root / "data" / "f00d"
    for folder in (run, data):
        folder.mkdir(parents=True)
    facts: dict[str, Any] = {"best": {"folder": "runs/probe/seed-0"}, "compare": {"metric": "f1_macro"}}
    (root / "study.json").write_text(json.dumps(facts))
    (run / "spec.json").write_text(json.dumps({"run": "probe", "data": {"name": "birds", "fingerprint": "f00d"}}))
    (run / "result.json").write_text(json.dumps({"metrics": {"test": {"accuracy": {"value": 0.5}}}}))
    np.savez(run / "split.npz", train=[0, 2], validation=[3], test=[1])
    pq.write_table(pa.table({"digest": ["a", "b", "c", "d"]}), data / "items.parquet")
    return root


def test_a_study_a_run_and_their_files_say_the_same(study: Path) -> None:
    run = study / "runs" / "probe" / "seed-0"
    for place in (study, study / "model.safetensors", run, run / "head.safetensors"):
        found = find_tested(place)
        assert found is not None
        assert (found.run, found.dataset, found.metric, found.folder) == ("probe", "birds", "f1_macro", run)
        assert found.metrics["accuracy"]["value"] == 0.5
        assert found.learned == {"a", "c", "d"} and found.test == {"b"}


def test_a_file_outside_of_a_study_says_nothing(study: Path, tmp_path: Path) -> None:
    assert find_tested(tmp_path / "model.safetensors") is None
    assert find_tested(study / "data" / "f00d") is None


def test_a_study_without_a_kept_model_says_nothing(study: Path) -> None:
    (study / "study.json").write_text(json.dumps({"best": None}))
    assert find_tested(study) is None
    assert find_tested(study / "runs" / "probe" / "seed-0") is not None


def test_digests_that_were_not_kept_are_empty(study: Path) -> None:
    pq.write_table(pa.table({"row": [0, 1, 2, 3]}), study / "data" / "f00d" / "items.parquet")
    found = find_tested(study)
    assert found is not None and found.learned == frozenset() == found.test


def test_of_an_ensemble_s_study_the_best_network_is_taken(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study")
    folder.root.mkdir()
    folder.write_study({"best": {"folder": "runs/both"}, "best_network": {"folder": "runs/ridge/seed-1"}})
    assert single_network(folder.root) == folder.root / "runs/ridge/seed-1"
    folder.write_study({"best": {"folder": "runs/ridge/seed-1"}})
    assert single_network(folder.root) == folder.root
    assert single_network(tmp_path / "model.safetensors") == tmp_path / "model.safetensors"


def test_a_model_is_named_by_its_run_or_by_as_much_of_its_path_as_tells_it_from_the_others(tmp_path: Path) -> None:
    ridge, knn = (tmp_path / "a" / "runs" / run / "seed-0" for run in ("ridge", "knn"))
    assert names_of([ridge, str(knn)]) == {"ridge": ridge, "knn": str(knn)}
    files = [tmp_path / study / "model.safetensors" for study in ("a", "b")]
    assert list(names_of(files)) == ["a/model.safetensors", "b/model.safetensors"]
    with pytest.raises(ModelError, match="given twice"):
        names_of([ridge, tmp_path / "a" / ".." / "a" / "runs" / "ridge" / "seed-0"])
