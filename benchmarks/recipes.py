"""The default recipes beside a sweep of learning rates: every family on two data sets, and where each starts.

    python benchmarks/recipes.py --out FOLDER --data rsscn7=RSSCN7 --data caltech101=CALTECH [--data cifar10=CIFAR]
        [--weights resnet18=FILE] [--device cuda] [--jobs 14] [--seeds 2] [--subject resnet18] [--minutes 8]

A training that is finished is a line in FOLDER/results.jsonl and is not repeated; `--table` only prints what is
there. Each data set is a folder of images by class, of which a fixed draw is used: 60 a class to learn from on
rsscn7, 30 of each of 20 classes on caltech101, 300 a class on cifar10; others to choose the epoch; others to test.
ViT and AlexNet, of which no package holds ImageNet weights, are first trained on the other 81 classes of
Caltech-101 (`--pretrain`), which stands in for a pretraining; small_cnn and lenet5 start from random weights.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from headstart.errors import HeadstartError
from headstart.models.backbone import Backbone
from headstart.models.create import create_backbone
from headstart.storage.store import Store, content_key
from headstart.transfer.finetune.finetune import TuneJob, finetune
from headstart.transfer.finetune.recipe import Recipe
from headstart.transfer.finetune.recipe_defaults import default_layer_decay, default_recipe
from headstart.transfer.frozen.predict import predict_probabilities
from headstart.transfer.heads.fit import HeadJob, fit_heads
from headstart.transfer.strategy import Strategy

PRETRAINED_HERE = ("alexnet", "vit_tiny")
ROOM = {"rsscn7": (60, 20, 100, 7), "caltech101": (30, 10, 25, 20), "cifar10": (300, 100, 100, 10)}
RATES: dict[tuple[str, str], tuple[float, ...]] = {
    ("resnet18", "fine_tune"): (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    ("resnet18", "lp_ft"): (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    ("resnet18", "linear_probe"): (1e-2, 3e-2, 1e-1, 3e-1),
    ("resnet18", "lora"): (3e-4, 1e-3, 3e-3),
    ("resnet18", "norm_only"): (3e-4, 1e-3, 3e-3),
    ("resnet18", "scratch"): (1e-2, 5e-2, 1e-1),
    ("efficientnet_lite0", "fine_tune"): (3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    ("efficientnet_lite0", "lp_ft"): (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    ("efficientnet_lite0", "linear_probe"): (1e-2, 3e-2, 1e-1, 3e-1),
    ("vit_tiny", "fine_tune"): (3e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    ("vit_tiny", "lp_ft"): (1e-5, 3e-5, 1e-4, 3e-4, 1e-3),
    ("vit_tiny", "linear_probe"): (1e-2, 3e-2, 1e-1, 3e-1),
    ("vit_tiny", "lora"): (3e-4, 1e-3, 3e-3),
    ("vit_tiny", "norm_only"): (3e-4, 1e-3, 3e-3),
    ("alexnet", "fine_tune"): (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    ("alexnet", "lp_ft"): (3e-5, 1e-4, 3e-4, 1e-3, 3e-3),
    ("alexnet", "linear_probe"): (1e-3, 1e-2, 1e-1),
    ("small_cnn", "scratch"): (5e-2, 1e-1, 2e-1, 4e-1),
    ("lenet5", "scratch"): (1e-2, 2e-2, 5e-2, 1e-1),
}
CLIPS: dict[tuple[str, str], tuple[float | None, ...]] = {  # beside the default's own
    ("resnet18", "fine_tune"): (None, 5.0),
    ("resnet18", "lp_ft"): (None, 5.0),
    ("efficientnet_lite0", "fine_tune"): (5.0,),
    ("efficientnet_lite0", "lp_ft"): (5.0,),
    ("alexnet", "fine_tune"): (None, 5.0),
    ("small_cnn", "scratch"): (None, 5.0),
    ("lenet5", "scratch"): (None,),
    ("resnet18", "linear_probe"): (None,),
    ("vit_tiny", "fine_tune"): (None,),
}
SIDES = {"resnet18": 224, "efficientnet_lite0": 224, "vit_tiny": 128, "alexnet": 128, "small_cnn": 32, "lenet5": 32}
NAMES = {"efficientnet_lite0": "tf_efficientnet_lite0", "vit_tiny": "timm/vit_tiny_patch16_224"}


@dataclass(frozen=True)
class Case:
    """One training; `clip` is "default" where the recipe's own counts."""

    subject: str
    dataset: str
    strategy: str
    lr: float
    clip: float | str | None
    seed: int

    @property
    def key(self) -> str:
        """Name of the training in the results."""
        return content_key(list(asdict(self).values()))


@dataclass(frozen=True)
class Place:
    """Where data, weights and results are, and where it runs."""

    out: Path
    data: dict[str, Path]
    weights: dict[str, Path]
    device: str


