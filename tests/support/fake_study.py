"""A study folder with plausible random predictions, laid out as a real one is."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw
from scipy.special import softmax

from headstart.evaluate.metrics.calibration import apply_temperature, fit_temperature
from headstart.evaluate.metrics.metrics import evaluate
from headstart.maps.points import quantised
from headstart.storage.names import folder_name

FINGERPRINT = "f4ke" * 8
ANIMALS = ("ant", "bass", "beaver", "crab", "crayfish", "dolphin", "dragonfly", "emu", "flamingo", "hedgehog", "ibis")
THINGS = ("accordion", "anchor", "barrel", "binocular", "camera", "cellphone", "chair", "cup", "dollar_bill", "piano")


@dataclass(frozen=True)
class FakeRun:
    """How good a run is, and what its folder says of it."""

    name: str
    skill: float
    strategy: str = "logistic"
    backbone: str = "efficientnet_lite0"
    weights: str = "imagenet"
    seconds: float = 2.0
    learned: int = 130_000
    total: int = 3_500_000
    epochs: int = 0
    axes: Mapping[str, Any] = field(default_factory=dict)


RUNS = (
    FakeRun("raw pixels", -0.8, backbone="pixels", weights="none", seconds=0.8, learned=310_000, total=310_000),
    FakeRun("random features", 0.4, weights="none", seconds=1.4),
    FakeRun("knn", 4.3, "knn", seconds=0.2, learned=0),
    FakeRun("prototypes", 4.6, "prototypes", seconds=0.1),
    FakeRun("ridge", 5.35, "ridge", seconds=0.6),
    FakeRun("logistic", 5.4, seconds=3.4),
    FakeRun("scratch", 2.4, "scratch", "resnet18", "none", 1830.0, 11_200_000, 11_200_000, 24),
    FakeRun("fine-tuned tail", 6.0, "fine_tune", "resnet18", "imagenet", 410.0, 8_400_000, 11_200_000, 12),
)
CURVE = tuple(
    FakeRun(f"{head} · shots {shots}", base + 1.1 * np.log(shots), head, seconds=0.3, axes={"shots": shots})
    for head, base in (("prototypes", 1.9), ("ridge", 1.5))
    for shots in (1, 2, 5, 10, 20)
)


def class_names(count: int) -> list[str]:
    stems = (*ANIMALS, *THINGS)
    return sorted(f"{stems[k % len(stems)]}{'' if k < len(stems) else f'_{k // len(stems) + 1}'}" for k in range(count))


def make_study(
    root: Path,
    runs: Sequence[FakeRun] = RUNS,
    *,
    classes: int = 101,
    per_class: int = 6,
    seeds: int = 3,
    status: str = "complete",
    draws: int = 60,
    baseline: str | None = "raw pixels",
    photos: Sequence[Path] = (),
    name: str = "caltech-fake",
) -> Path:
    """Write a study of `runs` × `seeds` and return its folder."""
    generator = np.random.default_rng(7)
    study = root / name
    names = class_names(classes)
    labels = np.repeat(np.arange(classes), per_class)
    rows = np.arange(len(labels)) * 3 + 1
    difficulty = generator.normal(0, 1.0, len(labels)) + generator.normal(0, 0.8, classes)[labels]
    _write_data(study, names, rows, labels, difficulty, photos)
    for run in runs:
        for seed in range(seeds):
            noise = np.random.default_rng(abs(hash((len(run.name), run.skill, seed))) % 2**32)
            chances = _chances(labels, classes, run.skill, difficulty, noise)
            _write_run(study, run, seed, names, rows, labels, chances, noise, draws)
    facts = {
        "name": name,
        "question": "Which head on frozen features is best on Caltech-101, and does fine-tuning pay?",
        "spec": {"name": name, "seeds": seeds, "runs": {run.name: {"strategy": run.strategy} for run in runs}},
        "source": f"name: {name}\ndata: {{source: caltech101}}\nseeds: {seeds}\n",
        "command": f"headstart run studies/{name}.yaml",
        "version": "0.1.0",
        "created": "2026-03-01T10:00:00+00:00",
        "status": status,
        "expected": [{"run": run.name, "seed": seed} for run in runs for seed in range(seeds)],
        "compare": {"baseline": baseline, "metric": "accuracy"},
        "budget": None,
    }
    _json(study / "study.json", facts)
    return study


def study_of(
    root: Path,
    right: Mapping[str, np.ndarray],
    *,
    best: str | None = None,
    baseline: str | None = None,
    deterministic: Sequence[str] = (),
    seconds: Mapping[str, float] | None = None,
    keys: Mapping[str, Sequence[str]] | None = None,
    **compare: Any,
) -> Path:
    """Write a study whose runs are right on given test images (bool [seeds, n]; labels alternate between two)."""
    study = root / "study"
    labels = np.arange(next(iter(right.values())).shape[1]) % 2
    names, rows = ["no", "yes"], np.arange(len(labels))
    _write_data(study, names, rows, labels, np.zeros(len(labels)), ())
    for name, table in right.items():
        run = FakeRun(name, 1.0, "ridge", seconds=(seconds or {}).get(name, 2.0))
        for seed, correct in enumerate(table):
            own = np.where(correct, 0.9, 0.1)
            chances = np.stack([np.where(labels == c, own, 1 - own) for c in (0, 1)], axis=1).astype(np.float32)
            more = {"deterministic": name in deterministic}
            key = keys[name][seed] if keys else None
            _write_run(study, run, seed, names, rows, labels, chances, np.random.default_rng(0), 10, more, key)
    facts = {
        "name": "study",
        "question": "Which is best?",
        "status": "complete",
        "expected": [{"run": name, "seed": seed} for name, table in right.items() for seed in range(len(table))],
        "compare": {"baseline": baseline, "metric": "accuracy", **compare},
    }
    if best is not None:
        facts["best"] = {"run": best, "folder": f"runs/{best}/seed-0", "by": "validation accuracy"}
    _json(study / "study.json", facts)
    return study


def _chances(
    labels: np.ndarray, classes: int, skill: float, difficulty: np.ndarray, noise: np.random.Generator
) -> np.ndarray:
    logits = noise.normal(0, 1.0, (len(labels), classes))
    places = np.arange(len(labels))
    logits[places, labels] += skill - 1.2 * difficulty
    for step, pull in ((1, 1.8), (2, 0.9)):
        logits[places, (labels + step) % classes] += pull
    chances = softmax(1.3 * logits, axis=1)
    return apply_temperature(chances, fit_temperature(labels, chances)).astype(np.float32)


def _write_run(
    study: Path,
    run: FakeRun,
    seed: int,
    names: list[str],
    rows: np.ndarray,
    labels: np.ndarray,
    chances: np.ndarray,
    noise: np.random.Generator,
    draws: int,
    more: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> None:
    folder = study / "runs" / run.name.replace(" · ", "-").replace(" ", "-") / f"seed-{seed}"
    test = evaluate(labels, chances, names, draws=draws)
    tried = [
        {"C": c, "validation_accuracy": float(test["accuracy"]["value"] - 0.01 * abs(np.log10(c)))}
        for c in (0.1, 1.0, 10.0)
    ]
    files = {
        "spec.json": {
            "run": run.name,
            "seed": seed,
            "backbone": run.backbone,
            "weights": {"name": run.weights},
            "strategy": run.strategy,
            "head": {},
            "recipe": {"lr": 0.01, "epochs": run.epochs, "batch_size": 64} if run.epochs else {},
            "truncate_at": None,
            "freeze_until": "stage3" if run.strategy == "fine_tune" else None,
            "data": {"name": "caltech-fake", "fingerprint": FINGERPRINT},
            "shots": run.axes.get("shots"),
            "axes": dict(run.axes),
            "refit": "train+validation",
            **(more or {}),
        },
        "result.json": {
            "n_test": len(rows),
            "n_train": 4 * len(rows),
            "n_validation": len(rows),
            "chosen": {"C": 1.0} if run.strategy == "logistic" else {},
            "tried": tried if run.strategy == "logistic" else [],
            "notes": ["did not converge in 100 steps"] if run.name == "raw pixels" else [],
            "temperature": 1.1 + 0.05 * seed,
            "cost": {
                "seconds": run.seconds * (1 + 0.05 * seed),
                "shared_seconds": 95.0 if run.backbone != "pixels" else 3.0,
                "images_per_second": 84.0,
                "peak_memory_bytes": 1_200_000_000 + run.learned,
                "device": "cpu",
            },
            "parameters": {"total": run.total, "learned": run.learned},
            "weights": {"origin": f"timm:{run.backbone}", "sha256": "ab" * 32, "licence": "apache-2.0"},
            "metrics": {"test": test, "validation": test},
        },
        "history.json": _history(run, test["accuracy"]["value"], noise),
        "environment.json": {"python": "3.11.2", "torch": "2.15.0", "headstart": "0.1.0", "cpu": "fake", "cores": 2},
    }
    content = {name: json.dumps(value).encode() for name, value in files.items()}
    content["predictions.npz"] = npz(test_rows=rows, test_labels=labels, test_probabilities=chances)
    content["split.npz"] = npz(train=np.arange(5), validation=np.arange(5), test=rows)
    write_run_folder(folder, content, key=key)


def write_run_folder(
    folder: Path, content: Mapping[str, bytes], error: str | None = None, key: str | None = None
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    state = {"status": "failed" if error else "complete", "error": error, "files": digests}
    _json(folder / "manifest.json", state | ({"key": key} if key else {}))


def _history(run: FakeRun, score: float, noise: np.random.Generator) -> list[dict[str, float]]:
    rows = []
    for epoch in range(run.epochs):
        part = 1 - np.exp(-4 * (epoch + 1) / run.epochs)
        wobble = float(noise.normal(0, 0.008))
        rows.append(
            {
                "epoch": epoch,
                "train_loss": 4.2 * (1 - part) + 0.1,
                "train_accuracy": min(1.0, part * (score + 0.03) + wobble),
                "validation_loss": 4.0 * (1 - part * score) + 0.2 + wobble,
                "validation_accuracy": part * score + wobble,
                "lr": 0.01 * (1 + np.cos(np.pi * epoch / run.epochs)) / 2,
                "seconds": run.seconds / run.epochs,
            }
        )
    return rows


def _write_data(
    study: Path, names: list[str], rows: np.ndarray, labels: np.ndarray, difficulty: np.ndarray, photos: Sequence[Path]
) -> None:
    folder = study / "data" / FINGERPRINT
    folder.mkdir(parents=True)
    share = [int(count) for count in np.bincount(labels, minlength=len(names))]
    facts = {
        "name": "caltech-fake",
        "fingerprint": FINGERPRINT,
        "classes": names,
        "n": int(rows.max()) + 2,
        "about": {"licence": "made up"},
        "skipped": [{"name": "tmp", "reason": "no image"}],
        "counts": {"train": [4 * n for n in share], "validation": share, "test": share},
    }
    _json(folder / "dataset.json", facts)
    every = np.arange(facts["n"])
    label_of = np.zeros(len(every), dtype=np.int64)
    label_of[rows] = labels
    files = [f"{names[label_of[row]]}/image_{row:04d}.jpg" for row in every]
    pq.write_table(pa.table({"row": every, "name": files, "label": label_of}), folder / "items.parquet")
    pictures = [
        _photo(photos[k % len(photos)]) if photos else _picture(int(label), float(difficulty[k]), names[label])
        for k, label in enumerate(labels)
    ]
    offsets = np.cumsum([0, *map(len, pictures)]).astype(np.int64)
    data = np.frombuffer(b"".join(pictures), dtype=np.uint8)
    (folder / "thumbnails.npz").write_bytes(npz(rows=rows, offsets=offsets, data=data))


def _photo(path: Path) -> bytes:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    picture.thumbnail((96, 96))
    return _jpeg(picture)


def _picture(label: int, difficulty: float, name: str) -> bytes:
    return _drawn(label, f"{name[:12]} {difficulty:+.1f}")


@cache
def _drawn(label: int, text: str) -> bytes:
    hue = (label * 47) % 255
    picture = Image.new("HSV", (96, 72), (hue, 90, 200)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    reach = 12 + (label % 5) * 4
    draw.ellipse((48 - reach, 36 - reach, 48 + reach, 36 + reach), fill=(hue, 40, 255 - hue))
    draw.text((3, 58), text, fill="white")
    return _jpeg(picture)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=72)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def add_audit(study: Path) -> None:
    """Put an audit beside the data, shaped as `headstart.audit.audit` returns it."""
    place = {
        "dataset": "caltech-fake",
        "name": "ant/a.jpg",
        "label": "ant",
        "split": "test",
        "thumbnail": "0:1",
        "row": 1,
    }
    other = {**place, "row": 4, "name": "bass/b.jpg", "label": "bass", "split": "train", "thumbnail": "0:4"}
    src = base64.b64encode(_picture(1, 0.0, "ant")).decode()
    audit = {
        "name": "caltech-fake",
        "findings": [
            {"level": "problem", "kind": "conflicts", "text": "2 equal files have different labels"},
            {"level": "notice", "kind": "labels", "text": "1 label looks wrong (5.0 %)"},
            {"level": "good", "kind": "unreadable", "text": "every image decodes completely"},
        ],
        "exact": [{"places": [place, other], "conflict": True, "parts": ["train", "test"]}],
        "near": [{"a": place, "b": other, "similarity": 0.97, "kind": "copy", "conflict": False, "parts": ["test"]}],
        "label_errors": [{**place, "suggested": "bass", "p_label": 0.01, "p_suggested": 0.97}],
        "unreadable": [{**place, "reason": "truncated"}],
        "drop": {"exact": [1]},
        "notes": [],
        "thumbnails": {"0:1": src, "0:4": src, "0:9": src},
        "counts": {"exact": 1, "near": 1, "label_errors": 1},
    }
    _json(study / "data" / FINGERPRINT / "audit.json", audit)


def add_explanations(study: Path, run: str) -> None:
    """Explain the first test images of a run, as `headstart.study.analysis.finished` does."""
    folder = study / "runs" / run.replace(" ", "-") / "seed-0"
    (folder / "explanations").mkdir()
    with np.load(folder / "predictions.npz") as file:
        wrong = file["test_rows"][file["test_probabilities"].argmax(1) != file["test_labels"]][:4]
    items = []
    for row in wrong:
        for method in ("lime", "grad_cam"):
            name = f"explanations/{row}-{method}.jpg"
            (folder / name).write_bytes(_picture(int(row), 0.5, method))
            items.append({"row": int(row), "method": method, "class": "ant", "file": name})
    _json(folder / "explanations.json", {"items": items})


def add_transferability(study: Path) -> None:
    """Put predicted beside measured."""
    rows = [
        {"network": f"net {k}", "logme": 0.2 * k, "knn": 0.5 + 0.1 * k, "measured": 0.6 + 0.08 * k} for k in range(4)
    ]
    _json(study / "transferability.json", {"rows": rows, "weighted_tau": {"logme": 1.0, "knn": 1.0}})


def add_map(study: Path, run: str, seed: int = 0) -> None:
    """Place the test images on a map, by their class."""
    (folder,) = (study / "runs").glob(f"{folder_name(run)}/seed-{seed}")
    with np.load(folder / "predictions.npz") as arrays:
        rows, labels = arrays["test_rows"], arrays["test_labels"]
    names = json.loads(next((study / "data").glob("*/dataset.json")).read_text(encoding="utf-8"))["classes"]
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((len(names), 2)) * 4
    positions = centres[labels] + 0.5 * generator.standard_normal((len(rows), 2))
    classes = [[name, int((labels == code).sum()), 0.75, names[code - 1], 0.1] for code, name in enumerate(names)]
    found = {
        "run": run,
        "seed": seed,
        "data": FINGERPRINT,
        "network": "efficientnet_lite0, imagenet",
        "method": "tsne",
        "words": ["t-SNE: similar images are close together."],
        "test": 2 * len(rows),
        "rows": rows.tolist(),
        "positions": quantised(positions.astype(np.float32)).ravel().tolist(),
        "classes": classes,
    }
    _json(study / "map.json", found)
