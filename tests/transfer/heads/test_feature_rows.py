"""Rows of a feature matrix, prepared with statistics of training rows only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.errors import DataError, SpecError
from headstart.transfer.heads import feature_rows as module
from headstart.transfer.heads.feature_rows import NORMALISE, Dense, Rows, Workspace, fit_transform

CPU = torch.device("cpu")


def data(n: int = 150, d: int = 10) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(n, d)) + 2).astype(np.float32)


@pytest.mark.parametrize("normalise", sorted(NORMALISE))
def test_statistics_come_from_training_rows_only_and_fold_into_the_head(normalise: str) -> None:
    features = data()
    train = np.arange(60)
    spoiled = features.copy()
    spoiled[60:] = 1e6
    transform = fit_transform(features, train, normalise, CPU)
    prepared = transform(torch.from_numpy(features))
    assert torch.equal(fit_transform(spoiled, train, normalise, CPU)(torch.from_numpy(features)), prepared)
    draw = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(3, 10, generator=draw), torch.randn(3, generator=draw)
    with torch.no_grad():
        found = transform.linear_head(weight, bias)(torch.from_numpy(features))
    torch.testing.assert_close(found, prepared @ weight.T + bias, atol=1e-4, rtol=1e-4)


def test_standardised_rows_have_mean_zero_and_variance_one() -> None:
    features = data()
    train = np.arange(60)
    prepared = fit_transform(features + 1000, train, "standardise", CPU)(torch.from_numpy(features[train] + 1000))
    assert prepared.mean(0).abs().max() < 1e-3
    assert (prepared.var(0, correction=0) - 1).abs().max() < 1e-3


def test_rows_come_in_blocks_by_index_and_again_from_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    features, picked = data(), np.array([5, 5, 80, 3])
    transform = fit_transform(features, np.arange(60), "l2-centre", CPU)
    held = Rows(features, picked, transform, CPU)
    monkeypatch.setattr(module, "RESIDENT_BYTES", 0)
    read = Rows(features, picked, transform, CPU)
    assert held.nbytes == 4 * 10 * 4 and read.nbytes == 0 and len(read) == 4 and read.dim == 10
    expected = transform(torch.from_numpy(features[picked]))
    for rows in (held, read):
        blocks = list(rows.blocks(3))
        assert [(place.start, place.stop) for place, _ in blocks] == [(0, 3), (3, 4)]
        assert torch.equal(torch.cat([block for _, block in blocks]), expected)
        assert torch.equal(rows.take(torch.tensor([2, 0])), expected[[2, 0]])
    assert [(place.start, block.tolist()) for place, block in Dense(torch.eye(2)).blocks(1)] == [
        (0, [[1.0, 0.0]]),
        (1, [[0.0, 1.0]]),
    ]


def test_half_precision_rounds_the_prepared_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    features, picked = data(), np.arange(4)
    transform = fit_transform(features, picked, "none", CPU)
    expected = torch.from_numpy(features[:4]).half().float()
    held = Rows(features, picked, transform, CPU, half=True)
    monkeypatch.setattr(module, "RESIDENT_BYTES", 0)
    read = Rows(features, picked, transform, CPU, half=True)
    for rows in (held, read):
        assert torch.equal(next(iter(rows.blocks()))[1], expected)


def test_a_constant_feature_is_centred_and_not_divided_by_zero() -> None:
    features = data()
    features[:, 3] = 7.0
    prepared = fit_transform(features, np.arange(60), "standardise", CPU)(torch.from_numpy(features))
    assert bool(torch.isfinite(prepared).all()) and bool((prepared[:, 3] == 0).all())


def test_what_is_centred_in_any_case_is_centred_once() -> None:
    features, rows = data(), np.arange(60)
    for name, same in (("none", "centre"), ("l2", "l2-centre"), ("standardise", "standardise")):
        one = fit_transform(features, rows, name, CPU, centred=True)(torch.from_numpy(features))
        assert torch.equal(one, fit_transform(features, rows, same, CPU)(torch.from_numpy(features)))


def test_unknown_names_and_values_that_are_not_finite_are_refused() -> None:
    features = data()
    with pytest.raises(SpecError, match="did you mean 'standardise'"):
        fit_transform(features, np.arange(60), "standardize", CPU)
    features[7, 2] = np.nan
    with pytest.raises(DataError, match="features of the training rows hold NaN or infinite values"):
        fit_transform(features, np.arange(60), "centre", CPU)


def test_a_workspace_lets_go_what_was_used_longest_ago() -> None:
    made: list[str] = []
    workspace = Workspace(data(), CPU, limit=10)

    def ask(name: str) -> str:
        return workspace.get(name, lambda: made.append(name) or name, lambda _: 4)

    for name in ("a", "b", "a", "c", "a", "b"):
        assert ask(name) == name
    assert made == ["a", "b", "c", "b"]  # c pushed b out, for a was used after it
    assert Workspace(data(), CPU, limit=0).get("big", lambda: 1, lambda _: 99) == 1
