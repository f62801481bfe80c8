"""fastai's part of `five_minutes.py`: EfficientNet-Lite0 under its standard head, for as many epochs as fit.

`--use head` trains the head alone, one cycle; `tuned` is its `fine_tune` (one epoch of the head, then the whole
network, one cycle, discriminative rates); `small` the same at 160 px. Steps are timed first. Channels-last, its
standard augmentation and dropout, all of train. What it leaves behind is the file of `export`.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import fastai.vision.all as fast
import numpy as np
import timm
import torch
from five_minutes_record import Record, Task, images_in, name_of, read_task, size_of, write_record
from torch import nn

ARCHITECTURE, WIDTH, BATCH = "tf_efficientnet_lite0", 1280, 32
SIDES = {"head": (224, 256), "tuned": (224, 256), "small": (160, 184)}  # of the network's input, and before cropping
RATES = {"head": 3e-3, "tuned": 2e-3, "small": 2e-3}  # for a head alone; and fastai's default for fine_tune


class Unjudged(fast.Callback):  # type: ignore[misc]
    """Leaves out judging the test images after each epoch: they are judged once, when the time is over."""

    def before_validate(self) -> None:
        """Skip it."""
        raise fast.CancelValidException


class Clock(fast.Callback):  # type: ignore[misc]
    """Notes when each of a few steps ends, then stops."""

    def __init__(self, count: int) -> None:
        self.count, self.stamps = count, []

    def after_batch(self) -> None:
        """Note the time of a training step."""
        if not self.training:
            return
        self.stamps.append(time.perf_counter())
        if len(self.stamps) > self.count:
            raise fast.CancelFitException


class Body(nn.Module):
    """timm's network without pooling and classifier, with the weights of a file."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.network = timm.create_model(ARCHITECTURE, num_classes=0, global_pool="")
        self.network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last stage's channels."""
        return self.network.forward_features(images)  # type: ignore[no-any-return]


def main() -> None:
    task = read_task(__doc__)
    torch.set_num_threads(task.threads)
    fast.set_seed(task.seed, reproducible=True)
    began = time.perf_counter()
    learner = learner_of(task)
    with learner.no_bar(), learner.no_logging():
        epochs = train(learner, task.use, task.seconds, began)
        seconds = time.perf_counter() - began
        paths = images_in(task.test)
        probabilities, _ = learner.get_preds(dl=learner.dls.test_dl(paths))
    with tempfile.TemporaryDirectory() as place:
        left = Path(place) / "export.pkl"
        learner.export(left)
        size = size_of(left)
    names, classes = tuple(name_of(path) for path in paths), tuple(str(name) for name in learner.dls.vocab)
    chosen = f"{ARCHITECTURE} {task.use}, {epochs} epochs"
    write_record(task.out, Record(names, classes, probabilities.numpy(), chosen, seconds, size))


def learner_of(task: Task) -> Any:
    """Return fastai's learner of the network and the folder that holds train and test."""
    side, resized = SIDES[task.use]
    block = fast.DataBlock(
        blocks=(fast.ImageBlock, fast.CategoryBlock),
        get_items=fast.get_image_files,
        get_y=fast.parent_label,
        splitter=fast.GrandparentSplitter(train_name="train", valid_name="test"),
        item_tfms=fast.Resize(resized),
        batch_tfms=[*fast.aug_transforms(size=side), fast.Normalize.from_stats([0.5] * 3, [0.5] * 3)],
    )
    folder = task.train.parent
    loaders = block.dataloaders(folder, bs=BATCH, num_workers=task.threads, device=torch.device("cpu"))
    network = nn.Sequential(Body(task.weights), fast.create_head(WIDTH, len(loaders.vocab)))
    fast.apply_init(network[1], nn.init.kaiming_normal_)
    learner = fast.Learner(loaders, network, loss_func=fast.CrossEntropyLossFlat(), splitter=halves, path=".")
    return learner.to_channelslast(use_amp=False)


def train(learner: Any, use: str, limit: float, began: float) -> int:
    """Train until the limit; return the epochs (of the whole network, where it is tuned)."""
    steps = len(learner.dls.train)
    learner.freeze()
    epoch = {"head": timed(learner) * steps}
    if use != "head":
        learner.unfreeze()
        epoch[use] = timed(learner) * steps
        learner.freeze()
    learner.add_cb(Unjudged())
    left = limit - (time.perf_counter() - began)
    if use == "head":
        epochs = max(1, int(left / epoch["head"]))
        learner.fit_one_cycle(epochs, RATES[use])
    else:
        epochs = max(1, int((left - epoch["head"]) / epoch[use]))
        learner.fit_one_cycle(1, slice(RATES[use]), pct_start=0.99)
        learner.unfreeze()
        learner.fit_one_cycle(epochs, slice(RATES[use] / 200, RATES[use] / 2), pct_start=0.3, div=5)
    learner.remove_cb(Unjudged)
    return epochs


def halves(network: nn.Module) -> list[Any]:
    """Return the body's parameters and the head's."""
    return [list(part.parameters()) for part in network]  # type: ignore[arg-type]


def timed(learner: Any, count: int = 4) -> float:
    """Return the seconds of a training step at a rate of zero, which is taken off the time."""
    clock = Clock(count)
    state = {name: value.clone() for name, value in learner.model.state_dict().items()}
    learner.fit(count + 1, 0.0, cbs=clock)  # more than one epoch only where there are few images
    learner.model.load_state_dict(state)
    return float(np.median(np.diff(clock.stamps)))


if __name__ == "__main__":
    main()
