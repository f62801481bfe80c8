from __future__ import annotations

import threading
import time
from pathlib import Path

from unlabelled_folder import colour_of, draw_folder, embedded

from headstart.labelling.label_file import LabelFile
from headstart.labelling.refitting import Refitting
from headstart.labelling.session import LabelSession


def test_changes_are_taken_up_by_the_next_fit_and_no_fit_is_made_for_nothing(tmp_path: Path) -> None:
    session = LabelSession(embedded(draw_folder(tmp_path / "p", 6)), LabelFile(tmp_path / "l.csv"))
    for row, path in enumerate(session.paths):
        session.label([row], colour_of(path), "ann")
    fits, real, may_end = [], session.refit, threading.Event()

    def refit() -> object:
        fits.append(threading.current_thread().name)
        may_end.wait(30)
        return real()

    session.refit = refit  # type: ignore[method-assign, assignment]
    fitting = Refitting(session)
    for _ in range(5):
        fitting.wake()
    may_end.set()
    until = time.monotonic() + 30
    while session.needs_fit and time.monotonic() < until:
        time.sleep(0.01)
    fitting.wake()
    fitting.close()
    assert session.fitted is not None and session.fitted.taught == 18
    assert fits == ["refit"] and not fitting._thread.is_alive()
