"""The best classifier in five minutes on the same files: `headstart compare --budget 5min` beside its peers.

    HEADSTART_DATA=… python benchmarks/five_minutes.py --folder waste=FOLDER signs=FOLDER tiles=FOLDER \\
        --peer fastai=PYTHON autogluon=PYTHON ultralytics=PYTHON [--data groceries caltech101] \\
        [--seeds 3] [--minutes 5] [--records FOLDER] [--small]

groceries   the embedded photographs, 14 fine classes, the split that they come with.
caltech101  some 1,500 images of all 101 classes, two thirds of them to learn from, drawn once.
            What headstart keeps was chosen on the test images of these two; the following had no part in it.
waste       photographs of waste on a white board, six materials (TrashNet, 2,527 images, MIT): `dataset-resized` of
            github.com/congduytran12/Trash-Classification- at 00212f2c, the files of github.com/garythung/trashnet.
signs       hands that show the digits 0 to 9 (2,062 images, Apache 2.0): `Dataset` of
            github.com/ardamavi/Sign-Language-Digits-Dataset at 4b09433e.
tiles       grey photographs of magnetic tiles, five defects and none (1,344 images; no licence file, its authors
            welcome use and ask for a citation of Huang et al. 2018): the .jpg files of
            github.com/abin24/Magnetic-tile-defect-datasets. at cc4eb530. A tile can be in it several times, under
            different exposures, so that a test image may have a sibling among those to learn from.

Each peer needs an environment of its own, whose Python is given: `pip install fastai timm`, `autogluon.multimodal` or
`ultralytics timm`. Neither AutoGluon's default network (Swin) nor Ultralytics' own can be had without a download.

A folder has a folder of images for each class; some 1,500 images of it are drawn as of caltech101.

All get a folder of image files with train/ and test/ inside, nothing cached, the same cores and the same ImageNet
weights of EfficientNet-Lite0 (headstart takes the other embedded ones too where they are installed). Each runs in a
process of its own, a peer with the Python of its environment, by `five_minutes_PEER.py`, which says how it is used.
The clock starts when the folder is handed over and stops when the classifier is ready; imports are not counted. The
first seed tries every use of fastai; the one that is best there *on test* is run with the other seeds and counts.

Of the written probabilities: accuracy with Wilson's interval, log loss (probabilities clipped at 1e-7), expected
calibration error less its bias (headstart's), bytes of the model, seconds, each the mean over seeds; and the paired
difference of accuracy and log loss, headstart less peer, with a 95 % interval over the test images. With `--records`,
what was measured is kept there, and a run that was stopped continues. `--small`: 40 s, 60 images to learn from and
30 others of the same part to classify, one seed, which shows only that it runs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from finetune import describe_machine
from five_minutes_record import SUFFIXES, Record, Task, arguments_of, images_in, name_of, read_record

from headstart.data.dataset import Dataset
from headstart.data.sources.load import load_dataset
from headstart.data.splits import make_split
from headstart.evaluate.metrics.calibration import calibration_error
from headstart.evaluate.metrics.intervals import normal_quantile, wilson
from headstart.models.create import create_backbone
from headstart.threads import environment, machine_cores

HERE = Path(__file__).parent
OURS = "headstart"
USES = {"fastai": ("head", "tuned", "small")}
PEERS = ("fastai", "autogluon", "ultralytics")
CLIPPED = 1e-7
SMALL = (60, 30)


@dataclass(frozen=True)
class Measured:
    """A record beside the truth: of each test image, in the order of names, whether it is right, and its log loss."""

    correct: np.ndarray
    losses: np.ndarray
    calibration: float
    seconds: float
    size: int

    @property
    def accuracy(self) -> float:
        """Share of right images."""
        return float(self.correct.mean())


def main() -> None:
    options = read_options()
    describe_machine()
    sources: dict[str, Callable[[Path], None]] = {name: SOURCES[name] for name in options.data}
    for name, source in options.folder.items():
        sources[name] = lambda folder, source=source: drawn(source, folder)  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as place:
        records = options.records or Path(place) / "records"
        records.mkdir(parents=True, exist_ok=True)
        weights = write_weights(Path(place) / "weights.pth")
        for name, put_images in sources.items():
            folder = Path(place) / name
            put_images(folder)
            if options.small:
                folder = few(folder, Path(place) / f"few {name}")
            table = measure(name, folder, records, weights, options)
            print_table(name, table)


def read_options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=sorted(SOURCES))
    parser.add_argument("--folder", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--peer", nargs="*", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=machine_cores())
    parser.add_argument("--records", type=Path)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    options.folder = pairs(parser, options.folder)
    options.peer = pairs(parser, options.peer)
    if unknown := sorted(set(options.peer) - set(PEERS)):
        parser.error(f"unknown peer {unknown[0]}; known are {', '.join(PEERS)}")
    for place in [*options.folder.values(), *options.peer.values()]:
        if not place.exists():
            parser.error(f"{place} does not exist")
    if options.data is None:
        options.data = [] if options.small else sorted(SOURCES)
    if options.small:
        options.seeds, options.minutes = 1, min(options.minutes, 40 / 60)
    return options


def pairs(parser: argparse.ArgumentParser, texts: list[str]) -> dict[str, Path]:
    """Return the paths of texts NAME=PATH by name."""
    parts = {text: text.partition("=") for text in texts}
    for text, (name, _, path) in parts.items():
        if not name or not path:
            parser.error(f"{text} is not of the form NAME=PATH")
    return {name: Path(path) for name, _, path in parts.values()}


def groceries(folder: Path) -> None:
    """Write the embedded photographs as files, in the split that they come with."""
    dataset = load_dataset("groceries", label="fine")
    split = make_split(dataset)
    for part, rows in (("train", np.concatenate([split.train, split.validation])), ("test", split.test)):
        for row in rows:
            put(folder / part / dataset.classes[dataset.labels[row]] / f"{row}.jpg", dataset, int(row))


def caltech101(folder: Path) -> None:
    """Link images of every class but the background."""
    drawn(Path(os.environ["HEADSTART_DATA"]) / "caltech101", folder, without="BACKGROUND_Google")


def drawn(source: Path, folder: Path, count: int = 1500, without: str = "") -> None:
    """Link images of every class, as many of each as its share of some `count`, two thirds to learn from."""
    classes = sorted(path for path in source.iterdir() if path.is_dir() and path.name != without)
    files = {path.name: sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES) for path in classes}
    share = min(1.0, count / sum(len(each) for each in files.values()))
    rng = np.random.default_rng(0)
    for name, each in files.items():
        chosen = rng.permutation(len(each))[: max(3, round(share * len(each)))]
        for place, number in enumerate(chosen):
            target = folder / ("test" if place < len(chosen) / 3 else "train") / name / each[number].name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(each[number].resolve())


def few(folder: Path, small: Path) -> Path:
    """Link a few images of train into train and, others of it, into test: the real test images stay unseen."""
    images = images_in(folder / "train")
    groups: dict[str, list[Path]] = {}
    for path in images:
        groups.setdefault(path.parent.name, []).append(path)
    rounds = [group[k] for k in range(max(map(len, groups.values()))) for group in groups.values() if k < len(group)]
    for place, path in enumerate(rounds[: sum(SMALL)]):
        target = small / ("train" if place < SMALL[0] else "test") / name_of(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.resolve())
    return small


def put(path: Path, dataset: Dataset, row: int) -> None:
    """Write one image's file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dataset.reader.read(row)
    assert isinstance(content, bytes)
    path.write_bytes(content)


