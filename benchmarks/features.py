"""Images per second of the frozen feature pass, beside eager PyTorch and this machine's matrix-product limit.

    python benchmarks/features.py [--seconds 8] [--backbones efficientnet_lite0 resnet18 resnet50] [--json]
    python benchmarks/features.py --batches 1 4 16 64    CPU time an image by images at a time, one network a core

Everything runs in one process, one engine after the other, in rounds, on the same 32 random images of the
network's size; the median round counts. The limit is what the network's multiply-adds would take at the
rate of a float32 product of two 2048 × 2048 matrices.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.models.create import create_backbone
from headstart.models.describe import describe
from headstart.study.results.environment import environment
from headstart.threads import cores
from headstart.transfer.frozen.engine import Engine, Normalised

BATCH = 32
ROUNDS = 3


def rate(run: Callable[[], object], seconds: float, count: int) -> float:
    """Return how many of `count` units a call a second `run` gets through."""
    run()
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        run()
        calls += 1
    return calls * count / (time.perf_counter() - began)


def matrix_rate(seconds: float = 1.0, side: int = 2048) -> float:
    """Return this machine's multiply-adds a second in a float32 matrix product."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    return rate(lambda: a @ b, seconds, side**3)


def eager(module: nn.Module, pixels: torch.Tensor) -> Callable[[], object]:
    def run() -> torch.Tensor:
        with torch.inference_mode():
            out: torch.Tensor = module(pixels)
        return out

    return run


def measure(name: str, seconds: float) -> dict[str, Any]:
    backbone, _ = create_backbone(name, None)
    backbone = backbone.bare().eval()
    size = backbone.preprocessing.size
    images = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), np.uint8)
    pixels = torch.from_numpy(images)
    engine = Engine(backbone, backbone.preprocessing)
    plain = Normalised(backbone, backbone.preprocessing).eval()
    with torch.inference_mode():
        error = float(np.abs(engine(images) - plain(pixels).numpy()).max())
        ready = (pixels.permute(0, 3, 1, 2).float() * plain.scale + plain.shift).contiguous()
    other = copy.deepcopy(backbone).to(memory_format=torch.channels_last)
    ways = {  # eager PyTorch is given float images that are normalised already; headstart starts from pixels
        "headstart": lambda: engine(images),
        "eager": eager(backbone, ready),
        "eager channels_last": eager(other, ready.to(memory_format=torch.channels_last)),
    }
    rounds: dict[str, list[float]] = {way: [] for way in (*ways, "limit")}
    macs = sum(row["macs"] for row in describe(name)["stages"])
    for _ in range(ROUNDS):
        for way, run in ways.items():
            rounds[way].append(rate(run, seconds, BATCH))
        rounds["limit"].append(matrix_rate() / macs)
    found = {way: statistics.median(values) for way, values in rounds.items()}
    return {
        "backbone": name,
        "engine": engine.name,
        **found,
        "times eager": found["headstart"] / found["eager"],
        "times channels_last": found["headstart"] / found["eager channels_last"],
        "share of limit": found["headstart"] / found["limit"],
        "largest difference": error,
    }


def cpu_by_batch(name: str, batches: list[int], seconds: float) -> dict[int, list[float]]:
    """Return CPU milliseconds an image by batch size, of each round, while every core runs the network by itself."""
    backbone, _ = create_backbone(name, None)
    backbone = backbone.bare().eval()
    size = backbone.preprocessing.size
    images = np.random.default_rng(0).integers(0, 256, (max(batches), size, size, 3), np.uint8)
    engine = Engine(backbone, backbone.preprocessing, threads=1)
    found: dict[int, list[float]] = {batch: [] for batch in batches}

    def count(batch: int, end: float) -> int:
        done = 0
        while time.perf_counter() < end:
            engine(images[:batch])
            done += batch
        return done

    with ThreadPoolExecutor(cores()) as pool:
        for _ in range(ROUNDS):
            for batch in batches:
                engine(images[:batch])
                began, end = time.process_time(), time.perf_counter() + seconds
                done = sum(pool.map(count, [batch] * cores(), [end] * cores()))
                found[batch].append(1000 * (time.process_time() - began) / done)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="per engine and round")
    parser.add_argument("--backbones", nargs="+", default=["efficientnet_lite0", "resnet18", "resnet50"])
    parser.add_argument("--batches", nargs="+", type=int, help="only CPU time by batch size")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.batches:
        for name in options.backbones:
            times = cpu_by_batch(name, options.batches, options.seconds)
            for batch, values in times.items():
                each = ", ".join(f"{value:.1f}" for value in values)
                print(f"{name}, {batch} at a time: {statistics.median(values):.1f} ms ({each})")
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    machine = environment("cpu")
    rows = [measure(name, options.seconds) for name in options.backbones]
    if options.json:
        print(json.dumps({"machine": machine, "commit": commit, "rows": rows}, indent=1))
        return
    print(f"{cores()} cores, {machine['cpu']}, torch {machine['torch']}, commit {commit}")
    print(f"{'backbone':<20}{'headstart':>10}{'eager':>8}{'ch.last':>8}{'limit':>8}  ratio to eager, ch.last, limit")
    for row in rows:
        speeds = f"{row['headstart']:>10.1f}{row['eager']:>8.1f}{row['eager channels_last']:>8.1f}{row['limit']:>8.1f}"
        ratios = f"{row['times eager']:.2f}, {row['times channels_last']:.2f}, {row['share of limit']:.2f}"
        print(f"{row['backbone']:<20}{speeds}  {ratios}   {row['engine']}")


if __name__ == "__main__":
    main()
