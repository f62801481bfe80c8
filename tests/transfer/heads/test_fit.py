from __future__ import annotations

from pathlib import Path
from typing import Any

import head_subject as subject
import numpy as np
import pytest
import torch

from headstart.errors import DataError, SpecError
from headstart.transfer.heads import feature_rows as rows_module
from headstart.transfer.heads import fit
from headstart.transfer.heads.feature_rows import Rows
from headstart.transfer.heads.fit import HeadFit, HeadJob, bootstrap_rows, check_head, fit_heads

KINDS = ("logistic", "ridge", "prototypes", "knn", "sgd", "majority")
SMALL = {"sgd": {"epochs": 3}}
CPU = torch.device("cpu")


def data(n: int = 150, d: int = 10, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    labels = draw.integers(classes, size=n)
    features = draw.normal(size=(classes, d))[labels] + draw.normal(size=(n, d)) + 2
    return features.astype(np.float32), labels.astype(np.int64)


def jobs(seeds: int = 2, refit: bool = True) -> list[HeadJob]:
    found = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(150)
        for kind in KINDS:
            train, validation = np.sort(order[:90]), np.sort(order[90:120])
            found.append(HeadJob(kind, train, validation, 3, SMALL.get(kind, {}), seed, refit))
    return found


def state(fit: HeadFit) -> dict[str, torch.Tensor]:
    return dict(fit.head.state_dict())


def same(one: HeadFit, other: HeadFit) -> bool:
    return all(torch.equal(value, state(other)[name]) for name, value in state(one).items())


def test_results_do_not_depend_on_which_jobs_ran_together() -> None:
    features, labels = data()
    asked = jobs()
    together = fit_heads(features, labels, asked)
    backwards = fit_heads(features, labels, asked[::-1])[::-1]
    for job, one, other in zip(asked, together, backwards, strict=True):
        alone = fit_heads(features, labels, [job])[0]
        assert same(one, other) and same(one, alone), job.kind
        assert one.chosen == other.chosen == alone.chosen
        assert one.tried == other.tried == alone.tried


def test_a_refit_equals_a_fit_of_the_choice_on_training_and_validation_rows() -> None:
    features, labels = data()
    for job in jobs(seeds=1):
        refitted = fit_heads(features, labels, [job])[0]
        both = np.sort(np.concatenate([job.train, job.validation]))
        options = {**job.options, **refitted.chosen}
        again = fit_heads(features, labels, [HeadJob(job.kind, both, both[:0], 3, options, job.seed, False)])[0]
        assert same(refitted, again), job.kind


def test_a_memory_map_and_rows_read_again_give_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, labels = data()
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    held = fit_heads(features, labels, jobs(seeds=1))
    monkeypatch.setattr(rows_module, "RESIDENT_BYTES", 0)
    for one, other in zip(held, fit_heads(mapped, labels, jobs(seeds=1)), strict=True):
        assert same(one, other)


def test_small_blocks_change_results_by_rounding_only(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = data()
    whole = fit_heads(features, labels, jobs(seeds=1))
    monkeypatch.setattr(Rows.blocks, "__defaults__", (17,))
    for one, other in zip(whole, fit_heads(features, labels, jobs(seeds=1)), strict=True):
        with torch.no_grad():
            gap = one.head(torch.from_numpy(features)) - other.head(torch.from_numpy(features))
        assert gap.abs().max() < 5e-3


def test_questions_asked_twice_are_answered_once() -> None:
    features, labels = data()
    train, validation = np.arange(90), np.arange(90, 120)
    asked = [HeadJob("logistic", train, validation, 3, {}, seed, True) for seed in range(3)]
    first, second, third = fit_heads(features, labels, asked)
    assert same(first, second) and same(first, third)
    assert second.head is not first.head
    assert second.seconds < first.seconds


def test_half_precision_is_measured_and_close() -> None:
    features, labels = data()
    train, validation = np.arange(90), np.arange(90, 120)
    full, half = fit_heads(
        features,
        labels,
        [HeadJob("ridge", train, validation, 3, {"penalty": 0.1, "half": half}, 0, False) for half in (False, True)],
    )
    x = torch.from_numpy(features)
    with torch.no_grad():
        gap = (full.head.probabilities(x) - half.head.probabilities(x)).abs().max()
    assert 0 < gap < 5e-3
    assert not full.notes
    assert half.notes[0].startswith("features in half precision: largest error")


def test_validation_probabilities_come_from_the_head_before_the_refit() -> None:
    features, labels = data()
    for job in jobs(seeds=1):
        fit = fit_heads(features, labels, [job])[0]
        assert fit.validation_probabilities is not None and fit.validation_probabilities.shape == (30, 3)
        right = (fit.validation_probabilities.argmax(1) == labels[job.validation]).mean()
        if fit.tried:
            assert right == max(entry["validation_accuracy"] for entry in fit.tried)


def test_a_choice_at_the_end_of_a_grid_is_pointed_out() -> None:
    features, labels = data()
    train, validation = np.arange(90), np.arange(90, 120)
    grid = {"penalty": [0.1, 1e6, 1e7], "normalise": "standardise"}  # the strong ones see the largest class only
    fit = fit_heads(features, labels, [HeadJob("logistic", train, validation, 3, grid)])[0]
    assert fit.notes == ["logistic: penalty = 0.1 is the smallest of those tried; a wider grid may do better"]
    grid["penalty"] = [1e-3, 0.1, 1e7]
    middle = fit_heads(features, labels, [HeadJob("logistic", train, validation, 3, grid)])[0]
    assert bool(middle.notes) == (middle.chosen["penalty"] != 0.1)


def test_resamples_are_seeded_draws_with_replacement() -> None:
    rows = np.arange(10, 30)
    first, second = bootstrap_rows(rows, 2, seed=0), bootstrap_rows(rows, 2, seed=0)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert set(first[0]) <= set(rows) and len(first[0]) == 20 and len(set(first[0])) < 20


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("logistic", "penalty"),
        ("ridge", "penalty, temperature"),
        ("prototypes", "metric, normalise"),
        ("knn", "k, metric, weights"),
    ],
)
def test_a_choice_needs_validation_rows(kind: str, names: str) -> None:
    features, labels = data()
    with pytest.raises(SpecError, match=f"no validation images to choose on; .* or name one value each: {names}$"):
        fit_heads(features, labels, [HeadJob(kind, np.arange(90), np.arange(0), 3)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": np.arange(0)}, "no training rows"),
        ({"train": np.arange(149, 152)}, "reach 151, but there are only 150 rows"),
        ({"validation": np.arange(80, 100)}, "overlap"),
        ({"classes": 2}, "label is 2, but there are 2 classes"),
    ],
)
def test_rows_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    features, labels = data()
    asked: dict[str, object] = {"train": np.arange(90), "validation": np.arange(90, 120), "classes": 3, **change}
    with pytest.raises(DataError, match=message):
        fit_heads(features, labels, [HeadJob("ridge", **asked)])  # type: ignore[arg-type]