def write_weights(path: Path) -> Path:
    """Write headstart's ImageNet weights of EfficientNet-Lite0 under timm's names, without the classifier."""
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    state = dict(zip(network.state_dict(), backbone.stages.state_dict().values(), strict=True))
    network.load_state_dict(state)
    torch.save(state, path)
    return path


def measure(
    name: str, folder: Path, records: Path, weights: Path, options: argparse.Namespace
) -> dict[str, list[Measured]]:
    """Return each contestant's measures, one a seed; of a peer with several uses, those of the best one."""
    truth = [name_of(path) for path in images_in(folder / "test")]
    table: dict[str, list[Measured]] = {}
    for who in (OURS, *options.peer):
        uses = USES.get(who, ("",))
        for seed in range(options.seeds):
            found: dict[str, Measured] = {}
            for use in uses:
                out = records / f"{name}-{who}{use and '-'}{use}-{seed}.npz"
                task = Task(
                    folder / "train", folder / "test", 60 * options.minutes, seed, options.threads, weights, use, out
                )
                record = record_of(who, task, options.peer.get(who))
                if record is None:
                    continue
                found[use] = judged(record, truth)
                words = f"{found[use].accuracy:.1%}, {record.chosen}, {record.seconds:.0f} s"
                print(f"{name}, seed {seed}: {who} {words}", flush=True)
            if not found:
                break
            uses = (max(found, key=lambda use: found[use].accuracy),)
            table.setdefault(f"{who} {uses[0]}".strip(), []).append(found[uses[0]])
    return table


