"""The sieges that fork, in a process of their own: a test runner has threads, which a fork breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/fd").exists(), reason="needs fork and /proc")
@pytest.mark.parametrize(("name", "count", "ends"), [("kills", 2, "continued after"), ("limits", 5, "one line")])
def test_a_study_survives(name: str, count: int, ends: str) -> None:
    command = [sys.executable, "-m", "tests.siege", name, "--count", str(count), "--seed", "0"]
    one = {"OMP_NUM_THREADS": "1", "HEADSTART_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **one}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: {count} attempts" in done.stdout and ends in done.stdout and "0 failed" in done.stdout
