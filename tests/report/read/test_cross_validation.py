from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from headstart.evaluate.comparison.sentences import notes, pair_sentence
from headstart.evaluate.comparison.sources import unit_of
from headstart.evaluate.comparison.verdict import Needed
from headstart.report.read.cross_validation import complete_repeats, folds_of
from headstart.report.read.leaderboard import make_boards
from headstart.report.read.study_files import Outcome, Record, StudyFiles

SPLIT = {"data": {"fingerprint": "f", "name": "toy", "split": {"folds": 2, "fold": "seed"}}}


def record(run: str, seed: int, rows: list[int], right: list[bool]) -> Record:
    labels = np.zeros(len(rows), dtype=np.int64)
    correct = np.array(right)
    chance = np.where(correct, 0.9, 0.1)
    outcome = Outcome(np.array(rows), labels, (~correct).astype(np.int64), chance, chance, correct)
    return Record(run, seed, Path(f"{run}-{seed}"), None, SPLIT, outcome=outcome)


def two_repeats(run: str) -> list[Record]:
    return [
        record(run, 0, [0, 3, 5], [True, True, False]),
        record(run, 1, [1, 2, 4], [True, False, True]),
        record(run, 2, [0, 1, 2], [True, True, True]),
        record(run, 3, [3, 4, 5], [True, True, False]),
    ]


def files(*records: Record) -> StudyFiles:
    return StudyFiles(Path(), {}, records, (), {})


def test_the_folds_of_a_repeat_are_one_row_over_all_images() -> None:
    board = make_boards(files(*two_repeats("a")))[0]
    assert (board.n, board.seeds, board.folds) == (6, 2, 2)
    # images 2 and 5 are wrong in the first repeat, 5 in the second
    assert board.ranking[0]["mean"] == pytest.approx((4 / 6 + 5 / 6) / 2)
    assert board.ranking[0]["sd"] == pytest.approx((1 / 6) / 2**0.5)
    assert board.notes[0].startswith("2-fold cross-validation: every image is tested 2 times")
    assert "trained on 50 % of the images" in board.notes[0]


def test_a_repeat_without_one_of_its_folds_does_not_count() -> None:
    by_run = {"a": {each.seed: each for each in two_repeats("a")[:3]}}
    found, notes = complete_repeats(by_run, 2)
    assert [[each.seed for each in part] for part in found["a"]] == [[0, 1]]
    assert "tested once" in notes[0] and len(notes) == 1


def test_a_run_that_lacks_a_fold_that_most_have_is_left_out_and_named() -> None:
    by_run = {name: {each.seed: each for each in two_repeats(name)} for name in "abc"}
    del by_run["c"][3]
    found, notes = complete_repeats(by_run, 2)
    assert sorted(found) == ["a", "b"]
    assert notes[1] == "left out, since not every fold was run: c"


def test_a_study_without_one_whole_repeat_has_no_leaderboard() -> None:
    assert make_boards(files(two_repeats("a")[0])) == ()


def test_sentences_on_seeds_speak_of_repeats() -> None:
    assert (unit_of(None), unit_of(5)) == ("seed", "repeat")
    said = (
        "cannot tell yet whether 12 seeds is better than b: SIZE; about 12 repeats or 800 test images would settle it"
    )
    needed = Needed(seeds=12, images=800, both=None)
    assert pair_sentence("12 seeds", "b", "SIZE", "cannot tell", "unclear", "1 point", needed, 100, unit_of(5)) == said
    assert notes(["a"], [], [1], False, unit_of(5))[0].startswith(
        "one repeat only (a): how much another repeat would change"
    )
    board = make_boards(files(*two_repeats("a"), *two_repeats("b")[:4]))[0]
    assert board.tested == "2 folds × 2 repeats"
    assert all("seed" not in pair["verdict"] for pair in board.pairwise)
    one = make_boards(files(*two_repeats("a")[:2]))[0]
    assert one.tested == "2 folds × 1 repeat"
    assert any(note.startswith("one repeat only (a)") for note in one.notes)


def test_one_repeat_is_surer_than_one_training_on_the_same_images() -> None:
    rows, right = np.arange(2000), np.arange(2000) % 5 > 0
    folds = [record("a", fold, rows[fold::2].tolist(), right[fold::2].tolist()) for fold in (0, 1)]
    whole = dataclasses.replace(record("a", 0, rows.tolist(), right.tolist()), spec={"data": {"name": "toy"}})
    repeat, training = (make_boards(files(*each))[0].ranking[0] for each in (folds, [whole]))
    assert repeat["mean"] == training["mean"] == pytest.approx(0.8)
    ratio = (repeat["high"] - repeat["low"]) / (training["high"] - training["low"])
    assert 0.6 < ratio < 0.9  # the root of a half where all of it is the training's


def test_other_splits_are_not_cross_validation() -> None:
    one = two_repeats("a")[0]
    assert folds_of(one) == 2
    assert folds_of(Record("a", 0, Path(), None, {"data": {"split": {"folds": 2, "fold": 0}}})) is None
    assert folds_of(Record("a", 0, Path(), None, {})) is None
