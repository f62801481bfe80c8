"""Devices by name, on machines that have them and machines that do not."""

from __future__ import annotations

import pytest
import torch

from headstart.devices import default_device, resolve_device
from headstart.errors import SpecError


def pretend(monkeypatch: pytest.MonkeyPatch, gpus: int = 0, mps: bool = False) -> None:
    """Make torch say that this machine has so many CUDA GPUs, or MPS."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(("gpus", "mps", "name"), [(1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")])
def test_auto_is_the_fastest_device(monkeypatch: pytest.MonkeyPatch, gpus: int, mps: bool, name: str) -> None:
    pretend(monkeypatch, gpus, mps)
    assert default_device() == resolve_device("auto") == name


def test_devices_that_are_there_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, gpus=2, mps=True)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1", "mps"):
        assert resolve_device(name) == name


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "mps:1", "cuda:", "cuda:x", "cuda:-1", "cuda:²", ""])
def test_an_unknown_name_is_refused_even_for_another_machine(name: str) -> None:
    for remote in (False, True):
        with pytest.raises(SpecError, match=f"device '{name}' is unknown; use auto, cpu, cuda, cuda:1 or mps"):
            resolve_device(name, remote=remote)


def test_an_absent_device_is_named_with_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    for name, words in (("mps", "MPS is not available"), ("cuda", "no CUDA GPU"), ("cuda:3", "no CUDA GPU")):
        with pytest.raises(SpecError, match=f"device '{name}': {words}"):
            resolve_device(name)
        assert resolve_device(name, remote=True) == name


def test_a_number_beyond_the_last_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, gpus=2)
    with pytest.raises(SpecError, match="device 'cuda:2': the last of 2 GPUs is cuda:1"):
        resolve_device("cuda:2")
