"""Few-shot episodes on stored features: headstart beside EasyFSL, same features, same machine, same run.

    python benchmarks/episodes.py                          Caltech-101 at $HEADSTART_DATA, EfficientNet-Lite0 features
    python benchmarks/episodes.py --features F.npy --labels L.npy
    python benchmarks/episodes.py --episodes 2000 --peer-episodes 200 --table-episodes 200      a quick look

Three parts. Speed: 5-way 5-shot 15-query nearest prototypes over 100,000 episodes, everything counted that follows
the stored features (drawing the episodes, inner products, predictions, accuracies), against EasyFSL's TaskSampler,
DataLoader and PrototypicalNetworks. Agreement: the same episodes fed to both, prediction by prediction. Table: ten
thousand episodes of every classifier that tunes nothing. Expected: 30 times EasyFSL's episodes per second or more,
memory under 2 GB, the whole table in under 2 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.fewshot.episodes import EpisodeBatch, sample_episodes
from headstart.fewshot.evaluation import FewShotSpec, LabelledFeatures, run_fewshot
from headstart.fewshot.intervals import episode_interval
from headstart.fewshot.methods import METHODS
from headstart.fewshot.scores import evaluate_episodes

WAYS, SHOTS, QUERIES = 5, 5, 15


def machine() -> str:
    """Return the machine class, the versions and the commit in one line."""
    cpu = platform.processor() or "unknown"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    ).stdout.strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0]
    return (
        f"{cores} cores, {cpu}, load {load:.1f}, Python {platform.python_version()}, torch {torch.__version__},"
        f" EasyFSL {version('easyfsl')}, commit {commit or 'unknown'}"
    )


def stored_features() -> tuple[np.ndarray, np.ndarray]:
    """Return EfficientNet-Lite0 features and labels of Caltech-101 without its background class."""
    from headstart.storage.opening import default_store
    from headstart.study.resources import Resources
    from headstart.study.spec.load import load_study

    source = Path(os.environ["HEADSTART_DATA"]) / "caltech101"
    run = {"backbone": "efficientnet_lite0", "weights": "imagenet"}
    study = load_study({"name": "episodes", "data": {"source": str(source)}, "runs": {"features": run}})
    resources = Resources(default_store(), "cpu")
    dataset = resources.dataset(study.runs[0].data)
    features = np.asarray(resources.features(study.runs[0].data, study.runs[0].network, 0)).reshape(len(dataset), -1)
    names = np.array(dataset.classes)[dataset.labels]
    keep = names != "BACKGROUND_Google"
    labels = np.unique(names[keep], return_inverse=True)[1]
    return np.ascontiguousarray(features[keep]), labels.astype(np.int64)


def ours(features: np.ndarray, labels: np.ndarray, episodes: int) -> dict[str, Any]:
    started = time.perf_counter()
    drawn = sample_episodes(labels, WAYS, SHOTS, QUERIES, episodes, seed=0)
    scores = evaluate_episodes(features, drawn, ["prototypes"])["prototypes"]
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "rate": episodes / seconds, "accuracy": scores.accuracy}


def peer_sampler(kind: type[Any], labels: np.ndarray, episodes: int) -> Any:
    """Return EasyFSL's TaskSampler as its constructor makes it.

    EasyFSL 1.5 calls torch's Sampler(data_source=None), an argument that newer torch no longer takes, so the
    fields are set from here; everything that is timed is EasyFSL's own code.
    """
    sampler = kind.__new__(kind)
    sampler.n_way, sampler.n_shot, sampler.n_query, sampler.n_tasks = WAYS, SHOTS, QUERIES, episodes
    sampler.items_per_label = {int(c): np.flatnonzero(labels == c).tolist() for c in np.unique(labels)}
    return sampler


def easyfsl(features: np.ndarray, labels: np.ndarray, episodes: int) -> dict[str, Any]:
    from easyfsl.datasets import FeaturesDataset
    from easyfsl.methods import PrototypicalNetworks
    from easyfsl.methods.few_shot_classifier import FewShotClassifier
    from easyfsl.samplers import TaskSampler
    from torch.utils.data import DataLoader

    dataset = FeaturesDataset(labels.tolist(), torch.from_numpy(features), [str(c) for c in np.unique(labels)])
    sampler = peer_sampler(TaskSampler, labels, episodes)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=sampler.episodic_collate_fn)
    model: FewShotClassifier = PrototypicalNetworks().eval()
    accuracy = []
    started = time.perf_counter()
    with torch.no_grad():
        for support, support_labels, query, query_labels, _ in loader:
            model.process_support_set(support, support_labels)
            accuracy.append(float((model(query).argmax(dim=1) == query_labels).float().mean()))
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "rate": episodes / seconds, "accuracy": np.array(accuracy, dtype=np.float32)}


def agreement(features: np.ndarray, labels: np.ndarray, episodes: int) -> dict[str, Any]:
    """Feed the same episodes to both; where they differ, say how close the two best distances are."""
    from easyfsl.methods import PrototypicalNetworks

    drawn = sample_episodes(labels, WAYS, SHOTS, QUERIES, episodes, seed=1)
    predictions = np.empty((episodes, WAYS * QUERIES), dtype=np.int64)

    def keep(name: str, batch: EpisodeBatch, predicted: torch.Tensor) -> None:
        predictions[batch.first : batch.first + len(batch)] = predicted.numpy()

    evaluate_episodes(features, drawn, ["prototypes"], on_predictions=keep)
    x, model, ways = torch.from_numpy(features), PrototypicalNetworks().eval(), torch.arange(WAYS)
    different, closest = 0, 0.0
    with torch.no_grad():
        for i in range(episodes):
            model.process_support_set(x[drawn.support[i]], ways.repeat_interleave(SHOTS))
            theirs = model(x[drawn.query[i]]).argmax(dim=1).numpy()
            for j in np.flatnonzero(theirs != predictions[i]):
                different += 1
                prototypes = features[drawn.support[i]].astype(np.float64).reshape(WAYS, SHOTS, -1).mean(axis=1)
                exact = np.sort(((features[drawn.query[i, j]] - prototypes) ** 2).sum(axis=1))
                closest = max(closest, float((exact[1] - exact[0]) / exact[0]))
    return {"compared": predictions.size, "different": different, "largest_relative_margin_where_different": closest}


def interval_line(name: str, found: dict[str, Any]) -> str:
    interval = episode_interval(found["accuracy"], WAYS * QUERIES)
    return (
        f"{name:10s} {len(found['accuracy']):>8,} episodes in {found['seconds']:7.2f} s = {found['rate']:>9,.0f}/s,"
        f" accuracy {100 * interval.mean:.3f} % [{100 * interval.low:.3f}, {100 * interval.high:.3f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=Path, help="float32 [n, d] as .npy")
    parser.add_argument("--labels", type=Path, help="int64 [n] as .npy")
    parser.add_argument("--episodes", type=int, default=100_000)
    parser.add_argument("--peer-episodes", type=int, default=5000)
    parser.add_argument("--same-episodes", type=int, default=1000)
    parser.add_argument("--table-episodes", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="write the figures there")
    asked = parser.parse_args()
    if asked.features:
        features, labels = np.load(asked.features), np.load(asked.labels).astype(np.int64)
    else:
        features, labels = stored_features()
    print(machine())
    print(f"{len(features):,} images, {len(np.unique(labels))} classes, {features.shape[1]} features each\n")
    quick = ours(features, labels, asked.episodes)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(interval_line("headstart", quick))
    peer = easyfsl(features, labels, asked.peer_episodes)
    print(interval_line("EasyFSL", peer))
    print(f"{quick['rate'] / peer['rate']:.1f} times the episodes per second; peak memory {memory / 1e9:.2f} GB")
    gap = float(quick["accuracy"].mean(dtype=np.float64) - peer["accuracy"].mean(dtype=np.float64))
    error = float(np.sqrt(sum(f["accuracy"].var(ddof=1) / len(f["accuracy"]) for f in (quick, peer))))
    inside = abs(gap) <= 1.96 * error
    print(f"difference of means {100 * gap:+.4f} points, {'inside' if inside else 'OUTSIDE'} ± {196 * error:.4f}")
    same = agreement(features, labels, asked.same_episodes)
    print(
        f"same episodes: {same['different']} of {same['compared']:,} predictions differ"
        f" (their two best distances are within {same['largest_relative_margin_where_different']:.1e} of each other)\n"
    )
    names = [str(c) for c in range(int(labels.max()) + 1)]
    every = FewShotSpec(shots=(1, 5), episodes=asked.table_episodes, methods=tuple(METHODS))
    table = run_fewshot(LabelledFeatures(labels, names, features), every)
    print(f"{asked.table_episodes:,} episodes of each method and number of shots: {table.seconds:.1f} s in total")
    for row in table.rows:
        new = row.new_classes
        print(
            f"  {row.method:18s} {row.shots} shot  {100 * row.accuracy:6.2f} %"
            + (f" [{100 * row.low:.2f}, {100 * row.high:.2f}]" if row.low is not None and row.high is not None else "")
            + (f"  new classes [{100 * new.low:.1f}, {100 * new.high:.1f}]" if new else "")
            + f"  {row.episodes_per_second:>9,.0f}/s"
        )
    if asked.json:
        figures = {"machine": machine(), "headstart": quick["rate"], "easyfsl": peer["rate"], "memory_bytes": memory}
        asked.json.write_text(json.dumps({**figures, "same": same, "table": table.to_dict()}, indent=1))


if __name__ == "__main__":
    main()
