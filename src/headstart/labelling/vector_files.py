"""Vectors in the files that other programs read: Parquet, CSV and NumPy's npz."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from headstart.disclosure import spreadsheet_text
from headstart.errors import SpecError
from headstart.labelling.embeddings import Embeddings
from headstart.storage.arrow import arrow, arrow_csv, arrow_parquet
from headstart.storage.files import disk_errors, write_atomic
from headstart.version import VERSION


def check_suffix(path: Path) -> None:
    """Refuse a file of a kind that is not written.

    Raises:
        SpecError: the suffixes that are known.
    """
    if path.suffix.lower() not in _WRITERS:
        raise SpecError(f"--out {path}: choose a name that ends in {', '.join(_WRITERS)}")


def write_vectors(embeddings: Embeddings, path: Path) -> None:
    """Write names, labels, parts and vectors; the suffix of the path decides the format.

    - `.parquet`: columns `name`, `label`, `split` (null where there is none) and `embedding`, a list of d float32; the
      network and its weights are in the file's metadata.
    - `.csv`: the same, with the columns `0` … `d-1` for the vector.
    - `.npz`: arrays `names`, `labels`, `splits` ("" where there is none), `embeddings` float32 [n, d], `network`,
      `weights`.

    Raises:
        SpecError: another suffix.
    """
    check_suffix(path)
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, _WRITERS[path.suffix.lower()](embeddings))


def _columns(embeddings: Embeddings) -> tuple[list[str], list[str | None], list[str | None]]:
    """Return names, labels and parts."""
    count, given = len(embeddings), embeddings.dataset.given_split
    labels: list[str | None] = [None] * count if embeddings.labels is None else list(embeddings.labels)
    parts: list[str | None] = [None] * count if given is None else [str(part) or None for part in given]
    return embeddings.names, labels, parts


def _facts(embeddings: Embeddings) -> dict[str, str]:
    return {"network": embeddings.network, "weights": embeddings.weights, "headstart": VERSION}


def _parquet(embeddings: Embeddings) -> bytes:
    pyarrow = arrow()
    names, labels, parts = _columns(embeddings)
    count, width = embeddings.vectors.shape
    values = pyarrow.array(np.ascontiguousarray(embeddings.vectors).reshape(-1))
    vectors = pyarrow.FixedSizeListArray.from_arrays(values, width)
    text = pyarrow.string()
    columns = {
        "name": pyarrow.array(names, text),
        "label": pyarrow.array(labels, text),
        "split": pyarrow.array(parts, text),
        "embedding": vectors,
    }
    table = pyarrow.table(columns).replace_schema_metadata({**_facts(embeddings), "count": str(count)})
    out = io.BytesIO()
    arrow_parquet().write_table(table, out)
    return out.getvalue()


def _csv(embeddings: Embeddings) -> bytes:
    pyarrow = arrow()
    text = pyarrow.string()
    names, labels, parts = (list(map(spreadsheet_text, column)) for column in _columns(embeddings))
    columns = {"name": pyarrow.array(names, text), "label": pyarrow.array(labels, text)}
    columns["split"] = pyarrow.array(parts, text)
    columns |= {str(place): pyarrow.array(embeddings.vectors[:, place]) for place in range(embeddings.vectors.shape[1])}
    out = io.BytesIO()
    arrow_csv().write_csv(pyarrow.table(columns), out)
    return out.getvalue()


def _npz(embeddings: Embeddings) -> bytes:
    names, labels, parts = _columns(embeddings)
    out = io.BytesIO()
    np.savez(
        out,
        names=np.array(names, dtype=np.str_),
        labels=np.array([label or "" for label in labels], dtype=np.str_),
        splits=np.array([part or "" for part in parts], dtype=np.str_),
        embeddings=np.ascontiguousarray(embeddings.vectors),
        network=np.array(embeddings.network),
        weights=np.array(embeddings.weights),
    )
    return out.getvalue()


_WRITERS: dict[str, Callable[[Embeddings], bytes]] = {".parquet": _parquet, ".csv": _csv, ".npz": _npz}
