"""Event files for TensorBoard, written in the calling thread.

TensorBoard's own writer has a thread. Where a limit of memory ends that thread as it begins, whoever starts it waits
for ever.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from headstart.errors import require
from headstart.storage.pinned import make_folder


class EventFile:
    """A new event file in a folder; every call is on the disk when it returns.

    Args:
        folder: is created; the files that it holds are left as they are.

    Raises:
        MissingExtra: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require("tensorboard", "the TensorBoard logger", "track")
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        make_folder(folder)
        name = f"events.out.tfevents.{int(time.time()):010d}.{uuid.uuid4().hex[:12]}"
        self._records = RecordWriter((folder / name).open("wb"))
        self._write(file_version="brain.Event:2")

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Write one value of each of these curves."""
        summary = self._summary(
            value=[self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        )
        self._write(step=step, summary=summary)

    def close(self) -> None:
        """Close the file."""
        self._records.close()

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self, **facts: object) -> None:
        self._records.write(self._event(wall_time=time.time(), **facts).SerializeToString())
        self._records.flush()
