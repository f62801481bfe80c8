"""What `fewshot` does and prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.cli.tables import show_table
from headstart.disclosure import show
from headstart.errors import SpecError, choose

EPISODES = 10_000
TUNED_EPISODES = 5  # each of them trains a network


def fewshot_and_show(
    data: str,
    backbone: str,
    weights: str,
    *,
    label: str | None,
    ways: int,
    shots: str,
    queries: int,
    episodes: int | None,
    methods: Sequence[str],
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Evaluate episodic classifiers on the features of a frozen network, or tune it in each episode; print the table.

    Raises:
        SpecError: an invalid number or name.
        DataError: too few images for the episodes, or several labels an image; nothing has been computed yet.
    """
    from headstart.fewshot.finetune_episode import NAME as FINETUNE
    from headstart.fewshot.methods import METHODS
    from headstart.fewshot.study import FewShotSpec
    from headstart.storage.opening import default_store_in_use
    from headstart.study.resources import Resources

    chosen = list(METHODS) if list(methods) == ["all"] else list(methods)
    for method in chosen:
        choose("few-shot method", method, {**METHODS, FINETUNE: None})
    episodes = episodes if episodes is not None else TUNED_EPISODES if FINETUNE in chosen else EPISODES
    asked = FewShotSpec(ways, _numbers(shots), queries, episodes, tuple(chosen), seed)
    with default_store_in_use() as store:
        result, name = _evaluated(Resources(store, device), data, label, backbone, weights, asked)
    if as_json:
        show(json.dumps(result))
        return
    _show(result, f"{name}: {ways}-way, {queries} queries, {episodes:,} episodes, seed {seed}")


def _evaluated(
    resources: Any, data: str, label: str | None, backbone: str, weights: str, asked: Any
) -> tuple[dict[str, Any], str]:
    """Return the scores of the methods, and the name of the dataset."""
    from headstart.fewshot.embedding import ChosenImages
    from headstart.fewshot.episodes import Episodes
    from headstart.fewshot.finetune_episode import NAME as FINETUNE
    from headstart.fewshot.finetune_episode import finetune_episodes
    from headstart.fewshot.scores import EpisodeScores
    from headstart.fewshot.study import LabelledFeatures, check_one_label, draw_episodes, run_fewshot
    from headstart.study.spec.network import NetworkSpec
    from headstart.study.spec.schema import DataSpec, WeightsSpec

    spec, network_spec = DataSpec(source=data, label=label), NetworkSpec(backbone, WeightsSpec(name=weights))
    dataset = resources.dataset(spec)
    _tell(dataset)
    check_one_label(dataset)
    draw_episodes(LabelledFeatures(dataset.labels, dataset.classes), asked)  # refuse before the network runs
    quick = set(asked.methods) != {FINETUNE}
    features = resources.features(spec, network_spec, asked.seed) if quick else None
    network = resources.loaded(network_spec, asked.seed).backbone
    images = resources.images(spec, network.preprocessing)
    keep = np.setdiff1d(np.arange(len(dataset)), np.array(sorted(resources.bad_rows(dataset)), dtype=np.int64))

    def tuned(drawn: Episodes) -> EpisodeScores:
        return finetune_episodes(network, ChosenImages(images, keep), drawn, seed=asked.seed, device=resources.device)

    chosen_features = None if features is None else np.asarray(features).reshape(len(features), -1)[keep]
    usable = LabelledFeatures(dataset.labels[keep], dataset.classes, chosen_features)
    result = run_fewshot(usable, asked, judges={FINETUNE: tuned}, device=resources.device)
    return result.to_dict(), dataset.name


def _tell(dataset: Any) -> None:
    from headstart.data.overview import overview
    from headstart.progress import say

    for line in overview(dataset, f"none; episodes are drawn from all {len(dataset):,} images"):
        say(line)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SpecError(f"--shots {text!r}: write whole numbers separated by commas, such as 1,5") from None


def _show(table: dict[str, Any], title: str) -> None:
    columns = ("method", "shots", "accuracy", "95 % interval", "for new classes", "episodes/s")
    rows = []
    for row in table["rows"]:
        new = row.get("new_classes")
        cells = (
            row["method"] + (" (transductive)" if row["transductive"] else ""),
            str(row["shots"]),
            f"{100 * row['accuracy']:.2f} %",
            "" if row["low"] is None else f"{100 * row['low']:.2f} to {100 * row['high']:.2f}",
            "" if not new else f"{100 * new['low']:.1f} to {100 * new['high']:.1f}",
            f"{row['episodes_per_second']:,.0f}" if row.get("episodes_per_second") else "",
        )
        rows.append(cells)
    show_table(columns, rows, title)
    for k, pairs in table["comparisons"].items():
        for pair in pairs[:6]:
            show(f"{k} shots: {pair['verdict']}")
