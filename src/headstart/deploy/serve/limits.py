"""What a server takes of one client and of all of them together."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The bounds of a server; what is beyond is refused at once.

    Args:
        batch: pictures that the network takes together; workers share them.
        workers: threads that run the network side by side.
        queue: pictures that wait, in all.
        body: bytes of one request.
        waiting: bytes of all requests that are being received or wait; `Bodies` says what copies add.
        pictures: in one request.
        seconds: that a request may take to arrive, and then to be answered.
    """

    batch: int = 32
    workers: int = 1
    queue: int = 256
    body: int = 64 * MEBIBYTE
    waiting: int = 256 * MEBIBYTE
    pictures: int = 64
    seconds: float = 30.0
