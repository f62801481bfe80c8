"""Small untrained models of every kind that exports differ by."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from headstart.deploy.classifier import Classifier
from headstart.evaluate.uncertainty.answers import Uncertainty, held_out_of
from headstart.evaluate.uncertainty.familiarity import familiarity, fit_reference
from headstart.evaluate.uncertainty.stored import rounded, to_part
from headstart.models.bundle import Bundle, Ensemble, Origin
from headstart.models.create import create_backbone
from headstart.models.heads import LinearHead, NearestNeighbourHead
from headstart.models.network import Network

CLASSES = ("ant", "bee", "cat")


def linear(
    name: str = "lenet5",
    *,
    seed: int = 0,
    tta: str = "none",
    temperature: float = 0.7,
    multi_label: bool = False,
    threshold: float = 0.5,
    standardised: bool = False,
    l2: bool = False,
    size: int | None = None,
) -> Bundle:
    """Return a random network whose probabilities depend on where in the image something is."""
    backbone, _ = create_backbone(name, None, seed=seed, input_size=size)
    generator = torch.Generator().manual_seed(seed)
    head = LinearHead(
        backbone.feature_dim, 3, l2=l2, centred=standardised, scaled=standardised, multi_label=multi_label
    )
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * (3 if l2 else 0.5))
        head.bias.copy_(torch.randn(3, generator=generator))
        if standardised:
            assert head.centre is not None and head.scale is not None
            head.centre.copy_(torch.randn(head.dim, generator=generator))
            head.scale.copy_(torch.rand(head.dim, generator=generator) + 0.5)
    return Bundle(
        Network(backbone, head).eval(),
        Origin(name, seed=seed, input_size=size),
        CLASSES,
        multi_label=multi_label,
        temperature=1.0 if multi_label else temperature,
        provenance={"study": "insects", "run": name},
        tta=tta,
        threshold=threshold,
    )


def neighbours(name: str = "lenet5", *, seed: int = 0) -> Bundle:
    """Return a random network with a head of nearest neighbours."""
    backbone, _ = create_backbone(name, None, seed=seed)
    head = NearestNeighbourHead(backbone.feature_dim, 3, 20, k=5, weights="distance")
    generator = torch.Generator().manual_seed(seed)
    head.bank.copy_(torch.nn.functional.normalize(torch.rand(head.bank.shape, generator=generator)))
    head.bank_labels.copy_(torch.arange(20) % 3)
    return Bundle(Network(backbone, head).eval(), Origin(name, seed=seed), CLASSES, temperature=1.4)


def three() -> Ensemble:
    """Return an ensemble of three networks; the first and the last differ only by their head."""
    return Ensemble((linear(), linear("small_cnn", tta="flip", seed=1), neighbours()), temperature=1.2)


def pixels_for(ensemble: Ensemble, count: int, seed: int = 0) -> list[np.ndarray]:
    """Return random pixels for each network of an ensemble; networks of one size get the same."""
    sizes = [bundle.preprocessing.size for bundle in ensemble.members]
    generator = np.random.default_rng(seed)
    made = {size: generator.integers(0, 256, (count, size, size, 3), np.uint8) for size in sorted(set(sizes))}
    return [made[size] for size in sizes]


def calibrated(ensemble: Ensemble, score: str = "") -> Ensemble:
    """Return a model calibrated on random pixels of its size; with a score it can tell which images are familiar."""
    generator = np.random.default_rng(5)
    side = ensemble.members[0].preprocessing.size
    pixels = generator.integers(0, 256, (60, side, side, 3), np.uint8)
    probabilities, embeddings, logits = Classifier(ensemble).seen([pixels] * len(ensemble.members))
    labels = (probabilities.cumsum(1) < generator.random((60, 1))).sum(1).clip(max=probabilities.shape[1] - 1)
    known = Uncertainty(probabilities.shape[1], held_out_of(probabilities, labels))
    if score:
        reference = rounded(fit_reference(embeddings[:30], labels[:30], logits[:30], score=score), score)
        familiar = familiarity(score, reference, embeddings, logits)
        known = dataclasses.replace(known, score=score, reference=reference, familiar=familiar)
    return dataclasses.replace(ensemble, uncertainty=to_part(known))
