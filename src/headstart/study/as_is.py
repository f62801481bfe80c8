"""A network scored as it is, nothing learned: only where it knows the classes of the images, by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from headstart.data.dataset import Split
from headstart.deploy.bundle import read_bundle
from headstart.errors import DataError, SpecError
from headstart.evaluate.guards import check_classes
from headstart.models.catalogue import find_architecture
from headstart.study.expand import Run, Study
from headstart.study.record import KIND as FITS
from headstart.study.record import Fit, Probabilities, load_fit, save_fit
from headstart.study.spec import AS_IS
from headstart.study.workshop import Workshop
from headstart.transfer.predict import predict_probabilities

if TYPE_CHECKING:
    from headstart.study.task import Task


def check_as_is(run: Run, study: Study, workshop: Workshop) -> None:
    """Refuse a run that would score another run's network on classes that it does not know; nothing is computed.

    Raises:
        DataError: the classes differ; which, and what to do instead.
        SpecError: the run says another backbone than its source has.
    """
    if run.spec.strategy != AS_IS:
        return
    source = study.run(str(run.needs))
    first = source
    while first.spec.strategy == AS_IS:  # what it knows, it knows from where it learned
        first = study.run(str(first.needs))
    ours, theirs = find_architecture(run.spec.backbone), find_architecture(source.spec.backbone)
    if (ours.library, ours.name) != (theirs.library, theirs.name):
        raise SpecError(
            f"run {run.name!r} scores the network of {source.name!r}, which is a {source.spec.backbone};"
            f" say backbone: {source.spec.backbone}"
        )
    known, asked = workshop.dataset(first.data), workshop.dataset(run.data)
    try:
        if known.multi_label != asked.multi_label:
            raise DataError("one of both has several labels an image and the other one label; learn a new head")
        check_classes(known.classes, asked.classes)
    except DataError as error:
        raise DataError(f"run {run.name!r} ({first.name!r} on {asked.name}): {error}") from error


def score_as_is(
    task: Task, split: Split, workshop: Workshop, provenance: Mapping[str, str], note: Callable[[str], None]
) -> tuple[Fit, Probabilities]:
    """Return what scoring a finished network on other images gives, with its probabilities of their classes.

    Classes that the network knows and the images do not have are left out, the others made to sum to 1.
    """
    dataset = workshop.dataset(task.run.data)
    bundle = read_bundle(workshop.source(task.run.spec.weights, task.seed) or "")
    columns = check_classes(bundle.classes, dataset.classes)
    needs = bundle.preprocessing
    started = time.perf_counter()
    found = predict_probabilities(
        bundle.network,
        workshop.images(task.run.data, needs),
        split.test,
        needs,
        multi_label=dataset.multi_label,
        device=workshop.device,
        title=f"{task.name}: predictions",
    )[:, columns]
    if not dataset.multi_label:
        found = found / np.maximum(found.sum(1, keepdims=True), np.finfo(np.float32).tiny)
    seconds = time.perf_counter() - started
    with workshop.store.building(FITS, task.key) as entry:
        if entry is not None:
            total = sum(p.numel() for p in bundle.network.parameters())
            notes = ["scored as it is: nothing was learned on these images, and its probabilities are not calibrated"]
            fit = Fit(notes=notes, learned=0, total=total, seconds=seconds, whole=True)
            save_fit(entry.path, fit, bundle)
    return load_fit(workshop.store, task.key), found.astype(np.float32)
