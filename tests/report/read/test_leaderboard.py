from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_study import study_of
from sklearn import metrics as sk

from headstart.data.dataset import Dataset
from headstart.data.sources.in_memory import PictureReader
from headstart.data.splits import make_split
from headstart.report.read.leaderboard import Board, make_boards
from headstart.report.read.study_files import read_study_folder


def share(seeds: int, n: int, *counts: int) -> np.ndarray:
    """Return which of n images each seed gets right: the first `counts[seed]`."""
    return np.stack([np.arange(n) < counts[seed % len(counts)] for seed in range(seeds)])


def board(root: Path, right: dict[str, np.ndarray], **options: object) -> Board:
    return make_boards(read_study_folder(study_of(root, right, **options)))[0]  # type: ignore[arg-type]


def test_a_perfect_network_is_better_than_pixels_with_48_test_images_and_three_seeds(tmp_path: Path) -> None:
    found = board(tmp_path, {"network": share(3, 48, 48), "pixels": share(3, 48, 13)}, baseline="pixels")
    assert [row["state"] for row in found.ranking] == ["best", "behind"]
    assert found.against_baseline[0]["category"] == "better"
    assert found.against_baseline[0]["difference"] == pytest.approx(35 / 48)
    assert all(0 <= row["low"] <= row["high"] <= 1 for row in found.ranking)


def test_two_seeds_are_enough_to_tell_54_from_94_percent(tmp_path: Path) -> None:
    found = board(tmp_path, {"network": share(2, 48, 45, 45), "pixels": share(2, 48, 26, 26)})
    assert found.row("pixels")["state"] == "behind"
    assert found.safe == ("network",)


def test_the_margin_of_the_study_decides_what_is_tied(tmp_path: Path) -> None:
    right = {"a": share(2, 400, 380), "b": share(2, 400, 379)}
    assert board(tmp_path / "point", right, margin=0.01).row("b")["state"] == "cannot tell"
    wide = board(tmp_path / "ten", right, margin=0.1)
    assert wide.row("b")["state"] == "tied"
    assert wide.margin == 0.1 and "10 points" in wide.against_best[0]["verdict"]


def test_classes_of_few_test_images_are_counted_with_what_to_do(tmp_path: Path) -> None:
    few = study_of(tmp_path / "few", {"a": share(1, 18, 12)})
    (notes,) = (each.notes for each in make_boards(read_study_folder(few)))
    two = "fewer than 10 test images in 2 classes (fewest: no, 9): their figures are uncertain"
    assert two in notes
    one = board(tmp_path / "one", {"a": share(1, 19, 12)}).notes
    assert "fewer than 10 test images in class yes (9): its figures are uncertain" in one
    assert not any("test images in" in note for note in board(tmp_path / "enough", {"a": share(1, 20, 12)}).notes)

    labels = np.repeat([0, 1], 30)
    toy = Dataset("toy", PictureReader(np.zeros((60, 1, 1, 3), np.uint8)), labels, ("no", "yes"))
    given = replace(toy, given_split=np.array(["train", "test"] * 30))
    for data, remedy in ((toy, "; to test every image, write split: {folds: 5, fold: seed} and seeds: 5"), (given, "")):
        facts = next(few.glob("data/*/dataset.json"))
        facts.write_text(json.dumps({**json.loads(facts.read_text()), "split": make_split(data).rule}))
        (notes,) = (each.notes for each in make_boards(read_study_folder(few)))
        assert notes[-1] == two + remedy


def test_a_deterministic_run_needs_one_seed(tmp_path: Path) -> None:
    right = {"a": share(1, 400, 380), "b": share(1, 400, 348)}
    assert board(tmp_path / "fixed", right, deterministic=("a", "b")).row("b")["state"] == "behind"
    drawn = board(tmp_path / "drawn", right)
    assert drawn.row("b")["state"] == "cannot tell"
    assert any("one seed only" in note for note in drawn.notes)


