"""Freed memory stays with the process inside the context and goes back to the system after it.

Measured in processes of their own: in this one, earlier tests have freed blocks of memory, and where the heap may
no longer grow, the C library serves large blocks from elsewhere.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from headstart.transfer.finetune.malloc import large_blocks_kept

LARGE = 256 << 20
FRESH = f"""
import ctypes
from pathlib import Path
from headstart.transfer.finetune.malloc import large_blocks_kept

LARGE = {LARGE}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def touch_and_free():
    block = libc.malloc(LARGE)
    ctypes.memset(block, 1, LARGE)
    libc.free(block)

before = resident_bytes()
"""


def able() -> bool:
    with large_blocks_kept() as yes:
        return yes


pytestmark = pytest.mark.skipif(not able(), reason="this C library has no such setting")


def measured(script: str) -> list[int]:
    """Return the numbers that a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", FRESH + script], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


def test_large_freed_blocks_stay_inside_the_context_and_go_back_after_it() -> None:
    script = """
with large_blocks_kept():
    touch_and_free()
    print(resident_bytes() - before)
print(resident_bytes() - before)
"""
    inside, after = measured(script)
    assert inside > 0.9 * LARGE
    assert after < 0.2 * LARGE


def test_settings_go_back_after_an_error() -> None:
    script = """
try:
    with large_blocks_kept():
        raise ValueError("stop")
except ValueError:
    touch_and_free()
    print(resident_bytes() - before)
"""
    (after,) = measured(script)
    assert after < 0.2 * LARGE


def test_an_error_inside_is_passed_on() -> None:
    with pytest.raises(ValueError, match="stop"), large_blocks_kept():
        raise ValueError("stop")
