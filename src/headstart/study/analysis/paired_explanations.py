"""Explains two runs on the same test images, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.errors import ModelError
from headstart.models.bundle import read_bundle
from headstart.storage.files import write_atomic
from headstart.storage.names import folder_name
from headstart.study.analysis.finished import finished_key
from headstart.study.execution.session import Session
from headstart.study.results.facts import known_facts, write_facts
from headstart.study.task import Task


def explain_pairs(session: Session) -> None:
    """Draw each pair of finished runs that the study names, and write explained.json."""
    asked = session.plan.study.spec.explain
    path, key = session.folder.root / "explained.json", finished_key(session, asked.model_dump())
    if not asked.pairs or known_facts(path, key) is not None:
        return
    known = {run.name for run in session.plan.study.runs}
    drawn = []
    for first, second in asked.pairs:
        if not {first, second} <= known:  # excluded on the command line
            continue
        tasks = _same_seed(session, first, second)
        if tasks is None:
            session.listener.note(f"skipped the explanation of {first} and {second}: one of them is not finished")
            continue
        drawn.append(_draw(session, tasks, asked.methods, asked.images))
    write_facts(path, {"key": key, "pairs": drawn}, [pair["file"] for pair in drawn if pair["file"]])


def in_turn(labels: npt.NDArray[np.int64], count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return the positions of `count` random images (or of all), the classes taking turns: int64 [count]."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    classes = generator.permutation(np.unique(labels))
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in classes:
        places = order[labels[order] == label]
        rank[places] = np.arange(len(places))
    turn = {int(label): place for place, label in enumerate(classes)}
    return np.array(sorted(range(len(labels)), key=lambda i: (rank[i], turn[int(labels[i])]))[:count], dtype=np.int64)


def _same_seed(session: Session, first: str, second: str) -> tuple[Task, Task] | None:
    """Return the tasks of two runs with the first seed that both have finished."""
    done = {(task.run.name, task.seed): task for task in session.plan.tasks if session.finished(task)}
    for seed in session.plan.study.spec.seed_list:
        if (first, seed) in done and (second, seed) in done:
            return done[(first, seed)], done[(second, seed)]
    return None


def _draw(session: Session, tasks: tuple[Task, Task], methods: Sequence[str], count: int) -> dict[str, Any]:
    from headstart.explain.compare import Subject, columns_of, explain_pictures
    from headstart.explain.picture import Column, gallery

    folders = [session.folder.run_folder(task.run.name, task.seed) for task in tasks]
    dataset = session.resources.dataset(tasks[0].run.data)
    rows, labels = _test_images(folders[0])
    chosen = in_turn(labels, count)
    pictures = [_coloured(dataset.reader.read(int(row))) for row in rows[chosen]]
    subjects = []
    for task, folder in zip(tasks, folders, strict=True):
        bundle = read_bundle(folder, agreed=True)
        subjects.append(Subject.of(task.run.name, bundle))
    columns: list[Column] = []
    notes, drawn = [], []
    for method in methods:
        try:
            found = columns_of(explain_pictures(subjects, pictures, [method]))
        except ModelError as error:  # the method does not support one of the networks
            notes.append(f"{method}: {error}")
            continue
        drawn.append(method)
        columns += found if not columns else found[1:]
    names = [dataset.reader.name(int(row)) for row in rows[chosen]]
    truth = [dataset.classes[int(label)] for label in labels[chosen]]
    said = {"runs": [t.run.name for t in tasks], "seed": tasks[0].seed, "methods": drawn, "notes": notes}
    if not columns:
        return {**said, "images": [], "file": None}
    file = f"explained/{folder_name(f'{tasks[0].run.name} against {tasks[1].run.name}')}.png"
    captions = [f"{label}: {name}" for label, name in zip(truth, names, strict=True)]
    write_atomic(session.folder.root / file, gallery(columns, captions=captions))
    return {**said, "images": names, "file": file}


def _test_images(folder: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    with np.load(folder / "predictions.npz") as arrays:
        rows, labels = arrays["test_rows"], arrays["test_labels"]
    return rows, labels.argmax(1) if labels.ndim == 2 else labels


def _coloured(picture: bytes | npt.NDArray[np.uint8]) -> bytes | npt.NDArray[np.uint8]:
    if isinstance(picture, bytes) or picture.shape[-1] == 3:
        return picture
    return np.repeat(picture, 3, axis=-1)
