from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import StoreError
from headstart.storage.files import write_json
from headstart.study.results.facts import known_facts, read_facts, write_facts

FACTS = {"key": "k", "rate": np.float32(0.5), "none": float("nan"), "by row": {2: "a", 10: "b"}}
READ = {"key": "k", "rate": 0.5, "none": None, "by row": {"2": "a", "10": "b"}}


def test_facts_and_their_files_come_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"a")
    write_facts(tmp_path / "facts.json", FACTS, ["pictures/a.png"])
    assert read_facts(tmp_path / "facts.json") == READ == known_facts(tmp_path / "facts.json", "k")
    assert known_facts(tmp_path / "facts.json", "other") is None
    for content in (b"b", None):
        (tmp_path / "pictures" / "a.png").write_bytes(content) if content else (tmp_path / "pictures/a.png").unlink()
        assert known_facts(tmp_path / "facts.json", "k") is None
        with pytest.raises(
            StoreError, match=r"a.png: is missing, or has changed since it was written; run the study again"
        ):
            read_facts(tmp_path / "facts.json")


def test_facts_that_were_altered_are_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "facts.json"
    assert known_facts(path, "k") is None and capsys.readouterr().err == ""
    write_facts(path, FACTS)
    path.write_text(path.read_text().replace("0.5", "0.7"))
    assert known_facts(path, "k") is None
    assert capsys.readouterr().err.endswith("has changed since it was written; it will be rebuilt\n")
    with pytest.raises(StoreError, match=r"facts.json: has changed since it was written"):
        read_facts(path)
    write_json(path, {"key": "of an older version"})
    assert known_facts(path, "of an older version") == {"key": "of an older version"}
