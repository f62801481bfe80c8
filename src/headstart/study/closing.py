"""Closing a study: the images' facts and thumbnails, and the best model as one file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.dataset import Dataset, Split
from headstart.deploy.bundle import MODEL, model_bytes, read_ensemble
from headstart.models.backbone import Preprocessing
from headstart.store import disk_errors, write_atomic
from headstart.study.choice import VALIDATION, Candidate, best_single, choose
from headstart.study.ensemble import expected
from headstart.study.evidence import audit_data, explain_mistakes, foretell, learning_curves
from headstart.study.folder import json_bytes, npz_bytes
from headstart.study.likeness import measure_similarity
from headstart.study.side_by_side import explain_pairs
from headstart.study.task import class_counts

if TYPE_CHECKING:
    from headstart.study.execute import Session

THUMBNAIL = 96  # px, longest side
_SMALL = Preprocessing(size=128, resize=128)


def close_study(session: Session) -> None:
    """Write what belongs to the study as a whole: its data and their audit, its best model, and why it errs."""
    seen: set[str] = set()
    for task in session.plan.tasks:
        dataset = session.workshop.dataset(task.run.data)
        if dataset.fingerprint not in seen:
            seen.add(dataset.fingerprint)
            split = session.workshop.split(task.run, task.seed)
            write_data(session, task.run.data, dataset, split)
            audit_data(session, dataset, split)
    foretell(session)
    learning_curves(session)
    save_best(session)
    explain_mistakes(session, session.plan.study.spec.explain)
    explain_pairs(session)
    measure_similarity(session)


def write_data(session: Session, data: Any, dataset: Dataset, split: Split) -> None:
    """Write a dataset's facts, its items and thumbnails of its test images."""
    folder = session.folder.data_folder(dataset.fingerprint)
    if (folder / "thumbnails.npz").is_file():
        return
    bad = session.workshop.bad_rows(dataset)
    skipped = [{"name": skip.name, "reason": skip.reason} for skip in dataset.skipped]
    skipped += [{"name": dataset.reader.name(row), "reason": why} for row, why in sorted(bad.items())]
    facts = {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "classes": list(dataset.classes),
        "multi_label": dataset.multi_label,
        "n": len(dataset),
        "about": dataset.about,
        "skipped": skipped,
        "split": split.rule,
        "counts": {side: class_counts(dataset, getattr(split, side)) for side in ("train", "validation", "test")},
    }
    write_atomic(folder / "dataset.json", json_bytes(facts))
    _write_items(folder / "items.parquet", dataset)
    images = session.workshop.images(data, _preprocessing_at_hand(session, dataset))
    rows = np.setdiff1d(split.test, np.array(sorted(bad), dtype=np.int64))
    write_atomic(folder / "thumbnails.npz", thumbnails(images, rows))


def thumbnails(images: Any, rows: npt.NDArray[np.int64]) -> bytes:
    """Return JPEGs of at most 96 px of some rows: rows, offsets and data, as one npz."""
    parts = []
    for row in rows:
        picture = Image.fromarray(images[int(row)])
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=72)
        parts.append(buffer.getvalue())
    offsets = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
    return npz_bytes(rows=rows, offsets=offsets, data=np.frombuffer(b"".join(parts), dtype=np.uint8))


def save_best(session: Session) -> None:
    """Write the run that is best on validation, on the study's own images, as one whole model file."""
    folder, ensembles = session.folder, session.plan.study.spec.ensembles
    done = [(t.run.name, t.seed) for t in session.plan.own_tasks if session.finished(t)]
    gone = {(row["run"], row["seed"]) for row in session.facts.get("left_out", ())}
    averaged = [(row["run"], row["seed"]) for row in expected(session.plan.study.spec)]
    done += [(name, seed) for name, seed in averaged if (name, seed) not in gone and (ensembles[name][0], seed) in done]
    scored = [(name, folder.accuracy(name, seed, "validation"), folder.run_folder(name, seed)) for name, seed in done]
    found = [Candidate(name, score, place) for name, score, place in scored if score is not None]
    if not found:
        return
    best, by = choose(found, ensembles)

    def told(name: str, by: str) -> dict[str, Any]:
        place = max((each for each in found if each.run == name), key=lambda each: each.score).folder
        return {"run": name, "folder": str(place.relative_to(folder.root)), "by": by}

    session.facts["best"] = told(best, by)
    with disk_errors(folder.root):
        write_atomic(folder.root / MODEL, model_bytes(read_ensemble(folder.root / session.facts["best"]["folder"])))
    if best in ensembles:  # what can be looked into is one network
        session.facts["best_network"] = told(best_single(found, ensembles), VALIDATION)


def _write_items(path: Any, dataset: Dataset) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [dataset.reader.name(row) for row in range(len(dataset))]
    labels = dataset.labels.argmax(1) if dataset.multi_label else dataset.labels
    table = pa.table({"row": np.arange(len(dataset)), "name": names, "label": labels})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_atomic(path, buffer.getvalue())


def _preprocessing_at_hand(session: Session, dataset: Dataset) -> Preprocessing:
    """Return the largest view in which these images are decoded already, or a small one."""
    views = [
        view for (fingerprint, view) in session.workshop.decoded if fingerprint == dataset.fingerprint and view.crop
    ]
    if not views:
        return _SMALL
    view = max(views, key=lambda v: v.crop or 0)
    return Preprocessing(size=view.crop or view.resize, resize=view.resize, interpolation=view.interpolation)
