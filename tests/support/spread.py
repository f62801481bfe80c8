"""Many test files are spread over the cores by themselves, each worker with one thread."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headstart import threads

MANY, MOST = 20, 8  # files from which on it pays to start workers; workers: each takes a gigabyte


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


def files(config: pytest.Config) -> int:
    """Return how many files of tests the command line names, itself or by their folders."""
    places = [Path(config.invocation_params.dir, argument.partition("::")[0]) for argument in config.args]
    return sum(sum(1 for _ in place.rglob("test_*.py")) if place.is_dir() else 1 for place in places)
