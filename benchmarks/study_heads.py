"""The sections of benchmarks/study.py that measure headstart's own heads."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.transfer.heads.fit import HeadFit, HeadJob, fit_heads

RATES = np.geomspace(1e-3, 1, 12).tolist()
DECAYS = np.geomspace(1e-6, 0.1, 8).tolist()
SEEDS = 3


@dataclass(frozen=True)
class Material:
    """What is measured on: features [n, d], labels [n], rows of the given split, decoded images or None."""

    features: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    test: np.ndarray
    images: Any
    options: argparse.Namespace

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.labels.max()) + 1

    @property
    def epochs(self) -> int:
        """Epochs of each head."""
        return self.options.epochs

    def parts(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Divide the given training rows: four fifths to learn from, one fifth to choose on."""
        order = np.random.default_rng(seed).permutation(self.train)
        if self.options.small:
            order = order[:1500]
        cut = len(order) * 4 // 5
        return np.sort(order[:cut]), np.sort(order[cut:])

    def timed(self, jobs: list[HeadJob], features: np.ndarray | None = None) -> tuple[float, list[HeadFit]]:
        """Fit jobs and return the seconds it took."""
        started = time.perf_counter()
        fits = fit_heads(self.features if features is None else features, self.labels, jobs, self.options.device)
        return time.perf_counter() - started, fits


