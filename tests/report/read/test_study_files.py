from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_study import npz, write_run_folder

from headstart.errors import StoreError
from headstart.report.read.study_files import read_record, read_study_folder
from headstart.study.results.facts import write_facts


def test_every_run_and_seed_is_read_in_the_order_of_the_study(tiny: Path) -> None:
    files = read_study_folder(tiny)
    assert [(r.run, r.seed) for r in files.records] == [
        ("prototypes", 0),
        ("prototypes", 1),
        ("ridge", 0),
        ("ridge", 1),
    ]
    assert files.missing == ()


def test_an_outcome_says_what_the_probabilities_say(tiny: Path) -> None:
    record = read_study_folder(tiny).records[0]
    with np.load(record.folder / "predictions.npz") as file:
        chances, labels = file["test_probabilities"], file["test_labels"]
    assert record.outcome is not None
    np.testing.assert_array_equal(record.outcome.predicted, chances.argmax(1))
    np.testing.assert_array_equal(record.outcome.correct, chances.argmax(1) == labels)
    own = chances[np.arange(len(labels)), labels].astype(np.float64)
    np.testing.assert_allclose(record.outcome.own, own)
    assert record.outcome.scores is None and record.outcome.chances is None
    loss = read_record(record.folder, "log_loss").outcome
    assert loss is not None and loss.scores is not None and loss.chances is None
    np.testing.assert_allclose(loss.scores, -np.log(own), rtol=1e-5, atol=2e-7)


def test_a_metric_that_weighs_the_images_by_their_classes_keeps_the_probabilities(tiny: Path) -> None:
    found = read_record(read_study_folder(tiny).records[0].folder, "balanced_accuracy").outcome
    assert found is not None and found.scores is None and found.chances is not None


def test_an_altered_file_is_named(tiny: Path) -> None:
    path = tiny / "runs" / "ridge" / "seed-1" / "result.json"
    path.write_text(path.read_text().replace("0", "1", 1))
    with pytest.raises(StoreError, match=r"ridge/seed-1/result\.json: was altered"):
        read_study_folder(tiny)


@pytest.mark.parametrize("name", ["dataset.json", "audit.json"])
def test_intact_facts_of_something_else_are_refused(tiny: Path, name: str) -> None:
    (folder,) = tiny.glob("data/*")
    path = folder / name
    facts = json.loads(path.read_text()) if path.exists() else {}
    write_facts(path, {**facts, "fingerprint": "another", "key": "another"})
    with pytest.raises(StoreError, match=r"describes something else; run the study again"):
        read_study_folder(tiny)


def test_a_missing_file_is_named(tiny: Path) -> None:
    (tiny / "runs" / "ridge" / "seed-0" / "predictions.npz").unlink()
    with pytest.raises(StoreError, match=r"ridge/seed-0/predictions\.npz: is missing"):
        read_study_folder(tiny)


def test_a_run_without_its_manifest_is_refused_once_the_study_is_complete(tiny: Path) -> None:
    (tiny / "runs" / "ridge" / "seed-0" / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"seed-0: manifest\.json is missing"):
        read_study_folder(tiny)


def test_a_run_without_its_manifest_is_awaited_while_the_study_runs(tiny: Path) -> None:
    _set_status(tiny, "running")
    (tiny / "runs" / "ridge" / "seed-0" / "manifest.json").unlink()
    assert read_study_folder(tiny).missing == (("ridge", 0),)


def test_predictions_that_are_no_arrays_are_named(tiny: Path) -> None:
    folder = tiny / "runs" / "ridge" / "seed-0"
    content = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "manifest.json"}
    write_run_folder(folder, content | {"predictions.npz": b"no arrays"})
    with pytest.raises(StoreError, match=r"predictions\.npz: cannot be read"):
        read_study_folder(tiny)


def test_predictions_without_probabilities_are_named(tiny: Path) -> None:
    folder = tiny / "runs" / "ridge" / "seed-0"
    content = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "manifest.json"}
    write_run_folder(folder, content | {"predictions.npz": npz(test_rows=np.arange(3), test_labels=np.arange(3))})
    with pytest.raises(StoreError, match="has no test_probabilities"):
        read_study_folder(tiny)


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no study here"):
        read_study_folder(tmp_path)


def test_work_in_progress_beside_the_runs_is_ignored(tiny: Path) -> None:
    shutil.copytree(tiny / "runs" / "ridge" / "seed-0", tiny / "runs" / "ridge" / ".seed-0.17.tmp")
    assert len(read_study_folder(tiny).records) == 4


def test_a_run_under_the_folder_name_of_an_older_version_counts_once(tiny: Path) -> None:
    for older in ("Ridge", "a-ridge", "z-ridge"):
        shutil.copytree(tiny / "runs" / "ridge", tiny / "runs" / older)
    found = [record.folder.parent.name for record in read_study_folder(tiny).records if record.run == "ridge"]
    assert found == ["ridge", "ridge"]
    shutil.rmtree(tiny / "runs" / "ridge")
    assert len([record for record in read_study_folder(tiny).records if record.run == "ridge"]) == 2


def test_multi_label_predictions_count_as_right_where_every_label_is(tiny: Path) -> None:
    folder = tiny / "runs" / "ridge" / "seed-0"
    content = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "manifest.json"}
    labels = np.array([[1, 0, 1], [0, 1, 0]], dtype=bool)
    chances = np.array([[0.9, 0.1, 0.8], [0.9, 0.6, 0.2]], dtype=np.float32)
    arrays = npz(test_rows=np.arange(2), test_labels=labels, test_probabilities=chances)
    write_run_folder(folder, content | {"predictions.npz": arrays})
    outcome = next(r for r in read_study_folder(tiny).records if r.folder == folder).outcome
    assert outcome is not None
    assert outcome.multi_label
    assert outcome.correct.tolist() == [True, False]


def _set_status(study: Path, status: str) -> None:
    facts = json.loads((study / "study.json").read_text())
    (study / "study.json").write_text(json.dumps(facts | {"status": status}))
