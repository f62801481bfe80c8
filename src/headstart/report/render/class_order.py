"""An order of classes that puts classes confused with each other next to each other."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from headstart.report.read.errors import Cell

OPTIMAL = 400  # classes up to which neighbours are also put in their best order
MOST = 2000  # classes beyond which a picture of all of them shows nothing


def together(cells: Iterable[Cell], classes: int) -> list[int]:
    """Return the classes, those confused with one another side by side (average linkage on shared mistakes).

    Args:
        cells: of one or more confusion matrices of these classes.
        classes: how many there are.
    """
    if classes < 3 or classes > MOST:
        return list(range(classes))
    shared = np.zeros((classes, classes))
    for cell in cells:
        if cell.truth != cell.guess:
            shared[cell.truth, cell.guess] += cell.count
            shared[cell.guess, cell.truth] += cell.count
    if not shared.any():
        return list(range(classes))
    distance = 1.0 / (1.0 + shared)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=classes <= OPTIMAL)
    return [int(number) for number in leaves_list(tree)]
