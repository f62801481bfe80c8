"""Gram matrices of prepared rows and their principal directions, computed once and shared by every penalty."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headstart.transfer.heads.feature_rows import Rows, wide
from headstart.transfer.heads.problem import Problem


def gram(problem: Problem, rows: Rows) -> Float[Tensor, "d d"]:
    """Return XᵀX / n of centred rows as float32, from the workspace if it is there."""
    return problem.workspace.get(
        ("gram", id(rows)), lambda: (products(rows).float(), rows), lambda made: made[0].nbytes
    )[0]


def principal(problem: Problem, rows: Rows) -> tuple[Float[Tensor, "d r"], Float[Tensor, " r"]]:
    """Return orthonormal directions and eigenvalues of XᵀX / n, r = min(n, d) at most.

    The smaller of the d x d and the n x n Gram matrix is decomposed.
    """
    decompose = _dual if len(rows) < rows.dim else _primal
    return problem.workspace.get(
        ("principal", id(rows)), lambda: (*decompose(rows), rows), lambda made: made[0].nbytes
    )[:2]


def products(rows: Rows) -> Float[Tensor, "d d"]:
    """Return XᵀX / n, blocks summed in the widest float."""
    total = torch.zeros(rows.dim, rows.dim, dtype=wide(rows.device), device=rows.device)
    for _, block in rows.blocks():
        total += block.T @ block
    return total / len(rows)


def rotate(rows: Rows, basis: Float[Tensor, "d r"]) -> Float[Tensor, "n r"]:
    """Return the rows' coordinates in the basis."""
    return torch.cat([block @ basis for _, block in rows.blocks()])


def _primal(rows: Rows) -> tuple[Tensor, Tensor]:
    values, basis = torch.linalg.eigh(products(rows))
    return basis.float(), values.clamp(min=0).float()


def _dual(rows: Rows) -> tuple[Tensor, Tensor]:
    every = torch.cat([block for _, block in rows.blocks()])
    values, left = torch.linalg.eigh((every @ every.T).to(wide(rows.device)) / len(rows))
    kept = values > values[-1] * 1e-7  # below lie rounding errors of float32
    values, left = values[kept], left[:, kept]
    basis = every.T @ (left / (values * len(rows)).sqrt()).float()
    return basis, values.float()