def grid_options(material: Material, configurations: int = 96) -> dict[str, Any]:
    """Return a grid of so many configurations in the proportions of 12 learning rates x 8 weight decays."""
    decays = max(1, round(math.sqrt(configurations * 8 / 12)))
    while configurations % decays:
        decays -= 1
    return {
        "lr": np.geomspace(RATES[0], RATES[-1], configurations // decays).tolist(),
        "weight_decay": np.geomspace(DECAYS[0], DECAYS[-1], decays).tolist(),
        "momentum": 0.0,
        "epochs": material.epochs,
        "batch_size": 96,
    }


def rate(material: Material, results: dict[str, Any]) -> dict[str, Any]:
    """Measure this machine's float32 matrix products: the best of several square sizes and repetitions."""
    device = torch.device(material.options.device)
    rates = {}
    for size in (1024, 2048, 4096):
        square = torch.randn(size, size, device=device)
        out = torch.empty_like(square)
        rates[str(size)] = 2 * size**3 / best(lambda a=square, b=out: torch.mm(a, a, out=b), device) / 1e9
    found = {f"GFLOP/s, {size} x {size}": value for size, value in rates.items()}
    return {"GFLOP/s": max(rates.values()), **found}


def best(work: Callable[[], object], device: torch.device, times: int = 8) -> float:
    """Return the seconds of the fastest of several repetitions."""
    fastest = math.inf
    for _ in range(times):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest


def grid(material: Material, results: dict[str, Any]) -> dict[str, Any]:
    """Train 96 configurations x 3 seeds; count the multiplications and additions of their matrix products."""
    options = grid_options(material)
    jobs = [HeadJob("sgd", *material.parts(seed), material.classes, options, seed, False) for seed in range(SEEDS)]
    seconds, fits = material.timed(jobs)
    width = material.features.shape[1] * material.classes * 96
    work = sum(4 * material.epochs * len(job.train) * width + 2 * len(job.validation) * width for job in jobs)
    tops = [max(entry["validation_accuracy"] for entry in fit.tried) for fit in fits]
    return {
        "configurations": 96 * SEEDS,
        "epochs": material.epochs,
        "training rows": len(jobs[0].train),
        "features": material.features.shape[1],
        "seconds": seconds,
        "GFLOP/s": work / seconds / 1e9,
        "best validation accuracy": float(np.mean(tops)),
        "best validation accuracy, each seed": [round(top, 4) for top in tops],
        "chosen": [fit.chosen for fit in fits],
        "did not converge": sum(len(fit.notes) for fit in fits),
    }


def ridge(material: Material, results: dict[str, Any]) -> dict[str, Any]:
    """Fit 50 penalties on all rows: a path on the given split, and one chosen by leave-one-out."""
    n = 1500 if material.options.small else len(material.features)
    penalties = np.geomspace(1e-7, 1, 50).tolist()
    every = np.sort(np.concatenate([material.train, material.test]))[:n]
    order = np.random.default_rng(0).permutation(every)
    train, held = np.sort(order[: n * 4 // 5]), np.sort(order[n * 4 // 5 :])
    seconds, (fit,) = material.timed(
        [HeadJob("ridge", train, held, material.classes, {"penalty": penalties}, 0, False)]
    )
    alone = {"penalty": penalties, "leave_one_out": True}
    by_self, _ = material.timed([HeadJob("ridge", every, every[:0], material.classes, alone, 0, False)])
    return {
        "rows": n,
        "features": material.features.shape[1],
        "penalties": len(fit.tried),
        "seconds, chosen on held-out rows": seconds,
        "seconds, all rows, chosen by leave-one-out": by_self,
    }


def heads(material: Material, results: dict[str, Any]) -> dict[str, Any]:
    """Fit four heads with their grids, three seeds, each refitted on training and validation rows."""
    kinds = ("logistic", "ridge", "prototypes", "knn")
    jobs = [
        HeadJob(kind, *material.parts(seed), material.classes, {}, seed, True)
        for seed in range(SEEDS)
        for kind in kinds
    ]
    seconds, fits = material.timed(jobs)
    found: dict[str, Any] = {"seconds": seconds}
    inputs = torch.from_numpy(np.ascontiguousarray(material.features[material.test]))
    for kind in kinds:
        mine = [fit for job, fit in zip(jobs, fits, strict=True) if job.kind == kind]
        with torch.no_grad():
            right = [(fit.head(inputs).argmax(1).numpy() == material.labels[material.test]).mean() for fit in mine]
        found[f"{kind}, seconds"] = sum(fit.seconds for fit in mine)
        found[f"{kind}, test accuracy"] = float(np.mean(right))
        found[f"{kind}, chosen"] = [fit.chosen for fit in mine]
        found[f"{kind}, configurations"] = sum(len(fit.tried) for fit in mine)
    steps = [entry for fit in fits for entry in fit.tried if "iterations" in entry]
    found["logistic, steps a penalty"] = float(np.mean([entry["iterations"] for entry in steps]))
    found["logistic, fits that converged"] = f"{sum(entry['converged'] for entry in steps)} of {len(steps)}"
    return found


def pixels(material: Material, results: dict[str, Any]) -> dict[str, Any]:
    """Fit the floor: logistic regression on 32 x 32 pixels."""
    if material.images is None:
        return {"left out": "features were given as a file; the images are not at hand"}
    from PIL import Image

    rows = range(len(material.images))
    small = np.stack([np.asarray(Image.fromarray(material.images[row]).resize((32, 32))) for row in rows])
    flat = small.reshape(len(small), -1).astype(np.float32) / 255
    job = HeadJob("logistic", *material.parts(0), material.classes, {}, 0, True)
    seconds, (fit,) = material.timed([job], flat)
    with torch.no_grad():
        right = fit.head(torch.from_numpy(flat[material.test])).argmax(1).numpy() == material.labels[material.test]
    return {
        "features": flat.shape[1],
        "seconds": seconds,
        "test accuracy": float(right.mean()),
        "steps": [entry["iterations"] for entry in fit.tried],
    }


def scaling(material: Material, results: dict[str, Any]) -> dict[str, Any]:
    """Time the grid against images and against configurations, and draw both."""
    small = material.options.small
    images = (250, 500, 1000) if small else (1000, 2000, 4000, 8000)
    configurations = (1, 10, 100) if small else (1, 10, 100, 1000)
    every = np.sort(np.concatenate([material.train, material.test]))
    order = np.random.default_rng(0).permutation(every)
    epochs = 2 if small else 5

    def seconds(count: int, grid_size: int) -> float:
        rows = order[:count]
        cut = count * 4 // 5
        options = {**grid_options(material, grid_size), "epochs": epochs}
        return material.timed([HeadJob("sgd", rows[:cut], rows[cut:], material.classes, options, 0, False)])[0]

    seconds(images[0], 1)  # the first call pays for what is loaded once
    by_images = [seconds(count, 96) for count in images]
    by_configurations = [seconds(images[-2], count) for count in configurations]
    found = {
        "epochs": epochs,
        "images": list(images),
        "seconds, 96 configurations": [round(value, 3) for value in by_images],
        "exponent over images": slope(images, by_images),
        "configurations": list(configurations),
        f"seconds, {images[-2]} images": [round(value, 3) for value in by_configurations],
        "exponent over configurations": slope(configurations[1:], by_configurations[1:]),
    }
    found["drawn in"] = draw({"images": (images, by_images), "configurations": (configurations, by_configurations)})
    return found


def slope(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Return the exponent p of time ~ size^p, by least squares of logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def draw(curves: dict[str, tuple[tuple[int, ...], list[float]]], place: Path | None = None) -> str:
    """Draw time against size, both logarithmic, into `place` or scaling.svg beside this file; return where it is."""
    whole = f'width="{20 + 350 * len(curves)}" height="330"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {whole} font-family="sans-serif" font-size="12">']
    parts.append(f'<rect {whole} fill="white"/>')
    for number, (name, (sizes, seconds)) in enumerate(curves.items()):
        left, top, width, height = 60 + 350 * number, 30, 270, 240
        x = np.interp(np.log(sizes), [np.log(sizes[0]), np.log(sizes[-1])], [left, left + width])
        least = min(*seconds, seconds[0] / sizes[-1]) if name == "workers" else min(seconds)
        low, high = math.floor(math.log10(least)), math.ceil(math.log10(max(seconds)))
        y = np.interp(np.log10(seconds), [low, high], [top + height, top])
        along = np.geomspace(sizes[0], sizes[-1], 100)
        anchor, power = (0, -1) if name == "workers" else (-1, 1)  # time falls with workers, and grows with all else
        ideal = np.log10(seconds[anchor]) + power * np.log10(along / sizes[anchor])
        seen = (ideal >= low) & (ideal <= high)
        ix = np.interp(np.log(along[seen]), [np.log(sizes[0]), np.log(sizes[-1])], [left, left + width])
        iy = np.interp(ideal[seen], [low, high], [top + height, top])
        parts.append(f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>')
        for decade in range(low, high + 1):
            level = top + height - (decade - low) / (high - low) * height
            parts.append(f'<line x1="{left}" x2="{left + width}" y1="{level}" y2="{level}" stroke="#ddd"/>')
            parts.append(f'<text x="{left - 6}" y="{level + 4}" text-anchor="end">{10.0**decade:g} s</text>')
        for at, size in zip(x, sizes, strict=True):
            parts.append(f'<text x="{at}" y="{top + height + 18}" text-anchor="middle">{size:,}</text>')
        parts.append(line(ix, iy, 'stroke="#999" stroke-dasharray="4 4"'))
        parts.append(line(x, y, 'stroke="#06c" stroke-width="2"'))
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="#06c"/>' for a, b in zip(x, y, strict=True)]
        caption = f"{name} (dashed: in proportion)"
        parts.append(f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle">{caption}</text>')
    place = place or Path(__file__).with_name("scaling.svg")
    place.write_text("\n".join([*parts, "</svg>"]) + "\n")
    return str(Path("benchmarks") / place.name)


def line(x: np.ndarray, y: np.ndarray, style: str) -> str:
    """Return a polyline."""
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" {style}/>'
