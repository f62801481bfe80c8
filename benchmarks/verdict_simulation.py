"""Does the comparison say what is so? Studies of known truth, compared by `compare_runs`, counted cell by cell.

    python benchmarks/verdict_simulation.py --out cells.jsonl [--studies 100] [--seconds 600]
        [--seeds 2 3] [--images 200] [--runs 5] [--points 0 10] [--spreads 0.1] [--extra]
    python benchmarks/verdict_simulation.py --out cells.jsonl --table

Each cell is seeded by its own name, so it may be run anywhere and in any order. Finished cells are lines of FILE and
are not run again; `--seconds` ends the run after the cell at work. `--table` prints the summary of docs/statistics.md.

The truth: an image is right when a latent score is above zero. The score adds what the run's accuracy asks for, the
image's own difficulty (standard deviation 2), the run's view of the image (0.5), chance (0.7) and the seed (the spread
of the cell). The first run has 90 % true accuracy, all others so many points less; `--extra` adds one noisy run among
ten, equal runs at 98 %, and runs of another first accuracy.

The oracle: it knows the true variance of each difference (by the bivariate normal distribution, not from the studies)
and corrects by the studentised range, stepping down.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import special, stats

from headstart.evaluate.comparison.compare import Comparison, compare_runs

IMAGE, OWN, REST = 2.0, 0.5, 0.7
SEEDS, IMAGES, RUNS, POINTS, SPREADS = (
    (1, 2, 3, 5, 10),
    (50, 200, 1000),
    (2, 5, 15, 30),
    (0, 1, 3, 10, 40),
    (0, 0.05, 0.1, 0.2, 0.3),
)


@dataclass(frozen=True)
class Cell:
    """One situation.

    Args:
        seeds, images, runs: how many.
        points: by how much the first run is better than each other.
        spread: standard deviation of a seed, in the latent score.
        top: true accuracy of the first run.
        noisy: spread of the last run, where it is another.
    """

    seeds: int
    images: int
    runs: int
    points: float
    spread: float
    top: float = 0.9
    noisy: float | None = None

    @property
    def name(self) -> str:
        """Return what the cell is seeded by."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def means(self) -> list[float]:
        """Return the true accuracies."""
        return [self.top] + [self.top - self.points / 100] * (self.runs - 1)


