"""How many threads this process may keep busy: one figure that decoding, networks and solvers all use.

Several processes on one machine each get a share of the cores on purpose; none takes all of them by default.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from headstart.errors import SpecError

VARIABLE = "HEADSTART_THREADS"
LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Return how many threads this process may keep busy: $HEADSTART_THREADS, else the cores that it may use.

    Raises:
        SpecError: $HEADSTART_THREADS is not a whole number above 0.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return machine_cores()
    if not text.isdecimal() or int(text) < 1:
        raise SpecError(f"{VARIABLE}={text!r} is not a number of threads; give 1 or more, or unset it")
    return int(text)


def machine_cores() -> int:
    """Return how many cores this process may use: by its affinity and by its container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, _quota(_QUOTA)))


def share(workers: int) -> int:
    """Return how many threads each of this many workers may keep busy: $HEADSTART_THREADS, else an even share."""
    return cores() if os.environ.get(VARIABLE) else max(1, machine_cores() // workers)


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a process that keeps this many threads busy in every library."""
    return {VARIABLE: str(threads), **dict.fromkeys(LIBRARIES, str(threads))}


def hold() -> None:
    """Bring PyTorch and the BLAS libraries of this process to `cores()` threads, or leave them at fewer."""
    import torch
    from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

    allowed = cores()
    if torch.get_num_threads() > allowed:
        torch.set_num_threads(allowed)
    if any(pool["num_threads"] > allowed for pool in threadpool_info()):
        threadpool_limits(allowed)


class _OneThread:
    """Who has asked for one thread, and what restores the others."""

    def __init__(self) -> None:
        self._lock, self._count = Lock(), 0
        self._limited: Any = None

    def enter(self) -> None:
        with self._lock:
            if not self._count:
                self._limited = _blas().limit(limits=1)
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                self._limited, limited = None, self._limited
                limited.restore_original_limits()


_ONE = _OneThread()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep the BLAS libraries of NumPy and SciPy at one thread, for products between two passes of a network.

    Their other threads keep spinning for milliseconds after each product, and keep the cores from PyTorch's threads.
    The limit is the process's: of several threads that ask for it, the last one out restores what was before.
    """
    _ONE.enter()
    try:
        yield
    finally:
        _ONE.leave()


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _quota(path: Path) -> int:
    """Return the cores that a container may use (cgroup v2), rounded up; a large number without a quota."""
    if not path.is_file():
        return sys.maxsize
    limit, _, period = path.read_text().strip().partition(" ")
    return sys.maxsize if limit == "max" or not period else math.ceil(int(limit) / int(period))
