"""What `five_minutes.py` and its parts tell each other: a task as arguments, a record as one .npz file.

Each part runs in its peer's environment, which has NumPy but not headstart.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Task:
    """A folder to learn from and one to classify, each with a folder a class, and the limits."""

    train: Path
    test: Path
    seconds: float
    seed: int
    threads: int
    weights: Path
    use: str
    out: Path


@dataclass(frozen=True)
class Record:
    """Probabilities [n, C] of the test images by name, what was chosen, its seconds and the bytes of the model."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray
    chosen: str
    seconds: float
    size: int


def read_task(description: str | None) -> Task:
    """Return the task that the command line gives."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("train", "test", "weights", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--use", default="")
    return Task(**vars(parser.parse_args()))


def arguments_of(task: Task) -> list[str]:
    """Return the command line that `read_task` reads."""
    return [text for name, value in vars(task).items() for text in (f"--{name}", str(value))]


def images_in(folder: Path) -> list[Path]:
    """Return the images of a folder of classes, in order."""
    return sorted(path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES)


def name_of(path: Path) -> str:
    """Return an image's class and file."""
    return f"{path.parent.name}/{path.name}"


def write_record(path: Path, record: Record) -> None:
    """Write a record as one file."""
    np.savez(
        path,
        names=np.array(record.names),
        classes=np.array(record.classes),
        probabilities=np.asarray(record.probabilities, np.float64),
        chosen=np.array(record.chosen),
        seconds=np.array(record.seconds),
        size=np.array(record.size),
    )


def read_record(path: Path) -> Record:
    """Read a record."""
    with np.load(path) as held:
        names, classes = (tuple(str(name) for name in held[key]) for key in ("names", "classes"))
        seconds, size = float(held["seconds"]), int(held["size"])
        return Record(names, classes, held["probabilities"], str(held["chosen"]), seconds, size)


def size_of(place: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files: Sequence[Path] = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)
