from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from headstart.transfer.event_file import EventFile


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def test_tensorboard_reads_what_was_written_without_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread whose memory is refused as it begins would be waited for without end."""

    def refused(self: threading.Thread) -> None:
        raise AssertionError("a thread was started")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        events = EventFile(tmp_path / "log")
        events.add({"loss": 0.5, "accuracy": 0.25}, 1)
        events.add({"loss": float("nan")}, 2)
    found = read(tmp_path / "log")  # before it is closed
    assert sorted(found.Tags()["scalars"]) == ["accuracy", "loss"]
    assert [(each.step, each.value) for each in found.Scalars("accuracy")] == [(1, 0.25)]
    assert [each.step for each in found.Scalars("loss")] == [1, 2]
    events.close()


def test_another_file_in_a_folder_leaves_the_first_one(tmp_path: Path) -> None:
    for step in (1, 2):
        with EventFile(tmp_path) as events:
            events.add({"loss": 1.0}, step)
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2
