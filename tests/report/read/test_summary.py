from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_study import RUNS, make_study, npz, write_run_folder

from headstart.report.read.summary import load_summary


def test_the_ranking_agrees_with_the_predictions(study: Path) -> None:
    summary = load_summary(study)
    records = [r for r in summary.files.records if r.run == "ridge"]
    mean = np.mean([r.outcome.correct.mean() for r in records if r.outcome is not None])
    row = next(row for row in summary.ranking() if row["run"] == "ridge")
    assert row["mean"] == pytest.approx(mean)
    assert row["low"] < mean < row["high"]
    assert row["seeds"] == 2
    assert [r["rank"] for r in summary.ranking()] == list(range(1, 15))


def test_the_summary_is_plain_json(study: Path) -> None:
    value = load_summary(study).to_dict()
    assert json.loads(json.dumps(value))["name"] == "caltech-fake"


def test_the_answer_names_the_best_and_says_when_others_are_tied(study: Path) -> None:
    summary = load_summary(study)
    text = summary.to_dict()["findings"]
    assert text.startswith(summary.boards[0].runs[0])
    tied = [row["run"] for row in summary.ranking()[1:] if row["tied_with_best"]]
    assert ("tied with" in text) == bool(tied)
    assert " is better than the baseline raw pixels, by +" in text


def test_a_clear_winner_is_called_better(tmp_path: Path) -> None:
    place = make_study(tmp_path, (RUNS[0], RUNS[5]), classes=5, per_class=40, seeds=2, draws=10)
    answer = load_summary(place).to_dict()["findings"]
    assert answer.startswith("logistic is best with")
    assert "It is better than raw pixels, by +" in answer


def test_a_running_study_is_marked_as_provisional(tiny: Path) -> None:
    for run in ("prototypes", "ridge"):
        shutil.rmtree(tiny / "runs" / run / "seed-1")
    facts = json.loads((tiny / "study.json").read_text())
    (tiny / "study.json").write_text(json.dumps(facts | {"status": "running"}))
    summary = load_summary(tiny)
    assert summary.partial
    assert summary.missing == (("prototypes", 1), ("ridge", 1))
    assert summary.to_dict()["answer"].startswith("So far: ")


def test_a_study_without_results_has_no_answer(tiny: Path) -> None:
    shutil.rmtree(tiny / "runs")
    summary = load_summary(tiny)
    assert summary.ranking() == []
    assert "No run has finished" in summary.to_dict()["answer"]


def test_a_failed_run_is_listed_with_its_reason(tiny: Path) -> None:
    for seed in (0, 1):
        folder = tiny / "runs" / "ridge" / f"seed-{seed}"
        spec = (folder / "spec.json").read_bytes()
        shutil.rmtree(folder)
        write_run_folder(folder, {"spec.json": spec, "history.json": b"[]"}, error="the loss became NaN in epoch 3")
    summary = load_summary(tiny)
    assert [(f.run, f.seed, f.why) for f in summary.failed] == [
        ("ridge", seed, "the loss became NaN in epoch 3") for seed in (0, 1)
    ]
    assert summary.boards[0].runs == ("prototypes",)


def test_runs_on_other_images_stand_on_a_board_of_their_own(tiny: Path) -> None:
    for seed in (0, 1):
        folder = tiny / "runs" / "ridge" / f"seed-{seed}"
        content = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "manifest.json"}
        spec = json.loads(content["spec.json"])
        spec["data"] = {"name": "another", "fingerprint": "other"}
        write_run_folder(folder, content | {"spec.json": json.dumps(spec).encode()})
    summary = load_summary(tiny)
    assert {board.title for board in summary.boards} == {"caltech-fake", "another"}
    assert [row["rank"] for row in summary.ranking()] == [1, 1]


def test_episodes_are_ranked_by_themselves(tiny: Path) -> None:
    generator = np.random.default_rng(0)
    for run, level in (("ridge", 0.9), ("prototypes", 0.6)):
        for seed in (0, 1):
            folder = tiny / "runs" / run / f"seed-{seed}"
            content = {p.name: p.read_bytes() for p in folder.iterdir() if p.name in ("result.json", "spec.json")}
            spec = json.loads(content["spec.json"]) | {"episodes": {"ways": 5, "shots": 1}}
            accuracy = np.clip(generator.normal(level, 0.05, 200), 0, 1).astype(np.float32)
            for old in folder.iterdir():
                old.unlink()
            write_run_folder(
                folder, content | {"spec.json": json.dumps(spec).encode(), "episodes.npz": npz(accuracy=accuracy)}
            )
    board = load_summary(tiny).boards[0]
    assert (board.kind, board.n, board.runs) == ("episodes", 200, ("ridge", "prototypes"))
    assert board.title == "caltech-fake, 5-way 1-shot"
    assert board.ranking[0]["mean"] == pytest.approx(0.9, abs=0.01)


def test_seeds_with_their_own_test_images_are_compared_in_pairs(tiny: Path) -> None:
    for run in ("ridge", "prototypes"):
        folder = tiny / "runs" / run / "seed-1"
        content = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "manifest.json"}
        with np.load(folder / "predictions.npz") as file:
            arrays = dict(file)
        content["predictions.npz"] = npz(**{**arrays, "test_rows": arrays["test_rows"] + 1})
        write_run_folder(folder, content)
    board = load_summary(tiny).boards[0]
    assert "each seed has its own test images" in board.notes
    assert len(board.ranking) == 2


def test_partial_runs_that_share_no_seed_are_still_ranked(tiny: Path) -> None:
    (tiny / "study.json").write_text(json.dumps(json.loads((tiny / "study.json").read_text()) | {"status": "running"}))
    shutil.rmtree(tiny / "runs" / "ridge" / "seed-0")
    shutil.rmtree(tiny / "runs" / "prototypes" / "seed-1")
    board = load_summary(tiny).boards[0]
    assert set(board.runs) == {"ridge", "prototypes"}
    assert board.seeds == 1


def test_a_report_is_read_and_written_without_pytorch() -> None:
    code = "import sys; import headstart.report.render.formats; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