def test_features_that_are_not_finite_are_refused() -> None:
    features, labels = data()
    features[3, 4] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        fit_heads(features, labels, [HeadJob("logistic", np.arange(90), np.arange(90, 120), 3)])


def test_the_majority_floor_gives_class_frequencies() -> None:
    features, labels = subject.data()
    found = subject.fit("majority", features, labels)
    train, _ = subject.parts(len(features))
    expected = (np.bincount(labels[train], minlength=subject.CLASSES) + 1) / (len(train) + subject.CLASSES)
    with torch.no_grad():
        given = found.head.probabilities(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(given, np.tile(expected, (len(features), 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("ridge", {"penalty": 0}, "ridge: penalty = 0 must be a finite number above 0"),
        ("ridge", {"penalti": 1}, "did you mean 'penalty'"),
        ("ridge", {"normalise": "standardize"}, "did you mean 'standardise'"),
        ("knn", {"k": 0}, "knn: k = 0 must be a finite number at least 1"),
        ("knn", {"metric": "cosin"}, "did you mean 'cosine'"),
        ("knn", {"normalise": "l2"}, "knn: normalise = 'l2' must be one of"),
        ("prototypes", {"metric": "cosine", "normalise": "l2-centre"}, "the cosine has no use for"),
        ("majority", {"k": 1}, "unknown option of a majority head"),
        ("forest", {}, "unknown head 'forest'"),
    ],
)
def test_impossible_options_of_heads_are_refused(kind: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        subject.fit(kind, *subject.data(), **options)


def test_what_a_head_takes_is_tried_once_and_what_it_refuses_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[HeadJob] = []
    monkeypatch.setattr(fit, "_accepted", set())
    monkeypatch.setattr(fit, "fit_heads", lambda features, labels, jobs: tried.extend(jobs))
    given: dict[str, Any] = {"multi_label": False, "has_validation": True}
    for options in ({"penalty": 0.1}, {"penalty": 0.1}, {"penalty": 1}):
        check_head("ridge", options, **given)
    check_head("ridge", {"penalty": 1}, multi_label=True, has_validation=True)
    assert [job.options["penalty"] for job in tried] == [0.1, 1, 1]
    monkeypatch.undo()
    for _ in range(2):
        with pytest.raises(SpecError, match="penaltyy"):
            check_head("ridge", {"penaltyy": 0.1}, **given)
