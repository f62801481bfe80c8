"""Fine-tuning speed: what storing the frozen prefix saves, and one epoch of all of ResNet-18 beside fastai.

    HEADSTART_DATA=… python benchmarks/finetune.py [--images 1000] [--epochs 10] [--part stored|fastai|settings]

stored    ResNet-18 on real images, `--epochs` epochs, with and without stored activations: seconds, the largest
          difference between the loss curves (bound: 1e-3) and what the arithmetic alone allows.
          Bounds: 1.8 × with freeze_until stage3, 8 × with only the head learned.
fastai    one epoch of full fine-tuning at 224 px, batches of 32, float32, the same JPEG files: images/s of
          headstart and of fastai's vision_learner, in turns; the median counts. Bound: 1.2 ×. fastai decodes in
          every epoch with 0 and with 2 workers, and the faster counts; headstart decodes once, and its rate is
          given without the decoding and with all of it charged to this one epoch.
settings  images/s of the training step by memory format and precision, to see where the speed comes from.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.decoding.decode import View
from headstart.data.decoding.image_store import ImageArray, decode_images
from headstart.data.sources.load import load_dataset
from headstart.models.backbone import Backbone
from headstart.models.create import create_backbone
from headstart.storage.store import Store
from headstart.transfer.finetune.finetune import TuneJob, TuneResult, finetune
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.strategy import Strategy

WEIGHTS = "weights/resnet18-imagenet1k.safetensors"
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="of the comparison with fastai")
    parser.add_argument("--part", choices=sorted(PARTS), action="append")
    arguments = parser.parse_args()
    data = Path(os.environ["HEADSTART_DATA"])
    describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(data, arguments.images, Path(folder))
        for part in arguments.part or ["stored", "fastai"]:
            PARTS[part](subject, arguments)


class Subject:
    """Real images of Caltech-101 in sorted order, spread over all classes, as files and decoded."""

    def __init__(self, data: Path, count: int, folder: Path) -> None:
        files = sorted(p for p in (data / "caltech101").glob("*/*.jpg") if p.parent.name != "BACKGROUND_Google")
        self.files = files[:: max(1, len(files) // count)][:count]
        names = sorted({p.parent.name for p in self.files})
        self.labels = np.array([names.index(p.parent.name) for p in self.files], np.int64)
        self.classes, self.folder, self.data = len(names), folder, data
        self.store = Store(folder / "store")
        self.backbone: Backbone = create_backbone("resnet18", data / WEIGHTS)[0]
        links = folder / "images"
        for path in self.files:
            (links / path.parent.name).mkdir(parents=True, exist_ok=True)
            (links / path.parent.name / path.name).symlink_to(path)
        began = time.perf_counter()
        needs = self.backbone.preprocessing
        dataset = load_dataset(links)
        self.images: ImageArray = decode_images(dataset, View(needs.resize, needs.size), store=self.store)
        self.decoding = time.perf_counter() - began
        self.labels = np.asarray(dataset.labels, np.int64)
        print(f"{len(self.images)} images of {self.classes} classes, decoded in {self.decoding:.1f} s")

    def tune(self, name: str, strategy: Strategy, recipe: Recipe, **options: Any) -> tuple[TuneResult, float]:
        """Train; return the result and the seconds of the whole call."""
        job = TuneJob(
            backbone=self.backbone,
            strategy=strategy,
            recipe=recipe,
            images=self.images,
            labels=self.labels,
            classes=self.classes,
            train=np.arange(len(self.images)),
            validation=np.zeros(0, np.int64),
            seed=0,
            folder=self.folder / name,
            device="cpu",
            store=self.store,
            **options,
        )
        began = time.perf_counter()
        result = finetune(job)
        return result, time.perf_counter() - began


def stored(subject: Subject, arguments: argparse.Namespace) -> None:
    """Compare training on stored activations with running the frozen prefix in every epoch."""
    cases = {
        "freeze_until stage3": (Strategy("fine_tune", freeze_until="stage3"), 1.8),
        "only the head": (Strategy("linear_probe"), 8.0),
    }
    recipe = Recipe(lr=0.01, epochs=arguments.epochs, batch_size=BATCH)
    for title, (strategy, bound) in cases.items():
        plain, slow = subject.tune(f"{title} plain", strategy, recipe, store_activations=False)
        kept, fast = subject.tune(f"{title} stored", strategy, recipe)
        curves = [[float(row["train_loss"] or 0) for row in result.history] for result in (plain, kept)]
        apart = max(abs(a - b) for a, b in zip(*curves, strict=True))
        limit = arithmetic_limit(subject.backbone, kept.routes[0].phase.cut, arguments.epochs)
        verdict = "met" if slow / fast >= bound and apart <= 1e-3 else "NOT met"
        print(
            f"{title}: {slow:.1f} s without, {fast:.1f} s with stored activations (the extraction included):"
            f" {slow / fast:.2f} × (bound {bound} ×: {verdict}; multiply-adds alone: {limit:.2f} ×);"
            f" loss curves differ by at most {apart:.1e}"
        )


def arithmetic_limit(backbone: Backbone, cut: str, epochs: int) -> float:
    """Return the ratio of multiply-adds: prefix and tail in each epoch against the prefix once and the tail in each."""
    prefix, tail = backbone.cut(cut)
    with torch.no_grad(), counted(prefix) as frozen:
        activations = prefix.eval()(torch.zeros(1, 3, backbone.preprocessing.size, backbone.preprocessing.size))
    with counted(tail) as learned:
        tail.eval()(activations)
    return epochs * (sum(frozen) + sum(learned)) / (sum(frozen) + epochs * sum(learned))


@contextlib.contextmanager
def counted(part: nn.Module) -> Iterator[list[int]]:
    """Gather the multiply-adds of each convolution that runs: forward, for its weights and, if asked for, its input."""
    counts: list[int] = []

    def add(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        times = 1 + int(output.requires_grad) + int(inputs[0].requires_grad)
        counts.append(times * output[0].numel() * module.weight[0].numel())

    hooks = [m.register_forward_hook(add) for m in part.modules() if isinstance(m, nn.Conv2d)]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def beside_fastai(subject: Subject, arguments: argparse.Namespace) -> None:
    """Train all of ResNet-18 for one epoch with both, in turns."""
    recipe = Recipe(optimizer="adam", lr=1e-3, weight_decay=0.01, epochs=1, batch_size=BATCH, schedule="onecycle")
    rates: dict[str, list[float]] = {"headstart": [], "fastai, 0 workers": [], "fastai, 2 workers": []}
    charged = []
    for turn in range(arguments.repeats):
        _, seconds = subject.tune(f"full {turn}", Strategy("fine_tune"), recipe)
        rates["headstart"].append(len(subject.images) / seconds)
        charged.append(len(subject.images) / (seconds + subject.decoding))
        for workers in (0, 2):
            rates[f"fastai, {workers} workers"].append(fastai_rate(subject, workers))
    middle = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"{name}: {middle[name]:.1f} images/s (of {', '.join(f'{v:.1f}' for v in values)})")
    print(f"headstart with all of the decoding in this one epoch: {statistics.median(charged):.1f} images/s")
    ratio = middle["headstart"] / max(middle["fastai, 0 workers"], middle["fastai, 2 workers"])
    print(f"ratio: {ratio:.2f} × (bound 1.2 ×: {'met' if ratio >= 1.2 else 'NOT met'})")


def fastai_rate(subject: Subject, workers: int) -> float:
    """Return images/s of one epoch of fastai's vision_learner, unfrozen, without augmentation."""
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        Normalize,
        Resize,
        imagenet_stats,
        parent_label,
        vision_learner,
    )
    from safetensors.torch import load_file
    from torchvision.models import resnet18

    state = load_file(subject.data / WEIGHTS)

    def architecture(weights: object = None, pretrained: bool = False, **_: object) -> nn.Module:
        network = resnet18()
        network.load_state_dict(state)
        return network

    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_y=parent_label,
        splitter=lambda items: (list(range(len(items))), []),
        item_tfms=Resize(224),
        batch_tfms=Normalize.from_stats(*imagenet_stats),
    )
    with contextlib.redirect_stdout(io.StringIO()):
        loaders = block.dataloaders(subject.files, bs=BATCH, num_workers=workers, device=torch.device("cpu"))
        learner = vision_learner(loaders, architecture, pretrained=False, cut=-2)
        learner.unfreeze()
        with learner.no_bar(), learner.no_logging():
            began = time.perf_counter()
            learner.fit_one_cycle(1, 1e-3)
            return len(subject.files) // BATCH * BATCH / (time.perf_counter() - began)


