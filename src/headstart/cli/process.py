"""The command line as a process: its streams, its signals, and how every error ends in one line and a status."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from headstart.cli.streams import output_fails, prepare_streams, replace_closed_streams
from headstart.disclosure import discard, disclosable, show, wrapped
from headstart.errors import HeadstartError, forbidden_library, lacks_memory
from headstart.labelling.comparing import ENDS_WITH_INPUT
from headstart.models.architectures.quick_import import import_quickly

_STOPPED = (130, 143, 129)  # the exit status after Ctrl-C, SIGTERM and SIGHUP
_DEFECT = 70
_NO_MEMORY = "out of memory; close other programs, or use smaller images or fewer workers"


def run_as_process(command: Callable[[], object]) -> None:
    """Run a command of Typer's and end the process as it says.

    Every error is one line. Exit status: 0 done, 1 a run failed or an image was not read, 2 the input cannot be used,
    70 a defect of headstart; 128 plus the number of the signal that stopped it.
    """
    replace_closed_streams()
    if sys.stdout is None:
        _fail("standard output is closed; redirect it to a file or to /dev/null", 2)
    prepare_streams()
    _stop_on_signals()
    _end_with_input()
    import_quickly()
    try:
        _run(command)
    except HeadstartError as error:
        _fail(str(error), 2)
    except SystemExit as end:
        if end.code in _STOPPED:  # Typer turns Ctrl-C into 130
            line = "headstart: stopped; finished work is kept: run the command again to continue"
            print(f"\n{wrapped(line, sys.stderr)}", file=sys.stderr)
        raise
    except BrokenPipeError:  # the reader, such as `head`, has what it wanted
        discard(sys.stdout)
        sys.exit(1)
    except OSError as error:
        _fail_of_the_machine(error)
        place = error.filename or ("standard output" if output_fails() else "the disk")
        _fail(f"{place}: {error.strerror or error}", 2)
    except Exception as error:
        _fail_of_the_machine(error)
        place = _write_traceback(error)
        _fail(f"internal error ({type(error).__name__}: {_first_line(error)}); please report it with {place}", _DEFECT)


def _run(command: Callable[[], object]) -> None:
    """Run the command, and write what it printed: the interpreter would report an error of that as a traceback."""
    try:
        command()
    except SystemExit:
        sys.stdout.flush()
        raise


def _stop_on_signals() -> None:
    """End on SIGTERM and SIGHUP as on Ctrl-C: what is under way is noted as interrupted.

    A signal that whoever started the process has it ignore, as nohup does SIGHUP, stays ignored.
    """

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, stop)


def _end_with_input() -> None:
    """End as on SIGTERM where the input ends, if who started this process asks for it: its end closes with it."""
    if os.environ.pop(ENDS_WITH_INPUT, None) is None:  # not for what this process starts
        return

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _fail(line: str, status: int) -> NoReturn:
    show(wrapped(f"headstart: {line}", sys.stderr), sys.stderr)
    sys.exit(status)


def _fail_of_the_machine(error: Exception) -> None:
    """End where memory ran out, or where a library may not be loaded; else return."""
    if library := forbidden_library(error):
        _fail(f"{library}: cannot be loaded from a disk that is mounted noexec; install headstart on another disk", 2)
    if lacks_memory(error):
        _fail(_NO_MEMORY, 2)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "no message")


def _write_traceback(error: Exception) -> str:
    """Return the file that the traceback was written to, or the traceback itself where none can be written."""
    text = disclosable("".join(traceback.format_exception(error)))
    try:
        handle, name = tempfile.mkstemp(".txt", "headstart-")
        os.close(handle)
        Path(name).write_text(text, encoding="utf-8")
        return name
    except OSError:
        return text
