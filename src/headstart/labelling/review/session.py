"""One dataset being reviewed: what was found, what is decided, what to decide next."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

from headstart.data.class_names import normal_form
from headstart.data.dataset import Dataset
from headstart.data.sources.corrections import EXCLUDE, KEEP, RELABEL, UNSURE, Correction, label_text
from headstart.errors import SpecError, unknown_name
from headstart.labelling.embeddings import Embeddings
from headstart.labelling.review.correction_file import CorrectionFile, Key
from headstart.labelling.review.problems import KINDS, LABEL, ReviewItem
from headstart.labelling.similar import nearest_rows
from headstart.labelling.undo import UndoStacks

_RESERVED = 120.0  # seconds for which a problem is not shown to anybody else
NEIGHBOURS = 4  # images of each class beside a label that looks wrong


@dataclass(frozen=True)
class Decided:
    """A problem that somebody decided: its place in the list, the decision, and the row of the file."""

    place: int
    row: Correction


class ReviewSession:
    """The state of reviewing one dataset.

    All methods may be called from several threads.

    Args:
        embeddings: of its images, with labels.
        problems: what was found, the most important first.
        file: where the decisions are; those in it are taken over.
    """

    def __init__(self, embeddings: Embeddings, problems: Sequence[ReviewItem], file: CorrectionFile) -> None:
        self.embeddings, self.problems, self.file = embeddings, tuple(problems), file
        names = embeddings.names
        self.names = names
        self._keys = [_keys(each, names) for each in self.problems]
        self._suspects = np.array([each.rows[0] for each in self.problems if each.kind == LABEL], dtype=np.int64)
        self._lock = threading.RLock()
        self._reserved: dict[int, tuple[str, float]] = {}
        self._undo: UndoStacks[Key, Correction, int] = UndoStacks(file)  # each is about the place of a problem
        self._take(file.rows())

    @property
    def dataset(self) -> Dataset:
        """The images and labels, as they were before any correction."""
        return self.embeddings.dataset

    def catch_up(self) -> None:
        """Take over what another program has written into the file of decisions."""
        with self._lock:
            if self.file.changed_elsewhere():
                self._take(self.file.rows())

    def next(self, count: int, who: str, kind: str | None = None) -> list[int]:
        """Return places of open problems; for two minutes they are shown to nobody else.

        Args:
            count: the maximum number.
            who: the person.
            kind: only problems of this kind.
        """
        with self._lock:
            self.catch_up()
            now = time.monotonic()
            self._reserved = {place: (owner, until) for place, (owner, until) in self._reserved.items() if until > now}
            others = {place for place, (owner, _) in self._reserved.items() if owner != who}
            free = (
                place
                for place, each in enumerate(self.problems)
                if (kind is None or each.kind == kind) and place not in others and self.is_open(place)
            )
            found = [place for _, place in zip(range(count), free, strict=False)]
            self._reserved |= dict.fromkeys(found, (who, now + _RESERVED))
        return found

    def is_open(self, place: int) -> bool:
        """Return whether a problem waits for a decision; one of images that are excluded already does not."""
        problem, keys = self.problems[place], self._keys[place]
        if all(key in self._decisions for key in keys):
            return False
        left = [row for row in problem.rows if self.names[row] not in self._excluded]
        return len(left) == len(problem.rows) or len(left) > 1

    def decide(
        self, place: int, decision: str, who: str, *, rows: Iterable[int] | None = None, label: str | None = None
    ) -> None:
        """Decide a problem; the decision is on the disk when this returns.

        Args:
            place: of the problem.
            decision: "keep", "relabel", "exclude" or "not sure".
            who: the person.
            rows: those that are relabelled or excluded; by default those that the problem marks. Others are kept.
            label: the new label; by default the one that the problem proposes.

        Raises:
            SpecError: an unknown decision or class, or no image to apply it to; nothing has changed.
            StoreError: the file cannot be written; nothing has changed.
        """
        problem, chosen = self.problems[place], self._chosen(place, decision, rows)
        after = self._label(problem, label) if decision == RELABEL else ""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        changes: dict[Key, Correction | None] = {}
        for row, key in zip(problem.rows, self._keys[place], strict=True):
            before = label_text(self.dataset, row)
            own = decision if decision in (KEEP, UNSURE) or row in chosen else KEEP
            new = {RELABEL: after, EXCLUDE: ""}.get(own, before)
            changes[key] = Correction(*key, own, before, new, who, now)
        with self._lock:
            before_, after_ = self.file.change(changes)
            self._undo.note(who, place, before_, changes)
            self._take(after_)

    def undo(self, who: str) -> int | None:
        """Take back this person's last decision, unless somebody decided again since.

        Return the place of its problem, or None if there is none.
        """
        with self._lock:
            taken = self._undo.take_back(who)
            if taken is None:
                return None
            self._take(taken.table)
            self._reserved[taken.about] = (who, time.monotonic() + _RESERVED)
            return taken.about

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return (open, all) of each kind that was found."""
        found = {kind: [0, 0] for kind in KINDS}
        for place, each in enumerate(self.problems):
            found[each.kind][0] += self.is_open(place)
            found[each.kind][1] += 1
        return {kind: (left, whole) for kind, (left, whole) in found.items() if whole}

    def changed(self) -> tuple[int, int]:
        """Return how many images the file relabels and how many it excludes."""
        relabelled = {row.path for row in self._decisions.values() if row.decision == RELABEL} - self._excluded
        return len(relabelled), len(self._excluded)

    def decided(self, count: int) -> list[Decided]:
        """Return the problems that were decided last, the latest first."""
        place_of = {keys[0]: place for place, keys in enumerate(self._keys)}
        found: list[Decided] = []
        for key, row in reversed(self._decisions.items()):
            if key in place_of and len(found) < count:
                rows = [self._decisions[each] for each in self._keys[place_of[key]] if each in self._decisions]
                found.append(Decided(place_of[key], next((each for each in rows if each.decision != KEEP), row)))
        return found

    def neighbours(self, row: int, label: str, count: int = NEIGHBOURS) -> list[int]:
        """Return the images of a class that are most like this one, without those whose label looks wrong itself."""
        code = self.dataset.classes.index(label)
        labels = self.dataset.labels
        same = np.flatnonzero(labels[:, code] if self.dataset.multi_label else labels == code)
        rows = np.setdiff1d(np.setdiff1d(same, self._suspects), [row])
        if not len(rows):
            return []
        vectors: npt.NDArray[np.float32] = self.embeddings.vectors
        nearest, _ = nearest_rows(vectors[rows] - self._middle, vectors[row] - self._middle, count)
        return [int(each) for each in rows[nearest]]

    @cached_property
    def _middle(self) -> npt.NDArray[np.float32]:
        middle: npt.NDArray[np.float32] = self.embeddings.vectors[:4096].mean(axis=0)
        return middle

    def _chosen(self, place: int, decision: str, rows: Iterable[int] | None) -> set[int]:
        problem = self.problems[place]
        if decision not in (KEEP, RELABEL, EXCLUDE, UNSURE):
            raise SpecError(unknown_name("decision", decision, (KEEP, RELABEL, EXCLUDE, UNSURE)))
        chosen = set(problem.marked if rows is None else rows)
        if not chosen <= set(problem.rows):
            raise SpecError(f"image {min(chosen - set(problem.rows))} does not belong to this problem")
        if decision in (RELABEL, EXCLUDE) and not chosen:
            raise SpecError(f"no image is marked to {decision}: mark at least one")
        return chosen

    def _label(self, problem: ReviewItem, label: str | None) -> str:
        name = normal_form(label or problem.proposed)
        if self.dataset.multi_label:
            raise SpecError("images with several labels are not relabelled here: change the table of labels")
        if name not in self.dataset.classes:
            raise SpecError(unknown_name("class", name, self.dataset.classes))
        return name

    def _take(self, decisions: Mapping[Key, Correction]) -> None:
        """Take over what the file says."""
        with self._lock:
            self._decisions = dict(decisions)
            self._excluded = {row.path for row in decisions.values() if row.decision == EXCLUDE}


def _keys(problem: ReviewItem, names: Sequence[str]) -> list[Key]:
    """Return what the file's rows about a problem are about: each image beside the first other one."""
    first = names[problem.rows[0]]
    second = names[problem.rows[1]] if len(problem.rows) > 1 else ""
    return [(names[row], problem.kind, second if place == 0 else first) for place, row in enumerate(problem.rows)]
