"""LIME beside the lime package: the same images, segments, samples and EfficientNet-Lite0.

    python benchmarks/explain_lime.py [--images 16] [--samples 500] [--data FOLDER]

Peer: `LimeImageExplainer.explain_instance` of the lime package with the natural eager PyTorch `classifier_fn`
and its own batch size of 10. It is given the segments, which we compute inside the time; it computes its own
(quickshift) by default, timed apart. Ours: `explain_pixels` on the samples that the peer drew, once with the very
same `classifier_fn` and once through headstart's engine, the export of the network included.

Bound: ours with the engine at least 3 times as fast; the top superpixels agree.
Images: photographs of Caltech-101 at $HEADSTART_DATA, or smooth noise without them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lime.lime_image import LimeImageExplainer
from scipy.ndimage import gaussian_filter

from headstart.data.decoding.decode import View, decode_file
from headstart.explain.lime import LimeExplanation, explain_pixels
from headstart.explain.scope import Predict, engine_predict
from headstart.explain.superpixels import slic
from headstart.models.create import create_backbone
from headstart.models.network import Network
from headstart.study.results.environment import environment
from headstart.transfer.frozen.views import view_of

TOP = 5


def photographs(folder: Path | None, count: int, view: View) -> np.ndarray:
    """Return uint8 [count, crop, crop, 3], one photograph of each of as many classes."""
    assert view.crop is not None
    if folder is None:
        rng = np.random.default_rng(0)
        rough = rng.uniform(0, 255, (count, view.crop, view.crop, 3))
        smooth = gaussian_filter(rough, (0, 9, 9, 0))
        return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)
    classes = sorted(path for path in (folder / "caltech101").iterdir() if path.name != "BACKGROUND_Google")
    chosen = classes[:: max(1, len(classes) // count)][:count]
    return np.stack([decode_file(sorted(path.iterdir())[0], view) for path in chosen])


def eager(network: Network) -> Predict:
    """Return what a user of the lime package writes: pixels to a normalised tensor to a softmax."""
    preprocessing = network.backbone.preprocessing
    mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)

    def classifier_fn(images: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            return torch.softmax(network((batch - mean) / std), dim=1).numpy()

    return classifier_fn


def run_peer(
    image: np.ndarray, classifier_fn: Predict, samples: int, segments: np.ndarray | None, seed: int
) -> tuple[float, np.ndarray, Any]:
    """Return (seconds, the samples that were drawn, the explanation)."""
    peer = LimeImageExplainer(random_state=seed)
    drawn: list[np.ndarray] = []
    original = peer.data_labels

    def record(*args: Any, **kwargs: Any) -> Any:
        data, labels = original(*args, **kwargs)
        drawn.append(data)
        return data, labels

    peer.data_labels = record
    given = None if segments is None else (lambda _: segments)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        start = time.perf_counter()
        found = peer.explain_instance(image, classifier_fn, top_labels=1, num_samples=samples, segmentation_fn=given)
        seconds = time.perf_counter() - start
    return seconds, drawn[0].astype(bool), found


def agreement(ours: LimeExplanation, theirs: Any) -> tuple[float, float]:
    """Return (share of the top superpixels in common, largest difference of a weight over the largest weight)."""
    label = theirs.top_labels[0]
    weights = np.zeros(len(ours.weights))
    for piece, weight in theirs.local_exp[label]:
        weights[piece] = weight
    top = set(np.argsort(-weights, kind="stable")[:TOP])
    difference = np.abs(ours.weights - weights).max() / np.abs(weights).max()
    return len(top & set(ours.top(TOP))) / TOP, float(difference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--data", type=Path, default=os.environ.get("HEADSTART_DATA"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    assert backbone.classifier is not None
    network = Network(backbone, backbone.classifier).eval()
    preprocessing = backbone.preprocessing
    view = view_of(preprocessing)
    images = photographs(arguments.data, arguments.images, view)
    classifier_fn = eager(network)
    classifier_fn(images[:1])

    cut = [slic(image) for image in images]
    peers = [run_peer(image, classifier_fn, arguments.samples, cut[i], i) for i, image in enumerate(images)]
    peer_seconds = sum(seconds for seconds, _, _ in peers)
    shown = [drawn for _, drawn, _ in peers]
    targets = [int(found.top_labels[0]) for _, _, found in peers]
    default_seconds, _, _ = run_peer(images[0], classifier_fn, arguments.samples, None, 0)
    print(f"lime package, segments given:        {peer_seconds:8.1f} s  1.00 x")
    own = default_seconds * len(images)
    start = time.perf_counter()
    for image in images:
        slic(image)
    print(f"segments, counted on neither side:   {time.perf_counter() - start:8.1f} s  headstart's SLIC")
    print(f"lime package, its own segments:      {own:8.1f} s  (one image, times {len(images)})")

    for title, make in (("headstart, same classifier_fn", None), ("headstart, engine", engine_predict)):
        start = time.perf_counter()
        predict = classifier_fn if make is None else make(network)
        made = time.perf_counter() - start
        ours = explain_pixels(predict, images, targets, cut, shown=shown)
        seconds = time.perf_counter() - start
        agreed = np.array([agreement(o, found) for o, (_, _, found) in zip(ours, peers, strict=True)])
        print(f"{title + ':':36s} {seconds:8.1f} s  {peer_seconds / seconds:.2f} x", end="")
        print(f"  (of which export {made:.1f} s)" if make else "")
        common, worst, difference = agreed[:, 0].mean(), agreed[:, 0].min(), agreed[:, 1].max()
        print(f"    top {TOP} superpixels in common {common:.3f}, worst image {worst:.1f};", end="")
        print(f" largest relative difference of a weight {difference:.1e}")


def machine() -> str:
    """Return the machine, the versions and the commit."""
    found = {**environment("cpu"), "lime": version("lime")}
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return ", ".join(f"{name} {value}" for name, value in found.items() if value) + f", commit {commit}"


if __name__ == "__main__":
    main()
