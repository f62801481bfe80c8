from __future__ import annotations

import json

import numpy as np
import pytest

from headstart.errors import DataError, SpecError
from headstart.fewshot.study import run_fewshot

GENERATOR = np.random.default_rng(0)
LABELS = np.repeat(np.arange(12), 30)
X = (GENERATOR.standard_normal((12, 16))[LABELS] + 1.5 * GENERATOR.standard_normal((360, 16))).astype(np.float32)
NAMES = [f"class {i}" for i in range(12)]


def test_table_has_one_row_a_method_and_number_of_shots() -> None:
    result = run_fewshot(X, LABELS, NAMES, shots=(1, 5), episodes=300, methods=("prototypes", "ridge", "tim"))
    assert [(row.shots, row.method) for row in result.rows] == [
        (1, "prototypes"),
        (1, "ridge"),
        (1, "tim"),
        (5, "prototypes"),
        (5, "ridge"),
        (5, "tim"),
    ]
    for row in result.rows:
        assert row.low < row.accuracy < row.high
        assert row.new_classes is not None
        assert row.new_classes.high - row.new_classes.low > row.high - row.low
        assert row.transductive == (row.method == "tim")
        assert row.accuracy == pytest.approx(result.scores[row.shots][row.method].accuracy.mean(), abs=1e-6)
    assert result.rows[3].accuracy > result.rows[0].accuracy
    assert len(result.comparisons[1]) == 3
    assert json.loads(json.dumps(result.to_dict()))["rows"][0]["method"] == "prototypes"


def test_one_episode_has_an_accuracy_and_no_interval() -> None:
    result = run_fewshot(X, LABELS, NAMES, shots=(1,), episodes=1, methods=("knn", "ridge"))
    assert result.comparisons == {1: []}
    assert result.to_dict()["rows"][0]["low"] is None


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"methods": ("protos",)}, SpecError, "unknown few-shot method 'protos'; did you mean 'prototypes'"),
        ({"methods": ()}, SpecError, "methods: none"),
        ({"shots": ()}, SpecError, "shots: none"),
        ({"shots": (1, 1)}, SpecError, "shots: 1 given more than once"),
        ({"ways": 13}, SpecError, "13 ways were asked for, but there are 12 classes"),
        ({"shots": (1, 20)}, DataError, r"class 'class 0' has 30 images, but 20 shots \+ 15 queries = 35"),
        ({"queries": 0}, SpecError, "queries: 0"),
    ],
)
def test_bad_requests_are_refused_before_any_work(
    asked: dict[str, object], error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.fewshot.study.evaluate_episodes", None)  # would fail if it were reached
    with pytest.raises(error, match=words):
        run_fewshot(X, LABELS, NAMES, **asked)  # type: ignore[arg-type]
