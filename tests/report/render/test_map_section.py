from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_study import RUNS, add_map

from headstart.report.read.study_files import read_study_folder
from headstart.report.read.summary import load_summary
from headstart.report.render.html import page_data, sections
from headstart.report.render.map_section import map_data

RUN = RUNS[4].name


def codes(data: dict[str, Any], name: str) -> np.ndarray:
    (found,) = (each for each in data["colours"] if each["name"] == name)
    return np.frombuffer(base64.b64decode(found["codes"]), "<u2").astype(int)


def test_the_map_shows_what_the_run_predicted(tiny: Path) -> None:
    add_map(tiny, RUN)
    files = read_study_folder(tiny)
    found = map_data(files)
    assert found is not None
    (outcome,) = (r.outcome for r in files.records if (r.run, r.seed) == (RUN, 0))
    assert outcome is not None and found["rows"] == outcome.rows.tolist()
    assert np.array_equal(codes(found, "class"), outcome.labels)
    assert np.array_equal(codes(found, "predicted"), outcome.predicted)
    assert np.array_equal(codes(found, "mistakes"), ~outcome.correct)
    count = len(outcome.rows)
    assert found["words"][0] == f"{count} of the {2 * count} test images, chosen at random."
    assert len(base64.b64decode(found["positions"])) == 4 * count and len(found["names"]) == count
    payload = page_data(load_summary(tiny))
    assert ("map", "Map") in sections(payload) and payload["map"]["data"] in payload["datasets"]


@pytest.mark.parametrize("change", [{"run": "gone"}, {"data": "other"}, {"rows": [10**6]}])
def test_a_map_of_other_runs_or_images_is_left_out(tiny: Path, change: dict[str, Any]) -> None:
    assert map_data(read_study_folder(tiny)) is None
    add_map(tiny, RUN)
    facts = json.loads((tiny / "map.json").read_text(encoding="utf-8"))
    (tiny / "map.json").write_text(json.dumps({**facts, **change}), encoding="utf-8")
    assert map_data(read_study_folder(tiny)) is None
    assert ("map", "Map") not in sections(page_data(load_summary(tiny)))