def study(cell: Cell, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw right or wrong for every run, seed and image."""
    images = generator.normal(size=cell.images) * IMAGE
    found = {}
    for place, mean in enumerate(cell.means):
        spread = cell.noisy if cell.noisy is not None and place == cell.runs - 1 else cell.spread
        total = np.sqrt(IMAGE**2 + OWN**2 + REST**2 + spread**2)
        view = images + generator.normal(size=cell.images) * OWN
        shift = generator.normal(size=(cell.seeds, 1)) * spread
        rest = generator.normal(size=(cell.seeds, cell.images)) * REST
        found[f"run {place:02d}"] = special.ndtri(mean) * total + view + shift + rest > 0
    return found


def count(cell: Cell, found: Comparison) -> dict[str, float]:
    """Compare what was said with what is so."""
    truth = dict(zip(sorted(row["run"] for row in found["ranking"]), cell.means, strict=True))
    wrong = {}
    for family in ("against_best", "against_baseline", "pairwise"):
        rows = [row for row in found[family] if row["significant"]]  # type: ignore[literal-required]
        wrong[family] = any(row["difference"] * (truth[row["a"]] - truth[row["b"]]) <= 1e-12 for row in rows)
    held = [row["low"] <= truth[row["a"]] - truth[row["b"]] <= row["high"] for row in found["pairwise"]]
    means = [row["low"] <= truth[row["run"]] <= row["high"] for row in found["ranking"]]
    leader = found["leader"]
    led = found["best"] == "run 00"
    ties = [row for row in found["against_best"] if row["category"] == "tied"]
    inside = [0 <= row["low"] <= row["high"] <= 1 for row in found["ranking"]]
    inside += [-1 <= row["low"] <= row["high"] <= 1 for row in found["pairwise"]]
    return {
        "false_best": float(wrong["against_best"]),
        "false_baseline": float(wrong["against_baseline"]),
        "false_pairs": float(wrong["pairwise"]),
        "false_tie": float(any(abs(truth[row["a"]] - truth[row["b"]]) > found["margin"] + 1e-9 for row in ties)),
        "coverage": float(np.mean(held)),
        "coverage_mean": float(np.mean(means)),
        "coverage_leader": float(leader["low"] <= truth[leader["run"]] <= leader["high"]),
        "told": float(led and np.mean([row["significant"] for row in found["against_best"]])),
        "outside": float(not all(inside)),
    }


def oracle(cell: Cell, gaps: np.ndarray) -> float:
    """Return the share of the first run's differences that a test tells which knows their true variance."""
    errors = true_errors(cell)
    told = 0.0
    for row in gaps:
        if (row < 0).any():
            continue
        sizes = np.sort(row / errors)[::-1]
        left = cell.runs
        while left > 1 and sizes[cell.runs - left] > range_quantile(left):
            left -= 1
        told += (cell.runs - left) / (cell.runs - 1)
    return told / len(gaps)


def true_errors(cell: Cell) -> np.ndarray:
    """Return the true standard deviation of the first run's mean minus each other's, over seeds and images."""
    means, spreads = cell.means, [cell.spread] * cell.runs
    if cell.noisy is not None:
        spreads[-1] = cell.noisy
    first = _variance(cell, means[0], spreads[0])
    total = [IMAGE**2 + OWN**2 + REST**2 + spread**2 for spread in spreads]
    found = []
    for mean, spread, latent in zip(means[1:], spreads[1:], total[1:], strict=True):
        shared = _together(means[0], mean, IMAGE**2 / np.sqrt(total[0] * latent)) / cell.images
        found.append(np.sqrt(first + _variance(cell, mean, spread) - 2 * shared))
    return np.array(found)


def _variance(cell: Cell, mean: float, spread: float) -> float:
    """Return the variance of a run's mean: of one outcome, of two of one seed, and of two of one image."""
    latent = IMAGE**2 + OWN**2 + REST**2 + spread**2
    seed = _together(mean, mean, spread**2 / latent)
    image = _together(mean, mean, (IMAGE**2 + OWN**2) / latent)
    outcomes = cell.seeds * cell.images
    return (mean * (1 - mean) + (cell.images - 1) * seed + (cell.seeds - 1) * image) / outcomes


@lru_cache(maxsize=1024)
def _together(a: float, b: float, correlation: float) -> float:
    """Return the covariance of two outcomes whose latent scores correlate: true accuracies a and b."""
    normal = stats.multivariate_normal([0.0, 0.0], [[1.0, correlation], [correlation, 1.0]])
    return float(normal.cdf(special.ndtri([a, b]))) - a * b


@lru_cache(maxsize=64)
def range_quantile(runs: int) -> float:
    """Return the 95 % quantile of the range of so many normals, over the error of a difference of two."""
    draws = np.random.default_rng(runs).normal(size=(20_000, runs))
    return float(np.quantile(np.ptp(draws, axis=1), 0.95) / np.sqrt(2))


def run_cell(cell: Cell, studies: int) -> dict[str, object]:
    """Draw and compare the studies of one cell."""
    rows, gaps = [], []
    for each in range(studies):
        drawn = study(cell, np.random.default_rng([zlib.crc32(cell.name.encode()), each]))
        rows.append(count(cell, compare_runs(drawn, baseline="run 00", draws=1000, seed=each)))
        means = [drawn[run].mean() for run in sorted(drawn)]
        gaps.append(means[0] - np.array(means[1:]))
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return {"cell": asdict(cell), "studies": studies, **mean, "oracle": oracle(cell, np.array(gaps))}


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    for runs, images, seeds, points, spread in itertools.product(
        options.runs, options.images, options.seeds, options.points, options.spreads
    ):
        yield Cell(seeds, images, runs, points, spread)
    if options.extra:
        for seeds, images, spread in itertools.product(options.seeds, options.images, (0.05, 0.1)):
            yield Cell(seeds, images, 10, 0, spread, noisy=0.3)
        for seeds, images, spread in itertools.product(options.seeds, options.images, (0, 0.1)):
            yield Cell(seeds, images, 11, 0, spread, top=0.98)
        for seeds, images in itertools.product((2, 3), (50, 200)):
            yield Cell(seeds, images, 5, 0, 0.2, top=0.6)
            yield Cell(seeds, images, 5, 40, 0.2, top=0.98)


def merged(rows: list[dict]) -> list[dict]:
    """Return one row a situation: of rows that drew the same studies the longest, of others their mean.

    Cells are seeded by their names, in which 0 and 0.0 are two.
    """
    longest: dict[str, dict] = {}
    for row in sorted(rows, key=lambda row: -row["studies"]):
        longest.setdefault(Cell(**row["cell"]).name, row)
    found: dict[Cell, list[dict]] = {}
    for row in longest.values():
        found.setdefault(Cell(**row["cell"]), []).append(row)
    return [_mean_row(group) for group in found.values()]


def _mean_row(group: list[dict]) -> dict:
    weights = [row["studies"] for row in group]
    kept = {key: float(np.average([row[key] for row in group], weights=weights)) for key in KEYS}
    return {"cell": group[0]["cell"], "studies": sum(weights), **kept}


KEYS = (
    "false_best",
    "false_baseline",
    "false_pairs",
    "false_tie",
    "coverage",
    "coverage_mean",
    "coverage_leader",
    "told",
    "outside",
    "oracle",
)
WRONG = ("false_best", "false_baseline", "false_pairs")


def words(row: dict) -> str:
    """Name a cell."""
    c = row["cell"]
    noisy = "" if c["noisy"] is None else f", one of {c['noisy']:g}"
    top = "" if c["top"] == 0.9 else f", the best {100 * c['top']:g} %"
    runs = f"{c['runs']} runs, {c['seeds']} seeds, {c['images']} images"
    return f"{runs}, {c['points']:g} points, spread {c['spread']:g}{noisy}{top}"


def mean(key: str, rows: list[dict]) -> str:
    """Return the mean of several cells, in percent."""
    return f"{100 * np.mean([row[key] for row in rows]):.1f}" if rows else ""


def line(seeds: int, images: int, rows: list[dict]) -> str:
    """Return a line of the summary: all cells of so many seeds and images; false claims are of those with 0 points."""
    equal = [row for row in rows if row["cell"]["points"] == 0]
    false = " / ".join(mean(key, equal) for key in WRONG)
    held = " / ".join(mean(key, rows) for key in ("coverage", "coverage_mean", "coverage_leader"))
    told = []
    for points in (3, 10, 40):
        group = [row for row in rows if row["cell"]["points"] == points]
        told.append(f"{mean('told', group)} ({mean('oracle', group)})" if group else "")
    studies = sum(row["studies"] for row in rows)
    return f"| {seeds} | {images:,} | {len(rows)} | {studies:,} | {false} | {held} | {' | '.join(told)} |"


def table(rows: list[dict]) -> str:
    """Return the summary, and the cells that miss a target."""
    lines = [f"{len(rows)} cells, {sum(row['studies'] for row in rows):,} studies"]
    plain = [row for row in rows if row["cell"]["noisy"] is None]
    for seeds, images in itertools.product(SEEDS, IMAGES):
        group = [row for row in plain if (row["cell"]["seeds"], row["cell"]["images"]) == (seeds, images)]
        lines += [line(seeds, images, group)] if group else []
    lines.append("\none noisy run among ten:")
    lines += [
        f"- {words(row)}: {100 * max(row[k] for k in WRONG):.1f} % of {row['studies']}"
        for row in rows
        if row not in plain
    ]
    lines.append("\nfalse claims above 5 %, with their standard error:")
    for row in plain:
        most = max(row[key] for key in WRONG)
        error = np.sqrt(most * (1 - most) / row["studies"])
        lines += [f"- {words(row)}: {100 * most:.1f} ± {100 * error:.1f} % of {row['studies']}"] if most > 0.05 else []
    for key in ("coverage", "coverage_mean", "coverage_leader"):
        lines.append(f"\n{key} below 93 %:")
        lines += [f"- {words(row)}: {100 * row[key]:.1f} % of {row['studies']}" for row in rows if row[key] < 0.93]
    for points, seeds, images in ((40, 2, 50), (10, 3, 200)):
        lines.append(f"\n{points} points, {seeds} seeds, {images} images: told, and by the oracle")
        group = [row for row in plain if row["cell"]["points"] == points]
        group = [row for row in group if (row["cell"]["seeds"], row["cell"]["images"]) == (seeds, images)]
        lines += [f"- {words(row)}: {100 * row['told']:.1f} %, {100 * row['oracle']:.1f} %" for row in group]
    lines.append(f"\nintervals outside their bounds: {sum(row['outside'] > 0 for row in rows)} cells")
    lines.append(f"said to be tied though they differ by more than the margin: {mean('false_tie', rows)} % of studies")
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--studies", type=int, default=100)
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--table", action="store_true")
    options.add_argument("--extra", action="store_true")
    for name, kind, values in (
        ("seeds", int, SEEDS),
        ("images", int, IMAGES),
        ("runs", int, RUNS),
        ("points", float, POINTS),
        ("spreads", float, SPREADS),
    ):
        options.add_argument(f"--{name}", type=kind, nargs="*", default=list(values))
    chosen = options.parse_args()
    done = [json.loads(line) for line in chosen.out.read_text().splitlines()] if chosen.out.exists() else []
    if chosen.table:
        print(table(merged(done)))
        return
    names = {Cell(**row["cell"]).name for row in done}
    began = time.monotonic()
    with chosen.out.open("a") as file:
        for cell in cells(chosen):
            if cell.name in names:
                continue
            if time.monotonic() - began > chosen.seconds:
                break
            file.write(json.dumps(run_cell(cell, chosen.studies)) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
