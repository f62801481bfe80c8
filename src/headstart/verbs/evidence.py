"""What `audit`, `report` and `explain` do and print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import SpecError, unknown_name
from headstart.progress import say

if TYPE_CHECKING:
    from headstart.explain.compare import Explained


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
    audit = audit_dataset(
        dataset, bad=None if images is None else images.bad, features=features, others=beside, store=workshop.store
    )
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
    from headstart.data.decode import decode_file
    from headstart.deploy.classifier import Classifier
    from headstart.explain.compare import Subject, columns_of, explain_pictures
    from headstart.explain.explainers import EXPLAINERS, find_explainer
    from headstart.explain.picture import gallery
    from headstart.store import write_atomic

    for name in methods:
        find_explainer(name)
    subjects = []
    for place in [model] if against is None else [model, against]:
        bundle = Classifier.load(_one_network(place)).bundle
        if target is not None and target not in bundle.classes:
            raise SpecError(f"--target: {unknown_name('class', target, bundle.classes)}")
        subjects.append(Subject(_title(place), bundle.network, bundle.classes))
    pictures = [decode_file(image) for image in images]
    targets = None if target is None else [target] * len(pictures)
    results = explain_pictures(subjects, pictures, methods, targets=targets, seed=seed)
    write_atomic(out, gallery(columns_of(results), captions=[Path(image).name for image in images]))
    for result in results:
        for row, image in enumerate(images):
            aim = int(result.targets[row])
            chance = float(result.probabilities[row, aim])
            print(f"{image}: {result.subject.title}: {result.subject.classes[aim]} {chance:.3f}")
        if checks:
            for name in methods:
                print(f"  {EXPLAINERS[name].title}: {_checks(result, name, seed)}")
    print(out)


def _one_network(place: Path) -> Path:
    """Return a study's best single network where its best model is an ensemble; any other place as it is."""
    from headstart.store import read_json

    study = place / "study.json"
    found = read_json(study).get("best_network") if study.is_file() else None
    if found is None:
        return place
    say(f"the best model averages several networks; explained is the best of single ones, {found['run']!r}")
    return place / str(found["folder"])


def _title(place: Path) -> str:
    return place.parent.name if place.is_file() else place.name


def _checks(result: Explained, name: str, seed: int) -> str:
    from headstart.explain.faithfulness import faithfulness
    from headstart.explain.sanity import randomisation_check

    network, maps = result.subject.network, result.maps[name]
    mean = faithfulness(network, result.images, maps, result.targets, seed=seed)["mean"]
    check = randomisation_check(network, result.images, result.targets, name, maps=maps, seed=seed)
    return (
        f"deletion {mean['deletion']:.3f} (random map {mean['random_deletion']:.3f}),"
        f" insertion {mean['insertion']:.3f} (random map {mean['random_insertion']:.3f});"
        f" rank correlation after the weights are shuffled {check['correlation'][-1]:.2f}"
    )
