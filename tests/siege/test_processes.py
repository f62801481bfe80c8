"""The sieges that fork, in a process of their own: a test runner has threads, which a fork breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


# How some of the attempts end, and how many there are in every run and weekly. The fifth limit, of memory, is left to
# the long form: where too little is left, a native library may end the process itself.
FEW = {
    "kills": ("continued after", 1, 2),
    "moves": ("then continued", 1, 3),
    "limits": ("one line", 1, 4),
    "labels": ("every confirmed label", 1, 1),
    "pages": ("all that was confirmed is there", 1, 2),
    "signals": ("SIG", 1, 2),
    "crowds": ("at once", 1, 1),
}
ALL = """
import json, sys
from pathlib import Path
from tests.siege.__main__ import main
failed, counts = 0, json.loads(sys.argv[1])
for name, count in counts.items():  # their folders outlive them: what the first rehearsed, the others need not
    scratch = Path(sys.argv[2]) / name
    scratch.mkdir()
    failed += main([name, "--count", str(count), "--seed", "0", "--scratch", str(scratch)])
sys.exit(failed)
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/fd").exists(), reason="needs fork and /proc")
@pytest.mark.parametrize("weekly", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_studies_and_labels_survive_kills_limits_signals_and_crowds(weekly: bool, tmp_path: Path) -> None:
    one = {"OMP_NUM_THREADS": "1", "HEADSTART_THREADS": "1"}
    counts = {name: more if weekly else few for name, (_, few, more) in FEW.items()}
    command = [sys.executable, "-c", ALL, json.dumps(counts), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **one}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(FEW), done.stdout
    for line, (name, count) in zip(lines, counts.items(), strict=True):
        assert line.startswith(f"{name}: {count} attempts") and line.endswith("0 failed"), line
        assert FEW[name][0] in line, line


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
