from __future__ import annotations

import pytest

from headstart import progress
from headstart.errors import ClusterError, MissingExtra, RunFailed, SpecError, StoreError
from headstart.study.parallel.messages import (
    JobError,
    ListenerCall,
    Message,
    ProgressRelay,
    ProgressUpdate,
    RemoteListener,
    WorkerDied,
    broken,
)


def test_a_listener_call_crosses_with_its_arguments() -> None:
    heard: list[Message] = []
    listener = RemoteListener(heard.append)
    listener.overview([])
    listener.plan([])
    listener.running("a")
    listener.reused("b")
    listener.done("c", 0.5, 2.0, 40)
    listener.failed("d", "why")
    listener.note("text")
    listener.close()
    assert heard == [
        ListenerCall("running", ("a",)),
        ListenerCall("reused", ("b",)),
        ListenerCall("done", ("c", 0.5, 2.0, 40)),
        ListenerCall("failed", ("d", "why")),
        ListenerCall("note", ("text",)),
    ]


@pytest.mark.parametrize(
    "error",
    [SpecError("one line"), StoreError("b"), RunFailed("c"), ClusterError("d"), MissingExtra("search", "search")],
)
def test_an_error_of_the_input_is_raised_again_as_itself(error: Exception) -> None:
    message = broken(error)
    assert isinstance(message, JobError)
    assert type(message.error) is type(error) and str(message.error) == str(error)


def test_a_defect_carries_its_traceback_and_a_lack_of_memory_is_a_death() -> None:
    try:
        raise ZeroDivisionError("nothing")
    except ZeroDivisionError as error:
        message = broken(error)
    assert isinstance(message, JobError) and type(message.error) is RuntimeError
    assert str(message.error).startswith("ZeroDivisionError in a worker: nothing\nTraceback")
    assert broken(MemoryError()) == WorkerDied("ran out of memory")
    assert type(JobError("progress", "m", "t").error) is RuntimeError  # a name of the module that is not an error
    assert type(JobError("Mapping", "m", "t").error) is RuntimeError


def test_progress_is_passed_on_at_most_every_half_second() -> None:
    heard: list[Message] = []
    clock = [0.0]
    relay = ProgressRelay(heard.append, lambda: clock[0])
    relay(None)  # nothing was shown
    ticker = progress.Ticker("decode", 10, "images")
    for time in (1.0, 1.4, 1.5, 1.9, 2.0):
        clock[0] = time
        ticker.done += 1
        relay(ticker)
    relay(None)
    relay(None)
    assert heard == [ProgressUpdate("decode", done, 10, "images", "") for done in (1, 3, 5)] + [None]