class Pictures:
    """Whole images, or their centre squares at one size, by row."""

    def __init__(self, images: list[np.ndarray], key: str) -> None:
        self.images, self.key = images, key

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.images[row]


@dataclass(frozen=True)
class Target:
    """A drawn data set at one size."""

    whole: Pictures
    squares: Pictures
    labels: np.ndarray
    classes: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def read(path: Path, side: int) -> np.ndarray:
    """Return the image with its shorter side at `side`."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    share = side / min(image.size)
    size = max(side, round(image.width * share)), max(side, round(image.height * share))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def target_classes(root: Path, dataset: str) -> list[Path]:
    """Return the class folders of the target: for caltech101 every fifth class, the rest is for pretraining."""
    folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith((".", "BACKGROUND")))
    wanted = ROOM[dataset][3]
    return folders[::5][:wanted] if len(folders) >= 5 * wanted else folders[:wanted]


def drawn_files(root: Path, dataset: str) -> list[list[Path]]:
    """Return the files that are used, by class, in drawn order: train, validation, test."""
    draw = np.random.default_rng(0)
    chosen = []
    for folder in target_classes(root, dataset):
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
        chosen.append([files[i] for i in draw.permutation(len(files))[: sum(ROOM[dataset][:3])]])
    return chosen


@functools.lru_cache(maxsize=4)
def target(root: Path, dataset: str, side: int) -> Target:
    """Read a data set: whole images with a margin of an eighth, and the squares in their centre."""
    learn, choose, _, classes = ROOM[dataset]
    rows: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    whole, labels = [], []
    margin = side if side <= 32 else round(side * 8 / 7)
    for label, files in enumerate(drawn_files(root, dataset)):
        for place, path in enumerate(files):
            part = "train" if place < learn else "validation" if place < learn + choose else "test"
            rows[part].append(len(whole))
            whole.append(read(path, margin))
            labels.append(label)
    squares = []
    for image in whole:
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        squares.append(np.ascontiguousarray(image[top : top + side, left : left + side]))
    key = content_key([dataset, side, len(whole)])
    parts = {name: np.array(found, np.int64) for name, found in rows.items()}
    return Target(Pictures(whole, key + "w"), Pictures(squares, key), np.array(labels, np.int64), classes, **parts)


def backbone_of(subject: str, place: Place, seed: int, random: bool) -> Backbone:
    """Return the network that a training starts from."""
    weights: str | Path = "none"
    if random:
        weights = "none"
    elif subject in place.weights:
        weights = place.weights[subject]
    elif subject == "efficientnet_lite0":
        weights = "imagenet"
    side = SIDES[subject]
    backbone = create_backbone(NAMES.get(subject, subject), weights, seed=seed, input_size=side)[0]
    if subject in PRETRAINED_HERE and not random:
        backbone.stages.load_state_dict(load_file(place.out / f"{subject}.safetensors"))
    return backbone


def recipe_of(case: Case) -> Recipe:
    """Return the default recipe with the case's rate and clipping."""
    changes: dict[str, Any] = {"lr": case.lr} | ({} if case.clip == "default" else {"clip": case.clip})
    return replace(default_recipe(NAMES.get(case.subject, case.subject), case.strategy), **changes)


def cases(seeds: int) -> Iterator[Case]:
    """Yield every training, the most telling first."""
    order = ("fine_tune", "lp_ft", "scratch", "linear_probe", "norm_only", "lora")
    for seed in range(seeds):
        for (subject, strategy), rates in sorted(RATES.items(), key=lambda entry: order.index(entry[0][1])):
            datasets = ("cifar10", "rsscn7") if SIDES[subject] == 32 else ("rsscn7", "caltech101")
            if strategy not in ("fine_tune", "lp_ft", "scratch") and seed:
                continue
            for dataset in datasets:
                for lr in rates:
                    yield Case(subject, dataset, strategy, lr, "default", seed)
                    if seed == 0:
                        for clip in CLIPS.get((subject, strategy), ()):
                            if clip is None and dataset == "caltech101":
                                continue
                            yield Case(subject, dataset, strategy, lr, clip, seed)


