"""Are the explanations faithful on real images? Deletion, insertion and the randomisation check, and a gallery.

    python benchmarks/explain_faithfulness.py [--images 50] [--backbone efficientnet_lite0] [--weights imagenet]
                                      [--methods lime grad_cam …] [--gallery FILE.png]

A linear head is fitted on frozen features of 15 photographs of each of 26 classes of Caltech-101 (every fourth),
then correctly classified photographs that it has not seen are explained.

Bound: for each explainer, deletion and insertion each better than a random map's on at least 80 % of 50 images;
rank correlation with the maps of the network with shuffled weights below 0.5. Beside the random map, the same map
moved to a random place is reported: a control with the map's own shapes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.data.decoding.decode import decode_file
from headstart.explain.explainers import EXPLAINERS, explain
from headstart.explain.faithfulness import faithfulness
from headstart.explain.picture import Column, gallery
from headstart.explain.sanity import randomisation_check
from headstart.models.backbone import Backbone
from headstart.models.create import create_backbone
from headstart.models.network import Network
from headstart.models.preprocessing import as_tensor, normalise
from headstart.study.results.environment import environment
from headstart.transfer.frozen.engine import Engine
from headstart.transfer.frozen.views import view_of
from headstart.transfer.heads.fit import HeadJob, fit_heads

EVERY, TRAIN, HELD_OUT = 4, 15, 4  # every fourth class; photographs of each
LEAST, MOST = 0.8, 0.5  # share of images on which a map beats a random one; correlation after shuffling


def classifier(backbone: Backbone, folder: Path, count: int) -> tuple[Network, np.ndarray, torch.Tensor, list[str]]:
    """Return a network with a fitted head, and `count` unseen photographs that it classifies correctly."""
    preprocessing = backbone.preprocessing
    view = view_of(preprocessing)
    classes = sorted(path for path in folder.iterdir() if path.name != "BACKGROUND_Google")[::EVERY]
    rng = np.random.default_rng(1)
    files: list[Path] = []
    labels: list[int] = []
    held_out: list[bool] = []
    for label, path in enumerate(classes):
        photographs = rng.permutation(np.array(sorted(path.iterdir())))[: TRAIN + HELD_OUT]
        files.extend(photographs)
        labels.extend([label] * len(photographs))
        held_out.extend(place >= TRAIN for place in range(len(photographs)))
    pixels = np.stack([decode_file(file, view) for file in files])
    engine = Engine(backbone.bare(), preprocessing)
    features = np.concatenate([engine(part) for part in np.array_split(pixels, len(pixels) // 32 + 1)])
    known, unseen = np.flatnonzero(~np.array(held_out)), np.flatnonzero(held_out)
    validation = known % 5 == 0
    job = HeadJob("logistic", known[~validation], known[validation], len(classes))
    network = Network(backbone, fit_heads(features, np.array(labels), [job])[0].head).eval()
    with torch.no_grad():
        predicted = network.head(torch.from_numpy(features[unseen])).argmax(1).numpy()
    right = unseen[predicted == np.array(labels)[unseen]]
    chosen = np.sort(rng.permutation(right)[:count])
    print(f"{backbone.name}: {len(right)} of {len(unseen)} unseen photographs right, {len(chosen)} of them explained")
    return network, pixels[chosen], torch.tensor([labels[i] for i in chosen]), [path.name for path in classes]


def line(method: str, seconds: float | None, found: dict[str, Any], rho: float | None) -> str:
    """Return a row of the table."""
    mean = found["mean"]
    areas = [f"{mean[name]:.3f} (random {mean['random_' + name]:.3f})" for name in ("deletion", "insertion")]
    took = "" if seconds is None else f"{seconds:.1f}"
    held = "" if min(found["better_deletion"], found["better_insertion"]) >= LEAST else "  below 80 %"
    after = "" if rho is None else f"{rho:.2f}" + ("" if rho < MOST else "  NOT CHANGED")
    return (
        f"{method:22s} {took:>7}  {found['control']:7s}  {areas[0]:>19}  {found['better_deletion']:6.0%}"
        f"  {areas[1]:>19}  {found['better_insertion']:6.0%}  {after:>8}{held}"
    )


def machine() -> str:
    """Return the machine, the versions and the commit."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    found = environment("cpu")
    return ", ".join(f"{name} {value}" for name, value in found.items() if value) + f", commit {commit}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--checked", type=int, default=8, help="images of the randomisation check")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--methods", nargs="+", default=[m for m in EXPLAINERS if m != "attention_rollout"])
    parser.add_argument("--data", type=Path, default=os.environ.get("HEADSTART_DATA"))
    parser.add_argument("--gallery", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("set HEADSTART_DATA, or give --data")
    print(machine())
    backbone, _ = create_backbone(arguments.backbone, arguments.weights)
    network, pixels, targets, names = classifier(backbone, arguments.data / "caltech101", arguments.images)
    images = normalise(as_tensor(pixels), backbone.preprocessing)
    columns = [Column(f"Image\n{arguments.backbone}", list(pixels[:6]))]
    reference = None
    print(f"explainer              seconds  control  {'deletion':>19}  better  {'insertion':>19}  better  shuffled")
    for method in arguments.methods:
        start = time.perf_counter()
        maps = explain(network, images, targets, method)
        seconds = time.perf_counter() - start
        few = slice(0, arguments.checked)
        rho = randomisation_check(network, images[few], targets[few], method, maps=maps[few])["correlation"][-1]
        reference = faithfulness(network, images, maps, targets, reference=reference)
        moved = faithfulness(network, images, maps, targets, random_maps=2, control="moved")
        print(line(method, seconds, reference, rho), line("", None, moved, None), sep="\n", flush=True)
        areas = zip(reference["deletion"], reference["insertion"], strict=True)
        notes = [f"deletion {d:.2f}, insertion {i:.2f}" for d, i in areas]
        explainer = EXPLAINERS[method]
        columns.append(
            Column(explainer.title, list(pixels[:6]), list(maps[:6]), explainer.signed, notes[:6], explainer.outlined)
        )
    if arguments.gallery:
        arguments.gallery.write_bytes(gallery(columns, captions=[names[int(target)] for target in targets[:6]]))


if __name__ == "__main__":
    main()