def test_seeds_that_repeat_a_result_count_once(tmp_path: Path) -> None:
    right = {"a": share(3, 100, 90), "b": share(3, 100, 60, 62, 64)}
    keys = {"a": ["same"] * 3, "b": ["x", "y", "z"]}
    found = board(tmp_path, right, deterministic=("a",), keys=keys)
    assert found.row("a")["seeds"] == 1 and found.row("a")["sd"] is None and found.row("a")["deterministic"]
    assert found.row("b")["seeds"] == 3 and found.row("b")["sd"] == pytest.approx(0.02)


def test_a_run_that_says_deterministic_and_varies_is_not_believed(tmp_path: Path) -> None:
    found = board(tmp_path, {"a": share(2, 100, 90, 80), "b": share(2, 100, 60)}, deterministic=("a", "b"))
    assert not found.row("a")["deterministic"] and found.row("b")["deterministic"]


def test_only_a_leader_that_was_not_chosen_has_the_interval_of_the_best_of_several(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    right = {name: generator.random((3, 200)) < 0.8 for name in "abcdefgh"}
    alone = board(tmp_path / "none", right)
    first = alone.runs[0]
    chosen = board(tmp_path / "first", right, best=first)
    assert alone.leader["of"] > 1
    assert alone.ranking[0]["low"] == alone.leader["low"] < chosen.ranking[0]["low"]
    assert alone.ranking[0]["high"] == chosen.ranking[0]["high"]
    assert any(note.startswith(f"the interval of {first} allows") for note in alone.notes)
    assert not any("allows" in note for note in chosen.notes)


def wrong(*places: int) -> np.ndarray:
    """Return two seeds that get 200 images right but for these: even ones are of class "no", odd ones of "yes"."""
    right = np.ones((2, 200), dtype=bool)
    right[:, list(places)] = False
    return right


def test_a_metric_that_is_no_mean_over_images_decides_order_verdict_and_intervals(tmp_path: Path) -> None:
    right = {"lopsided": wrong(*range(0, 48, 2)), "even": wrong(*range(23)), "poor": wrong(*range(80))}
    by_accuracy = board(tmp_path / "accuracy", right, deterministic=tuple(right))
    assert by_accuracy.runs == ("even", "lopsided", "poor")
    found = board(tmp_path / "mcc", right, metric="mcc", deterministic=tuple(right), margin=0.02)
    assert found.metric == "mcc"
    assert found.runs == ("lopsided", "even", "poor")
    labels = np.arange(200) % 2
    for row in found.ranking:
        truth = sk.matthews_corrcoef(labels, np.where(right[row["run"]][0], labels, 1 - labels))
        assert row["mean"] == pytest.approx(truth)
        assert -1 <= row["low"] < truth < row["high"] <= 1
    assert [row["state"] for row in found.ranking] == ["best", "cannot tell", "behind"]
    assert "points" not in found.against_best[0]["verdict"]


def test_a_metric_that_is_not_defined_for_the_images_gives_way_to_accuracy_and_says_so(tmp_path: Path) -> None:
    right = {"a": share(2, 1, 1), "b": share(2, 1, 0)}  # one image of one class has no ROC area
    found = board(tmp_path, right, metric="roc_auc")
    assert found.metric == "accuracy"
    assert any(note.startswith("ROC AUC is not defined for these test images") for note in found.notes)


def test_losses_and_other_means_over_images_decide_as_well(tmp_path: Path) -> None:
    right = {"a": share(2, 100, 90), "b": share(2, 100, 60)}
    brier = board(tmp_path / "brier", right, metric="brier")
    assert (brier.metric, brier.runs[0]) == ("brier", "a")
    assert brier.row("a")["mean"] == pytest.approx(0.9 * 0.02 + 0.1 * 1.62)  # (1 - 0.9)² and (1 - 0.1)², both classes
    loss = board(tmp_path / "loss", right, metric="log_loss")
    assert not loss.higher_is_better and all(row["low"] >= 0 for row in loss.ranking)
