"""`headstart compare` on the labels so far, started from the page: in a process of its own, one at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.errors import DataError, SpecError

_COMMAND = (sys.executable, "-P", "-m", "headstart", "compare")  # -P: no module of the working directory
_POLITE = 10  # niceness: labelling comes first
_BELOW_NORMAL = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)  # what Windows has instead
_ENDS_WITHIN = 20.0  # seconds that it has, once it is asked to end
ENDS_WITH_INPUT = "HEADSTART_ENDS_WITH_INPUT"  # in the environment of a process that ends where its input does
RUNNING, DONE, FAILED = "running", "done", "failed"


class Comparing:
    """The comparison of networks and heads on a file of labels; its study is written as the command writes it.

    Args:
        file: the labels.
        command: what is run with the file; by default `headstart compare`.
        options: of the command, such as the bands in which the images are read.
    """

    def __init__(self, file: Path, command: Sequence[str] = _COMMAND, options: Sequence[str] = ()) -> None:
        self.file, self._command, self._options = file, tuple(command), tuple(options)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="headstart-compare-")
        self._out, self._said = Path(self._folder.name) / "out", Path(self._folder.name) / "said"
        self._labels = 0

    def start(self, labels: int) -> None:
        """Start, with so many labels in the file.

        Raises:
            SpecError: it is running already.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                raise SpecError("a comparison is running already: wait for its report")
            self._close_input()
            with self._out.open("wb") as out, self._said.open("wb") as said:
                self._process = subprocess.Popen(
                    [*self._command, str(self.file), *self._options, "--json"],
                    stdin=subprocess.PIPE,  # nothing is written; it ends with the page, however that ends
                    stdout=out,
                    stderr=said,
                    env={**os.environ, ENDS_WITH_INPUT: "1"},
                    creationflags=_BELOW_NORMAL,
                    start_new_session=True,  # the terminal's Ctrl-C ends the page, which ends it
                )
            if hasattr(os, "setpriority"):
                os.setpriority(os.PRIO_PROCESS, self._process.pid, _POLITE)
            self._labels = labels

    def state(self) -> dict[str, Any] | None:
        """Return how it is: "running", "done" or "failed", with the number of labels and what it says; None before."""
        with self._lock:
            if self._process is None:
                return None
            code = self._process.poll()
            found = {"state": RUNNING, "labels": self._labels, "said": self._last_line()}
            if code is None:
                return found
            answer = self._answer()
            if answer is None:
                return found | {"state": FAILED}
            return found | {"state": DONE, "said": str(answer["answer"])}

    def report(self) -> str | None:
        """Return the report of the comparison that has ended; None if there is none.

        Raises:
            DataError: its file cannot be read, since it was moved or deleted.
        """
        with self._lock:
            answer = None if self._process is None or self._process.poll() is None else self._answer()
        if answer is None:
            return None
        try:
            return Path(answer["report"]).read_text("utf-8")
        except OSError as error:
            raise DataError(
                f"{answer['report']}: the report cannot be read ({error.strerror}); compare again to rewrite it"
            ) from error

    def close(self) -> None:
        """End; one that is running is asked to end too, and continues where it was if it is started again."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()
                try:
                    self._process.wait(_ENDS_WITHIN)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            self._close_input()
            self._folder.cleanup()

    def _close_input(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _last_line(self) -> str:
        """Return the last line of the messages."""
        lines = self._said.read_text("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _answer(self) -> dict[str, Any] | None:
        """Return what it printed as JSON; None if it failed before."""
        try:
            found = json.loads(self._out.read_bytes())
        except ValueError:
            return None
        return found if isinstance(found, dict) and "report" in found else None
