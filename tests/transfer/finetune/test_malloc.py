"""Freed memory stays with the process inside the context and goes back to the system after it."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from headstart.transfer.finetune.malloc import large_blocks_kept

LARGE = 256 << 20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def give_back() -> None:
    """Return all free memory to the system, where the C library can."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def touch_and_free(size: int) -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)


def test_large_freed_blocks_stay_inside_the_context_and_go_back_after_it() -> None:
    give_back()  # what earlier tests freed: the block would be cut from it and add nothing
    before = resident_bytes()
    with large_blocks_kept() as able:
        if not able:
            pytest.skip("this C library has no such setting")
        touch_and_free(LARGE)
        inside = resident_bytes() - before
    after = resident_bytes() - before
    assert inside > 0.9 * LARGE
    assert after < 0.2 * LARGE


def test_settings_go_back_after_an_error() -> None:
    before = resident_bytes()
    with pytest.raises(ValueError, match="stop"), large_blocks_kept():
        raise ValueError("stop")
    touch_and_free(LARGE)
    assert resident_bytes() - before < 0.2 * LARGE
