"""Explains the best network's most confident mistakes."""

from __future__ import annotations

import io

import numpy as np
import torch

from headstart.errors import ModelError
from headstart.models.bundle import read_ensemble
from headstart.models.pixels import NAME as PIXELS
from headstart.storage.files import write_atomic
from headstart.study.execution.session import Session
from headstart.study.results.facts import known_facts, write_facts
from headstart.study.spec.schema import ExplainSpec


def explain_mistakes(session: Session, asked: ExplainSpec) -> None:
    """Explain the best run's most confident mistakes: which parts of the image favour the predicted class."""
    best = session.state.best_network or session.state.best
    if not best or asked.mistakes < 1:
        return
    from PIL import Image

    from headstart.deploy.classifier import Classifier
    from headstart.explain.explainers import explain
    from headstart.explain.picture import overlay
    from headstart.models.preprocessing import as_tensor, normalise

    folder = session.folder.root / best["folder"]
    if known_facts(folder / "explanations.json", best["folder"]) is not None:
        return
    classifier = Classifier(read_ensemble(folder, agreed=True))
    with np.load(folder / "predictions.npz") as arrays:
        rows, labels, scores = arrays["test_rows"], arrays["test_labels"], arrays["test_probabilities"]
    if labels.ndim != 1 or classifier.bundle.network.backbone.name == PIXELS:
        return
    wrong = np.flatnonzero(scores.argmax(1) != labels)
    worst = wrong[np.argsort(-scores[wrong].max(1), kind="stable")][: asked.mistakes]
    task = next(t for t in session.plan.tasks if t.run.name == best["run"])
    needs = classifier.bundle.preprocessing
    images = session.resources.images(task.run.data, needs)
    items = []
    for place in worst:
        pixels = np.array(images[int(rows[place])])  # a copy: torch wants pixels that it may write to
        batch = normalise(as_tensor(pixels[None]), needs)
        aim = int(scores[place].argmax())
        for method in asked.methods:
            try:
                heat = explain(classifier.bundle.network, batch, torch.tensor([aim]), method, seed=0)[0]
            except ModelError:  # the method does not support this network
                continue
            picture: Image.Image = overlay(pixels if needs.bands is None else needs.bands.picture(pixels), heat)
            buffer = io.BytesIO()
            picture.convert("RGB").save(buffer, "JPEG", quality=80)
            name = f"explanations/{int(rows[place])}-{method}.jpg"
            write_atomic(folder / name, buffer.getvalue())
            items.append({"row": int(rows[place]), "method": method, "class": classifier.classes[aim], "file": name})
    facts = {"key": best["folder"], "items": items}
    write_facts(folder / "explanations.json", facts, [str(item["file"]) for item in items])
