"""A worker process: `python -m headstart.study.parallel.worker`, started by headstart.study.parallel.local.

It reads a Setup and then jobs from standard input, and writes messages to its original standard output;
whatever libraries print goes to standard error. It ends when its input ends, even during a job.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from types import FrameType
from typing import Any, BinaryIO

from headstart.models.architectures.quick_import import import_quickly
from headstart.storage.cleanup import clean_up
from headstart.study.parallel.job_runner import JobRunner
from headstart.study.parallel.messages import Message, Say, broken


def main() -> None:
    """Run jobs until there are no more."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the dispatcher handles Ctrl-C and ends this process
    signal.signal(signal.SIGTERM, _leave)
    lock = threading.Lock()

    def say(message: Message) -> None:
        with lock:
            pickle.dump(message, channel)
            channel.flush()

    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, orders), daemon=True).start()
    try:
        _work(orders, say)
    except SystemExit as end:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        clean_up()
        os._exit(int(str(end.code)))  # at once: the reading thread would block an ordinary exit


def _work(orders: queue.SimpleQueue[Any], say: Say) -> None:
    runner = JobRunner(orders.get(), say)
    while True:
        job = orders.get()
        try:
            answer: Message = runner.do(job)
        except Exception as error:
            answer = broken(error)
        say(answer)


def _read(source: BinaryIO, orders: queue.SimpleQueue[Any]) -> None:
    """Queue what arrives; at the end of the input, end the process: the dispatcher is gone."""
    while True:
        try:
            orders.put(pickle.load(source))
        except (EOFError, pickle.UnpicklingError):
            break
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    import_quickly()
    main()
