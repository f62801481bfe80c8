"""The machine and the versions that a result was computed with."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from headstart.version import VERSION


def environment(device: str) -> dict[str, Any]:
    """Return what the numbers may depend on: versions and hardware."""
    packages = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "onnxruntime", "lightning")
    return {
        "headstart": VERSION,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
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


def peak_memory() -> int:
    """Return the most memory this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
