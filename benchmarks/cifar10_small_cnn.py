"""The small CNN from scratch on CIFAR-10: test accuracy, and how long it took.

    python benchmarks/cifar10_small_cnn.py FOLDER [--epochs 8] [--seeds 1]

FOLDER holds CIFAR-10 as train/CLASS/*.png and test/CLASS/*.png (as github.com/cyizhuo/CIFAR-10-dataset gives it).
Bound: 80 % test accuracy within 15 minutes on two cores. No validation images: the last epoch counts, nothing
is chosen on the test images.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from finetune import describe_machine

from headstart.data.decoding.decode import View
from headstart.data.decoding.image_store import decode_images
from headstart.data.sources.load import load_dataset
from headstart.models.create import create_backbone
from headstart.transfer.finetune.finetune import TuneJob, finetune
from headstart.transfer.finetune.recipe_defaults import default_recipe
from headstart.transfer.frozen.predict import predict_probabilities
from headstart.transfer.strategy import Strategy

BOUND, MINUTES = 0.80, 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=default_recipe("small_cnn", "scratch").epochs)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    describe_machine()
    train, test = (load_dataset(arguments.folder / part) for part in ("train", "test"))
    if train.classes != test.classes:
        raise SystemExit(f"train has the classes {train.classes}, test {test.classes}")
    for seed in range(arguments.seeds):
        backbone, _ = create_backbone("small_cnn", seed=seed)
        recipe = replace(default_recipe("small_cnn", "scratch"), epochs=arguments.epochs)
        needs = backbone.preprocessing
        with tempfile.TemporaryDirectory() as folder:
            view = View(needs.resize, needs.size)
            images = decode_images(train, view)
            began = time.perf_counter()
            job = TuneJob(
                backbone=backbone,
                strategy=Strategy("scratch"),
                recipe=recipe,
                images=images,
                labels=np.asarray(train.labels, np.int64),
                classes=len(train.classes),
                train=np.arange(len(train)),
                validation=np.zeros(0, np.int64),
                seed=seed,
                folder=Path(folder),
                device="cpu",
            )
            result = finetune(job)
            minutes = (time.perf_counter() - began) / 60
        rows = np.arange(len(test))
        found = predict_probabilities(result.network, decode_images(test, view), rows, needs, tta=recipe.tta)
        accuracy = float((found.argmax(1) == test.labels).mean())
        met = "met" if accuracy >= BOUND and minutes <= MINUTES else "NOT met"
        print(
            f"seed {seed}: {accuracy:.2%} of {len(test)} test images after {recipe.epochs} epochs of"
            f" {len(train)} images in {minutes:.1f} min, {result.images_per_second:.0f} images/s"
            f" (bound {BOUND:.0%} in {MINUTES} min: {met})"
        )


if __name__ == "__main__":
    main()
