from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_study import FINGERPRINT, RUNS, make_study, npz, write_run_folder

from headstart.report.read.errors import confusion_cells, details_of, worst_mistakes
from headstart.report.read.study_files import Outcome, read_study_folder
from headstart.report.read.summary import load_summary
from headstart.report.render.class_order import together


def outcome(labels: list[int], predicted: list[int], confidence: list[float]) -> Outcome:
    sure = np.array(confidence)
    right = np.array(labels) == np.array(predicted)
    own = np.where(right, sure, (1 - sure) / 2)
    rows = np.arange(len(labels)) * 10
    return Outcome(rows, np.array(labels), np.array(predicted), sure, own, right, -np.log(own))


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
    text = summary.to_dict()["answer"]
    assert text.startswith(summary.boards[0].runs[0])
    tied = [row["run"] for row in summary.ranking()[1:] if row["tied_with_best"]]
    assert ("tied with" in text) == bool(tied)
    assert "It is better than the baseline raw pixels, by +" in text


def test_a_clear_winner_is_called_better(tmp_path: Path) -> None:
    place = make_study(tmp_path, (RUNS[0], RUNS[5]), classes=5, per_class=40, seeds=2, draws=10)
    answer = load_summary(place).to_dict()["answer"]
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


def test_a_cell_counts_its_images_and_names_the_surest_images_first() -> None:
    cells = confusion_cells([outcome([0, 0, 1, 1], [1, 1, 1, 0], [0.6, 0.9, 0.8, 0.7])], 2)
    assert [(c.truth, c.guess, c.count, c.images) for c in cells] == [
        (0, 1, 2, (10, 0)),
        (1, 0, 1, (30,)),
        (1, 1, 1, (20,)),
    ]


def test_an_image_of_two_seeds_counts_once_and_is_listed_once() -> None:
    one = outcome([0, 1], [1, 1], [0.6, 0.9])
    cells = confusion_cells([one, one], 2)
    assert [(c.count, c.images) for c in cells] == [(1, (0,)), (1, (10,))]


def test_an_image_that_three_seeds_predict_differently_is_divided_among_its_cells() -> None:
    first, second = outcome([0, 0], [1, 1], [0.6, 0.9]), outcome([0, 0], [2, 1], [0.6, 0.9])
    cells = confusion_cells([first, first, second], 3)
    assert [(c.truth, c.guess, c.count) for c in cells] == [
        (0, 1, pytest.approx(5 / 3)),
        (0, 2, pytest.approx(1 / 3)),
    ]
    assert sum(cell.count for cell in cells) == pytest.approx(2)


def test_the_worst_mistake_is_wrong_in_most_seeds_with_least_chance_for_the_truth() -> None:
    first = outcome([0, 0, 1], [1, 1, 1], [0.6, 0.9, 0.8])
    second = outcome([0, 0, 1], [1, 0, 1], [0.7, 0.9, 0.8])
    found = worst_mistakes([first, second])
    assert [(m.row, m.truth, m.guess, m.seeds) for m in found] == [(0, 0, 1, 2), (10, 0, 1, 1)]
    assert found[0].confidence == pytest.approx(0.65)


def test_confused_classes_stand_together() -> None:
    labels = [0] * 6 + [2] * 6 + [1, 3, 4]
    predicted = [4] * 6 + [3] * 6 + [1, 3, 4]
    order = together(confusion_cells([outcome(labels, predicted, [0.9] * 15)], 5), 5)
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert abs(order.index(0) - order.index(4)) == 1
    assert abs(order.index(2) - order.index(3)) == 1


def test_a_confusion_matrix_counts_every_test_image_once(study: Path) -> None:
    details = details_of(read_study_folder(study))["ridge"]
    assert details.seeds == 2
    assert sum(cell.count for cell in details.cells) == pytest.approx(200)
    images = {row["class"]: row["n"] for row in details.per_class}
    for cell in details.cells:
        assert cell.count <= images[cell.truth] + 1e-6
    assert {row["class"] for row in details.per_class} == set(range(10))
    assert FINGERPRINT in load_summary(study).datasets


def test_partial_runs_that_share_no_seed_are_still_ranked(tiny: Path) -> None:
    (tiny / "study.json").write_text(json.dumps(json.loads((tiny / "study.json").read_text()) | {"status": "running"}))
    shutil.rmtree(tiny / "runs" / "ridge" / "seed-0")
    shutil.rmtree(tiny / "runs" / "prototypes" / "seed-1")
    board = load_summary(tiny).boards[0]
    assert set(board.runs) == {"ridge", "prototypes"}
    assert board.seeds == 1
