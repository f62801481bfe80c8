"""A listener that writes down what a study tells it."""

from __future__ import annotations

from headstart.study.execution.session import Silent
from headstart.study.results.state import Expected


class Told(Silent):
    """What was said, each kind in its order."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ran: list[str] = []
        self.found: list[str] = []
        self.broken: dict[str, str] = {}
        self.notes: list[str] = []
        self.planned: list[Expected] = []

    def plan(self, rows: list[Expected]) -> None:
        self.planned = rows

    def running(self, run: str) -> None:
        self.began.append(run)

    def done(self, run: str, score: float, seconds: float | None = None, images: int | None = None) -> None:
        self.ran.append(run)

    def reused(self, run: str) -> None:
        self.found.append(run)

    def failed(self, run: str, why: str) -> None:
        self.broken[run] = why

    def note(self, text: str) -> None:
        self.notes.append(text)
