"""Finds the runs that cannot be done: weights, images or the run that they start from are missing, or do not suit."""

from __future__ import annotations

from collections.abc import Callable

from headstart.errors import DataAbsent, HeadstartError, Unsuitable, WeightsAbsent
from headstart.storage.store import content_key
from headstart.study.planning.plan import Unavailable
from headstart.study.spec.run import ResolvedStudy, Run
from headstart.study.task import Task


class Availability:
    """Makes the tasks of each run and records the runs that cannot be done; missing data are requested only once.

    Args:
        study: the study whose runs are checked.
    """

    def __init__(self, study: ResolvedStudy) -> None:
        self._study = study
        self._known: dict[str, HeadstartError] = {}
        self._first: HeadstartError | None = None
        self.unavailable: list[Unavailable] = []

    def call(self, run: Run, make: Callable[[Run], list[Task]]) -> list[Task]:
        """Return the run's tasks, or none if its images or weights, or those of its source, are missing or do not suit.

        Raises:
            DataAbsent: the study's own images are unavailable.
            HeadstartError: whatever `make` raises because of the run itself.
        """
        source = next((each for each in self.unavailable if each.run.name in run.sources), None)
        if source is not None:
            verb = "starts" if source.run.name == run.needs else "learns"
            why = f"{verb} from {source.run.name!r}, which is unavailable: {source.why}"
            self.unavailable.append(Unavailable(run, why))
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
            except Unsuitable as found:
                error = found
        self._first = self._first or error
        self.unavailable.append(Unavailable(run, str(error)))
        return []

    def check(self, *, strict: bool) -> None:
        """Refuse the study if all of its runs are unavailable; with `strict`, if any of them is.

        Raises:
            DataAbsent, WeightsAbsent: which run, why, and how many more.
        """
        if self._first is None or not (strict or len(self.unavailable) == len(self._study.runs)):
            return
        run, more = self.unavailable[0].run, len(self.unavailable) - 1
        tail = f" ({more} more {'runs are' if more > 1 else 'run is'} unavailable)" if more else ""
        raise type(self._first)(f"run {run.name!r}: {self._first}{tail}")
