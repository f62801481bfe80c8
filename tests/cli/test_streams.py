"""Standard output that is closed, full, or read only in part: one line at most, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"{sys.executable} -m headstart datasets"
unix = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")


def shell(command: str, unbuffered: bool = False) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1" if unbuffered else ""}
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment, check=False)
    return ended.returncode, ended.stderr


@unix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
@pytest.mark.parametrize("unbuffered", [False, True])
def test_a_full_disk_behind_standard_output_is_one_line(unbuffered: bool) -> None:
    code, err = shell(f"{COMMAND} > /dev/full", unbuffered)
    assert (code, err) == (2, "headstart: standard output: No space left on device\n")


@unix
def test_a_closed_standard_output_is_one_line() -> None:
    code, err = shell(f"{COMMAND} >&-")
    assert (code, err) == (2, "headstart: standard output is closed; redirect it to a file or to /dev/null\n")


@unix
@pytest.mark.parametrize("unbuffered", [False, True])
def test_a_reader_that_stops_early_gets_no_message(unbuffered: bool) -> None:
    assert shell(f"{COMMAND} | true", unbuffered) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take only names that are text")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_files_and_pipes_get_utf_8_whatever_the_terminal_speaks(encoding: str) -> None:
    code = (
        "from headstart.cli.streams import prepare_streams, write_utf8; prepare_streams();"
        "print('k\\xe4fer \\udcff'); write_utf8('字'.encode())"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
    assert ended.stdout.decode() == "käfer \\udcff\n字"


@unix
def test_a_closed_standard_error_costs_nothing_but_what_is_said_on_it() -> None:
    ended = subprocess.run(["sh", "-c", f"{COMMAND} --json 2>&-"], capture_output=True, check=False)
    assert ended.returncode == 0 and ended.stdout.startswith(b'{"caltech101"')
    assert shell(f"{sys.executable} -m headstart report nowhere 2>&-") == (2, "")


@unix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_a_full_disk_behind_standard_error_costs_nothing_but_what_is_said_on_it(tmp_path: Path) -> None:
    code = "from headstart.progress import say; say('lost'); say('lost too'); print('kept')"
    (tmp_path / "a.py").write_text(code)
    ended = subprocess.run(
        ["sh", "-c", f"{sys.executable} {tmp_path / 'a.py'} 2> /dev/full"], capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, b"kept\n")


@unix
def test_a_closed_standard_input_is_an_empty_one(tmp_path: Path) -> None:
    code = (
        "import sys; from headstart.cli.streams import replace_closed_streams as r; r(); print(sys.stdin.buffer.read())"
    )
    ended = subprocess.run(["sh", "-c", f'{sys.executable} -c "{code}" <&-'], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, b"b''\n")
