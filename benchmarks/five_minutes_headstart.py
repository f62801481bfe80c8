"""headstart's part of `five_minutes.py`: `compare --budget` on the folder that holds train and test, nothing cached.

The clock stops when the study has written its report and its model; the model then classifies the test images.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from five_minutes_record import Record, images_in, name_of, read_task, size_of, write_record

from headstart.api import Study, compare_spec
from headstart.storage.files import read_json


def main() -> None:
    task = read_task(__doc__)
    with tempfile.TemporaryDirectory() as place:
        os.environ["HEADSTART_CACHE"] = str(Path(place) / "cache")
        spec = {**compare_spec(task.train.parent, budget=f"{task.seconds:.0f}s"), "seeds": [task.seed]}
        began = time.perf_counter()
        results = Study(spec).run(Path(place) / "runs")
        seconds = time.perf_counter() - began
        chosen = read_json(results.folder / "study.json")["best"]["run"]
        classifier = results.classifier()
        paths = images_in(task.test)
        found = classifier.predict(paths)
        probabilities = np.stack([each.probabilities for each in found])
        names = tuple(name_of(path) for path in paths)
        size = size_of(results.model)
    write_record(task.out, Record(names, classifier.classes, probabilities, chosen, seconds, size))


if __name__ == "__main__":
    main()
