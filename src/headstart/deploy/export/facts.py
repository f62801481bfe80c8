"""What an exported file says about its model: classes, label rule, calibration, preprocessing, licence, provenance."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.deploy.export.program import Input, uncertainty_of
from headstart.errors import HeadstartError
from headstart.evaluate.uncertainty.answers import MOST_NAMED, AnswerOptions
from headstart.evaluate.uncertainty.costs import Costs
from headstart.evaluate.uncertainty.familiarity import MOST_REJECTED
from headstart.models.architectures.catalogue import find_architecture
from headstart.models.bundle import Bundle, Ensemble
from headstart.models.bundle_file import licence_in
from headstart.models.heads import head_config
from headstart.models.pixels import NAME as PIXELS_BACKBONE
from headstart.models.weights.licences import UNKNOWN, status_of
from headstart.models.weights.registry import REPACKED, TORCHVISION_LICENCE, embedded_facts
from headstart.models.weights.registry import licence_of as published_licence
from headstart.version import VERSION


def facts_of_model(ensemble: Ensemble, inputs: tuple[Input, ...], *, precision: str = "float32") -> dict[str, Any]:
    """Return the facts, all of them JSON-able; in an ONNX file they are its metadata."""
    first = ensemble.members[0]
    return {
        "headstart": VERSION,
        "format": "1",
        "classes": list(first.classes),
        "label_rule": {"kind": "threshold", "threshold": first.threshold}
        if first.multi_label
        else {"kind": "most probable"},
        "answers": _answers(ensemble),
        "temperature": ensemble.temperature if len(ensemble.members) > 1 else first.temperature,
        "precision": precision,
        "inputs": [
            {
                "name": each.name,
                "size": each.view.crop,
                "resize": each.view.resize,
                "interpolation": each.view.interpolation,
            }
            for each in inputs
        ],
        "networks": [_network(bundle) for bundle in ensemble.members],
        "licence": licence_of(ensemble),
        "licence_status": status_of(licence_of(ensemble)),
        "provenance": [dict(bundle.provenance) for bundle in ensemble.members],
    }


def _answers(ensemble: Ensemble) -> dict[str, Any] | None:
    """Return what prediction sets need: a class is in the set if 1 - p is `most` at most, or its p the largest.

    An image is unfamiliar if the output `familiarity` is `unfamiliar` at most. None for a model that was not
    calibrated. `costs`, where there are some: of any mistake, of the confusions that cost something else (numbers of
    the right class and the answer, and the cost), and of asking a person, null where nobody can be asked.
    """
    known, asked = uncertainty_of(ensemble), AnswerOptions()
    if known is None:
        return None
    rule = {"level": asked.level, "most": float(known.thresholds(asked).values[0]), "most_named": MOST_NAMED}
    if known.score:
        rule["unfamiliar"] = float(np.float32(MOST_REJECTED))  # graphs compute shares in single precision
    return rule if known.costs is None else {**rule, "costs": _costs(known.costs)}


def _costs(costs: Costs) -> dict[str, Any]:
    """Return what answers cost, without the many entries of the matrix that are alike."""
    elsewhere = ~np.eye(len(costs.matrix), dtype=bool)
    values, counts = np.unique(costs.matrix[elsewhere], return_counts=True)
    mistake = float(values[counts.argmax()]) if len(values) else 0.0
    others = np.argwhere(elsewhere & (costs.matrix != mistake)).tolist()
    confusions = [[right, answer, float(costs.matrix[right, answer])] for right, answer in others]
    return {"mistake": mistake, "confusions": confusions, "ask": None if np.isinf(costs.ask) else costs.ask}


def _network(bundle: Bundle) -> dict[str, Any]:
    return {
        "backbone": bundle.origin.name,
        "truncate_at": bundle.origin.truncate_at,
        "weights": bundle.origin.weights,
        "sha256": bundle.origin.sha256,
        "head": head_config(bundle.network.head)["kind"],
        "preprocessing": bundle.preprocessing.facts(),
        "test_time_augmentation": bundle.tta,
        "temperature": bundle.temperature,
        "licence": licence_of_weights(bundle),
    }


def licence_of(ensemble: Ensemble) -> str:
    """Return the licences of the weights that the model was made from, joined by " and "."""
    return " and ".join(dict.fromkeys(licence_of_weights(bundle) for bundle in ensemble.members))


def licence_of_weights(bundle: Bundle) -> str:
    """Return the SPDX name of the licence of a backbone's weights; "unknown"; "none" of random weights.

    What a file of weights or the card beside it named when the model was made is in the model's provenance.
    """
    origin = bundle.origin
    if origin.name == PIXELS_BACKBONE or origin.weights in (None, "none"):
        return "none"
    known = embedded_facts(origin.sha256 or "")
    if known is not None:
        return known.licence or UNKNOWN
    if origin.sha256 in REPACKED:
        return TORCHVISION_LICENCE
    if named := licence_in(bundle.provenance):
        return named
    try:
        return published_licence(find_architecture(origin.name), str(origin.weights)).name
    except HeadstartError:
        return UNKNOWN
