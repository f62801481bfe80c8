"""The short form of benchmarks/map_projection.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.maps.neighbour_map import is_installed

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "map_projection.py"


@pytest.mark.long
@pytest.mark.parametrize(
    "methods", [["pca", "measure"], pytest.param(["pca", "measure", "tsne"], marks=pytest.mark.slow)]
)
def test_each_method_is_timed_in_a_process_of_its_own(methods: list[str]) -> None:
    if "tsne" in methods and not is_installed():
        pytest.skip("openTSNE is not installed")
    command = [sys.executable, str(SCRIPT), "--images", "300", "--width", "32", "--methods", *methods]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["method"] for row in rows] == methods
    for row in rows:
        assert row["rows"] == 300 and row["width"] == 32
        assert 0 <= row["cpu_seconds"] < 600 and 0.01 < row["peak_gb"] < 8
