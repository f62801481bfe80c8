"""The teacher of a run: probabilities of its training images by other runs or a saved model, computed once, cached.

Probabilities are those of the teacher as it is served: calibrated, and averaged over the members of an ensemble.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.dataset import Dataset, IntArray
from headstart.evaluate.metrics.calibration import apply_temperature, calibrated, fit_temperature
from headstart.models.bundle import HEAD, Bundle, read_bundle
from headstart.storage.files import write_atomic
from headstart.storage.store import array_digest, content_key
from headstart.study.execution.head_runs import head_probabilities
from headstart.study.execution.tuning.trial import TrialContext
from headstart.study.execution.tuning.whole_images import WholeImages
from headstart.study.resources import Resources
from headstart.study.results.folder import npz_bytes
from headstart.study.spec.run import Run
from headstart.study.spec.schema import RunSpec
from headstart.study.spec.settings import WHOLE
from headstart.study.teachers import COPIES
from headstart.transfer.augment.augment import Augmenter
from headstart.transfer.finetune.distillation import Distillation
from headstart.transfer.finetune.inputs import Frames
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.frozen.predict import predict_probabilities

KIND = "soft-labels"
_KEPT = 2  # tables in memory

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TeacherMember:
    """One network of a teacher.

    Args:
        bundle: the network, with the temperature that calibrates it.
        frozen: only its head was learned, on features that may be in the cache.
        validation: its calibrated probabilities of the validation images, and their labels; None without.
    """

    bundle: Bundle
    frozen: bool = False
    validation: tuple[Probabilities, IntArray] | None = None


@dataclass
class StudyTeacher:
    """Gives soft labels of the images of a study.

    Args:
        key: the content key of the teacher and of these images.
        members: whose probabilities are averaged.
        temperature: calibrates the average.
        columns: the place of each class of the images among the teacher's.
        pictures: the images, labelled or not.
        rows: all that may be asked for, sorted.
        recipe, seed: of the student, whose augmentation a view is.
        resources: gives images and features.
        title: of the progress line.
    """

    key: str
    members: Sequence[TeacherMember]
    temperature: float
    columns: IntArray
    pictures: Dataset
    rows: IntArray
    recipe: Recipe
    seed: int
    resources: Resources
    title: str
    _tables: dict[int | None, Probabilities] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __call__(self, rows: IntArray, view: int | None) -> Probabilities:
        """Return float32 [len(rows), C] of these images, augmented as in the epoch `view`; None: as they are."""
        with self._lock:  # several threads prepare batches
            if view not in self._tables:
                while len(self._tables) >= _KEPT:
                    self._tables.pop(next(iter(self._tables)))
                self._tables[view] = self._table(view)
            table = self._tables[view]
        found: Probabilities = table[np.searchsorted(self.rows, rows)]
        return found

    def _table(self, view: int | None) -> Probabilities:
        changes = [self.recipe.pixel_augment, self.recipe.augment_options, self.seed]
        asked = [self.key, array_digest(self.rows), view, None if view is None else changes]
        store, key = self.resources.store, content_key(asked)
        with store.building(KIND, key) as entry:
            if entry is not None:
                write_atomic(entry.path / "labels.npz", npz_bytes(probabilities=self._computed(view)))
        with np.load(store.path(KIND, key) / "labels.npz") as arrays:
            table: Probabilities = arrays["probabilities"]
        return table

    def _computed(self, view: int | None) -> Probabilities:
        each = [self._plain(member) if view is None else self._view(member, view) for member in self.members]
        mean = np.mean(each, axis=0)
        if self.temperature != 1.0:
            mean = apply_temperature(mean, self.temperature)
        mean = mean[:, self.columns]
        shares: Probabilities = (mean / np.maximum(mean.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)
        return shares

    def _plain(self, member: TeacherMember) -> Probabilities:
        bundle, needs = member.bundle, member.bundle.preprocessing
        if member.frozen:
            features = self.resources.features_by(self.pictures, bundle.network.backbone)
            return calibrated(head_probabilities(bundle.network.head, features, self.rows), bundle.temperature)
        images = self.resources.images_of(self.pictures, needs)
        return self._predicted(bundle, images, self.rows, bundle.tta)

    def _view(self, member: TeacherMember, view: int) -> Probabilities:
        bundle, size = member.bundle, member.bundle.preprocessing.size
        whole = bool(WHOLE.intersection(self.recipe.pixel_augment))
        found = self.resources.images_of(self.pictures, bundle.preprocessing, whole=whole)
        augmenter = Augmenter(self.recipe.pixel_augment, self.recipe.augment_options, self.seed, size)
        frames = Frames(WholeImages(found) if whole else found, size, self.rows, augmenter, view)
        return self._predicted(bundle, frames, np.arange(len(frames)), "none")

    def _predicted(self, bundle: Bundle, images: object, rows: IntArray, tta: str) -> Probabilities:
        self.resources.watch()
        found = predict_probabilities(
            bundle.network, images, rows, bundle.preprocessing, tta=tta, device=self.resources.device, title=self.title
        )
        return calibrated(found, bundle.temperature)


def distillation_of(context: TrialContext, spec: RunSpec, recipe: Recipe, pictures: Dataset) -> Distillation | None:
    """Return how a run learns from its teacher; None without one.

    Args:
        context: the task.
        spec: its settings with the values that are tried.
        recipe: as trained.
        pictures: its images, then those without labels.
    """
    if spec.teacher is None:
        return None
    task, resources = context.task, context.resources
    same = spec.teacher_views != "plain"
    members, temperature = _members(context)
    classes = members[0].bundle.classes
    rows = np.union1d(context.split.train, context.split.validation)
    teacher = StudyTeacher(
        key=content_key([task.teacher, pictures.fingerprint, resources.device.split(":")[0]]),
        members=members,
        temperature=temperature,
        columns=np.array([classes.index(name) for name in context.dataset.classes], dtype=np.int64),
        pictures=pictures,
        rows=np.concatenate([rows, np.arange(len(context.dataset), len(pictures))]),
        recipe=recipe,
        seed=task.seed,
        resources=resources,
        title=f"{task.name}: soft labels",
    )
    settings = {name: value for name in ("temperature", "hard_labels") if (value := getattr(spec, name)) is not None}
    return Distillation(teacher, same_view=same, **settings)


def teaching_notes(context: TrialContext, pictures: Dataset) -> list[str]:
    """Return what a reader of the run must know of its teacher."""
    run, extra = context.task.run, len(pictures) - len(context.dataset)
    teacher = run.spec.teacher
    if teacher is None:
        return []
    several = f" (the mean of {len(run.teachers)} runs)" if len(run.teachers) > 1 else ""
    named = f"{teacher.run!r}{several}" if teacher.path is None else f"the saved model {teacher.path}"
    notes = [
        f"learned from the soft labels of {named}, which was fitted on these training images: it is surer of them than"
        " of new images"
    ]
    if extra:
        notes.append(f"{extra:,} images without labels were learned from besides, by the teacher's labels alone")
    more = context.resources.unlabelled(run.data)
    if more is not None and more.unusable:
        notes.append(f"left out of data.unlabelled: {more.unusable}")
    if more is not None and COPIES in more.about:
        notes.append(f"left out of data.unlabelled: {more.about[COPIES]}")
    return notes


def _members(context: TrialContext) -> tuple[list[TeacherMember], float]:
    """Return the networks of the teacher, and the temperature of their mean."""
    task, resources = context.task, context.resources
    teacher = task.run.spec.teacher
    assert teacher is not None
    if teacher.path is not None:
        ensemble = resources.saved_teacher(teacher.path).ensemble
        return [TeacherMember(bundle) for bundle in ensemble.members], ensemble.temperature
    members = [_member(run, task.seed, resources) for run in task.run.teachers]
    held = [member.validation for member in members if member.validation is not None]
    if len(members) == 1 or len(held) < len(members) or len({len(labels) for _, labels in held}) > 1:
        return members, 1.0
    mean = np.mean([found for found, _ in held], axis=0)
    return members, fit_temperature(held[0][1], mean)


def _member(run: Run, seed: int, resources: Resources) -> TeacherMember:
    """Return a finished run's network, calibrated on its validation images as in its results."""
    place = resources.left_by(run.name, seed)
    assert place is not None, "a run starts after its teachers"
    bundle, frozen = read_bundle(place, agreed=True), (place / HEAD).is_file()
    tested, fitted = place / "predictions.npz", place / "validation.npz"
    if tested.is_file():  # a run folder, in which all is calibrated
        with np.load(tested) as arrays:
            held = {name: arrays[name] for name in arrays.files if name.startswith("validation_")}
        judged = (held["validation_probabilities"], held["validation_labels"]) if held else None
        return TeacherMember(bundle, frozen, judged)
    if not fitted.is_file():
        return TeacherMember(bundle, frozen)
    dataset = resources.dataset(run.data)
    resources.images(run.data, bundle.preprocessing)
    split = resources.split(run.data, seed, run.subset).without(sorted(resources.bad_rows(dataset)))
    labels: Any = dataset.labels[split.validation]
    with np.load(fitted) as arrays:
        found: Probabilities = arrays["probabilities"]
    bundle = replace(bundle, temperature=fit_temperature(labels, found))
    return TeacherMember(bundle, frozen, (calibrated(found, bundle.temperature), labels))
