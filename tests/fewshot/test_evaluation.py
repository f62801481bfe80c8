from __future__ import annotations

import json

import numpy as np
import pytest

from headstart.errors import DataError, SpecError
from headstart.fewshot.episodes import Episodes, sample_episodes
from headstart.fewshot.evaluation import FewShotSpec, LabelledFeatures, draw_episodes, run_fewshot
from headstart.fewshot.intervals import class_interval, episode_interval
from headstart.fewshot.scores import EpisodeScores, evaluate_episodes

GENERATOR = np.random.default_rng(0)
LABELS = np.repeat(np.arange(12), 30)
X = (GENERATOR.standard_normal((12, 16))[LABELS] + 1.5 * GENERATOR.standard_normal((360, 16))).astype(np.float32)
NAMES = [f"class {i}" for i in range(12)]
DATA = LabelledFeatures(LABELS, NAMES, X)


def test_table_has_one_row_a_method_and_number_of_shots() -> None:
    result = run_fewshot(DATA, FewShotSpec(episodes=300, methods=("prototypes", "ridge", "tim")))
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


def test_rows_are_what_the_parts_say() -> None:
    spec = FewShotSpec(4, (2,), 7, 50, ("ridge",), seed=3, classes=(0, 2, 3, 5, 7, 11))
    result = run_fewshot(DATA, spec)
    episodes = sample_episodes(LABELS, 4, 2, 7, 50, 3, classes=spec.classes)
    score = evaluate_episodes(X, episodes, ["ridge"])["ridge"]
    np.testing.assert_array_equal(result.scores[2]["ridge"].accuracy, score.accuracy)
    (row,) = result.rows
    interval = episode_interval(score.accuracy, 28)
    assert (row.accuracy, row.low, row.high) == (score.mean, interval.low, interval.high)
    assert row.new_classes == class_interval(score.accuracy, score.classes)
    assert (row.shots, row.episodes, row.episodes_per_second > 0) == (2, 50, True)
    assert (result.ways, result.queries, result.seed, result.classes) == (4, 7, 3, 6)
    assert set(result.scores[2]["ridge"].classes.ravel().tolist()) <= set(spec.classes)


def test_uneven_queries_and_the_base_mean_are_passed_on() -> None:
    spec = FewShotSpec(3, (2,), 5, 40, ("simpleshot",), dirichlet=1.0)
    shifted = LabelledFeatures(LABELS, NAMES, X + 3, base_mean=(X + 3).mean(axis=0))
    result = run_fewshot(shifted, spec)
    episodes = sample_episodes(LABELS, 3, 2, 5, 40, 0, dirichlet=1.0)
    expected = evaluate_episodes(X + 3, episodes, ["simpleshot"], base_mean=(X + 3).mean(axis=0))["simpleshot"]
    np.testing.assert_array_equal(result.scores[2]["simpleshot"].accuracy, expected.accuracy)


def test_a_judge_sees_the_same_episodes_and_keeps_its_place() -> None:
    seen: list[Episodes] = []

    def coin(episodes: Episodes) -> EpisodeScores:
        seen.append(episodes)
        return EpisodeScores("coin", np.full(len(episodes), 0.2, np.float32), episodes.classes, 1.0)

    spec = FewShotSpec(shots=(1, 5), episodes=40, methods=("ridge", "coin", "knn"))
    result = run_fewshot(DATA, spec, judges={"coin": coin})
    assert [row.method for row in result.rows] == ["ridge", "coin", "knn"] * 2
    assert [episodes.shots for episodes in seen] == [1, 5]
    np.testing.assert_array_equal(seen[1].classes, result.scores[5]["ridge"].classes)
    assert result.rows[1].accuracy == pytest.approx(0.2)
    assert [(pair.first, pair.second) for pair in result.comparisons[1]] == [
        ("ridge", "coin"),
        ("ridge", "knn"),
        ("coin", "knn"),
    ]


def test_a_judge_alone_needs_no_features() -> None:
    bare = LabelledFeatures(LABELS, NAMES)
    spec = FewShotSpec(shots=(1,), episodes=5, methods=("coin",))
    result = run_fewshot(
        bare, spec, judges={"coin": lambda e: EpisodeScores("coin", np.full(5, 0.5, np.float32), e.classes, 1.0)}
    )
    assert result.rows[0].accuracy == 0.5
    with pytest.raises(SpecError, match="'ridge' needs features, and none were given"):
        run_fewshot(bare, FewShotSpec(shots=(1,), episodes=5, methods=("ridge",)))


@pytest.mark.parametrize("episodes", [2, 3, 5, 40])
def test_no_interval_leaves_0_to_1(episodes: int) -> None:
    easy = LabelledFeatures(LABELS, NAMES, np.eye(12, dtype=np.float32)[LABELS] + 0.05 * X[:, :12])
    spec = FewShotSpec(episodes=episodes, shots=(1, 5), methods=("prototypes", "knn", "tim"))
    for row in [*run_fewshot(DATA, spec).rows, *run_fewshot(easy, spec).rows]:
        assert row.low is not None and row.high is not None
        assert 0 <= row.low <= row.accuracy <= row.high <= 1
        assert row.low < row.high
        assert row.new_classes is None or 0 <= row.new_classes.low <= row.new_classes.high <= 1


def test_one_episode_has_an_accuracy_and_no_interval() -> None:
    result = run_fewshot(DATA, FewShotSpec(shots=(1,), episodes=1, methods=("knn", "ridge")))
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
    monkeypatch.setattr("headstart.fewshot.evaluation.evaluate_episodes", None)  # would fail if it were reached
    with pytest.raises(error, match=words):
        run_fewshot(DATA, FewShotSpec(**asked))  # type: ignore[arg-type]


def test_episodes_can_be_checked_without_features() -> None:
    drawn = draw_episodes(LabelledFeatures(LABELS, NAMES), FewShotSpec(episodes=3))
    assert {shots: len(episodes) for shots, episodes in drawn.items()} == {1: 3, 5: 3}
