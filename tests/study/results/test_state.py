from __future__ import annotations

from headstart.study.results.state import Expected, Kept, LeftOut, StudyState, kept_words

RUNS = [Expected(run=run, seed=seed) for run in "ab" for seed in (0, 1)]


def test_a_run_that_is_skipped_is_no_longer_expected() -> None:
    state = StudyState("s", "now", expected=list(RUNS))
    gone = [LeftOut(run="a", seed=1, why="over budget"), LeftOut(run="c", seed=0, why="never expected")]
    state.leave_out(iter(gone))
    assert state.expected == [RUNS[0], RUNS[2], RUNS[3]] and state.left_out == gone
    state.leave_out([LeftOut(run="b", seed=0, why="over budget")])
    assert state.expected == [RUNS[0], RUNS[3]] and len(state.left_out) == 3


def test_what_is_not_part_of_a_study_is_not_in_its_file() -> None:
    state = StudyState("s", "now", question="which?", expected=list(RUNS))
    found = state.to_dict("running")
    assert (found["name"], found["status"], found["question"], found["expected"]) == ("s", "running", "which?", RUNS)
    assert not {"left_out", "best", "best_network", "spending", "halving"} & found.keys()
    assert found["budget"] is None and found["keys"] == {}  # these are always there
    state.best = Kept(run="a", folder="runs/a/seed-0", by="validation accuracy", seed=0, seeds=1)
    state.spending = {"limit": 60.0}
    found = state.to_dict("complete")
    assert found["best"]["run"] == "a" and found["spending"] == {"limit": 60.0} and found["status"] == "complete"


def test_words_on_a_kept_model_name_its_run_the_rule_and_the_seed_or_fold() -> None:
    kept = Kept(run="a", folder="runs/a/seed-2", by="the highest validation accuracy", seed=2, seeds=3)
    words = "a, chosen by the highest validation accuracy"
    assert kept_words({"best": kept}) == f"{words}; the model of seed 2, whose score is the median of 3"
    folds = {"data": {"split": {"fold": "seed", "folds": 5}}}
    said = kept_words({"best": {**kept, "seed": 12, "seeds": 15}, "spec": folds})
    assert said == f"{words}; the model of fold 3, repeat 3, whose score is the median of 15"
    assert kept_words({"best": {**kept, "seeds": 1}}) == words
    assert kept_words({"best_network": {**kept, "run": "b"}, "best": None}, "best_network").startswith("b, chosen by ")  # type: ignore[union-attr]
    assert kept_words({"best": None}) is None