def run_case(place: Place, case: Case) -> dict[str, Any]:
    """Train, and return all that the table is made of."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    data = target(place.data[case.dataset], case.dataset, SIDES[case.subject])
    backbone = backbone_of(case.subject, place, case.seed, case.strategy == "scratch")
    decay = default_layer_decay(NAMES.get(case.subject, case.subject))
    kinds = ("fine_tune", "gradual", "lp_ft")
    strategy = Strategy(case.strategy, layer_decay=decay if case.strategy in kinds else 1.0)
    head, facts = None, dict[str, Any]()
    if case.strategy == "lp_ft":
        head, facts = fitted_head(backbone, data, place, case)
        strategy = replace(strategy, probe_epochs=0)
    recipe = recipe_of(case)
    folder = place.out / "trainings" / case.key
    began = time.perf_counter()
    job = TuneJob(
        backbone=backbone,
        strategy=strategy,
        recipe=recipe,
        images=data.squares,
        labels=data.labels,
        classes=data.classes,
        train=data.train,
        validation=data.validation,
        seed=case.seed,
        folder=folder,
        device=place.device,
        store=Store(place.out / "store"),
        initial_head=head,
        train_images=data.whole if "random_resized_crop" in recipe.augment else None,
        workers=2 if place.device != "cpu" else 0,
        loggers=(),
        checkpoint_every=1e9,
    )
    outcome: dict[str, Any] = {**asdict(case), "key": case.key, "epochs": recipe.epochs, **facts}
    try:
        result = finetune(job)
    except HeadstartError as error:
        outcome["error"] = str(error)
    else:
        shown = predict_probabilities(
            result.network, data.squares, data.test, backbone.preprocessing, tta=recipe.tta, device=place.device
        )
        outcome["test"] = float((shown.argmax(1) == data.labels[data.test]).mean())
        outcome["best_epoch"] = result.best_epoch
        outcome["validation"] = [row["validation_accuracy"] for row in result.history]
        outcome["train_loss"] = [row["train_loss"] for row in result.history]
        outcome["notes"] = result.notes
    for left in folder.glob("*"):  # several times the size of the network
        if left.suffix in (".ckpt", ".safetensors"):
            left.unlink()
    device = torch.cuda.get_device_name() if place.device.startswith("cuda") else "cpu"
    return outcome | {"seconds": time.perf_counter() - began, "device": device}


def fitted_head(backbone: Backbone, data: Target, place: Place, case: Case) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Return the logistic regression that lp_ft starts from, and how it does."""
    path = place.out / "features" / f"{case.subject}-{case.dataset}.npy"
    if not path.exists():
        rows = np.arange(len(data.squares))
        features = predict_features(backbone, data, rows, place.device)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.npy")
        np.save(temporary, features)
        temporary.replace(path)
    features = np.load(path)
    job = HeadJob("logistic", data.train, data.validation, data.classes, {}, case.seed, False)
    head = fit_heads(features, data.labels, [job])[0].head
    with torch.inference_mode():
        right = head(torch.from_numpy(features)).argmax(1).numpy() == data.labels
    return head, {
        "start_validation": float(right[data.validation].mean()),
        "start_test": float(right[data.test].mean()),
    }


def predict_features(backbone: Backbone, data: Target, rows: np.ndarray, device: str) -> np.ndarray:
    """Return the network's features of these rows, float32 [n, d]."""
    from headstart.models.preprocessing import as_tensor, normalise

    network = backbone.bare().to(device).eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), 64):
            pixels = np.stack([data.squares[int(row)] for row in rows[start : start + 64]])
            parts.append(network(normalise(as_tensor(pixels).to(device), backbone.preprocessing)).flatten(1).cpu())
    return torch.cat(parts).numpy()


