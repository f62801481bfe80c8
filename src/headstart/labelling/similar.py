"""The images most like a given one, by the cosine of their vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headstart.data.decoding.pictures import Picture
from headstart.errors import SpecError
from headstart.labelling.embeddings import Embeddings

_BLOCK = 16_384  # rows of one product


@dataclass(frozen=True)
class Similar:
    """One image of a dataset that is like the one asked for.

    Args:
        row: its row in the dataset.
        name: its name.
        cosine: of the two vectors, -1 to 1.
        label: its label, or None.
    """

    row: int
    name: str
    cosine: float
    label: str | None


def nearest_rows(
    vectors: npt.NDArray[np.float32], query: npt.NDArray[np.float32], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return (rows, cosines) of the `count` vectors [n, d] of largest cosine with the query [d], largest first.

    Equal cosines are in the order of the rows; a vector of zeros has cosine 0 with everything.

    Raises:
        SpecError: fewer than one is asked for, or the query has another length.
    """
    if count < 1:
        raise SpecError(f"count: at least one image, not {count}")
    if query.shape != vectors.shape[1:]:
        raise SpecError(f"a vector of {query.shape} cannot be compared with vectors of {vectors.shape[1:]}")
    cosines = np.empty(len(vectors), dtype=np.float32)
    direction = query / max(float(np.linalg.norm(query)), 1e-12)
    for start in range(0, len(vectors), _BLOCK):
        block = np.asarray(vectors[start : start + _BLOCK], dtype=np.float32)
        cosines[start : start + len(block)] = block @ direction / np.maximum(np.linalg.norm(block, axis=1), 1e-12)
    rows = np.argsort(-cosines, kind="stable")[:count]
    return rows.astype(np.int64), cosines[rows]


def most_similar(embeddings: Embeddings, picture: Picture, count: int = 10) -> list[Similar]:
    """Return the `count` images most like a picture, most similar first; it is included if it is among them.

    Args:
        embeddings: of the images to search.
        picture: a path, bytes, an open file, a PIL image, an array or a tensor.
        count: the maximum number.

    Raises:
        SpecError: fewer than one is asked for.
        UndecodableError: the picture cannot be read.
    """
    rows, cosines = nearest_rows(embeddings.vectors, embeddings.of(picture), count)
    labels, reader = embeddings.labels, embeddings.dataset.reader
    return [
        Similar(row, reader.name(row), float(cosine), None if labels is None else labels[row])
        for row, cosine in zip(rows.tolist(), cosines, strict=True)
    ]
