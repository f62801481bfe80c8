"""What a study folder holds, read and checked: every file against the sha256 in its run's manifest."""

from __future__ import annotations

import contextlib
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.errors import StoreError
from headstart.evaluate.metrics.scoring import POINTWISE, image_scores
from headstart.progress import progress
from headstart.storage.arrow import arrow_parquet
from headstart.storage.checksums import sha256_of, unsealed
from headstart.storage.files import read_json
from headstart.storage.names import folder_name
from headstart.storage.store import MANIFEST
from headstart.study.results.facts import read_facts
from headstart.study.results.folder import StudyFolder

_TRIES = 20
_PATIENCE = 2.0  # seconds

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcome:
    """What one run and seed said about each test image; one entry an image.

    Args:
        rows: of the dataset.
        labels: the true class.
        predicted: the likeliest class.
        confidence: its probability.
        own: the probability of the true class.
        correct: whether they agree (multi-label: whether all labels of the image do).
        multi_label: then `labels` and `predicted` hold the first label only.
        scores: by the study's metric, where that is in POINTWISE and is not the accuracy; else None.
        chances: probabilities and labels, where the study's metric needs them all; else None.
    """

    rows: Ints
    labels: Ints
    predicted: Ints
    confidence: Floats
    own: Floats
    correct: Bools
    multi_label: bool = False
    scores: Floats | None = None
    chances: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None


@dataclass(frozen=True)
class Record:
    """One run folder: one run with one seed.

    Args:
        run, seed: which.
        folder: its path.
        error: why it failed, or None.
        spec, result, history, environment: the files of these names.
        outcome: predictions of the test images, or None.
        episodes: accuracy of each episode, or None.
        explanations: pictures that explain predictions: {"row", "method", "file"} and what else is said.
        key: of its content, or None.
    """

    run: str
    seed: int
    folder: Path
    error: str | None
    spec: Mapping[str, Any]
    result: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    episodes: Floats | None = None
    explanations: tuple[Mapping[str, Any], ...] = ()
    key: str | None = None

    @property
    def data(self) -> str:
        """The fingerprint of the dataset."""
        return str(self.spec.get("data", {}).get("fingerprint", ""))

    @property
    def deterministic(self) -> bool:
        """Return whether another seed would give the same result: nothing in the run is random."""
        return bool(self.spec.get("deterministic", False))


@dataclass(frozen=True)
class DataFolder:
    """One dataset of the study.

    Args:
        fingerprint: of its content.
        facts: dataset.json.
        folder: its path.
        audit: audit.json, or None.
    """

    fingerprint: str
    facts: Mapping[str, Any]
    folder: Path
    audit: Mapping[str, Any] | None = None

    @property
    def classes(self) -> list[str]:
        """The class names, in the order of the labels."""
        return list(self.facts.get("classes", []))

    def names(self, rows: Ints) -> list[str]:
        """Return the file names of some rows, read from items.parquet ("" where that is not there)."""
        path = self.folder / "items.parquet"
        if not path.is_file():
            return [""] * len(rows)

        table = arrow_parquet().read_table(path, columns=["row", "name"])
        found = dict(zip(table["row"].to_pylist(), table["name"].to_pylist(), strict=True))
        return [str(found.get(int(row), "")) for row in rows]


@dataclass(frozen=True)
class StudyFiles:
    """A study folder as it is.

    Args:
        root: the folder.
        facts: study.json.
        records: the runs that ended, sorted by the order in which the study expects them.
        missing: runs and seeds that are expected and not there.
        datasets: by fingerprint.
        transferability: transferability.json, or None.
        learning: learning.json: what the next doubling of labels is expected to bring, or None.
        similarity: similarity.json: how alike source and target are, or None.
        explained: explained.json: pairs of runs explained on the same images, or None.
        uncertainty: uncertainty.json: what the answers of the study's model are worth, or None.
        evaluation: evaluation.json: saved models beside their own test scores, and what was left out, or None.
        drift: drift.json: how the images of an evaluation differ from the models' own, or None.
        image_map: map.json: where the test images are in two dimensions, or None.
    """

    root: Path
    facts: Mapping[str, Any]
    records: tuple[Record, ...]
    missing: tuple[tuple[str, int], ...]
    datasets: Mapping[str, DataFolder]
    transferability: Any = None
    learning: Any = None
    similarity: Any = None
    explained: Any = None
    uncertainty: Any = None
    drift: Any = None
    evaluation: Any = None
    image_map: Any = None


