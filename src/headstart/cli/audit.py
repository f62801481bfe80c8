"""What `audit` does and prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.cli.outputs import check_folder
from headstart.disclosure import show


def audit_and_show(
    data: str,
    others: Sequence[str],
    backbone: str,
    *,
    label: str | None,
    corrections: Path | None = None,
    device: str,
    out: Path,
    as_json: bool,
) -> None:
    """Audit a dataset, compare it with others if there are any, write audit.json and print the findings.

    Raises:
        SpecError: `out` is a file, or the device is unknown.
        DataError: a dataset is unreadable.
    """
    from headstart.storage.opening import default_store_in_use

    check_folder(out)
    with default_store_in_use() as store:
        _audit_and_show((data, label, corrections), others, backbone, device, out, as_json, store)


def _audit_and_show(
    data: tuple[str, str | None, Path | None],
    others: Sequence[str],
    backbone: str,
    device: str,
    out: Path,
    as_json: bool,
    store: Any,
) -> None:
    from headstart.audit.audit import Other, audit_dataset
    from headstart.audit.findings import problems
    from headstart.data.overview import given_by, overview
    from headstart.progress import say
    from headstart.storage.files import write_atomic
    from headstart.study.resources import Resources
    from headstart.study.results.folder import json_bytes
    from headstart.study.spec.network import NetworkSpec
    from headstart.study.spec.schema import DataSpec

    resources, network = Resources(store, device), NetworkSpec(backbone)

    def load(spec: DataSpec) -> tuple[Any, Any, Any]:
        dataset, features = resources.dataset(spec), resources.features(spec, network, 0)
        return dataset, features, resources.images(spec, resources.loaded(network, 0).backbone.preprocessing)

    source, label, corrections = data
    first = DataSpec(source=source, label=label, corrections=None if corrections is None else str(corrections))
    for line in overview(resources.dataset(first), given_by(resources.dataset(first))):
        say(line)
    dataset, features, images = load(first)
    beside = [Other(other, found) for other, found, _ in (load(DataSpec(source=other)) for other in others)]
    audit = audit_dataset(
        dataset, bad=None if images is None else images.bad, features=features, others=beside, store=resources.store
    )
    place = _place(out, dataset)
    write_atomic(place, json_bytes(audit))
    if as_json:
        said = {key: value for key, value in audit.items() if key != "thumbnails"}
        print(json.dumps({**said, "problems": problems(audit)}, default=str))
        return
    for finding in audit["findings"]:
        show(finding["text"])
    for note in audit["notes"]:
        show(f"note: {note}")
    for name, title in (("near", "near duplicates"), ("label_errors", "labels that look wrong")):
        rows = audit[name][:5]
        if rows:
            show(f"\n{title} (first {len(rows)} of {len(audit[name])}):")
        for row in rows:
            show(f"  {_line(row)}")
    show(f"\nfull audit: {place}")


def _place(out: Path, dataset: Any) -> Path:
    """Return the file of an audit; one of other images under the same name is kept."""
    from headstart.storage.files import read_json
    from headstart.storage.names import folder_name

    place = out / f"audit-{folder_name(dataset.name)}.json"
    if place.is_file() and read_json(place).get("fingerprint") != dataset.fingerprint:
        return out / f"audit-{folder_name(f'{dataset.name}-{dataset.fingerprint[:6]}')}.json"
    return place


def _line(row: dict[str, Any]) -> str:
    if "a" in row and "b" in row:
        return f"{row['a']['name']} ~ {row['b']['name']}"
    return f"{row['name']}: labelled {row['label']}, looks like {row['suggested']}"
