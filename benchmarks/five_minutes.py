"""The best classifier in five minutes on the same files: `headstart compare --budget 5min` beside fastai.

    HEADSTART_DATA=… python benchmarks/five_minutes.py [--data groceries caltech101] [--seeds 3] [--minutes 5]
                                                       [--uses head tuned small] [--only headstart|fastai]

groceries   the embedded photographs, 14 fine classes, the split that they come with.
caltech101  1,500 images of all 101 classes, two thirds of them to learn from, drawn once.

Both get a folder of image files with train/ and test/ inside, nothing cached, and the same ImageNet weights
(EfficientNet-Lite0; headstart takes the other embedded ones too where they are installed). The clock starts when
the folder is handed over and stops when the classifier is ready to judge test images; imports are not counted.
headstart chooses among all of its runs on the validation part that it splits off itself. fastai learns from all of
train, channels-last (two to three times as fast here), with its standard augmentation, dropout and head, each use
for as many epochs as fit, by steps timed first: "tuned", its `fine_tune` (one epoch of the head, then the whole
network, one cycle, discriminative rates); "small", the same at 160 px, which gives it three times as many epochs;
and "head", the head alone, one cycle. The first seed tries every use; the one that is best there *on test* counts
for fastai and is run with the other seeds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from finetune import describe_machine
from torch import nn

from headstart.api import Study, compare_spec
from headstart.data.dataset import Dataset
from headstart.data.sources.load import load_dataset
from headstart.data.splits import make_split
from headstart.models.create import create_backbone
from headstart.storage.files import read_json

BATCH = 32
SIDES = {"head": (224, 256), "tuned": (224, 256), "small": (160, 184)}  # of the network's input, and before cropping
RATES = {"head": 3e-3, "tuned": 2e-3, "small": 2e-3}  # for a head alone; and fastai's default for fine_tune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=sorted(SOURCES), default=sorted(SOURCES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--uses", nargs="+", choices=sorted(RATES), default=sorted(RATES))
    parser.add_argument("--only", choices=["headstart", "fastai"])
    arguments = parser.parse_args()
    describe_machine()
    limit = 60 * arguments.minutes
    found: dict[tuple[str, str], list[float]] = {}
    uses: dict[str, list[str]] = {}
    for name in arguments.data:
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place) / "images"
                SOURCES[name](folder)
                if arguments.only != "fastai":
                    accuracy, words = by_headstart(folder, limit, seed, Path(place))
                    found.setdefault((name, "headstart"), []).append(accuracy)
                    print(f"{name}, seed {seed}: headstart {accuracy:.1%}, {words}", flush=True)
                for use in uses.get(name, arguments.uses) if arguments.only != "headstart" else ():
                    accuracy, words = by_fastai(folder, limit, seed, use)
                    found.setdefault((name, f"fastai, {use}"), []).append(accuracy)
                    print(f"{name}, seed {seed}: fastai, {use} {accuracy:.1%}, {words}", flush=True)
                if name not in uses and arguments.only != "headstart":
                    uses[name] = [max(arguments.uses, key=lambda use: found[name, f"fastai, {use}"][0])]
    for (name, who), values in found.items():
        shown = ", ".join(f"{value:.1%}" for value in values)
        print(f"{name:11s} {who:14s} {np.mean(values):.1%}  ({shown})")


def groceries(folder: Path) -> None:
    """Write the embedded photographs as files, in the split that they come with."""
    dataset = load_dataset("groceries", label="fine")
    split = make_split(dataset)
    for part, rows in (("train", np.concatenate([split.train, split.validation])), ("test", split.test)):
        for row in rows:
            put(folder / part / dataset.classes[dataset.labels[row]] / f"{row}.jpg", dataset, int(row))


def caltech101(folder: Path, count: int = 1500) -> None:
    """Link images of every class: as many of each as its share, two thirds to learn from."""
    source = Path(os.environ["HEADSTART_DATA"]) / "caltech101"
    classes = sorted(path for path in source.iterdir() if path.is_dir() and path.name != "BACKGROUND_Google")
    files = {path.name: sorted(path.glob("*.jpg")) for path in classes}
    share = count / sum(len(each) for each in files.values())
    rng = np.random.default_rng(0)
    for name, each in files.items():
        chosen = rng.permutation(len(each))[: max(3, round(share * len(each)))]
        for place, number in enumerate(chosen):
            target = folder / ("test" if place < len(chosen) / 3 else "train") / name / each[number].name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(each[number])


def put(path: Path, dataset: Dataset, row: int) -> None:
    """Write one image's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dataset.reader.read(row)
    assert isinstance(content, bytes)
    path.write_bytes(content)


