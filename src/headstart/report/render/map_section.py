"""The map of the test images in the report: what the drawing reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.maps.points import Colouring, encoded
from headstart.report.read.study_files import StudyFiles


def map_data(files: StudyFiles) -> dict[str, Any] | None:
    """Return positions, colourings and names of the test images on the map; None where there is no map."""
    found = files.image_map
    if not found or found["data"] not in files.datasets:
        return None
    record = next((r for r in files.records if (r.run, r.seed) == (found["run"], found["seed"])), None)
    if record is None or record.outcome is None:
        return None
    folder, outcome = files.datasets[found["data"]], record.outcome
    place = {int(row): number for number, row in enumerate(outcome.rows)}
    if any(int(row) not in place for row in found["rows"]):
        return None
    rows = np.array(found["rows"], dtype=np.int64)
    here = np.array([place[int(row)] for row in rows], dtype=np.int64)
    truth, guess = outcome.labels[here], outcome.predicted[here]
    shown = (
        Colouring("class", folder.classes, truth),
        Colouring("predicted", folder.classes, guess),
        Colouring("mistakes", ("right", "wrong"), (truth != guess).astype(np.int64)),
    )
    words = [f"By the embeddings of {found['network']}; predictions of {found['run']}.", *found["words"]]
    if len(rows) < found["test"]:
        words.insert(0, f"{len(rows):,} of the {found['test']:,} test images, chosen at random.")
    return {
        "data": found["data"],
        "rows": found["rows"],
        "positions": encoded(found["positions"], "<u2"),
        "colours": [each.plain for each in shown],
        "names": folder.names(rows),
        "words": words,
        "table": found["classes"],
    }