def settings(subject: Subject, arguments: argparse.Namespace) -> None:
    """Print images/s of the bare training step by memory format and precision."""
    images = torch.from_numpy(subject.images.batch(np.arange(BATCH))).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(subject.labels[:BATCH])
    for name, layout in (("contiguous", torch.contiguous_format), ("channels last", torch.channels_last)):
        for precision in ("float32", "bfloat16 autocast"):
            network = nn.Sequential(create_backbone("resnet18")[0], nn.Linear(512, subject.classes))
            network.to(memory_format=layout).train()
            optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, fused=True)
            batch = images.contiguous(memory_format=layout)

            def step() -> None:
                optimizer.zero_grad()  # noqa: B023
                with torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"):  # noqa: B023
                    loss = nn.functional.cross_entropy(network(batch), labels)  # noqa: B023
                loss.backward()
                optimizer.step()  # noqa: B023

            print(f"{name}, {precision}: {BATCH / median_seconds(step):.1f} images/s")


def median_seconds(run: Callable[[], None], repeats: int = 5) -> float:
    """Return the median of several runs after one that warms up."""
    run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def describe_machine() -> None:
    """Print what the figures depend on."""
    model = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    print(
        f"{model}, {os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads,"
        f" python {platform.python_version()}, commit {commit.stdout.strip() or 'unknown'}"
    )


PARTS: dict[str, Callable[[Subject, argparse.Namespace], None]] = {
    "stored": stored,
    "fastai": beside_fastai,
    "settings": settings,
}

if __name__ == "__main__":
    main()
