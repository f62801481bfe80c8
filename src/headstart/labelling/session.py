"""One folder being labelled: what is labelled, what to label next, the classifier so far and how good it is."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.data.class_names import normal_form
from headstart.data.decoding.pictures import Picture
from headstart.data.sources.manifest import SEPARATOR
from headstart.data.sources.text_column import MISSING
from headstart.data.sources.without_labels import UNKNOWN, file_of
from headstart.errors import DataError, SpecError
from headstart.labelling.classifier_so_far import ClassifierSoFar, Fitter
from headstart.labelling.embeddings import Embeddings
from headstart.labelling.label_file import Given, LabelFile, count_tested
from headstart.labelling.similar import nearest_rows
from headstart.labelling.suggest import RANDOM, Suggester, Suggestion
from headstart.labelling.undo import UndoStacks

IntArray = npt.NDArray[np.int64]
CHOSEN = "chosen"  # `how` of an image that a person picked
_RESERVED = 120.0  # seconds for which a suggestion is not made to anybody else


@dataclass
class LabelSession:
    """The state of labelling one folder.

    All methods may be called from several threads.

    Args:
        embeddings: of the images; each image is a separate file.
        file: where the labels are.
        classes: in the order of the page's keys; those in the file are added.
        share: of suggestions that come from a random sample, which measures the accuracy.
        seed: of the random sample.
        suggests: show informative images; otherwise all come in random order.
    """

    embeddings: Embeddings
    file: LabelFile
    classes: list[str] = field(default_factory=list)
    share: float = 0.25
    seed: int = 0
    suggests: bool = False
    fitted: ClassifierSoFar | None = None
    needs_fit: bool = True

    def __post_init__(self) -> None:
        self.paths = _paths(self.embeddings)
        self._row = {path: row for row, path in enumerate(self.paths)}
        self.suggester = Suggester(self.embeddings.vectors, seed=self.seed, share=self.share)
        self._fitter = Fitter(self.embeddings.vectors)
        self.in_sample = frozenset(self.suggester.sample.tolist())
        self._lock, self._searching = threading.RLock(), threading.Lock()
        self._reserved: dict[int, tuple[str, float]] = {}
        self._skipped: dict[str, set[int]] = {}
        self._undo: UndoStacks[Path, Given, tuple[int, ...]] = UndoStacks(self.file)  # each is about the rows skipped
        self.labels: IntArray = np.full(len(self.paths), UNKNOWN, dtype=np.int64)
        self.order: IntArray = self.labels.copy()  # the place of each label in the file
        self.at_random = np.zeros(len(self.paths), dtype=bool)
        named, self.classes = self.classes, []
        for name in named:
            self.add_class(name)
        self._take(self.file.rows())

    def catch_up(self) -> None:
        """Take over what another program has written into the file of labels."""
        with self._lock:
            if self.file.changed_elsewhere():
                self._take(self.file.rows())

    def add_class(self, name: str) -> str:
        """Add a class, unless it is known; return its name in normal form.

        Raises:
            SpecError: a name that a table of labels cannot hold.
        """
        tidy = normal_form(name)
        if tidy in MISSING or SEPARATOR in tidy:
            raise SpecError(f"a class cannot be named {name!r}: tables read it as missing, or as several labels")
        with self._lock:
            if tidy not in self.classes:
                self.classes.append(tidy)
        return tidy

    def label(
        self,
        rows: Sequence[int],
        name: str,
        who: str,
        how: str | Mapping[int, str] = CHOSEN,
        *,
        replace: bool = True,
    ) -> list[int]:
        """Give images a label; it is on the disk when this returns. Return the rows that have it now from this person.

        Only an image of the random sample can count as random: any other was picked for a reason. One that counts
        already still does with another label, or the sample would lose the images that are hard to label.

        Args:
            rows: the images.
            name: of the class.
            who: the person.
            how: why the images were shown, one for all or by row.
            replace: also give it to images that have a label, such as one from somebody else a moment ago.

        Raises:
            SpecError: a name that no class can have.
            StoreError: the file cannot be written; nothing has changed.
        """
        tidy, now = self.add_class(name), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        changes: dict[Path, Given | None] = {}
        for row in rows:
            reason = how if isinstance(how, str) else how.get(row, CHOSEN)
            if row not in self.in_sample:
                reason = CHOSEN if reason == RANDOM else reason
            elif self.at_random[row]:
                reason = RANDOM
            changes[self.paths[row]] = Given(tidy, who, now, reason)
        done = self._change(changes, who, None if replace else {})
        return [row for row in rows if self.paths[row] in done]

    def unlabel(self, rows: Sequence[int], who: str) -> None:
        """Take the labels of images away; this person has them to look at again."""
        self._change({self.paths[row]: None for row in rows}, who)
        self._reserve(rows, who)

    def undo(self, who: str) -> list[int]:
        """Take back what this person labelled or skipped last, unless somebody changed it since.

        Return the rows that it was about, [] if there is none; for two minutes nobody else is shown them.
        """
        with self._lock:
            taken = self._undo.take_back(who)
            if taken is None:
                return []
            self._take(taken.table)
            self._skipped.get(who, set()).difference_update(taken.about)
            rows = [*taken.about, *(self._row[path] for path in taken.keys if path in self._row)]
            self._reserve(rows, who)
            return rows

    def skip(self, rows: Sequence[int], who: str) -> None:
        """Stop suggesting these images to this person in this session."""
        with self._lock:
            skipped = self._skipped.setdefault(who, set())
            if new := tuple(row for row in rows if row not in skipped):
                self._undo.note(who, new, {}, {})
            skipped.update(new)

    @property
    def skipped_sample(self) -> int:
        """How many images of the random sample somebody skipped and nobody labelled: they are not measured."""
        skipped = set().union(*self._skipped.values())
        return sum(1 for row in skipped & self.in_sample if self.labels[row] == UNKNOWN)

    def next(self, count: int, who: str, suggest: bool | None = None) -> list[Suggestion]:
        """Return images to label next; for two minutes they are shown to nobody else.

        Args:
            count: the maximum number of images.
            who: the person.
            suggest: informative images, or all in random order; by default as the session does.
        """
        with self._lock:
            self.catch_up()
            busy = self._with_others(who)
            busy[[*self._skipped.get(who, ())]] = True
            labelled = self.labels != UNKNOWN
            if self.suggests if suggest is None else suggest:
                found = self.suggester.next(labelled, count, margins=self.margins(), busy=busy)
            else:
                found = self.suggester.at_random(labelled, count, busy)
            self._reserve([each.row for each in found], who)
        return found

    def like(self, row: int, count: int, who: str | None = None) -> list[int]:
        """Return this image, then the images without a label that are most like it; see `search`."""
        nearest = self._nearest(self.embeddings.vectors[row])
        return [row, *self._shown(nearest[nearest != row], count - 1, who)]

    def search(self, picture: Picture, count: int, who: str | None = None) -> list[int]:
        """Return the images without a label that are most like a picture from anywhere, the most similar first.

        None of the random sample is among them: its order must not depend on what the images show.

        Args:
            picture: a path, bytes, an open file, a PIL image, an array or a tensor.
            count: the maximum number of images.
            who: the person: as with `next`, nobody else is shown these images for two minutes, and what others are
                shown is left out. None: neither.

        Raises:
            UndecodableError: the picture cannot be read.
        """
        with self._searching:
            vector = self.embeddings.of(picture)
        return self._shown(self._nearest(vector), count, who)

    def _nearest(self, vector: npt.NDArray[np.float32]) -> IntArray:
        """Return all images outside the random sample, the most similar first."""
        rows, _ = nearest_rows(self.embeddings.vectors, vector, len(self.paths))
        return rows[~np.isin(rows, self.suggester.sample)]

    def _shown(self, rows: IntArray, count: int, who: str | None) -> list[int]:
        """Return the first of these images that have no label, for one person to look at."""
        with self._lock:
            free = self.labels == UNKNOWN
            if who is not None:
                free &= ~self._with_others(who)
            found: list[int] = rows[free[rows]][:count].tolist()
            if who is not None:
                self._reserve(found, who)
        return found

    def _with_others(self, who: str) -> npt.NDArray[np.bool_]:
        """Return which images are being shown to somebody else."""
        now = time.monotonic()
        self._reserved = {row: (owner, until) for row, (owner, until) in self._reserved.items() if until > now}
        busy = np.zeros(len(self.paths), dtype=bool)
        busy[[row for row, (owner, _) in self._reserved.items() if owner != who]] = True
        return busy

    def margins(self) -> npt.NDArray[np.float32] | None:
        """Return how sure the classifier so far is of each image; None while it has learned from too few labels."""
        return None if self.fitted is None else self.fitted.margins

    def refit(self) -> ClassifierSoFar | None:
        """Fit the classifier to the labels so far; None if fewer than two classes have labels.

        It serves suggestions before its curve and gain are known; until then, it shows those of the fit before.
        """
        with self._lock:
            labels, at_random, order = self.labels.copy(), self.at_random.copy(), self.order.copy()
            classes, self.needs_fit = tuple(self.classes), False
        fitted = self._fitter.fit(labels, at_random, classes)
        if fitted is None:
            self.fitted = None
            return None
        if self.fitted is not None and self.fitted.gain is not None:
            self.fitted = replace(fitted, curve=(*self.fitted.curve[:-1], *fitted.curve), gain=self.fitted.gain)
        else:
            self.fitted = fitted
        self.fitted = self._fitter.with_curve(fitted, labels, at_random, classes, order)
        return self.fitted

    def counts(self) -> dict[str, int]:
        """Return how many images each class has."""
        found = np.bincount(self.labels[self.labels != UNKNOWN], minlength=len(self.classes))
        return dict(zip(self.classes, found.tolist(), strict=True))

    def _reserve(self, rows: Sequence[int], who: str) -> None:
        """Show images to nobody else for some time."""
        with self._lock:
            self._reserved |= dict.fromkeys(rows, (who, time.monotonic() + _RESERVED))

    def _change(
        self, changes: Mapping[Path, Given | None], who: str, expected: Mapping[Path, Given | None] | None = None
    ) -> Mapping[Path, Given | None]:
        """Change the file, as far as it is as expected; return the changes that were made."""
        with self._lock:
            before, after = self.file.change(changes, expected)
            if expected is not None:
                changes = {path: given for path, given in changes.items() if before.get(path) == expected.get(path)}
            if changes:
                self._undo.note(who, (), before, changes)
            self._take(after)
            return changes

    def _take(self, given: Mapping[Path, Given]) -> None:
        """Take over what the file says."""
        with self._lock:
            for name in dict.fromkeys(each.label for each in given.values()):
                self.add_class(name)
            code = {name: place for place, name in enumerate(self.classes)}
            labels = np.full(len(self.paths), UNKNOWN, dtype=np.int64)
            order, at_random = labels.copy(), np.zeros(len(self.paths), dtype=bool)
            for place, (path, each) in enumerate(given.items()):
                row = self._row.get(path)
                if row is not None:
                    labels[row] = code[normal_form(each.label)]
                    at_random[row], order[row] = each.how == RANDOM, place
            self.labels, self.at_random, self.order, self.needs_fit = labels, at_random, order, True
            self.tested = count_tested(each.how for each in given.values())


def _paths(embeddings: Embeddings) -> list[Path]:
    """Return the absolute path of each image, without "..", as the file of labels has it.

    Raises:
        DataError: an image is inside an archive or a table.
    """
    paths = []
    for row, name in enumerate(embeddings.names):
        path = file_of(embeddings.dataset.reader, row)
        if path is None:
            raise DataError(f"{name}: is inside an archive or a table; unpack the images into a folder to label them")
        paths.append(Path(os.path.normpath(path.expanduser().absolute())))
    return paths
