from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from headstart.data.sources.corrections import Correction
from headstart.errors import DataError
from headstart.labelling.review.correction_file import CorrectionFile, key_of


def row(number: int, decision: str = "keep") -> Correction:
    return Correction(f"{number}.png", "label", "", decision, "a", "a", "ann", "2026-11-26T13:05:00Z")


def test_rows_are_replaced_taken_back_and_in_the_order_of_the_decisions(tmp_path: Path) -> None:
    file = CorrectionFile(tmp_path / "c.csv")
    for number in (1, 2, 3):
        file.change({key_of(row(number)): row(number)})
    before, after = file.change({key_of(row(1)): row(1, "exclude"), key_of(row(2)): None})
    assert list(before) == [key_of(row(number)) for number in (1, 2, 3)]
    assert list(after.values()) == [row(3), row(1, "exclude")] == list(file.read().values())


def test_another_table_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("path,label\na,b\n")
    with pytest.raises(DataError, match="has no column 'decision'"):
        CorrectionFile(tmp_path / "c.csv").change({key_of(row(1)): row(1)})
    assert (tmp_path / "c.csv").read_text() == "path,label\na,b\n"


def confirm(place: Path, log: Path) -> None:
    """Write decisions, and after each one its number into a log."""
    with log.open("a") as said:
        for number in range(10_000):
            CorrectionFile(place).change({key_of(row(number)): row(number)})
            said.write(f"{number}\n")
            said.flush()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_confirmed_decision_survives_sigkill(tmp_path: Path) -> None:
    for attempt in range(3):
        place, log = tmp_path / f"{attempt}.csv", tmp_path / f"{attempt}.log"
        worker = multiprocessing.get_context("fork").Process(target=confirm, args=(place, log))
        worker.start()
        until = time.monotonic() + 30
        while not (log.exists() and log.stat().st_size > 8 + 11 * attempt) and time.monotonic() < until:
            time.sleep(0.002)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        confirmed = {f"{line}.png" for line in log.read_text().split()}
        assert confirmed and confirmed <= {path for path, _, _ in CorrectionFile(place).read()}
