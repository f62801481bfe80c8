"""Optimisers against torch's own and small problems with known solutions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.transfer.finetune.optimizers import OPTIMIZERS, Settings, build_optimizer, orthogonalised


def settings(**changes: float | bool) -> Settings:
    values = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.5, "fused": False}
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_spares_norms_and_biases(name: str) -> None:
    layer = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimizer = build_optimizer(name, [("stage", layer.parameters(), 0.5), ("head", [], 1.0)], settings())
    for group in optimizer.param_groups:
        assert group["lr"] == pytest.approx(0.05)
        assert group["weight_decay"] == (0.5 if all(p.ndim > 1 for p in group["params"]) else 0.0)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = [p.detach().clone() for p in layer.parameters()]
    optimizer.step()
    for old, new in zip(before, layer.parameters(), strict=True):
        assert torch.equal(old, new) == (old.ndim == 1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_solves_a_least_squares_problem(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    x, w = torch.randn(64, 6, generator=draw), torch.randn(6, 3, generator=draw)
    weight, bias = nn.Parameter(torch.zeros(3, 6)), nn.Parameter(torch.zeros(3))
    lr = {"sgd": 0.05, "adam": 0.05, "adamw": 0.05, "muon": 0.05}[name]
    optimizer = build_optimizer(name, [("stage", [weight, bias], 1.0)], settings(lr=lr, weight_decay=0.0))
    for step in range(300):
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[-1]["lr"] = lr * (1 - step / 300)
        optimizer.zero_grad()
        loss = (x @ weight.T + bias - x @ w).square().mean()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1e-2


def test_our_adam_of_muon_is_torchs_adamw() -> None:
    draw = torch.Generator().manual_seed(0)
    ours, theirs = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))
    a = build_optimizer("muon", [("stage", [ours], 1.0)], settings(weight_decay=0.0))
    b = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.0)
    for _ in range(5):
        ours.grad = theirs.grad = torch.randn(5, generator=draw)
        a.step()
        b.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for shape in ((8, 20), (20, 8)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        values = torch.linalg.svdvals(orthogonalised(matrix))
        assert float(values.min()) > 0.5 and float(values.max()) < 1.3


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.5)),
        ("adam", lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.5)),
        ("adamw", lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5)),
    ],
)
def test_steps_on_a_matrix_are_torchs(name: str, theirs: object) -> None:
    draw = torch.Generator().manual_seed(2)
    one, other = nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(3, 4))
    a, b = build_optimizer(name, [("stage", [one], 1.0)], settings()), theirs([other])  # type: ignore[operator]
    for _ in range(4):
        one.grad = torch.randn(3, 4, generator=draw)
        other.grad = one.grad.clone()
        a.step()
        b.step()
    assert torch.allclose(one, other, atol=1e-7)


def test_muons_first_step_moves_a_matrix_by_an_orthogonal_direction_of_known_size() -> None:
    weight = nn.Parameter(torch.zeros(4, 9))
    optimizer = build_optimizer("muon", [("stage", [weight], 1.0)], settings(weight_decay=0.0))
    weight.grad = torch.randn(4, 9, generator=torch.Generator().manual_seed(3))
    optimizer.step()
    sizes = torch.linalg.svdvals(weight.detach() / (0.1 * 0.2 * 3))  # lr × 0.2 × sqrt(larger side)
    assert float(sizes.min()) > 0.5 and float(sizes.max()) < 1.3


def test_muon_gives_the_head_to_adam_and_unknown_names_are_refused() -> None:
    groups = [("stage", [nn.Parameter(torch.ones(2, 2))], 1.0), ("head", [nn.Parameter(torch.ones(2, 2))], 1.0)]
    matrices = {g["name"]: g["matrices"] for g in build_optimizer("muon", groups, settings()).param_groups}
    assert matrices == {"stage.decayed": True, "head.decayed": False}
    with pytest.raises(HeadstartError, match="did you mean 'adamw'"):
        build_optimizer("adamww", groups, settings())
