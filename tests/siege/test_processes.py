"""The sieges that fork, in a process of their own: a test runner has threads, which a fork breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


# How many attempts, and how some of them end. The fifth limit, of memory, is left to the long form: where too little is
# left, a native library may end the process itself.
FEW = {
    "kills": (1, "continued after"),
    "moves": (2, "then continued"),
    "limits": (4, "one line"),
    "labels": (1, "every confirmed label"),
    "pages": (2, "all that was confirmed is there"),
    "signals": (2, "SIG"),
    "crowds": (1, "at once"),
}
ALL = f"""
import sys
from pathlib import Path
from tests.siege.__main__ import main
failed = 0
for name, (count, _) in {FEW}.items():  # their folders outlive them: what the first rehearsed, the others need not
    (Path(sys.argv[1]) / name).mkdir()
    failed += main([name, "--count", str(count), "--seed", "0", "--scratch", str(Path(sys.argv[1]) / name)])
sys.exit(failed)
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/fd").exists(), reason="needs fork and /proc")
def test_studies_and_labels_survive_kills_limits_signals_and_crowds(tmp_path: Path) -> None:
    one = {"OMP_NUM_THREADS": "1", "HEADSTART_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ALL, tmp_path], cwd=ROOT, env={**os.environ, **one}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(FEW), done.stdout
    for line, (name, (count, ends)) in zip(lines, FEW.items(), strict=True):
        assert line.startswith(f"{name}: {count} attempts") and ends in line and line.endswith("0 failed"), line


WORK = """
import time
from tests.siege.forked import run_forked, work_clock
def work():
    time.sleep(0.5)
    while True:
        pass
ended = run_forked(work, kill_after=0.2, clock=work_clock)
print(ended.status, 0.15 < ended.worked < 0.5 < ended.seconds)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="needs the clocks of Linux")
def test_a_moment_by_processor_time_does_not_count_what_a_process_waits() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "-9 True\n", done.stdout + done.stderr
