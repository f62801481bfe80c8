"""The answer says what to use, how good it is, and what else may be as good, in at most forty words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from fake_study import study_of

from headstart.report.read.conclusion import plain
from headstart.report.read.headline import WORDS
from headstart.report.read.summary import load_summary


def share(seeds: int, n: int, count: int) -> np.ndarray:
    return np.tile(np.arange(n) < count, (seeds, 1))


def answer(place: Path) -> str:
    return plain(load_summary(place).answer)


def test_the_answer_is_what_to_use_and_how_much_better_it_is(tmp_path: Path) -> None:
    right = {"network": share(3, 48, 48), "pixels": share(3, 48, 13)}
    said = answer(study_of(tmp_path, right, best="network", baseline="pixels"))
    assert said.startswith("Use network: 100.0 % accuracy on 48 test images (95 % interval ")
    assert said.endswith("%). It is better than the baseline pixels (27.1 %).")


def test_runs_that_may_be_as_good_are_counted_and_the_cheapest_safe_one_is_named(tmp_path: Path) -> None:
    right = {"dear": share(2, 4000, 3900), "cheap": share(2, 4000, 3899), "poor": share(2, 4000, 900)}
    seconds = {"dear": 100, "cheap": 2, "poor": 1}
    said = answer(study_of(tmp_path, right, best="dear", deterministic=right, seconds=seconds))
    assert said.endswith(" 1 other run may be as good: cheap, which is cheaper.")
    close = {**right, "near": share(2, 4000, 3898)}
    said = answer(study_of(tmp_path / "two", close, best="dear", deterministic=close, seconds={**seconds, "near": 90}))
    assert said.endswith(" 2 other runs may be as good, such as the cheaper cheap.")
    said = answer(study_of(tmp_path / "even", close, best="dear", deterministic=close))
    assert said.endswith(" 2 other runs may be as good.")


def test_a_run_that_beats_the_chosen_one_on_test_is_named(tmp_path: Path) -> None:
    right = {"a": share(3, 400, 380), "b": share(3, 400, 200), "base": share(3, 400, 300)}
    said = answer(study_of(tmp_path, right, best="b", baseline="base"))
    assert said.startswith("Use b: 50.0 % accuracy")
    assert said.endswith("On the test images a is better (95.0 %). It is worse than the baseline base (75.0 %).")


def test_a_baseline_that_may_be_as_good_is_said(tmp_path: Path) -> None:
    right = {"a": share(2, 40, 34), "base": share(2, 40, 33)}
    said = answer(study_of(tmp_path, right, best="a", baseline="base"))
    assert said.endswith("It is not yet clear whether it differs from the baseline base (82.5 %).")


def test_the_answer_has_at_most_forty_words_however_long_the_names(tmp_path: Path) -> None:
    names = [" ".join(["a run that has a very long name indeed"] * 2) + f" {k}" for k in range(5)]
    right = {name: share(3, 400, 380 - k) for k, name in enumerate(names)}
    said = answer(study_of(tmp_path, right, best=names[0], baseline=names[4]))
    assert len(said.split()) <= WORDS and names[0] in said and "other runs may be as good" in said


def test_an_unfinished_study_says_so_and_a_refitted_model_too(tmp_path: Path) -> None:
    place = study_of(tmp_path, {"a": share(2, 100, 90), "b": share(2, 100, 20)}, best="a")
    facts = json.loads((place / "study.json").read_text())
    (place / "study.json").write_text(json.dumps(facts | {"status": "running"}))
    assert answer(place).startswith("So far: use a: 90.0 % accuracy")
