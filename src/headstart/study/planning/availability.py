"""Runs that cannot be done: published weights or images that are not to be had here, or a source that failed."""

from __future__ import annotations

from collections.abc import Callable

from headstart.errors import DataAbsent, HeadstartError, WeightsAbsent
from headstart.storage.store import content_key
from headstart.study.planning.plan import Unavailable
from headstart.study.spec.run import ResolvedStudy, Run
from headstart.study.task import Task


class Availability:
    """Calls each run of a study and notes which cannot be done; what is not to be had is asked for once.

    Args:
        study: whose runs.
    """

    def __init__(self, study: ResolvedStudy) -> None:
        self._study = study
        self._known: dict[str, HeadstartError] = {}
        self._first: HeadstartError | None = None
        self.absent: list[Unavailable] = []

    def call(self, run: Run, make: Callable[[Run], list[Task]]) -> list[Task]:
        """Return the run's tasks, or none if its images or weights, or those of its source, are not to be had.

        Raises:
            DataAbsent: the study's own images are not to be had.
            HeadstartError: what `make` raises where the run itself is at fault.
        """
        source = next((each for each in self.absent if each.run.name == run.needs), None)
        if source is not None:
            self.absent.append(Unavailable(run, f"starts from {source.run.name!r}, which cannot be done: {source.why}"))
            return []
        needs = [run.data.source, content_key([run.spec.backbone, run.spec.weights.model_dump()])]
        error = next((self._known[need] for need in needs if need in self._known), None)
        if error is None:
            try:
                return make(run)
            except DataAbsent as found:
                if run.data == self._study.spec.data:
                    raise
                self._known[needs[0]] = error = found
            except WeightsAbsent as found:
                self._known[needs[1]] = error = found
        self._first = self._first or error
        self.absent.append(Unavailable(run, str(error)))
        return []

    def check(self, *, strict: bool) -> None:
        """Refuse the study if nothing of it can be done; with `strict`, if anything cannot be done.

        Raises:
            DataAbsent, WeightsAbsent: which run, why, and how many more.
        """
        if self._first is None or not (strict or len(self.absent) == len(self._study.runs)):
            return
        run, more = self.absent[0].run, len(self.absent) - 1
        tail = f" ({more} more runs cannot be done either)" if more else ""
        raise type(self._first)(f"run {run.name!r}: {self._first}{tail}")
