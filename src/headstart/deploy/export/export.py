"""Exports a model: every format is built, checked against the original, described, and only then put in its place."""

from __future__ import annotations

import contextlib
import datetime
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.deploy.classifier import Classifier
from headstart.deploy.export import huggingface, onnx_files, page, server, torch_file
from headstart.deploy.export.checking import Check, Form, check_forms, refuse_other
from headstart.deploy.export.defaults import MARGIN, check_formats
from headstart.deploy.export.int8 import Loss, check_material, quantise
from headstart.deploy.export.pictures import Material
from headstart.deploy.export.target import Parts, Target, rgb_only
from headstart.errors import ModelError, SpecError, StoreError
from headstart.models.bundle import Ensemble
from headstart.storage.files import disk_errors, temporary, write_json
from headstart.storage.swap import replace_folder
from headstart.version import VERSION

TARGETS: dict[str, Target] = {
    "onnx": onnx_files.TARGET,
    "torch": torch_file.TARGET,
    "server": server.TARGET,
    "huggingface": huggingface.TARGET,
    "page": page.TARGET,
}
ADVICE = "; allow a larger margin, or export without int8"
CHECK = "check.json"


@dataclass(frozen=True)
class Exported:
    """One export that is done.

    Args:
        target: its format.
        folder: where its files are.
        checks: how each file compares with the original.
        notes: what a reader must know.
    """

    target: str
    folder: Path
    checks: tuple[Check, ...]
    notes: tuple[str, ...]


def export_model(
    ensemble: Ensemble,
    targets: Sequence[str],
    out: Path,
    material: Material,
    *,
    int8: bool = False,
    margin: float = MARGIN,
    page_runtime: Path | None = None,
) -> list[Exported]:
    """Export a model in several formats, a folder each in `out`; see `headstart.export`.

    Raises:
        SpecError: an unknown format.
        ModelError: the model cannot be exported so, or an exported file is not the same model.
        StoreError: a folder is in the way that no export wrote.
    """
    chosen, places = check_request(ensemble, targets, out, int8=int8)
    parts = Parts(ensemble, material, page_runtime)
    notes: list[str] = []
    loss: Loss | None = None
    if int8:
        check_material(material)
        graph, loss = quantise(parts.float_graph, ensemble, material, margin, ADVICE)
        parts.use(graph)
        notes.append(str(loss))
    building, fresh = {name: temporary(place) for name, place in places.items()}, not out.exists()
    try:
        with disk_errors(out):
            forms = {name: _built(parts, target, building[name]) for name, target in chosen.items()}
            checks = _checked(ensemble, material, forms)
            for name, target in chosen.items():
                said = notes if target.quantised else []
                _describe(parts, target, building[name], checks[name], said, loss if target.quantised else None)
            for name, place in places.items():
                replace_folder(building[name], place)
    finally:
        for folder in building.values():
            shutil.rmtree(folder, ignore_errors=True)
        if fresh:
            with contextlib.suppress(OSError):  # it holds exports
                out.rmdir()
    return [
        Exported(name, places[name], tuple(checks[name]), tuple(notes if chosen[name].quantised else ()))
        for name in chosen
    ]


def check_request(
    ensemble: Ensemble, targets: Sequence[str], out: Path, *, int8: bool = False
) -> tuple[dict[str, Target], dict[str, Path]]:
    """Return the formats and their folders; refuse, before any picture is read, what cannot be exported so.

    Raises:
        SpecError, ModelError, StoreError: as `export_model` raises them.
    """
    check_formats(targets)
    chosen = {name: TARGETS[name] for name in dict.fromkeys(targets)}
    places = {name: out / (f"{name}-int8" if int8 and target.quantised else name) for name, target in chosen.items()}
    reasons = {name: target.refusal(ensemble) for name, target in chosen.items()}
    for name, reason in reasons.items():
        if reason is not None:
            others = ",".join(other for other, why in reasons.items() if why is None)
            raise ModelError(f"cannot export to {name}: {reason}{f'; without it: --to {others}' if others else ''}")
    if int8 and rgb_only(ensemble) is not None:
        raise ModelError("--int8 cannot be measured for a model of other bands than red, green and blue; drop it")
    if int8 and not any(target.quantised for target in chosen.values()):
        raise SpecError(f"--int8 changes the ONNX graphs, and {', '.join(chosen)} has none; add onnx, server or page")
    for place in places.values():
        if place.exists() and (not place.is_dir() or (any(place.iterdir()) and not (place / CHECK).is_file())):
            raise StoreError(f"{place}: exists already and was not written by an export; choose another --out")
    return chosen, places


def _built(parts: Parts, target: Target, folder: Path) -> list[Form]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return target.build(parts, folder)


def _checked(ensemble: Ensemble, material: Material, forms: Mapping[str, list[Form]]) -> dict[str, list[Check]]:
    """Return the checks of every format; all files see the same pictures in one go."""
    every = [form for each in forms.values() for form in each]
    found = iter(check_forms(Classifier(ensemble), every, material.test))
    checks: dict[str, list[Check]] = {}
    for name, own in forms.items():
        checks[name] = [next(found) for _ in own]
        for form, check in zip(own, checks[name], strict=True):
            if form.faithful:
                refuse_other(check, form)
    return checks


def _describe(
    parts: Parts, target: Target, folder: Path, checks: Sequence[Check], notes: Sequence[str], loss: Loss | None
) -> None:
    """Write the checks and the card; the checks' file says that the folder is complete."""
    target.finish(parts, folder, checks, notes, target.usage(parts))
    facts: dict[str, Any] = {
        "headstart": VERSION,
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "pictures": parts.material.test.what,
        "checks": [check.to_dict() for check in checks],
        "notes": list(notes),
        "int8": None if loss is None else loss.to_dict(),
        "model": {key: value for key, value in parts.facts.items() if key != "classes"},
    }
    write_json(folder / CHECK, facts)
