"""A folder of class folders with planted problems, and vectors that show the classes: no network runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.sources.load import load_dataset
from headstart.labelling.embeddings import Embeddings
from headstart.labelling.review.correction_file import CorrectionFile
from headstart.labelling.review.problems import ReviewItem
from headstart.labelling.review.session import ReviewSession
from headstart.storage.opening import default_store
from headstart.study.resources import Resources
from headstart.study.spec.network import NetworkSpec

CLASSES = ("blue", "green", "red")


def draw_classes(folder: Path, each: int = 8, side: int = 48) -> Path:
    """Draw `each` images of noise in every class folder, no two of them alike."""
    for code, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            pixels = np.random.default_rng([code, number]).integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02d}.png")
    return folder


def vectors_of(names: list[str], truth: dict[str, str], spread: float = 0.1) -> np.ndarray:
    """Return vectors float32 [n, 8] near the centre of each image's true class, by default that of its folder."""
    codes = [CLASSES.index(truth.get(name, name.partition("/")[0])) for name in names]
    noise = spread * np.random.default_rng(0).standard_normal((len(names), 8))
    return (np.eye(3, 8)[codes] + noise).astype(np.float32)


def embedded_classes(folder: Path, truth: dict[str, str] | None = None) -> Embeddings:
    """Return the vectors of the images of `draw_classes`."""
    dataset = load_dataset(folder)
    names = [dataset.reader.name(row) for row in range(len(dataset))]
    vectors = vectors_of(names, truth or {})
    return Embeddings(dataset, vectors, "drawn", "none", Resources(default_store()), NetworkSpec("lenet5"))


def review_of(folder: Path, file: Path) -> ReviewSession:
    """Return a review of 24 images with four findings: a pair across classes, a label, a dark image, and a group."""
    problems = [
        ReviewItem("duplicate", (0, 8), "copy, 99 % alike, labels differ", (8,)),
        ReviewItem("label", (3,), "labelled blue (2 %), looks like red (97 %)", (3,), "red"),
        ReviewItem("group", (16, 17, 18), "3 images, 95 % alike", (17, 18)),
        ReviewItem("dark", (8,), "99 % of it is darker than 20 % of full brightness", (8,)),
    ]
    return ReviewSession(embedded_classes(folder), problems, CorrectionFile(file))
