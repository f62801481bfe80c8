"""The environment of a Lightning trainer: devices, loggers, muted advice and a random state of its own."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.loggers import CSVLogger, Logger

from headstart.errors import require
from headstart.progress import say
from headstart.transfer.finetune.event_logger import EventLogger
from headstart.transfer.loggers import logged_from


def several(device: str) -> str:
    """Return Lightning's name for DDP in processes that are forked or spawned, not started from the command line."""
    return "ddp_fork" if device == "cpu" and hasattr(os, "fork") else "ddp_spawn"


def accelerator(device: str, count: int) -> tuple[str, int | list[int]]:
    """Return Lightning's names for a device ("cpu", "cuda:1" …) and how many, or which, of it."""
    kind, _, index = device.partition(":")
    if kind == "cuda":
        return "gpu", [int(index)] if index else count
    return kind, count if kind == "cpu" else 1


@cache  # once, however many trainings there are
def warn_of_slow(precision: str, device: str) -> None:
    """Warn if this processor has no instructions for bfloat16, which it computes more slowly than 32 bits."""
    if precision == "bf16-mixed" and device == "cpu" and not _has_bfloat16():
        say(
            "recipe: this processor has no instructions for bfloat16, and precision bf16-mixed trains far more slowly"
            " on it than 32; set precision: 32"
        )


def _has_bfloat16() -> bool:
    """Return whether the processor has them; True where PyTorch cannot tell."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    found = [capabilities[name] for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16") if name in capabilities]
    return any(found) or not found


def open_loggers(names: tuple[str, ...], folder: Path) -> list[Logger]:
    """Return the loggers of these names, writing below `folder`.

    Raises:
        MissingExtra: tensorboard is not installed.
    """
    if "tensorboard" in names:
        require("tensorboard", "the TensorBoard logger", "track")
    return [
        CSVLogger(folder, name="log", version="") if name == "csv" else EventLogger(folder / "log" / "tensorboard")
        for name in names
    ]


@contextmanager
def quiet() -> Iterator[None]:
    """Mute Lightning's advice: eval-mode modules, workers and logging intervals are as they must be."""
    with warnings.catch_warnings(), logged_from(logging.WARNING, "lightning.pytorch", "lightning.fabric"):
        warnings.simplefilter("ignore", PossibleUserWarning)
        warnings.filterwarnings("ignore", message=".*Experiment logs directory.*")
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
        yield


@contextmanager
def own_randomness() -> Iterator[None]:
    """Restore torch's global generator afterwards: every step seeds it."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield


def reseed(seed: int, device: torch.device) -> None:
    """Seed the generator that a step on this device draws from.

    `torch.manual_seed` seeds those of all kinds of device, too; for each that is not in use it writes down where it was
    called from, which takes 2 ms, as long as a step of a small network.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
