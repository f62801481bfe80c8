from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fake_study import study_of

from headstart.errors import StoreError
from headstart.evaluate.comparison.training_images import over_splits, with_training_images
from headstart.report.read.board_scores import BoardScores, board_scores
from headstart.report.read.conclusion import plain
from headstart.report.read.leaderboard import make_boards
from headstart.report.read.study_files import read_study_folder
from headstart.report.read.summary import load_summary
from headstart.report.read.training_images import WiderIntervals, read_resampled
from headstart.report.render.formats import markdown
from headstart.report.render.terminal import ranking_table
from headstart.report.render.words import interval_words

SAMPLES = np.random.default_rng(0).random((5, 100)) < np.linspace(0.6, 0.9, 5)[:, None]


def write(root: Path, scores: dict[str, np.ndarray], rows: np.ndarray, metric: str = "accuracy") -> None:
    names = list(scores)
    arrays = {f"rows{k}": rows for k in range(len(names))} | {f"scores{k}": scores[n] for k, n in enumerate(names)}
    np.savez(root / "training_images.npz", **arrays)
    facts = {"samples": 5, "metric": metric, "runs": names, "corrections": [1.5] * len(names)}
    (root / "training_images.json").write_text(json.dumps({**facts, "left_out": {"c": "it is tuned"}}))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    right = {name: np.tile(np.arange(100) < count, (2, 1)) for name, count in (("a", 80), ("b", 70), ("c", 20))}
    root = study_of(tmp_path, right, best="a", baseline="b")
    write(root, {"a": SAMPLES, "b": SAMPLES[:, ::-1]}, np.arange(100)[::-1])  # rows in another order
    return root


def test_the_wider_interval_is_that_of_the_samples_with_their_correction(three: Path) -> None:
    board = make_boards(read_study_folder(three))[0]
    row, turned = board.row("a"), SAMPLES[:, ::-1]
    found = with_training_images(0.8, turned, correction=1.5)
    assert (row["wider_low"], row["wider_high"]) == (found["low"], found["high"])
    assert row["wider_low"] < row["low"] < row["high"] < row["wider_high"]
    gap = with_training_images(0.1, turned.astype(float) - SAMPLES, (-1.0, 1.0), correction=1.5)
    pair = next(pair for pair in board.against_best if pair["b"] == "b")
    assert (pair["wider_low"], pair["wider_high"]) == pytest.approx((gap["low"], gap["high"]))
    assert board.row("c")["wider_low"] is None
    assert board.wider == {"by": "bootstrap", "samples": 5, "left_out": {"c": "it is tuned"}}


def test_a_wider_interval_is_never_narrower(three: Path) -> None:
    write(three, {"a": np.tile(np.arange(100) < 80, (5, 1))}, np.arange(100))
    row = make_boards(read_study_folder(three))[0].row("a")
    assert row["wider_low"] <= row["low"]
    assert row["wider_high"] >= row["high"]


def test_every_format_says_it_beside_the_narrow_interval(three: Path) -> None:
    summary = load_summary(three)
    row = summary.boards[0].row("a")
    wider = f"{100 * row['wider_low']:.1f}–{100 * row['wider_high']:.1f} %"
    assert f"Trained on other images of the same kind, it would most likely reach {wider}." in plain(summary.findings)
    words = "each head was fitted again on 5 bootstrap samples of the training images"
    assert words in interval_words(summary.boards)
    text = markdown(summary)
    assert f"({wider})" in text and words in text and "(with other training images too: " in text
    heads = [str(column.header) for column in ranking_table(summary).columns]
    cells = ranking_table(summary).columns[heads.index("other training\nimages too")]._cells
    assert cells[0] == wider
    assert "other training\nimages too" not in [column.header for column in ranking_table(summary, 80).columns]
    assert summary.ranking()[0]["wider_low"] == row["wider_low"]
    (three / "training_images.json").unlink()
    summary = load_summary(three)
    assert summary.ranking()[0]["wider_low"] is None
    assert "compare: {training_images: 20}" in interval_words(summary.boards)
    assert "Trained on other images" not in plain(summary.findings)


def test_samples_of_another_metric_or_of_other_images_do_not_count(three: Path) -> None:
    write(three, {"a": SAMPLES}, np.arange(100), metric="brier")
    assert make_boards(read_study_folder(three))[0].wider is None
    write(three, {"a": SAMPLES}, np.arange(100) + 1)
    assert make_boards(read_study_folder(three))[0].wider is None
    assert read_resampled(three / "nowhere") is None


def test_a_damaged_file_is_named_with_what_to_do(three: Path) -> None:
    (three / "training_images.npz").write_bytes(b"not an archive")
    with pytest.raises(StoreError, match=r"training_images.npz: .*delete training_images.json and run the study again"):
        read_resampled(three)


def test_cross_validation_takes_it_from_the_folds() -> None:
    from tests.report.read.test_cross_validation import two_repeats

    by_run = {"a": {record.seed: record for record in two_repeats("a")}}
    found = board_scores(by_run, "images", "accuracy", 2)
    assert found.fold is not None
    assert found.fold.tolist() == [[0, 1, 1, 0, 1, 0], [0, 0, 0, 1, 1, 1]]
    wider = WiderIntervals(found, None, None, 2, (0.0, 1.0))
    assert wider.facts == {"by": "folds", "samples": 4, "left_out": {}}
    row = wider.of_run({"run": "a", "mean": 0.75, "low": 0.7, "high": 0.8})
    expected = over_splits(
        [2 / 3, 2 / 3, 1.0, 2 / 3], 1.0, images=6
    )  # of two folds, one is tested and one learned from
    assert (row["wider_low"], row["wider_high"]) == pytest.approx((expected["low"], expected["high"]))
    pair = wider.of_pair({"a": "a", "b": "a", "difference": 0.0, "low": -0.2, "high": 0.3})
    assert pair == {
        "wider_low": -0.2,
        "wider_high": 0.3,
    }  # no fold has a difference: nothing is known beyond the images


def test_the_wider_interval_of_folds_is_around_the_mean_over_all_images() -> None:
    scores = np.array([[1.0] * 9 + [0.0] * 3])
    fold = np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]])  # means 1, 1 and 0; 0.75 over all images
    found = BoardScores("f1_macro", {"a": scores}, None, (), fold)
    row = WiderIntervals(found, None, None, 3, (0.0, 1.0)).of_run({"run": "a", "mean": 0.75, "low": 0.75, "high": 0.75})
    expected = over_splits((np.array([1.0, 1.0, 0.0]) + 0.75 - 2 / 3).tolist(), 0.5, images=12)
    assert expected["value"] == pytest.approx(0.75)
    assert (row["wider_low"], row["wider_high"]) == pytest.approx((expected["low"], expected["high"]))
