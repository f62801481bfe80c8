from __future__ import annotations

import pytest
import torch

from headstart.devices import default_device, resolve_device
from headstart.errors import SpecError


def machine(monkeypatch: pytest.MonkeyPatch, gpus: int, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(("gpus", "mps", "device"), [(0, False, "cpu"), (1, True, "cuda"), (0, True, "mps")])
def test_auto_is_the_fastest_device(monkeypatch: pytest.MonkeyPatch, gpus: int, mps: bool, device: str) -> None:
    machine(monkeypatch, gpus, mps)
    assert default_device() == resolve_device("auto") == device


def test_available_devices_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 2, mps=True)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1", "mps"):
        assert resolve_device(name) == name


@pytest.mark.parametrize("name", ["gpu", "", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "mps:0", "cuda:²"])
@pytest.mark.parametrize("remote", [False, True])
def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, remote: bool) -> None:
    machine(monkeypatch, 2, mps=True)
    with pytest.raises(SpecError, match=r"is unknown; use auto, cpu, cuda, cuda:1 or mps$"):
        resolve_device(name, remote=remote)


def test_devices_that_the_machine_lacks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 0)
    for name in ("cuda", "cuda:0"):
        with pytest.raises(SpecError, match=f"device '{name}': no CUDA GPU is available; use cpu or auto"):
            resolve_device(name)
        assert resolve_device(name, remote=True) == name
    with pytest.raises(SpecError, match="MPS is not available"):
        resolve_device("mps")
    machine(monkeypatch, 2)
    with pytest.raises(SpecError, match="the last of 2 GPUs is cuda:1"):
        resolve_device("cuda:2")
