from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.study.results import environment as module
from headstart.study.results.environment import cpu_model, environment
from headstart.version import VERSION


def test_versions_and_hardware_are_those_of_this_machine() -> None:
    found = environment("cpu")
    assert (found["headstart"], found["torch"], found["numpy"]) == (VERSION, version("torch"), np.__version__)
    assert (found["python"], found["device"]) == (platform.python_version(), "cpu")
    assert (found["threads"], found["scikit-learn"]) == (torch.get_num_threads(), version("scikit-learn"))
    assert (found["gpu"] is None) is not torch.cuda.is_available() and found["cpu"] == cpu_model()


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        if name == "lightning":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(module, "version", absent)
    module._version.cache_clear()
    try:
        found = environment("cpu")
    finally:
        module._version.cache_clear()
    assert found["lightning"] is None and found["timm"] == "1.0"


def test_the_processor_is_named_by_linux_or_else_by_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nmodel name\t: Some CPU: at 2.1 GHz \nmodel name\t: another\n")
    monkeypatch.setattr(module, "Path", lambda place: listed)
    assert cpu_model() == "Some CPU: at 2.1 GHz"
    listed.write_text("processor\t: 0\n")
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert cpu_model() == "arm64"
    listed.unlink()
    monkeypatch.setattr(platform, "processor", lambda: "M4")
    assert cpu_model() == "M4"
