from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from headstart.cli import main as cli


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


def test_a_defect_is_one_line_and_its_traceback_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: object) -> None:
        raise ZeroDivisionError("nothing to divide by\nsecond line")

    monkeypatch.setattr("headstart.cli.doctor.show_doctor", fail)
    code, _, err = run(capsys, "doctor")
    assert code == 70 and err.count("\n") == 1
    assert err.startswith("headstart: internal error (ZeroDivisionError: nothing to divide by)")
    place = Path(err.strip().rpartition(" ")[2])
    assert "raise ZeroDivisionError" in place.read_text()
    place.unlink()


def test_an_error_of_the_disk_names_the_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: object) -> None:
        raise OSError(28, "No space left on device", "/full/disk")

    monkeypatch.setattr("headstart.cli.doctor.show_doctor", fail)
    code, _, err = run(capsys, "doctor")
    assert (code, err) == (2, "headstart: /full/disk: No space left on device\n")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("could not create a primitive"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("std::bad_alloc"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory", "a.so"),
    ],
)
def test_memory_that_ran_out_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(**options: object) -> None:
        raise error

    monkeypatch.setattr("headstart.cli.doctor.show_doctor", fail)
    code, _, err = run(capsys, "doctor")
    assert code == 2 and err.startswith("headstart: out of memory; close other programs") and err.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "ST_NOEXEC"), reason="only Linux says how a disk is mounted")
def test_a_library_that_its_disk_forbids_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: object) -> None:
        raise ImportError("/mnt/a.so: failed to map segment from shared object")

    monkeypatch.setattr("headstart.cli.doctor.show_doctor", fail)
    monkeypatch.setattr(os, "statvfs", lambda place: SimpleNamespace(f_flag=getattr(os, "ST_NOEXEC", 8)))
    code, _, err = run(capsys, "doctor")
    assert code == 2 and err.startswith("headstart: /mnt/a.so: cannot be loaded from a disk that is mounted noexec")


def test_a_signal_that_is_ignored_stays_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.cli.doctor.show_doctor", lambda **options: signal.raise_signal(signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert run(capsys, "doctor")[0] == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_with_its_own_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    def wait(**options: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr("headstart.cli.doctor.show_doctor", wait)
    default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, default)  # a job in the background, or under nohup, begins with it ignored
    try:
        code, _, err = run(capsys, "doctor")
    finally:
        signal.signal(number, before)
    assert code == status and "run the command again" in err


def test_what_is_said_of_a_stop_is_broken_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(**options: object) -> None:
        raise SystemExit(130)

    monkeypatch.setattr("headstart.cli.doctor.show_doctor", stop)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "72")
    code, _, err = run(capsys, "doctor")
    assert code == 130 and err.splitlines() == [
        "",
        "headstart: stopped; finished work is kept: run the command again to",
        "  continue",
    ]