def pretrain(place: Place, subject: str) -> None:
    """Train a network from random weights on the classes of Caltech-101 that are no target."""
    path = place.out / f"{subject}.safetensors"
    if path.exists():
        return
    root, side = place.data["pretraining"], SIDES[subject]
    aside = {folder.name for folder in target_classes(place.data["caltech101"], "caltech101")}
    folders = sorted(f for f in root.iterdir() if f.is_dir() and f.name not in aside and f.name[:4] != "BACK")
    files = [(p, label) for label, folder in enumerate(folders) for p in sorted(folder.iterdir())]
    whole = [read(p, side) for p, _ in files]
    labels = np.array([label for _, label in files], np.int64)
    squares = [np.ascontiguousarray(image[:side, :side]) for image in whole]
    adam = {"optimizer": "adamw", "weight_decay": 0.05, "schedule": "cosine", "warmup_epochs": 5.0, "clip": 1.0}
    crops = {"augment": ("random_resized_crop", "horizontal_flip"), "label_smoothing": 0.1}
    recipe = Recipe(**adam, **crops, lr=1e-3 if subject == "vit_tiny" else 3e-4, epochs=100, batch_size=128)
    held = np.arange(len(files)) % 20 == 0
    result = finetune(
        TuneJob(
            backbone=create_backbone(NAMES.get(subject, subject), "none", input_size=side)[0],
            strategy=Strategy("scratch"),
            recipe=recipe,
            images=Pictures(squares, f"pretraining-{side}"),
            labels=labels,
            classes=len(folders),
            train=np.flatnonzero(~held),
            validation=np.flatnonzero(held),
            seed=0,
            folder=place.out / "trainings" / subject,
            device=place.device,
            store=Store(place.out / "store"),
            train_images=Pictures(whole, f"pretraining-{side}-whole"),
            workers=6,
            loggers=(),
            checkpoint_every=1e9,
        )
    )
    accuracy = result.history[result.best_epoch - 1]["validation_accuracy"]
    print(f"{subject}: {len(files)} images of {len(folders)} classes, validation {accuracy:.1%}", flush=True)
    state = {k: v.contiguous() for k, v in result.network.backbone.stages.state_dict().items()}
    save_file(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def finished(out: Path) -> list[dict[str, Any]]:
    """Return the trainings that were done."""
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def sweep(place: Place, todo: list[Case], jobs: int, deadline: float) -> None:
    """Run the cases in several processes until the deadline; each that is done becomes a line."""
    if place.device == "cpu" and jobs == 1:
        for case in todo:
            if time.monotonic() < deadline:
                write_line(place.out, run_case(place, case))
        return
    context = multiprocessing.get_context("spawn")
    waiting = iter(todo)
    with context.Pool(jobs) as pool:
        running: list[Any] = []
        while True:
            for done in [r for r in running if r.ready()]:
                running.remove(done)
                write_line(place.out, done.get())
            while len(running) < jobs and time.monotonic() < deadline and (case := next(waiting, None)):
                running.append(pool.apply_async(run_case, (place, case)))
            if not running:
                return
            time.sleep(0.05)


def write_line(out: Path, outcome: dict[str, Any]) -> None:
    with (out / "results.jsonl").open("a") as file:
        file.write(json.dumps(outcome) + "\n")


def table(outcomes: Iterable[dict[str, Any]]) -> str:
    """Return the table: validation accuracy of the best trained epoch and test accuracy, by rate."""
    groups: dict[tuple[str, str, str, str], dict[float, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for one in outcomes:
        group = (one["subject"], one["strategy"], one["dataset"], str(one["clip"]))
        groups[group][one["lr"]].append(one)
    lines = ["| network | strategy | data | clip | start | " + "test accuracy by rate (validation, last epoch) |"]
    lines.append("|---|---|---|---|---|---|")
    for (subject, strategy, dataset, clip), by_rate in sorted(groups.items()):
        default = default_recipe(NAMES.get(subject, subject), strategy).lr
        starts = [one["start_test"] for found in by_rate.values() for one in found if "start_test" in one]
        cells = []
        for lr, found in sorted(by_rate.items()):
            good = [one for one in found if "test" in one]
            mark = "**" if lr == default else ""
            if not good:
                cells.append(f"{mark}{lr:g}: diverged{mark}")
                continue
            test = np.mean([one["test"] for one in good])
            best = np.mean([max(one["validation"] or [0]) for one in good])
            last = np.mean([(one["validation"] or [0])[-1] for one in good])
            lost = f", {len(found) - len(good)} diverged" if len(good) < len(found) else ""
            cells.append(f"{mark}{lr:g}: {test:.1%}{mark} ({best:.1%}, {last:.1%}{lost})")
        start = f"{np.mean(starts):.1%}" if starts else "–"
        lines.append(f"| {subject} | {strategy} | {dataset} | {clip} | {start} | {'; '.join(cells)} |")
    return "\n".join(lines)


def named(values: list[str]) -> dict[str, Path]:
    return {name: Path(path).absolute() for name, _, path in (value.partition("=") for value in values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", action="append", default=[], help="NAME=FOLDER of images by class")
    parser.add_argument("--weights", action="append", default=[], help="NAME=FILE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--subject", action="append", default=[])
    parser.add_argument("--strategy", action="append", default=[])
    parser.add_argument("--minutes", type=float, default=1e9, help="no training begins after so many")
    parser.add_argument("--pretrain", action="store_true", help="only make the stand-ins for pretrained weights")
    parser.add_argument("--table", action="store_true", help="only print")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    place = Place(out, named(arguments.data), named(arguments.weights), arguments.device)
    deadline = time.monotonic() + 60 * arguments.minutes
    if arguments.pretrain:
        for subject in arguments.subject or PRETRAINED_HERE:
            pretrain(place, subject)
        return
    if not arguments.table:
        done = {one["key"] for one in finished(out)}
        todo = [case for case in cases(arguments.seeds) if case.key not in done and case.dataset in place.data]
        if arguments.subject:
            todo = [case for case in todo if case.subject in arguments.subject]
        if arguments.strategy:
            todo = [case for case in todo if case.strategy in arguments.strategy]
        print(f"{len(todo)} trainings to do, {len(done)} done", flush=True)
        sweep(place, todo, arguments.jobs, deadline)
    print(table(finished(out)))


if __name__ == "__main__":
    main()