def record_of(who: str, task: Task, python: Path | None) -> Record | None:
    """Return what was recorded, running the contestant unless it has; None, with a line, if it fails."""
    if not task.out.exists():
        command = [str(python or sys.executable), str(HERE / f"five_minutes_{who}.py"), *arguments_of(task)]
        settings = {**os.environ, **environment(task.threads), "HF_HUB_OFFLINE": "1"}
        if python is not None:
            settings.pop("PYTHONPATH", None)
        limit = 4 * task.seconds + 600
        try:
            done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            print(f"{who}: not ready after {limit:.0f} s", flush=True)
            return None
        if done.returncode or not task.out.exists():
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"{who}: ended with {done.returncode}: {reason}", flush=True)
            return None
    return read_record(task.out)


def judged(record: Record, names: list[str]) -> Measured:
    """Return the measures of a record on test images of these names, CLASS/FILE.

    Raises:
        ValueError: the record is of other images, or lacks a class or probabilities that add up to one.
    """
    rows = {name: row for row, name in enumerate(record.names)}
    if sorted(record.names) != sorted(names):
        raise ValueError(f"the record has {len(record.names)} images, the test part {len(names)}, and not the same")
    probabilities = record.probabilities[[rows[name] for name in names]]
    labels = np.array([record.classes.index(name.rpartition("/")[0]) for name in names])
    if not np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-2):
        raise ValueError("the probabilities do not add up to one")
    correct = probabilities.argmax(axis=1) == labels
    losses = -np.log(np.clip(probabilities[np.arange(len(labels)), labels], CLIPPED, 1.0))
    confidence = np.clip(probabilities.max(axis=1), 0.0, 1.0)
    error = calibration_error(confidence, correct)["value"]
    return Measured(correct, losses, error, record.seconds, record.size)


def paired_accuracy(ours: list[Measured], peers: list[Measured]) -> tuple[float, float, float]:
    """Return the difference of accuracy and its interval over the images, of pairs with two more (Agresti & Min 2005).

    The two are one that only ours has right and one that only the peer has, each for a half, and two that do not
    differ, likewise: the interval has a width even where no image differs.
    """
    seeds = min(len(ours), len(peers))
    difference = np.mean([ours[k].correct.astype(float) - peers[k].correct for k in range(seeds)], axis=0)
    n = len(difference) + 2
    middle = difference.sum() / n
    half = normal_quantile() * np.sqrt(max(((difference**2).sum() + 1) / n - middle**2, 0.0) / n)
    return float(difference.mean()), float(middle - half), float(middle + half)


def paired_loss(ours: list[Measured], peers: list[Measured]) -> tuple[float, float, float]:
    """Return the difference of log loss and its normal interval over the images."""
    seeds = min(len(ours), len(peers))
    difference = np.mean([ours[k].losses - peers[k].losses for k in range(seeds)], axis=0)
    half = normal_quantile() * difference.std(ddof=1) / np.sqrt(len(difference))
    return float(difference.mean()), float(difference.mean() - half), float(difference.mean() + half)


def print_table(name: str, table: dict[str, list[Measured]]) -> None:
    """Print the measures as a table in Markdown."""
    print(f"\n| {name} | accuracy | log loss | calibration error | model | seconds | headstart less it | log loss |")
    print("|---|---|---|---|---|---|---|---|")
    for who, found in table.items():
        n = len(found[0].correct)
        accuracy = float(np.mean([each.accuracy for each in found]))
        low, high = wilson(accuracy * n, n)
        means = [float(np.mean([value(each) for each in found])) for value in MEASURES]
        cells = f"{accuracy:.1%} [{low:.1%}, {high:.1%}] | {means[0]:.3f} | {means[1]:.3f} | {means[2] / 1e6:.1f} MB"
        beside = " | "
        if who != OURS and OURS in table:
            gain, least, most = (100 * value for value in paired_accuracy(table[OURS], found))
            loss, lower, upper = paired_loss(table[OURS], found)
            beside = f"{gain:+.1f} [{least:+.1f}, {most:+.1f}] points | {loss:+.3f} [{lower:+.3f}, {upper:+.3f}]"
        print(f"| {who} | {cells} | {means[3]:.0f} | {beside} |", flush=True)


MEASURES: tuple[Callable[[Measured], float], ...] = (
    lambda each: float(each.losses.mean()),
    lambda each: each.calibration,
    lambda each: float(each.size),
    lambda each: each.seconds,
)
SOURCES = {"groceries": groceries, "caltech101": caltech101}

if __name__ == "__main__":
    main()
