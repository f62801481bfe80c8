"""Train Conv-4 from nothing on base classes of real photographs; judge it on classes that it never saw; draw it.

    python benchmarks/protonet_curve.py --out protonet.svg     Caltech-101 at $HEADSTART_DATA, minutes on two cores
    python benchmarks/protonet_curve.py --steps 40 --out quick.svg

Two objectives side by side, prototypical networks and classic pretraining, each against the same network untrained,
on the same novel episodes. Expected: both beat the untrained network by a clear margin (paired interval above 5
points). A killed run resumes when --keep names the same folder.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from episodes import machine

from headstart.data.decoding.image_store import View, decode_images
from headstart.data.sources.load import load_dataset
from headstart.fewshot.class_split import random_class_split
from headstart.fewshot.episodes import classes_with
from headstart.fewshot.intervals import class_difference_interval, difference_interval, episode_interval
from headstart.fewshot.training import TrainedEmbedding, TrainingOptions, train_embedding
from headstart.models.create import create_backbone

SIZE = 42
COLOURS = {"episodes": "#1b6ca8", "classes": "#c2571a"}
NAMES = {"episodes": "prototypical network", "classes": "pretrained classifier"}


def load(limit: int) -> tuple[object, np.ndarray, tuple[str, ...]]:
    """Return images of SIZE px, labels and class names of Caltech-101 without its background class."""
    folder = Path(os.environ["HEADSTART_DATA"]) / "caltech101"
    dataset = load_dataset(folder, limit=limit or None)
    images = decode_images(dataset, View(resize=SIZE, crop=SIZE))
    labels = np.asarray(dataset.labels, dtype=np.int64)
    return images, labels, dataset.classes


def draw(path: Path, runs: dict[str, TrainedEmbedding], steps: int) -> None:
    """Write validation accuracy against steps, and accuracy on novel classes, as SVG."""
    left, top, width, height = 60, 30, 460, 260
    shares = [row["validation_accuracy"] for run in runs.values() for row in run.history]
    shares += [part.mean for run in runs.values() for part in (run.test, run.untrained)]
    low, high = np.floor(20 * min(shares)) / 20, np.ceil(20 * max(shares)) / 20

    def x(step: float) -> float:
        return left + width * step / steps

    def y(share: float) -> float:
        return top + height * (high - share) / (high - low)

    parts = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>']
    for share in np.arange(low, high + 1e-9, 0.05):
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y(share):.1f}" y2="{y(share):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{100 * share:.0f} %</text>')
    parts += [
        f'<text x="{x(step):.1f}" y="{top + height + 18}" text-anchor="middle">{step:.0f}</text>'
        for step in np.linspace(0, steps, 5)
    ]
    untrained = next(iter(runs.values())).untrained.mean
    parts.append(
        f'<line x1="{left}" x2="{left + width}" y1="{y(untrained):.1f}" y2="{y(untrained):.1f}" stroke="#666"'
        ' stroke-dasharray="4 4"/>'
    )
    parts.append(f'<text x="{left + 6}" y="{y(untrained) - 5:.1f}" fill="#444">untrained, novel classes</text>')
    for number, (objective, run) in enumerate(runs.items()):
        colour = COLOURS[objective]
        line = " ".join(f"{x(row['step']):.1f},{y(row['validation_accuracy']):.1f}" for row in run.history)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{x(run.best_step):.1f}" cy="{y(run.test.mean):.1f}" r="5" fill="{colour}"/>')
        below = top + height - 12 - 18 * number
        parts.append(
            f'<text x="{left + width - 8}" y="{below}" text-anchor="end" fill="{colour}">{NAMES[objective]}:'
            f" {100 * run.test.mean:.1f} % on novel classes</text>"
        )
    parts.append(
        f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle">steps (line: validation classes;'
        " dot: novel classes, at the best step)</text>"
    )
    parts.append(f'<text x="{left}" y="{top - 12}">5-way 5-shot accuracy, Conv-4 from nothing, {SIZE} px</text>')
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 30} {top + height + 60}"'
        ' font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>'
        + "".join(parts)
        + "</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--backbone", default="conv4")
    parser.add_argument("--limit", type=int, default=0, help="images of each class and given part at most; 0: all")
    parser.add_argument("--keep", type=Path, help="folder for resumable states")
    parser.add_argument("--out", type=Path, default=Path("protonet.svg"))
    asked = parser.parse_args()
    images, labels, names = load(asked.limit)
    options = TrainingOptions(
        steps=asked.steps, ways=15, shots=5, queries=5, validate_every=max(1, asked.steps // 12), test_queries=15
    )
    usable = classes_with(labels, options.test_shots + options.test_queries)
    usable = [c for c in usable if names[c] != "BACKGROUND_Google"]
    order = random_class_split([names[c] for c in usable], seed=0)
    split = replace(
        order,
        base=tuple(usable[c] for c in order.base),
        validation=tuple(usable[c] for c in order.validation),
        novel=tuple(usable[c] for c in order.novel),
    )
    print(machine())
    print(
        f"{len(labels):,} images; classes: {len(split.base)} base, {len(split.validation)} validation,"
        f" {len(split.novel)} novel"
    )
    runs = {}
    for objective in NAMES:
        backbone, _ = create_backbone(asked.backbone, seed=0, input_size=SIZE)
        folder = asked.keep / objective if asked.keep else None
        started = time.perf_counter()
        run = train_embedding(
            backbone, images, labels, split, replace(options, objective=objective), folder=folder, class_names=names
        )
        runs[objective] = run
        seconds = time.perf_counter() - started
        queries = options.test_ways * options.test_queries
        test = episode_interval(run.test.accuracy, queries)
        gap = run.test.accuracy - run.untrained.accuracy
        gain, elsewhere = difference_interval(gap, queries), class_difference_interval(gap, run.test.classes)
        print(
            f"{NAMES[objective]:22s} {100 * test.mean:.2f} % [{100 * test.low:.2f}, {100 * test.high:.2f}]"
            f" on novel classes at step {run.best_step}; untrained {100 * run.untrained.mean:.2f} %;"
            f" gain {100 * gain.mean:.2f} [{100 * gain.low:.2f}, {100 * gain.high:.2f}]"
            + (f", for new classes [{100 * elsewhere.low:.1f}, {100 * elsewhere.high:.1f}]" if elsewhere else "")
            + f"; {seconds:.0f} s"
        )
    draw(asked.out, runs, asked.steps)
    print(f"drawn: {asked.out}")


if __name__ == "__main__":
    main()
