from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from fake_study import study_of

from headstart.report.read.conclusion import findings_of, plain
from headstart.report.read.summary import load_summary
from headstart.report.render.formats import write_report


def share(seeds: int, n: int, count: int) -> np.ndarray:
    return np.tile(np.arange(n) < count, (seeds, 1))


def answer(place: Path) -> str:
    text: str = load_summary(place).to_dict()["findings"]
    return text


def test_the_240_photographs(tmp_path: Path) -> None:
    right = {"network": share(3, 48, 48), "pixels": share(3, 48, 13)}
    said = answer(study_of(tmp_path, right, best="network", baseline="pixels", seconds={"network": 60, "pixels": 1}))
    assert said.startswith(
        "The model is network, chosen by validation accuracy. On the test images it reaches 100.0 % accuracy ("
    )
    assert "It is better than pixels, by +72.9 points" in said
    assert said.count("better than") == 1
    assert "costs less" not in said and "tied" not in said


def test_a_cheap_run_that_is_visibly_worse_is_never_recommended(tmp_path: Path) -> None:
    right = {"network": share(2, 48, 45), "pixels": share(2, 48, 26)}
    said = answer(study_of(tmp_path, right, seconds={"network": 100, "pixels": 1}))
    assert "network is best with 93.8 % accuracy" in said
    assert "tied" not in said and "costs less" not in said
    # even where nothing can be told: five images of 40 more are visible
    open_ = {"network": share(2, 40, 38), "pixels": share(2, 40, 33)}
    said = answer(study_of(tmp_path / "open", open_, seconds={"network": 100, "pixels": 1}))
    assert (
        "It is not yet clear whether network is better than pixels: +12.5 points (-" in said
        and "would settle it" in said
    )
    assert "costs less" not in said


def test_a_cheap_run_that_is_as_good_is_recommended(tmp_path: Path) -> None:
    right = {"dear": share(2, 4000, 3900), "cheap": share(2, 4000, 3899)}
    said = answer(study_of(tmp_path, right, best="dear", deterministic=right, seconds={"dear": 100, "cheap": 2}))
    assert "dear is tied with cheap: a difference of more than 1 point is unlikely." in said
    assert "cheap costs less, 1 min 37 s against 3 min 18 s for dear, and is unlikely to be worse" in said


def test_the_headline_is_the_chosen_model_with_its_own_test_score(tmp_path: Path) -> None:
    right = {"a": share(3, 200, 170), "b": share(3, 200, 166), "c": share(3, 200, 60)}
    said = answer(study_of(tmp_path, right, best="b"))
    assert said.startswith(
        "The model is b, chosen by validation accuracy. On the test images it reaches 83.0 % accuracy"
    )
    assert "a leads with 85.0 % accuracy (95 % interval " in said and "allowing for the choice among 2)" in said
    assert "It is not yet clear whether it is better than the model: +2.0 points (-" in said
    assert (
        " to +4.6); about 2,100 test images would settle it. a is better than c" in said
        and said.count("would settle it") == 1
    )
    assert "a is better than c, by +55.0 points" in said


def test_a_run_that_scores_as_the_model_does_is_not_said_to_lead(tmp_path: Path) -> None:
    said = answer(study_of(tmp_path, {"a": share(3, 200, 170), "b": share(3, 200, 170)[:, ::-1].copy()}, best="b"))
    assert (
        " a reaches the same score on these images. It is not yet clear whether it is better than the model: " in said
    )
    assert "leads" not in said and said.count("85.0 %") == 1


def test_the_baseline_that_is_ahead_of_the_model_is_named_first(tmp_path: Path) -> None:
    right = {"a": share(3, 200, 159), "b": share(3, 200, 160), "base": share(3, 200, 163)}
    found = study_of(tmp_path, right, best="a", baseline="base")
    said = answer(found)
    assert "It is not yet clear whether the baseline base is better than a: +2.0 points (-" in said
    assert (
        "base leads with 81.5 % accuracy" in said and "It is not yet clear whether base is better than b: +1.5 " in said
    )
    rows = load_summary(found).boards[0].against_baseline
    assert [(row["a"], row["b"]) for row in rows] == [("base", "b"), ("base", "a")]
    assert all(row["difference"] > 0 and row["probability"] > 0.5 for row in rows)
    assert rows[1]["verdict"].startswith("cannot tell yet whether base is better than a: +2.0 points (-")
    shown = {row["run"]: row["against_baseline"] for row in load_summary(found).ranking()}
    assert shown["base"] is None and shown["a"]["difference"] == -rows[1]["difference"]
    assert (shown["a"]["low"], shown["a"]["high"]) == (-rows[1]["high"], -rows[1]["low"])
    markdown = write_report(found, "md", tmp_path / "report.md").read_text()
    assert "\n- cannot tell yet whether base is better than a: +2.0 points (-" in markdown
    assert "better than base" not in markdown
    worse = answer(study_of(tmp_path / "worse", {**right, "a": share(3, 200, 80)}, best="a", baseline="base"))
    assert "The baseline base is better than a, by +41.5 points (" in worse


def test_the_baseline_is_not_called_open_and_beaten_in_one_answer(tmp_path: Path) -> None:
    right = {"a": share(3, 200, 180), "b": share(3, 200, 179), "base": share(3, 200, 120)}
    board = load_summary(study_of(tmp_path, right, baseline="base")).boards[0]
    # "the best against each" asks more than "each against the baseline", so it may leave open what the other settles
    against = tuple({**p, "category": "cannot tell"} if p["b"] == "base" else p for p in board.against_best)
    said = plain(findings_of([dataclasses.replace(board, against_best=against)], {}, partial=False))
    assert "a is better than the baseline base, by +30.0 points" in said
    assert (
        "It is not yet clear whether a is better than b: +0.5 points (-" in said
        and "a is better than b and base" not in said
    )
