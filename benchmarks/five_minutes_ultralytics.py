"""Ultralytics' part of `five_minutes.py`: its classification trainer with its `time` and otherwise its defaults.

Its own networks' weights must be downloaded, and it names none of timm's. So the network is a model of its kind whose
backbone is timm's EfficientNet-Lite0 with the given weights, under its own Classify head; images are scaled as these
weights expect. A fifth of train, drawn by the seed, is the validation part by which it keeps its best checkpoint,
which is what it leaves behind (16-bit floats).
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import timm
import torch
from five_minutes_record import Record, Task, images_in, name_of, read_task, size_of, write_record
from ultralytics import YOLO
from ultralytics.models.yolo.classify import ClassificationTrainer
from ultralytics.nn.tasks import ClassificationModel
from ultralytics.utils import SETTINGS

ARCHITECTURE, WIDTH, BATCH = "tf_efficientnet_lite0", 1280, 16
WEIGHTS = "FIVE_MINUTES_WEIGHTS"
LAYOUT = {"nc": 1000, "backbone": [[-1, 1, "Conv", [WIDTH, 3, 2]]], "head": [[-1, 1, "Classify", ["nc"]]]}


class Body(torch.nn.Module):
    """timm's network without its classifier, on images of 0 … 1, in the place of a layer."""

    def __init__(self, replaced: torch.nn.Module) -> None:
        super().__init__()
        self.i, self.f, self.type, self.np = replaced.i, replaced.f, ARCHITECTURE, 0
        self.network = timm.create_model(ARCHITECTURE, num_classes=0, global_pool="")
        self.network.load_state_dict(torch.load(os.environ[WEIGHTS], map_location="cpu", weights_only=True))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last stage's channels, which the head pools."""
        return self.network.forward_features(2 * images - 1)  # type: ignore[no-any-return]


class Trainer(ClassificationTrainer):  # type: ignore[misc]
    """The trainer with this network."""

    def get_model(self, cfg: object = None, weights: object = None, verbose: bool = True) -> ClassificationModel:
        """Return the network with a head for the data's classes."""
        model = ClassificationModel({**LAYOUT, "nc": self.data["nc"]}, nc=self.data["nc"], ch=3, verbose=False)
        model.model[0] = Body(model.model[0])
        model.model[1].conv = torch.nn.Identity()  # otherwise a new layer of 1,280 channels between body and classes
        return model


def main() -> None:
    task = read_task(__doc__)
    torch.set_num_threads(task.threads)
    os.environ[WEIGHTS] = str(task.weights)
    SETTINGS.update({"sync": False})
    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        data = divided(task, Path(place) / "data")
        settings = {"data": str(data), "time": task.seconds / 3600, "seed": task.seed, "project": place, "name": "run"}
        fixed = {"model": "yolo11n-cls.yaml", "device": "cpu", "workers": task.threads, "batch": BATCH, "imgsz": 224}
        trainer = Trainer(overrides={**settings, **fixed, "plots": False, "verbose": False, "exist_ok": True})
        trainer.train()
        seconds = time.perf_counter() - began
        model = YOLO(str(trainer.best))
        paths = images_in(task.test)
        found = [model.predict(str(path), device="cpu", imgsz=224, verbose=False)[0].probs.data for path in paths]
        probabilities = np.stack([np.asarray(each.cpu(), np.float64) for each in found])
        classes = tuple(model.names[k] for k in range(len(model.names)))
        chosen = f"{ARCHITECTURE} tuned, {trainer.epoch + 1} epochs"
        names = tuple(name_of(path) for path in paths)
        record = Record(names, classes, probabilities, chosen, seconds, size_of(Path(trainer.best)))
    write_record(task.out, record)


def divided(task: Task, folder: Path) -> Path:
    """Link train into train and val: a fifth of each class, at least one image, is val."""
    generator = np.random.default_rng(task.seed)
    for group in sorted(path for path in task.train.iterdir() if path.is_dir()):
        images = [path for path in images_in(task.train) if path.parent == group]
        for place, number in enumerate(generator.permutation(len(images))):
            part = "val" if place < max(1, len(images) // 5) else "train"
            target = folder / part / group.name / images[number].name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(images[number].resolve())
    return folder


if __name__ == "__main__":
    main()
