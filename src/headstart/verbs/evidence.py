"""What `audit`, `report` and `explain` do and print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.errors import DataError, SpecError, choose


def audit_and_show(
    data: str, others: Sequence[str], backbone: str, *, label: str | None, device: str, out: Path, as_json: bool
) -> None:
    """Audit a dataset, against others if there are any, write audit.json and print the findings.

    Raises:
        DataError: a dataset cannot be read.
    """
    from headstart.evaluate.audit import Other, audit_dataset
    from headstart.store import default_store, write_atomic
    from headstart.study.expand import load_study
    from headstart.study.folder import json_bytes, slug
    from headstart.study.workshop import Workshop

    workshop = Workshop(default_store(), device)

    def load(source: str, label: str | None = None) -> tuple[Any, Any, Any]:
        study = load_study(
            {"name": "audit", "data": {"source": source, "label": label}, "runs": {"a": {"backbone": backbone}}}
        )
        run = study.runs[0]
        dataset = workshop.dataset(run.data)
        features = workshop.features(run, 0)
        return dataset, features, workshop.images(run.data, workshop.loaded(run, 0).backbone.preprocessing)

    dataset, features, images = load(data, label)
    beside = [Other(other, found) for other, found, _ in map(load, others)]
    audit = audit_dataset(dataset, images=images, features=features, others=beside, store=workshop.store)
    place = out / f"audit-{slug(dataset.name)}.json"
    write_atomic(place, json_bytes(audit))
    if as_json:
        print(json.dumps({key: value for key, value in audit.items() if key != "thumbnails"}, default=str))
        return
    for finding in audit["findings"]:
        print(finding["text"] if isinstance(finding, dict) else finding)
    for note in audit["notes"]:
        print(f"note: {note}")
    for name, title in (("near", "near duplicates"), ("disputed", "labels that the features dispute")):
        rows = audit[name][:5]
        if rows:
            print(f"\n{title} (first {len(rows)} of {len(audit[name])}):")
        for row in rows:
            print(f"  {_line(row)}")
    print(f"\nall of it: {place}")


def _line(row: dict[str, Any]) -> str:
    if "a" in row and "b" in row:
        return f"{row['a']['name']} ~ {row['b']['name']}"
    proposed = row.get("proposed") or row.get("predicted") or row.get("suggested")
    return f"{row['name']}: labelled {row['label']}" + (f", looks like {proposed}" if proposed else "")


def report_and_show(study: Path, format: str, out: Path | None) -> None:
    """Write a study's report in one format and say where it is.

    Raises:
        StoreError: no study stands there, or one of its files is missing or altered.
    """
    from headstart.report.formats import write_report

    print(write_report(study, format, out))


def explain_and_show(
    model: Path,
    images: Sequence[str],
    methods: Sequence[str],
    against: Path | None,
    *,
    target: str | None,
    out: Path,
    checks: bool,
    seed: int,
) -> None:
    """Explain predictions and write a picture; with `against`, a second network stands beside the first.

    Raises:
        DataError: an image cannot be read.
        ModelError: an explainer that this network cannot serve.
    """
    import numpy as np
    import torch

    from headstart.data.decode import View, decode_file
    from headstart.deploy.classifier import Classifier
    from headstart.explain.explainers import EXPLAINERS, explain
    from headstart.explain.gallery import Panel, gallery
    from headstart.store import write_atomic
    from headstart.transfer.predict import as_tensor, normalise

    for name in methods:
        choose("explainer", name, EXPLAINERS)
    models = [Classifier.load(place) for place in ([model] if against is None else [model, against])]
    rows: list[list[Panel]] = []
    facts: list[dict[str, Any]] = []
    for image in images:
        panels: list[Panel] = []
        for classifier in models:
            needs = classifier.bundle.preprocessing
            pixels = decode_file(image, View(needs.resize, needs.size, needs.interpolation))
            scores = classifier.probabilities(pixels[None])[0]
            aim = _target(target, classifier.classes, scores)
            said = f"{classifier.classes[aim]} {scores[aim]:.2f}"
            panels.append(Panel(said, pixels, None))
            batch = normalise(as_tensor(pixels[None]), needs)
            for name in methods:
                heat = explain(classifier.bundle.network, batch, torch.tensor([aim]), name, seed=seed)
                panels.append(Panel(EXPLAINERS[name].title, pixels, np.asarray(heat[0]), EXPLAINERS[name].signed))
                facts.append({"image": image, "class": classifier.classes[aim], "method": name})
                if checks:
                    facts[-1] |= _checks(classifier, batch, heat, aim, name, seed)
        rows.append(panels)
    if not rows:
        raise DataError("no image to explain")
    write_atomic(out, gallery(rows))
    for fact in facts:
        print("  ".join(f"{key}: {value}" for key, value in fact.items()))
    print(out)


def _target(wanted: str | None, classes: Sequence[str], scores: Any) -> int:
    if wanted is None:
        return int(scores.argmax())
    if wanted not in classes:
        from headstart.errors import unknown_name

        raise SpecError(f"--target: {unknown_name('class', wanted, classes)}")
    return list(classes).index(wanted)


def _checks(classifier: Any, batch: Any, heat: Any, aim: int, name: str, seed: int) -> dict[str, Any]:
    import torch

    from headstart.explain.faithfulness import faithfulness
    from headstart.explain.sanity import randomisation_check

    network, targets = classifier.bundle.network, torch.tensor([aim])
    mean = faithfulness(network, batch, heat, targets, seed=seed)["mean"]
    check = randomisation_check(network, batch, targets, name, maps=heat, seed=seed)
    areas = {key: round(float(value), 3) for key, value in mean.items()}
    return {**areas, "randomised": check.get("summary", check.get("mean"))}
