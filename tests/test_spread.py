"""Which command lines are spread over the cores."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import spread


@pytest.fixture
def tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("headstart.threads.machine_cores", lambda: 4)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # put back afterwards, whether the test sets it or not
    monkeypatch.delenv("OMP_NUM_THREADS")
    for number in range(spread.MANY):
        place = tmp_path / "tests" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"test_{number}.py").touch()
        (place / f"shared_{number}.py").touch()
    return tmp_path


def config(place: Path, *arguments: str, **options: Any) -> Any:
    plain = {"collectonly": False, "usepdb": False, "trace": False, "capture": "fd", "numprocesses": None, "tx": []}
    return SimpleNamespace(
        option=SimpleNamespace(**{**plain, "dist": "no", **options}),
        args=list(arguments),
        invocation_params=SimpleNamespace(dir=place),
    )


def workers(asked: Any) -> tuple[Any, str]:
    spread.spread(asked)
    return asked.option.numprocesses, asked.option.dist


def test_twenty_files_have_a_worker_for_each_core_and_a_thread_for_each_worker(tests: Path) -> None:
    assert workers(config(tests, "tests")) == (4, "worksteal")
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert workers(config(tests / "tests", "a", "b")) == (4, "worksteal")


def test_a_large_machine_has_as_many_as_its_memory_holds(tests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.threads.machine_cores", lambda: 64)
    assert workers(config(tests, "tests")) == (8, "worksteal")


def test_fewer_files_stay_in_one_process(tests: Path) -> None:
    (tests / "tests" / "a" / "test_0.py").unlink()
    assert workers(config(tests, "tests")) == (None, "no")
    assert workers(config(tests, "tests/b/test_1.py::test_x[a::b]", "tests/b/test_3.py")) == (None, "no")


@pytest.mark.parametrize(
    "option", [{"collectonly": True}, {"usepdb": True}, {"trace": True}, {"capture": "no"}, {"tx": ["popen"]}]
)
def test_what_needs_one_process_has_one(tests: Path, option: dict[str, Any]) -> None:
    assert workers(config(tests, "tests", **option)) == (None, "no")


@pytest.mark.parametrize("number", [0, 3, "auto"])
def test_the_command_line_decides_where_it_names_a_number(tests: Path, number: Any) -> None:
    assert workers(config(tests, "tests", numprocesses=number)) == (number, "no")


def test_without_the_plug_in_nothing_changes(tests: Path) -> None:
    asked = config(tests, "tests")
    del asked.option.numprocesses, asked.option.tx, asked.option.dist
    spread.spread(asked)
    assert not hasattr(asked.option, "numprocesses")


def test_a_worker_has_no_workers_of_its_own(tests: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    assert workers(config(tests, "tests")) == (None, "no")


@pytest.mark.parametrize(
    ("worker", "libraries", "first"), [("gw0", False, 20), ("gw1", True, 6), ("gw2", False, 13), (None, False, 20)]
)
def test_workers_begin_at_different_places(
    tests: Path, worker: str | None, libraries: bool, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if worker:
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "3")
    for number in range(spread.MANY):  # 00 to 19, in this order
        (tests / "tests" / "ab"[number % 2] / f"test_{number}.py").unlink()
        (tests / "tests" / f"test_{number:02d}.py").touch()
    imported: list[str] = []

    def take(name: str) -> None:
        imported.append(name)
        if name == "tests.test_15":
            raise RuntimeError("a broken module is left to pytest")
        if name == "tests.test_16":
            pytest.skip("so is one that is skipped", allow_module_level=True)

    asked = config(tests, "tests")
    asked.rootpath = tests
    monkeypatch.setattr(spread, "importlib", SimpleNamespace(import_module=take))
    spread.begin_elsewhere(asked)
    wanted = [f"tests.test_{number:02d}" for number in range(first, spread.MANY)]
    assert imported == [*(spread.WITHOUT_TORCH if libraries else ()), *wanted]


def test_the_garbage_collector_runs_while_tests_do_and_in_the_process_that_hands_them_out(tmp_path: Path) -> None:
    assert gc.isenabled()
    (tmp_path / "seen.py").write_text("import gc\ndef pytest_unconfigure(): print('collects:', gc.isenabled())\n")
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "1",
        "-p",
        "no:cacheprovider",
        "-p",
        "conftest",
        "-p",
        "seen",
    ]
    shown = subprocess.run(
        [*command, "--rootdir", tmp_path, "-c", os.devnull, tmp_path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path), str(Path(__file__).parent)])},
        capture_output=True,
        text=True,
    )
    assert "collects: True" in shown.stdout, shown.stdout + shown.stderr
