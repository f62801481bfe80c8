"""Gram matrices and principal directions, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.transfer.heads.feature_rows import Workspace
from headstart.transfer.heads.gram import gram, principal, products, rotate
from headstart.transfer.heads.problem import Problem


def setting(n: int, d: int) -> tuple[Problem, np.ndarray]:
    features = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32) + 2
    rows = np.arange(n)
    workspace = Workspace(features, torch.device("cpu"))
    problem = Problem(workspace, np.zeros(n, np.int64), rows, rows[:0], 2)
    wide = features.astype(np.float64)
    return problem, wide - wide.mean(0)


@pytest.mark.parametrize(("n", "d"), [(40, 6), (12, 30)])
def test_products_and_directions_are_those_of_numpy(n: int, d: int) -> None:
    problem, centred = setting(n, d)
    rows = problem.train_rows(problem.transform("centre"))
    expected = centred.T @ centred / n
    np.testing.assert_allclose(products(rows), expected, atol=1e-5)
    np.testing.assert_allclose(gram(problem, rows), expected, atol=1e-5)
    basis, values = principal(problem, rows)
    theirs = np.linalg.eigvalsh(expected)[::-1][: min(n - 1, d)]
    np.testing.assert_allclose(np.sort(values.numpy())[::-1][: len(theirs)], theirs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-4)
    rebuilt = (basis * values) @ basis.T
    np.testing.assert_allclose(rebuilt, expected, atol=1e-4)
    torch.testing.assert_close(rotate(rows, basis), torch.from_numpy(centred).float() @ basis, atol=1e-4, rtol=1e-4)


def test_matrices_are_computed_once_for_the_same_rows() -> None:
    problem, _ = setting(20, 5)
    rows = problem.train_rows(problem.transform("centre"))
    assert gram(problem, rows) is gram(problem, rows)
    assert principal(problem, rows)[0] is principal(problem, rows)[0]
