"""Many test files are spread over the cores by themselves, each worker with one thread."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart import threads

MANY, MOST = 20, 8  # files from which on it pays to start workers; workers: each takes a gigabyte
WITHOUT_TORCH = (
    "sympy",
    "scipy.stats",
    "sklearn.linear_model",
    "pandas",
    "matplotlib.pyplot",
    "onnx",
)


def spread(config: pytest.Config) -> None:
    """Choose the workers of pytest-xdist where the command line does not."""
    option = config.option
    alone = option.collectonly or option.usepdb or option.trace or option.capture == "no"
    if "PYTEST_XDIST_WORKER" in os.environ:  # a worker, or what a test starts in one, has no workers of its own
        return
    if getattr(option, "numprocesses", 0) is not None or option.tx or alone or files(config) < MANY:
        return  # the first is 0 where the plug-in is switched off or not installed
    option.numprocesses = min(threads.machine_cores(), MOST)
    option.dist = "worksteal"  # neighbours stay together, for what they share
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def begin_elsewhere(config: pytest.Config) -> None:
    """Have every worker but the first import a later part of the tests before the rest, the second without PyTorch.

    In a new environment Python compiles whatever is imported, which takes a good part of the time of the plain tests.
    Workers that import in the same order each compile all of it.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw") or 0)
    if not number:
        return
    found = sorted(path for path in _paths(config) if path.is_relative_to(config.rootpath))
    later = found[len(found) * number // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]) :]
    names = [".".join(path.relative_to(config.rootpath).with_suffix("").parts) for path in later]
    for name in (*(WITHOUT_TORCH if number == 1 else ()), *names):
        with contextlib.suppress(Exception, pytest.skip.Exception):  # pytest imports it again, and says what is wrong
            importlib.import_module(name)


def files(config: pytest.Config) -> int:
    """Return how many files of tests the command line names, itself or by their folders."""
    return sum(1 for _ in _paths(config))


def _paths(config: pytest.Config) -> Iterator[Path]:
    for argument in config.args:
        place = Path(config.invocation_params.dir, argument.partition("::")[0])
        yield from place.rglob("test_*.py") if place.is_dir() else (place,)
