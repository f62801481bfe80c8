from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from unlabelled_folder import colour_of, draw_folder, embedded

from headstart.errors import SpecError
from headstart.labelling.app import make_app
from headstart.labelling.comparing import _COMMAND, Comparing
from headstart.labelling.label_file import LabelFile
from headstart.labelling.session import LabelSession

WAITS = "import sys, time; print('half way', file=sys.stderr, flush=True); time.sleep(60)"
FAILS = "import sys; print('headstart: no image', file=sys.stderr); sys.exit(2)"


def ended(comparing: Comparing) -> dict[str, Any]:
    """Return its state as soon as it has ended."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        state = comparing.state()
        assert state is not None
        if state["state"] != "running":
            return state
        time.sleep(0.02)
    raise AssertionError("it did not end")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Any]:
    """Make a comparison whose command is this Python program, and end it."""
    all_: list[Comparing] = []

    def make(program: str) -> Comparing:
        all_.append(Comparing(tmp_path / "labels.csv", (sys.executable, "-c", program)))
        return all_[-1]

    yield make
    for each in all_:
        each.close()


def test_the_command_takes_no_module_of_the_folder_in_which_it_runs(tmp_path: Path) -> None:
    (tmp_path / "headstart.py").write_text("raise SystemExit('another headstart')")
    said = subprocess.run([*_COMMAND, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "headstart compare" in said


def test_the_command_has_the_file_and_the_options(tmp_path: Path) -> None:
    program = "import json, sys; print(json.dumps({'answer': sys.argv[1:], 'report': 'r'}))"
    found = Comparing(tmp_path / "l.csv", (sys.executable, "-c", program), ["--bands", "all"])
    found.start(4)
    assert ended(found)["said"] == str([str(tmp_path / "l.csv"), "--bands", "all", "--json"])
    found.close()


def test_its_answer_and_its_report_are_those_of_the_command(made: Any, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>a report</p>")
    said = {"answer": "Use ridge.", "report": str(tmp_path / "report.html")}
    comparing = made(
        f"import sys; assert sys.argv[1:] == [{str(tmp_path / 'labels.csv')!r}, '--json']; print({json.dumps(said)!r})"
    )
    assert comparing.state() is None and comparing.report() is None
    comparing.start(12)
    assert ended(comparing) == {"state": "done", "labels": 12, "said": "Use ridge."}
    assert comparing.report() == "<p>a report</p>"


def test_a_failure_says_why_and_another_start_is_possible(made: Any) -> None:
    comparing = made(FAILS)
    for labels in (3, 4):
        comparing.start(labels)
        assert ended(comparing) == {"state": "failed", "labels": labels, "said": "headstart: no image"}
    assert comparing.report() is None


def test_one_runs_at_a_time_and_ends_with_the_page(made: Any) -> None:
    comparing = made(WAITS)
    comparing.start(3)
    with pytest.raises(SpecError, match="running already"):
        comparing.start(3)
    until = time.monotonic() + 60
    while comparing.state()["said"] != "half way":
        assert time.monotonic() < until
        time.sleep(0.02)
    process = comparing._process
    if hasattr(os, "getpriority"):
        assert os.getpriority(os.PRIO_PROCESS, process.pid) > os.getpriority(os.PRIO_PROCESS, 0)
    comparing.close()
    assert process.returncode not in (None, 0)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_it_ends_with_a_page_that_was_killed(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    child = f"""
import time
from pathlib import Path
from headstart.cli.process import run_as_process
def command():
    print("started", flush=True)
    time.sleep(120)
try:
    run_as_process(command)
except SystemExit as end:
    Path({str(ended)!r}).write_text(str(end.code))
"""
    page = f"""
import sys, time
from pathlib import Path
from headstart.labelling.comparing import Comparing
comparing = Comparing(Path("l.csv"), (sys.executable, "-c", {child!r}))
comparing.start(3)
while not comparing._out.read_text():
    time.sleep(0.02)
print("started", flush=True)
time.sleep(120)
"""
    process = subprocess.Popen([sys.executable, "-c", page], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None and process.stdout.readline() == "started\n"
        process.kill()
    until = time.monotonic() + 60
    while not ended.exists() or not ended.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    assert ended.read_text() == "143"


def test_the_page_starts_it_and_shows_a_report_that_can_ask_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_text("<p>a report</p>")
    program = f"print({json.dumps({'answer': 'Use ridge.', 'report': str(tmp_path / 'report.html')})!r})"
    monkeypatch.setattr(Comparing.__init__, "__defaults__", ((sys.executable, "-c", program), ()))
    session = LabelSession(embedded(draw_folder(tmp_path / "p")), LabelFile(tmp_path / "l.csv"), ["red", "blue"])
    with TestClient(make_app(session, "key")) as client:
        assert client.post("/api/compare", json={}).status_code == 401
        client.get("/open/key")
        refused = client.post("/api/compare", json={})
        assert refused.status_code == 422 and "at least two classes" in refused.json()["detail"]
        assert client.get("/report").status_code == 404 and client.get("/api/state").json()["comparison"] is None
        for row, path in enumerate(session.paths[:40]):
            session.label([row], colour_of(path), "ann")
        assert client.post("/api/compare", json={}).json()["comparison"]["labels"] == 40
        until = time.monotonic() + 60
        while client.get("/api/state").json()["comparison"]["state"] == "running":
            assert time.monotonic() < until
            time.sleep(0.02)
        report = client.get("/report")
        assert report.text == "<p>a report</p>"
        policy = report.headers["content-security-policy"]
        assert policy.startswith("sandbox allow-scripts allow-downloads; default-src 'none'")
        assert "connect-src" not in policy and "allow-same-origin" not in policy
        assert "default-src 'self'" in client.get("/").headers["content-security-policy"]
        (tmp_path / "report.html").unlink()
        gone = client.get("/report")
        assert gone.status_code == 404 and gone.json()["detail"] == (
            f"{tmp_path / 'report.html'}: the report cannot be read (No such file or directory); compare again to"
            " rewrite it"
        )
