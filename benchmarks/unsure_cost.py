"""What it costs to say how sure an answer is, and whether images have drifted, beside the cost of a prediction.

    python benchmarks/unsure_cost.py                    twelve batches of 32 images, about a minute
    python benchmarks/unsure_cost.py --batches 2        does it run?

EfficientNet-Lite0 with a linear head of 101 classes; 1,000 held-out and 2,000 training images with random embeddings,
since the cost does not depend on their values. Familiarity has the source, which costs most. `predict` reads JPEGs of
300 × 200; `network` is what it takes for pixels that are decoded already. `answers` is what sets, familiarity and
decisions add to it, and `drift` what `evaluate` adds for each image, with its share of one comparison of all images, of
which it looks at 1,000 at most. All are measured in turn in one process.

Expected: each below 5 % of prediction from 1,000 images on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from serving import picture
from unsure import imagenet_head

from headstart.data.decoding.decode import decode
from headstart.deploy.classifier import BATCH, Classifier
from headstart.deploy.drift import TOGETHER, Observed, drift_of
from headstart.evaluate.uncertainty.answers import Uncertainty, held_out_of
from headstart.evaluate.uncertainty.appearance import APPEARANCE
from headstart.evaluate.uncertainty.drift import MOST_COMPARED, sketch_of
from headstart.evaluate.uncertainty.familiarity import MOST_NEIGHBOURS, WITH_SOURCE, familiarity, fit_reference
from headstart.evaluate.uncertainty.stored import rounded, to_part
from headstart.models.backbone import output_shape
from headstart.models.bundle import Bundle, Ensemble, Origin
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.transfer.frozen.views import view_of

CLASSES, FOLDERS = 101, (200, 1000)  # images in a folder
BLOCK = TOGETHER // BATCH  # batches after which familiarity has been computed of all


def judged() -> Classifier:
    """Return a classifier that is calibrated on random numbers."""
    backbone, _ = create_backbone("efficientnet_lite0", "imagenet")
    generator = np.random.default_rng(0)
    d = int(np.prod(output_shape(backbone, backbone.preprocessing.size, "efficientnet_lite0")))
    train, held = (generator.normal(0, 1, (n, d)) for n in (MOST_NEIGHBOURS, MOST_COMPARED))
    labels, right = (generator.integers(0, CLASSES, len(each)) for each in (train, held))
    logits = generator.normal(0, 1, (MOST_NEIGHBOURS, CLASSES))
    fitted = fit_reference(train, labels, logits, score=WITH_SOURCE, source=imagenet_head())
    reference = rounded(fitted, WITH_SOURCE)
    probabilities = generator.dirichlet(np.ones(CLASSES), MOST_COMPARED).astype(np.float32)
    looks = generator.random((MOST_COMPARED, len(APPEARANCE))).astype(np.float32)
    own = Uncertainty(
        CLASSES,
        held_out_of(probabilities, right),
        WITH_SOURCE,
        reference,
        familiarity(WITH_SOURCE, reference, held, logits[:MOST_COMPARED]),
        sketch=sketch_of(train, labels, held, looks, right),
    )
    network = Network(backbone, LinearHead(d, CLASSES)).eval()
    bundle = Bundle(network, Origin("efficientnet_lite0"), tuple(f"class {k:03d}" for k in range(CLASSES)))
    return Classifier(Ensemble((bundle,), uncertainty=to_part(own)), engine=True)


def spent(work: Callable[[], object]) -> float:
    """Return the processor seconds of some work."""
    started = time.process_time()
    work()
    return time.process_time() - started


def added(observed: Observed, pixels: np.ndarray, seen: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Note the same batch so often that familiarity is computed."""
    for _ in range(BLOCK):
        observed.add(pixels, *seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=12)
    batches: int = parser.parse_args().batches
    classifier = judged()
    assert classifier.judge is not None
    side, view = classifier.bundle.preprocessing.size, view_of(classifier.bundle.preprocessing)
    generator = np.random.default_rng(1)
    files = [picture(seed) for seed in range(BATCH)]
    seconds: dict[str, list[float]] = {"predict": [], "network": [], "answers": [], "drift": []}
    prepared = Observed(classifier)
    for batch in range(batches + 1):
        pixels = generator.integers(0, 256, (BATCH, side, side, 3), np.uint8)
        decoded = spent(lambda: [decode(content, view) for content in files])
        plain = spent(lambda pixels=pixels: classifier.averaged([pixels]))  # type: ignore[misc]
        seen = classifier.seen([pixels])
        answers = spent(lambda seen=seen: classifier.judge.answers(*seen))  # type: ignore[misc,union-attr]
        drift = spent(lambda pixels=pixels, seen=seen: added(prepared, pixels, seen)) / BLOCK  # type: ignore[misc]
        if batch:  # the first prepares what the others use
            for name, value in zip(seconds, (decoded + plain, plain, answers, drift), strict=True):
                seconds[name].append(value)
    each = {name: float(np.median(values)) / BATCH for name, values in seconds.items()}
    print("milliseconds of processor time an image:", {name: round(1000 * value, 3) for name, value in each.items()})
    print(f"answers: {each['answers'] / each['predict']:.2%} on top of prediction")
    observed = Observed(classifier)
    for count in FOLDERS:
        while len(observed.predicted) < count:
            observed.add(pixels, *seen)
        observed.all_shares()  # that of the last images is in `drift`
        comparison = spent(lambda: drift_of(observed)) / len(observed.predicted)
        both = each["drift"] + comparison
        print(
            f"drift of {len(observed.predicted)} images: comparison {1000 * comparison:.3f} ms an image;"
            f" {both / each['predict']:.2%} on top of prediction, {both / each['network']:.2%} without decoding"
        )


if __name__ == "__main__":
    main()
