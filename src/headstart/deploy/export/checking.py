"""Checks exported files: the same pictures through the original and through each file, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from headstart.data.decoding.decode import Pixels, decode, quiet_pillow
from headstart.deploy.classifier import Classifier
from headstart.deploy.export import runner
from headstart.deploy.export.accuracy_lost import Lost, accuracy_lost
from headstart.deploy.export.pictures import Pictures
from headstart.deploy.export.program import inputs_of
from headstart.errors import ModelError
from headstart.evaluate.metrics.intervals import proportion
from headstart.models.label_rule import labels_of
from headstart.progress import progress
from headstart.threads import cores
from headstart.transfer.frozen.views import view_of
from headstart.units import duration

BATCH = 16
LARGEST = 1e-3  # difference of a probability from the same pixels that passes for equal
TIMES = "Times were measured on the machine that wrote the files, busy or idle; that of predict.py includes decoding."
SHARE = 0.01  # of labels that may differ where pictures are resized by something else than Pillow

Content = bytes | Pixels


@dataclass(frozen=True)
class Form:
    """One exported file and how it is run.

    Args:
        name: for people.
        kind: of the runner.
        path: the file or folder that is run.
        feed: "pixels" (at the network's size), "picture" (pixels of any size, one at a time) or "file" (encoded).
        exact: it must give the same probabilities up to rounding; else, nearly always the same labels.
        faithful: what is neither is refused; False for what has been measured elsewhere (int8).
    """

    name: str
    kind: str
    path: Path
    feed: str
    exact: bool = True
    faithful: bool = True

    def size(self) -> int:
        """Return the bytes of the file, or of all files in the folder."""
        if self.path.is_file():
            return self.path.stat().st_size
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())


@dataclass(frozen=True)
class Check:
    """How one exported file compares with the original.

    Args:
        form: its name.
        pictures: which were compared.
        n: how many.
        labels_differ: of how many the label is another.
        largest_difference: of a probability.
        bytes: size of the file or folder.
        milliseconds: of one picture, in the exported file.
        milliseconds_original: of one picture, in the classifier.
        accuracy, accuracy_original: share of right labels, where the labels are known.
        lost: points of accuracy that the exported file loses, with a 95 % interval of the paired difference.
    """

    form: str
    pictures: str
    n: int
    labels_differ: int
    largest_difference: float
    bytes: int
    milliseconds: float
    milliseconds_original: float
    accuracy: float | None = None
    accuracy_original: float | None = None
    lost: Lost | None = None

    @property
    def took(self) -> str:
        """The time that the exported file took per picture, for people."""
        return duration(self.milliseconds / 1000)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, with the interval of the share of labels that differ."""
        lost = None if self.lost is None else self.lost._asdict()
        return {**asdict(self), "lost": lost, "share_that_differs": proportion(self.labels_differ, self.n)}

    def __str__(self) -> str:
        return (
            f"{self.form}: {self.labels_differ} of {self.n:,} labels differ,"
            f" largest difference of a probability {self.largest_difference:.1e}"
        )


def check_forms(classifier: Classifier, forms: Sequence[Form], pictures: Pictures) -> list[Check]:
    """Run pictures through the classifier and through every exported file; return how they compare.

    Raises:
        ModelError: an exported file does not run.
    """
    inputs = inputs_of(classifier.ensemble)
    views = [source.view for source in inputs]
    input_of = [views.index(view_of(bundle.preprocessing)) for bundle in classifier.ensemble.members]
    banded = any(view.bands is not None for view in views)
    original: list[np.ndarray] = []
    found: dict[str, list[np.ndarray]] = {form.name: [] for form in forms}
    own = 0.0
    with ExitStack() as stack, quiet_pillow(), progress("check", pictures.count) as ticker:
        processes = {form.name: stack.enter_context(Process(form)) for form in forms}
        for batch in _batches(pictures):
            whole: list[Any] = [each if banded else decode(each) for each in batch]
            sized = [np.stack([decode(each, view) for each in whole]) for view in views]
            started = time.perf_counter()
            original.append(classifier.averaged([sized[k] for k in input_of]))
            own += time.perf_counter() - started
            for form in forms:
                found[form.name].append(_answers(processes[form.name], form, batch, whole, sized))
            ticker.advance(len(batch))
        seconds = {form.name: processes[form.name].end() for form in forms}
    expected = np.concatenate(original)
    first = classifier.ensemble.members[0]
    rule = partial(labels_of, multi_label=first.multi_label, threshold=first.threshold)
    return [
        _compared(form, pictures, expected, np.concatenate(found[form.name]), rule, seconds[form.name], own)
        for form in forms
    ]


def refuse_other(check: Check, form: Form) -> None:
    """Refuse an exported file that is another model than the original.

    Raises:
        ModelError: it is; with the figures.
    """
    same = check.largest_difference <= LARGEST if form.exact else check.labels_differ <= max(1.0, SHARE * check.n)
    if not same:
        raise ModelError(
            f"the exported file is not the same model, so nothing was written: {check} on {check.pictures}"
        )


def _compared(
    form: Form,
    pictures: Pictures,
    expected: np.ndarray,
    found: np.ndarray,
    rule: Callable[[np.ndarray], np.ndarray],
    seconds: float,
    own: float,
) -> Check:
    differ = _rows(rule(expected) != rule(found))
    accuracy, lost = [], None
    if pictures.labels is not None:
        right = [~_rows(rule(scores) != pictures.labels) for scores in (expected, found)]
        accuracy, lost = [float(each.mean()) for each in right], accuracy_lost(*right)
    return Check(
        form=form.name,
        pictures=pictures.what,
        n=len(expected),
        labels_differ=int(differ.sum()),
        largest_difference=float(np.abs(expected.astype(np.float64) - found).max()),
        bytes=form.size(),
        milliseconds=1000 * seconds / len(expected),
        milliseconds_original=1000 * own / len(expected),
        accuracy=accuracy[1] if accuracy else None,
        accuracy_original=accuracy[0] if accuracy else None,
        lost=lost,
    )


def _rows(differ: np.ndarray) -> np.ndarray:
    return differ if differ.ndim == 1 else np.asarray(differ.any(1))


def _batches(pictures: Pictures) -> Iterator[list[Content]]:
    for start in range(0, pictures.count, BATCH):
        yield [pictures.read(k) for k in range(start, min(start + BATCH, pictures.count))]


def _answers(
    process: Process, form: Form, batch: Sequence[Content], whole: Sequence[Pixels], sized: Sequence[Pixels]
) -> np.ndarray:
    if form.feed == "pixels":
        return process.ask(sized)
    if form.feed == "file":
        return process.ask([np.frombuffer(each, np.uint8) if isinstance(each, bytes) else each for each in batch])
    return np.concatenate([process.ask([each[None]]) for each in whole])


class Process:
    """An exported file in a process of its own; it ends with the `with` block."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        command = [sys.executable, "-B", str(Path(runner.__file__)), form.kind, str(form.path), str(cores())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def ask(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probabilities of a batch.

        Raises:
            ModelError: the process died; with its last line.
        """
        try:
            self._sink.write(f"{len(arrays)}\n".encode())
            for each in arrays:
                runner.write_array(self._sink, each)
            self._sink.flush()
            return runner.read_array(self._source)
        except (OSError, ValueError, EOFError) as error:
            raise ModelError(f"{self.form.name} cannot be run, so nothing was written: {self._last()}") from error

    def end(self) -> float:
        """Return the seconds that the model took, without the transfers."""
        self._sink.write(b"end\n")
        self._sink.flush()
        return float(self._source.readline())

    @property
    def _sink(self) -> BinaryIO:
        assert self._process.stdin is not None
        return self._process.stdin  # type: ignore[return-value]

    @property
    def _source(self) -> BinaryIO:
        assert self._process.stdout is not None
        return self._process.stdout  # type: ignore[return-value]

    def _last(self) -> str:
        self._process.wait(timeout=10)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a message"
