"""The devices that networks run on, by name."""

from __future__ import annotations

import torch

from headstart.errors import SpecError

_KNOWN = "auto, cpu, cuda, cuda:1 or mps"


def default_device() -> str:
    """Return "cuda" or "mps" if available, else "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def resolve_device(name: str, *, remote: bool = False) -> str:
    """Return the device of that name; the fastest one of this machine for "auto".

    Args:
        name: "auto", "cpu", "cuda", "cuda:1" or "mps".
        remote: networks run on other machines, so that the device need not be available on this one.

    Raises:
        SpecError: the name is unknown, or there is no such device.
    """
    if name == "auto":
        return default_device()
    kind, colon, number = name.partition(":")
    numbered = kind == "cuda" and number.isascii() and number.isdecimal()
    if kind not in ("cpu", "cuda", "mps") or (colon and not numbered):
        raise SpecError(f"device {name!r} is unknown; use {_KNOWN}")
    if remote or kind == "cpu":
        return name
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise SpecError(f"device {name!r}: MPS is not available; use cpu or auto")
        return name
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise SpecError(f"device {name!r}: no CUDA GPU is available; use cpu or auto")
    if number and int(number) >= count:
        raise SpecError(f"device {name!r}: the last of {count} GPUs is cuda:{count - 1}; use cuda or a lower number")
    return name
