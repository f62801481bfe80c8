from __future__ import annotations

from headstart.study.planning.ensemble_keys import ensemble_key, ensemble_keys, expected
from headstart.study.spec.load import load_study
from headstart.study.task import Task

RUNS: dict[str, dict[str, str]] = {"a": {}, "b": {}, "c": {}}
STUDY = load_study(
    {
        "name": "s",
        "data": "d",
        "seeds": [3, 4],
        "runs": {"a": {}, "b": {}, "c": {}},
        "ensembles": {"ab": ["a", "b"], "bc": ["b", "c"]},
    }
)


def task(name: str, seed: int) -> Task:
    return Task(STUDY.run(name), seed, f"{name} {seed}")


def test_every_ensemble_and_seed_is_expected() -> None:
    assert [(row["run"], row["seed"]) for row in expected(STUDY.spec)] == [("ab", 3), ("ab", 4), ("bc", 3), ("bc", 4)]


def test_a_key_follows_the_members_of_the_same_seed_in_their_order() -> None:
    tasks = [task("a", 3), task("b", 3), task("a", 4), task("b", 4), task("c", 4)]
    keys = ensemble_keys(STUDY.spec, tasks)
    assert list(keys) == [("ab", 3), ("ab", 4), ("bc", 4)]  # c has no seed 3
    assert keys["ab", 3] == ensemble_key([task("a", 3), task("b", 3)]) != ensemble_key([task("b", 3), task("a", 3)])
    assert len(set(keys.values())) == 3
