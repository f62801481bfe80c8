"""The machine and the versions that a result was computed with."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from headstart.version import VERSION


def environment(device: str) -> dict[str, Any]:
    """Return the versions and the hardware that the numbers may depend on."""
    packages = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "onnxruntime", "lightning")
    return {
        "headstart": VERSION,
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
        "os": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def cpu_model() -> str:
    """Return the processor's name."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def _version(package: str) -> str | None:
    """Return a package's version, or None if it is not installed: Lightning is in an extra."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
