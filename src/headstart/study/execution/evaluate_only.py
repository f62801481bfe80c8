"""Evaluates another run's network without learning, if it knows the classes of the images by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from headstart.data.dataset import Split
from headstart.evaluate.metrics.guards import check_classes
from headstart.models.bundle import read_bundle
from headstart.models.heads import select_classes
from headstart.models.network import Network
from headstart.study.resources import Resources
from headstart.study.results.run_record import KIND as FITS
from headstart.study.results.run_record import Fit, Probabilities, load_fit, save_fit
from headstart.study.task import Task
from headstart.transfer.frozen.predict import predict_probabilities


def evaluate_only(
    task: Task, split: Split, resources: Resources, provenance: Mapping[str, str], note: Callable[[str], None]
) -> tuple[Fit, Probabilities]:
    """Return the fit of a finished network on other images, and its probabilities of their classes.

    Classes that the network knows and the images lack are dropped; the others share their probability. The network's
    own test-time augmentation is used.
    """
    dataset = resources.dataset(task.run.data)
    bundle = read_bundle(resources.source(task.run.spec.weights, task.seed) or "", agreed=True)
    columns = check_classes(bundle.classes, dataset.classes)
    network = Network(bundle.network.backbone, select_classes(bundle.network.head, columns.tolist())).eval()
    needs = bundle.preprocessing
    started = time.perf_counter()
    found = predict_probabilities(
        network,
        resources.images(task.run.data, needs),
        split.test,
        needs,
        tta=bundle.tta,
        multi_label=dataset.multi_label,
        device=resources.device,
        title=f"{task.name}: predictions",
    )
    seconds = time.perf_counter() - started
    with resources.store.building(FITS, task.key) as entry:
        if entry is not None:
            total = sum(p.numel() for p in bundle.network.parameters())
            notes = ["evaluated only: nothing was learned on these images, and the probabilities are not calibrated"]
            fit = Fit(notes=notes, learned=0, total=total, seconds=seconds, whole=True)
            facts = {**provenance, **task.provenance(dataset)}
            served = replace(bundle, network=network, classes=dataset.classes, temperature=1.0, provenance=facts)
            save_fit(entry.path, fit, served)
    return load_fit(resources.store, task.key), found
