"""Devices by Lightning's names, muted advice, and torch's generator left alone."""

from __future__ import annotations

import logging

import pytest
import torch

from headstart.transfer.finetune.trainer_setup import (
    accelerator,
    own_randomness,
    quiet,
    reseed,
    several,
    warn_of_slow,
)


@pytest.mark.parametrize(
    ("device", "count", "expected"),
    [
        ("cpu", 1, ("cpu", 1)),
        ("cpu", 3, ("cpu", 3)),
        ("cuda", 2, ("gpu", 2)),
        ("cuda:1", 1, ("gpu", [1])),
        ("mps", 1, ("mps", 1)),
    ],
)
def test_devices_by_lightnings_names(device: str, count: int, expected: tuple[str, object]) -> None:
    assert accelerator(device, count) == expected


def test_several_devices_are_forked_on_the_cpu_and_spawned_elsewhere() -> None:
    assert several("cpu") == "ddp_fork" and several("cuda") == "ddp_spawn"


@pytest.mark.parametrize(
    ("capabilities", "precision", "device", "said"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "bf16-mixed", "cpu", 1),
        ({"avx2": True, "avx512_bf16": True, "amx_bf16": False}, "bf16-mixed", "cpu", 0),
        ({"neon": True, "bf16": True}, "bf16-mixed", "cpu", 0),
        ({"neon": True, "bf16": False}, "bf16-mixed", "cpu", 1),
        ({}, "bf16-mixed", "cpu", 0),
        ({"avx512_bf16": False}, "32", "cpu", 0),
        ({"avx512_bf16": False}, "bf16-mixed", "cuda", 0),
    ],
)
def test_bfloat16_without_instructions_for_it_is_said_once(
    capabilities: dict[str, bool],
    precision: str,
    device: str,
    said: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    warn_of_slow.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    for _ in range(2):
        warn_of_slow(precision, device)
    assert capsys.readouterr().err.count("precision bf16-mixed trains far more slowly") == said


def test_levels_are_restored_after_an_error() -> None:
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    with pytest.raises(ValueError, match="stop"), quiet():
        assert logger.level == logging.WARNING
        raise ValueError("stop")
    assert logger.level == before


def test_seeding_inside_does_not_reach_outside() -> None:
    state = torch.get_rng_state()
    with own_randomness():
        torch.manual_seed(1)
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_step_on_the_cpu_draws_as_after_torchs_own_seeding() -> None:
    with own_randomness():
        torch.manual_seed(2**62 + 5)
        expected = torch.rand(4)
        reseed(2**62 + 5, torch.device("cpu"))
        assert torch.equal(torch.rand(4), expected)


def test_a_step_on_the_cpu_leaves_other_devices_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("CUDA was seeded"))
    with own_randomness():
        reseed(7, torch.device("cpu"))