def read_study_folder(place: str | Path) -> StudyFiles:
    """Read a study folder, finished or not. What an older form of a run left there counts as missing.

    Raises:
        StoreError: it is not a study folder, or a file is missing, altered or unreadable; the message says which.
    """
    root = Path(place)
    facts = StudyFolder(root).read_study()
    expected = [(str(row["run"]), int(row["seed"])) for row in facts.get("expected", [])]
    folders = sorted(p for p in (root / "runs").glob("[!.]*/seed-*") if p.is_dir() and not p.name.startswith("."))
    records, metric = [], metric_of(facts)
    with progress(f"reading {root.name}", len(folders), "runs") as ticker:
        for folder in folders:
            if _is_there(folder / MANIFEST):
                record = read_record(folder, metric)
                if _is_current(record, facts):
                    records.append(record)
            elif facts.get("status") == "complete":
                raise StoreError(f"{folder}: {MANIFEST} is missing, so the run cannot be trusted; run the study again")
            ticker.advance()
    records = _one_each(records)
    place_of = {pair: number for number, pair in enumerate(expected)}
    records.sort(key=lambda record: (place_of.get((record.run, record.seed), len(expected)), record.run, record.seed))
    there = {(record.run, record.seed) for record in records}
    return StudyFiles(
        root=root,
        facts=facts,
        records=tuple(records),
        missing=tuple(pair for pair in expected if pair not in there),
        datasets=_read_datasets(root),
        transferability=_read_if_there(root / "transferability.json"),
        learning=_read_if_there(root / "learning.json"),
        similarity=_read_if_there(root / "similarity.json"),
        explained=_read_if_there(root / "explained.json"),
        uncertainty=_without_key(_read_if_there(root / "uncertainty.json")),
        drift=_read_if_there(root / "drift.json"),
        evaluation=_read_if_there(root / "evaluation.json"),
        image_map=_without_key(_read_if_there(root / "map.json")),
    )


def distinct(records: Sequence[Record]) -> list[Record]:
    """Return the records of one run without those that repeat another seed's result: their content key is the same."""
    found: dict[str, Record] = {}
    for record in records:
        found.setdefault(record.key or str(record.folder), record)
    return list(found.values())


def _one_each(records: Sequence[Record]) -> list[Record]:
    """Return one record for each run and seed: an older version gave some runs a folder of another name."""
    found: dict[tuple[str, int], Record] = {}
    for record in records:
        if (record.run, record.seed) not in found or record.folder.parent.name == folder_name(record.run):
            found[(record.run, record.seed)] = record
    return list(found.values())


def _is_current(record: Record, facts: Mapping[str, Any]) -> bool:
    """Return whether a run is of this form of the study: the file may have been changed since, or lost the run."""
    known = [*facts.get("expected", ()), *(facts.get("left_out") or ())]
    if known and not any((row["run"], row["seed"]) == (record.run, record.seed) for row in known):
        return False
    key = facts.get("keys", {}).get(record.run, {}).get(str(record.seed))
    return key is None or record.key in (None, key)


def _read_if_there(path: Path) -> Any:
    return read_facts(path) if path.is_file() else None


def _without_key(facts: Any) -> Any:
    """Return facts without the key by which a second run knows them: it depends on the times in a run's files."""
    return None if facts is None else {name: value for name, value in facts.items() if name != "key"}


def metric_of(facts: Mapping[str, Any]) -> str:
    """Return the metric that a study's runs are compared by."""
    return str((facts.get("compare") or {}).get("metric") or "accuracy")


def read_record(folder: Path, metric: str = "accuracy") -> Record:
    """Read one run folder and check each of its files against the manifest; `metric` is the study's.

    If another process writes the run again meanwhile, the new folder is read.

    Raises:
        StoreError: a file is missing or has changed since it was written; the message says which.
    """
    for _ in range(_TRIES):
        before = _manifest(folder)
        try:
            record = _read_record(folder, metric)
        except (StoreError, FileNotFoundError):
            if _manifest(folder) == before:
                raise
        else:
            if _manifest(folder) == before:  # else some files are of the old folder, some of the new one
                return record
    raise StoreError(f"{folder}: keeps being rewritten; read it when the study has ended")


