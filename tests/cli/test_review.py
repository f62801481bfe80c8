from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from multispectral import write_folder
from reviewed_folder import draw_classes

import headstart
from headstart.cli import review
from tests.cli.conftest import Call


def test_review_serves_a_page_whose_decisions_studies_take(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out, printed = draw_classes(tmp_path / "p", 6), tmp_path / "c.csv", list[str]()
    said = list[str]()
    (folder / "red" / "copy.png").write_bytes((folder / "red" / "00.png").read_bytes())

    def run(app: Any, listening: socket.socket, limits: object) -> None:
        """Be the person: exclude the copy, then stop the server."""
        with TestClient(app) as client:
            opened = re.search(r"/open/(\S+)", "\n".join(printed))
            assert opened is not None and client.get(f"/open/{opened[1]}").status_code == 200
            said.append(client.get("/api/state").json()["next"])
            item = client.get("/api/next?who=ann&kind=duplicate").json()[0]
            client.post("/api/decide", json={"place": item["place"], "decision": "exclude", "who": "ann"})

    monkeypatch.setattr(review, "run", run)
    monkeypatch.setattr(review, "show", printed.append)
    options = ("--out", out, "--backbone", "lenet5", "--weights", "none", "--port", 0, "--host", "127.0.0.1")
    status, _output, error = call("review", folder, *options, "--device", "cpu", "--label", "folder")
    assert status == 0, error
    assert re.fullmatch(r"open http://127\.0\.0\.1:\d+/open/\S+  \(press Ctrl-C to stop\)", printed[0])
    assert "found: " in error and "copies (1)" in error
    shown = f"headstart compare {folder} --corrections {out} --label folder"
    assert said == [shown]
    assert f"0 labels changed, 1 image left out; next: {shown}" in error
    assert len(headstart.load_dataset(folder, corrections=out)) == 18


def test_without_a_decision_no_command_is_shown_for_a_file_that_is_not_there(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review, "run", lambda *_: None)
    options = ("--out", tmp_path / "c.csv", "--backbone", "lenet5", "--weights", "none", "--port", 0, "--device", "cpu")
    status, _output, error = call("review", draw_classes(tmp_path / "p", 6), *options)
    assert status == 0 and error.splitlines()[-1] == "nothing is decided yet" and "--corrections" not in error


def test_what_cannot_be_reviewed_is_one_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("path,label\n")
    for arguments, words in {
        ("review", tmp_path, "--port", 0, "--out", tmp_path / "other.csv"): "has no column 'decision'",
        ("review", tmp_path, "--port", 0, "--out", tmp_path): "is a folder; choose a file name",
        ("review", tmp_path / "absent", "--port", 0, "--out", tmp_path / "c.csv"): "no such file or folder",
        ("review", tmp_path, "--port", 99_999): "must be between 0 and 65535",
    }.items():
        status, _output, error = call(*arguments)
        assert status == 2 and words in error.splitlines()[-1], (arguments, error)


def test_the_command_of_the_page_reads_the_same_bands(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tifffile")
    folder, out, said = write_folder(tmp_path / "s2", 4), tmp_path / "c.csv", list[str]()

    def run(app: Any, listening: socket.socket, limits: object) -> None:
        with TestClient(app) as client:
            client.get("/" + printed[0].split()[1].split("/", 3)[3])
            said.append(client.get("/api/state").json()["next"])

    printed = list[str]()
    monkeypatch.setattr(review, "run", run)
    monkeypatch.setattr(review, "show", printed.append)
    options = ("--out", out, "--backbone", "small_cnn", "--weights", "none", "--port", 0, "--host", "127.0.0.1")
    status, _output, error = call("review", folder, *options, "--device", "cpu", "--bands", "B04,2", "--show", "2")
    assert status == 0, error
    assert said == [f"headstart compare {folder} --corrections {out} --bands 3,2 --show 2,2,2"]
