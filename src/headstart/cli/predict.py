"""What `predict` does and prints."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.cli.tables import show_table
from headstart.errors import DataError, choose

if TYPE_CHECKING:
    from headstart.deploy.classifier import Classifier, Prediction


def predict_and_show(model: Path, images: Sequence[str], format: str, top: int, device: str) -> None:
    """Classify images and print the classes.

    Raises:
        SpecError: the format or the device is unknown.
        DataError: no image could be read.
    """
    show = choose("format", format, {"table": _table, "csv": _csv, "json": _json})
    from headstart.deploy.classifier import Classifier
    from headstart.devices import resolve_device

    classifier = Classifier.load(model, resolve_device(device))
    found = classifier.predict(list(images))
    show(classifier, found, top)
    unread = [p for p in found if p.error is not None]
    for prediction in unread:
        print(f"headstart: {prediction.name}: {prediction.error}", file=sys.stderr)
    if len(unread) == len(found):
        raise DataError(f"none of the {len(found)} images could be read")


def _table(classifier: Classifier, found: Sequence[Prediction], top: int) -> None:
    rows = []
    for p in found:
        if p.error is None:
            order = (-p.probabilities).argsort()[1:top]
            others = ", ".join(f"{classifier.classes[c]} {p.probabilities[c]:.2f}" for c in order)
            rows.append((p.name, p.label, f"{p.probability:.3f}", others))
    show_table(("image", "class", "probability", "next"), rows)


def _csv(classifier: Classifier, found: Sequence[Prediction], top: int) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(["image", "class", "probability", *classifier.classes])
    for p in found:
        if p.error is None:
            writer.writerow([p.name, p.label, f"{p.probability:.6f}", *(f"{x:.6f}" for x in p.probabilities)])


def _json(classifier: Classifier, found: Sequence[Prediction], top: int) -> None:
    rows: list[dict[str, Any]] = []
    for p in found:
        if p.error is not None:
            rows.append({"image": p.name, "error": p.error})
            continue
        named = dict(zip(classifier.classes, map(float, p.probabilities), strict=True))
        rows.append({"image": p.name, "class": p.label, "probability": p.probability, "probabilities": named})
    print(json.dumps(rows, ensure_ascii=False))