def _manifest(folder: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        if _is_there(folder / MANIFEST):
            return (folder / MANIFEST).read_bytes()
    return b""


def _is_there(path: Path) -> bool:
    """Return whether a manifest is there; where it is not, wait for a process that is just replacing its folder."""
    until = time.monotonic() + _PATIENCE
    while not path.is_file():
        lock = path.parent.with_name(f".{path.parent.name}.lock")
        if not lock.exists() or time.monotonic() > until:
            return path.is_file()
        time.sleep(0.01)
    return True


def _read_record(folder: Path, metric: str) -> Record:
    manifest = unsealed(folder / MANIFEST)
    files = manifest.get("files", {})
    for name, digest in sorted(files.items()):
        _check_file(folder / name, digest)
    spec = read_json(folder / "spec.json")
    given = {name: read_json(folder / f"{name}.json") for name in ("result", "environment") if f"{name}.json" in files}
    history = read_json(folder / "history.json") if "history.json" in files else []
    predictions, episodes = folder / "predictions.npz", folder / "episodes.npz"
    return Record(
        run=str(spec["run"]),
        seed=int(spec["seed"]),
        folder=folder,
        error=None if manifest.get("status") == "complete" else str(manifest.get("error") or "failed"),
        spec=spec,
        history=tuple(history),
        outcome=_read_outcome(predictions, metric) if predictions.name in files else None,
        episodes=_arrays(episodes)["accuracy"].astype(np.float64).ravel() if episodes.name in files else None,
        explanations=_read_explanations(folder),
        key=manifest.get("key"),
        **given,
    )


def _check_file(path: Path, digest: str) -> None:
    remedy = "run the study again to repeat this run"
    if not path.is_file():
        raise StoreError(f"{path}: is missing, though the run's {MANIFEST} lists it; {remedy}")
    if sha256_of(path) != digest:
        raise StoreError(f"{path}: was altered since the run wrote it (its sha256 differs); {remedy}")


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path}: cannot be read as numpy arrays ({error}); run the study again") from error


def _read_outcome(path: Path, metric: str) -> Outcome:
    arrays = _arrays(path)
    missing = {"test_rows", "test_labels", "test_probabilities"} - set(arrays)
    if missing:
        raise StoreError(f"{path}: has no {', '.join(sorted(missing))}; run the study again")
    rows, labels, chances = arrays["test_rows"], arrays["test_labels"], arrays["test_probabilities"]
    if labels.ndim == 2:
        return _multi_label(rows, labels.astype(bool), chances, metric)
    predicted = chances.argmax(axis=1).astype(np.int64)
    places = np.arange(len(labels))
    return Outcome(
        rows=rows.astype(np.int64),
        labels=labels.astype(np.int64),
        predicted=predicted,
        confidence=chances[places, predicted].astype(np.float64),
        own=chances[places, labels].astype(np.float64),
        correct=predicted == labels,
        **_for_metric(labels.astype(np.int64), chances, metric),
    )


def _for_metric(labels: npt.NDArray[Any], chances: npt.NDArray[Any], metric: str) -> dict[str, Any]:
    """Return what an outcome keeps for the study's metric: one score an image, or all probabilities."""
    if metric == "accuracy":
        return {}
    scores = image_scores(chances, labels, metric) if metric in POINTWISE else None
    return {"chances": (chances, labels)} if scores is None else {"scores": scores}


def _multi_label(rows: npt.NDArray[Any], labels: Bools, chances: npt.NDArray[Any], metric: str) -> Outcome:
    least = float(np.finfo(chances.dtype).eps)
    sure = np.clip(np.where(labels, chances, 1 - chances).astype(np.float64), least, 1.0)
    return Outcome(
        rows=rows.astype(np.int64),
        labels=labels.argmax(axis=1).astype(np.int64),
        predicted=chances.argmax(axis=1).astype(np.int64),
        confidence=chances.max(axis=1).astype(np.float64),
        own=sure.mean(axis=1),
        correct=np.asarray(((chances > 0.5) == labels).all(axis=1)),
        multi_label=True,
        **_for_metric(labels, chances, metric),
    )


def _read_explanations(folder: Path) -> tuple[Mapping[str, Any], ...]:
    path = folder / "explanations.json"
    if not path.is_file():
        return ()
    items = read_facts(path).get("items", [])
    return tuple(item for item in items if isinstance(item, Mapping) and "row" in item and "file" in item)


def _read_datasets(root: Path) -> dict[str, DataFolder]:
    found = {}
    for path in sorted((root / "data").glob("*/dataset.json")):
        facts, audit = read_facts(path), _read_if_there(path.with_name("audit.json")) or {}
        fingerprint = str(facts.get("fingerprint", "absent"))
        if fingerprint != path.parent.name or audit.pop("key", fingerprint) != fingerprint:
            raise StoreError(f"{path.parent}: describes something else; run the study again")
        facts.pop("key", None)
        found[fingerprint] = DataFolder(fingerprint, facts, path.parent, audit or None)
    return found
