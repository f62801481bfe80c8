"""How long the audit takes on many small images, and whether it finds what was planted among them.

    python benchmarks/audit.py                     60,000 images of 32 px made from $HEADSTART_DATA/caltech101
    python benchmarks/audit.py --images 5000

Among the images stand planted copies: exact, saved again as JPEG, and mirrored. Features are random
projections of the pixels (the audit needs stored features; which network made them does not matter to
its speed). Decoding is not part of the count when the store has seen the images: the second line.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import platform
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.audit.audit import audit_dataset
from headstart.data.dataset import Dataset
from headstart.data.decoding.digests import digest_of
from headstart.storage.store import Store

PLANTED = 300
WIDTH = 1280


class Encoded:
    """Encoded images in memory."""

    def __init__(self, files: list[bytes], names: list[str]) -> None:
        self.files, self.names = files, names

    def __len__(self) -> int:
        return len(self.files)

    def name(self, row: int) -> str:
        """Return what the image is."""
        return self.names[row]

    def read(self, row: int) -> bytes:
        """Return the file."""
        return self.files[row]

    def identity(self, row: int) -> str:
        """Return nothing: this is memory."""
        return ""


def blends(folder: Path, count: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Lay four photographs over one another, each turned at random, `count` times: rich in details, no two alike."""
    files = sorted(folder.glob("*/*.jpg"))
    small = np.stack(
        [np.asarray(Image.open(file).convert("RGB").resize((32, 32), Image.Resampling.BOX)) for file in files]
    ).astype(np.float32)
    found = []
    for parts, turns in zip(
        generator.integers(0, len(small), (count, 4)), generator.integers(0, 8, (count, 4)), strict=True
    ):
        total = sum(turned(small[part], turn) for part, turn in zip(parts, turns, strict=True))
        found.append(np.clip(total / 2 - 127.5, 0, 255).round().astype(np.uint8))  # twice the contrast of the mean
    return found


def turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Return a square image in one of its eight orientations."""
    image = np.rot90(pixels, turn % 4)
    return image[:, ::-1] if turn >= 4 else image


def encoded(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    """Return an image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def material(folder: Path, count: int) -> tuple[Dataset, np.ndarray, dict[tuple[int, int], str]]:
    """Return images with planted copies, their features, and which pairs were planted how."""
    generator = np.random.default_rng(0)
    pixels = blends(folder, count - PLANTED, generator)
    files, names, planted = [encoded(image, "PNG") for image in pixels], [f"image {k}" for k in range(len(pixels))], {}
    for k, origin in enumerate(generator.permutation(len(pixels))[:PLANTED].tolist()):
        kind = ("exact", "saved again", "mirrored")[k % 3]
        image = pixels[origin][:, ::-1] if kind == "mirrored" else pixels[origin]
        planted[origin, len(files)] = kind
        pixels.append(image)
        files.append(files[origin] if kind == "exact" else encoded(image, "JPEG", quality=80))
        names.append(f"{kind} {origin}")
    flat = np.stack(pixels).reshape(len(pixels), -1).astype(np.float32) / 255
    features = np.maximum(flat @ generator.standard_normal((flat.shape[1], WIDTH)).astype(np.float32) / 20, 0)
    digests = np.array([digest_of(data) for data in files], dtype="S32")
    labels = generator.integers(0, 10, len(files))
    labels[features[:, 0] > np.median(features[:, 0])] = 0
    classes = tuple(f"class {c}" for c in range(10))
    return Dataset("blends", Encoded(files, names), labels, classes, digests=digests), features, planted


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60_000)
    count = parser.parse_args().images
    dataset, features, planted = material(Path(os.environ["HEADSTART_DATA"]) / "caltech101", count)
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place))
        seconds, processor = [], []
        for _ in range(2):
            started, worked = time.perf_counter(), time.process_time()
            audit = audit_dataset(dataset, features=features, store=store)
            seconds.append(time.perf_counter() - started)
            processor.append(time.process_time() - worked)
    exact = {
        pair
        for group in audit["exact"]
        for pair in itertools.combinations(sorted(p["row"] for p in group["places"]), 2)
    }
    near = [tuple(sorted((pair["a"]["row"], pair["b"]["row"]))) for pair in audit["near"]]
    result = {
        "images": len(dataset),
        "seconds, nothing stored": round(seconds[0], 1),
        "seconds, files seen before": round(seconds[1], 1),
        "processor seconds": [round(each, 1) for each in processor],
        "peak memory GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "near duplicates reported": len(near),
        "of these planted": sum(pair in planted for pair in near),
        "notes": audit["notes"],
    }
    for kind in ("exact", "saved again", "mirrored"):
        pairs = [pair for pair, how in planted.items() if how == kind]
        found = exact if kind == "exact" else set(near)
        result[f"planted {kind}, found"] = f"{sum(pair in found for pair in pairs)} of {len(pairs)}"
    result["machine"] = f"{os.cpu_count()} cores, {cpu()}, Python {platform.python_version()}, numpy {np.__version__}"
    result["commit"] = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    print(json.dumps(result, indent=1, ensure_ascii=False))


def cpu() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
