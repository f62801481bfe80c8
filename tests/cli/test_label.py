from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from unlabelled_folder import draw_folder

import headstart
from headstart.cli import label
from tests.cli.conftest import Call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "photos", 3)


def test_label_serves_a_page_whose_labels_compare_reads(
    call: Call, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def run(app: Any, listening: socket.socket, limits: object) -> None:
        """Be the person: label everything that is suggested, then stop the server."""
        with TestClient(app) as client:
            opened = re.search(r"/open/(\S+)", seen["stdout"]())
            assert opened is not None and client.get(f"/open/{opened[1]}").status_code == 200
            state = client.get("/api/state").json()
            assert [each["name"] for each in state["classes"]] == ["red", "green", "blue"]
            for item in client.get("/api/next?who=ann&count=9").json():
                body = {"rows": [item["row"]], "label": item["name"].partition("-")[0], "who": "ann"}
                client.post("/api/label", json={**body, "how": {item["row"]: item["how"]}})

    printed: list[str] = []
    monkeypatch.setattr(label, "run", run)
    monkeypatch.setattr(label, "show", printed.append)
    seen["stdout"] = lambda: "\n".join(printed)
    out = tmp_path / "labels.csv"
    arguments = (
        "--classes",
        "red,green,blue",
        "--out",
        out,
        "--backbone",
        "lenet5",
        "--random",
        0.34,
        "--port",
        0,
        "--suggest",
    )
    status, _output, error = call(
        "label", photos, *arguments, "--host", "127.0.0.1", "--device", "cpu", "--weights", "none"
    )
    assert status == 0, error
    assert re.fullmatch(r"open http://127\.0\.0\.1:\d+/open/\S+  \(press Ctrl-C to stop\)", printed[0])
    assert f"9 images labelled; next: headstart compare {out}" in error
    dataset = headstart.load_dataset(out)
    assert len(dataset) == 9 and dataset.classes == ("blue", "green", "red") and dataset.given_split is not None
    again = headstart.label_session(photos, file=out, backbone="lenet5", weights="none")
    assert again.counts() == {"red": 3, "green": 3, "blue": 3}


def test_what_cannot_be_labelled_is_one_line(call: Call, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("path,label\n")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        cases = {
            ("label", photos, "--port", port): f"--port {port}: 127.0.0.1:{port} cannot be used",
            ("label", photos, "--random", 1): "choose a share between 0 and 1",
            ("label", photos, "--port", 0, "--out", tmp_path / "other.csv"): "has no column 'who'",
            ("label", photos, "--port", 0, "--out", tmp_path): "is a folder; choose a file name",
            ("label", tmp_path / "absent", "--port", 0): "no such file or folder",
            ("label", photos, "--port", 0, "--classes", "a,NA", "--backbone", "lenet5", "--weights", "none"): (
                "a class cannot be named 'NA'"
            ),
        }
        for arguments, words in cases.items():
            status, _output, error = call(*arguments)
            assert status == 2 and words in error.splitlines()[-1], (arguments, error)