def by_headstart(folder: Path, limit: float, seed: int, place: Path) -> tuple[float, str]:
    """Return the test accuracy of the run that is best on validation, and what it was."""
    os.environ["HEADSTART_CACHE"] = str(place / f"cache {seed}")
    spec = {**compare_spec(folder, budget=f"{limit:.0f}s"), "seeds": [seed]}
    began = time.perf_counter()
    results = Study(spec).run(place / "runs")
    seconds = time.perf_counter() - began
    best = read_json(results.folder / "study.json")["best"]
    metrics = read_json(results.folder / best["folder"] / "result.json")["metrics"]
    return metrics["test"]["accuracy"]["value"], f"{best['run']}, {seconds:.0f} s"


def by_fastai(folder: Path, limit: float, seed: int, use: str) -> tuple[float, str]:
    """Return the test accuracy after as many epochs as the time allows, and how many they were."""
    import fastai.vision.all as fast

    class Unjudged(fast.Callback):  # type: ignore[misc]
        """Leaves out judging the test images after each epoch: they are judged once, when the time is over."""

        def before_validate(self) -> None:
            raise fast.CancelValidException

    side, resized = SIDES[use]
    fast.set_seed(seed, reproducible=True)
    began = time.perf_counter()
    block = fast.DataBlock(
        blocks=(fast.ImageBlock, fast.CategoryBlock),
        get_items=fast.get_image_files,
        get_y=fast.parent_label,
        splitter=fast.GrandparentSplitter(train_name="train", valid_name="test"),
        item_tfms=fast.Resize(resized),
        batch_tfms=[
            *fast.aug_transforms(size=side),
            fast.Normalize.from_stats([0.5] * 3, [0.5] * 3),
        ],
    )
    loaders = block.dataloaders(folder, bs=BATCH, num_workers=2, device=torch.device("cpu"))
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    stages = backbone.stages[:-1] if ends_pooled(backbone.stages) else backbone.stages
    width = stages.eval()(torch.zeros(1, 3, side, side)).shape[1]
    network = nn.Sequential(stages.train(), fast.create_head(width, len(loaders.vocab)))
    fast.apply_init(network[1], nn.init.kaiming_normal_)
    learner = fast.Learner(
        loaders, network, loss_func=fast.CrossEntropyLossFlat(), metrics=fast.accuracy, splitter=halves, path="."
    ).to_channelslast(use_amp=False)
    with learner.no_bar(), learner.no_logging():
        steps = len(loaders.train)
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
        seconds = time.perf_counter() - began
        learner.remove_cb(Unjudged)
        return float(learner.validate()[1]), f"{epochs} epochs, {seconds:.0f} s"


def ends_pooled(stages: nn.Sequential) -> bool:
    """Say whether the last stage averages over places, which fastai's head does itself."""
    return stages.eval()(torch.zeros(1, 3, 64, 64)).dim() == 2


def halves(network: nn.Module) -> list[Any]:
    """Return the body's parameters and the head's."""
    return [list(part.parameters()) for part in network]  # type: ignore[arg-type]


def timed(learner: Any, count: int = 4) -> float:
    """Return the seconds of a training step at a rate of zero, which is taken off the time."""
    import fastai.vision.all as fast

    stamps: list[float] = []

    class Clock(fast.Callback):  # type: ignore[misc]
        def after_batch(self) -> None:
            stamps.append(time.perf_counter())
            if len(stamps) > count:
                raise fast.CancelFitException

    state = {name: value.clone() for name, value in learner.model.state_dict().items()}
    learner.fit(1, 0.0, cbs=Clock())
    learner.model.load_state_dict(state)
    return float(np.median(np.diff(stamps)))


SOURCES = {"groceries": groceries, "caltech101": caltech101}

if __name__ == "__main__":
    main()
