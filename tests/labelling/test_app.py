from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from multispectral import write_folder
from PIL import Image
from unlabelled_folder import colour_of, draw_folder, embedded

from headstart.data.decoding.faults import UndecodableError
from headstart.labelling import app
from headstart.labelling.app import make_app
from headstart.labelling.embeddings import Embeddings
from headstart.labelling.folder_session import label_session
from headstart.labelling.label_file import LabelFile
from headstart.labelling.session import LabelSession

KEY = "a-key"


@pytest.fixture
def session(tmp_path: Path) -> LabelSession:
    folder = draw_folder(tmp_path / "photos")
    return LabelSession(embedded(folder), LabelFile(tmp_path / "labels.csv"), ["red", "green", "blue"], suggests=True)


@pytest.fixture
def client(session: LabelSession) -> Iterator[TestClient]:
    with TestClient(make_app(session, KEY)) as found:
        found.get(f"/open/{KEY}")
        yield found


def test_nothing_is_answered_without_the_key(session: LabelSession) -> None:
    with TestClient(make_app(session, KEY)) as stranger:
        for path in ("/", "/api/state", "/image/0", "/open/", "/open/another"):
            assert stranger.get(path).status_code == 401
        refused = stranger.post("/api/label", json={"rows": [0], "label": "red", "who": "eve"})
        assert refused.status_code == 401 and "has the key" in refused.json()["detail"]
        opened = stranger.get(f"/open/{KEY}", follow_redirects=False)
        assert opened.status_code == 303
        assert "HttpOnly" in opened.headers["set-cookie"] and "samesite=strict" in opened.headers["set-cookie"].lower()
        assert stranger.get("/").text.startswith("<!doctype html>")
    assert not session.file.path.exists()


def test_a_person_labels_and_everything_is_in_the_file(client: TestClient, session: LabelSession) -> None:
    for _ in range(3):
        for item in client.get("/api/next?who=ann&count=8").json():
            body = {"rows": [item["row"]], "label": colour_of(item["name"]), "who": "ann"}
            state = client.post("/api/label", json={**body, "how": {item["row"]: item["how"]}}).json()
    assert state["labelled"] == 24 and state["sampled"] == 6 and state["images"] == 60
    rows = session.file.read()
    assert len(rows) == 24 and all(each.label == colour_of(path) and each.who == "ann" for path, each in rows.items())
    session.refit()
    state = client.get("/api/state").json()
    assert state["taught"] == 24 and state["accuracy"]["n"] == 6 and state["suggests"] is True
    items = client.get("/api/next?who=ann&count=12").json()
    assert all((item["guess"] is None) == (item["how"] == "random") for item in items)
    last = client.get("/api/labelled?count=3").json()
    assert [each["label"] for each in last] == [colour_of(each["name"]) for each in last] and len(last) == 3
    undone = client.post("/api/undo", json={"who": "ann"}).json()
    assert undone["labelled"] == 23 and [each["row"] for each in undone["undone"]] == [last[0]["row"]]
    assert client.post("/api/unlabel", json={"rows": [last[1]["row"]], "who": "ann"}).json()["labelled"] == 22


def test_an_image_of_the_sample_that_is_looked_at_again_still_counts_as_random(
    client: TestClient, session: LabelSession
) -> None:
    inside = int(session.suggester.sample[0])
    outside = next(row for row in range(60) if row not in session.in_sample)
    session.label([inside, outside], "red", "ann", {inside: "random", outside: "typical"})
    assert client.get("/api/state").json()["tested"] == 1
    again = {each["row"]: each for each in client.get("/api/labelled").json()}
    assert (again[inside]["how"], again[outside]["how"]) == ("random", "chosen")
    (undone, other) = sorted(
        client.post("/api/undo", json={"who": "ann"}).json()["undone"], key=lambda each: each["how"]
    )
    assert (undone["how"], undone["row"], other["how"], other["row"]) == ("chosen", outside, "random", inside)
    assert other["guess"] is None


def test_similar_images_are_without_labels_and_not_of_the_sample(client: TestClient, session: LabelSession) -> None:
    row = next(row for row in range(60) if row not in session.in_sample)
    found = client.get(f"/api/similar?row={row}&who=ann&count=10").json()
    assert found[0]["row"] == row and len(found) == 10
    assert not {item["row"] for item in found} & session.in_sample
    rows = [item["row"] for item in found[:4]]
    client.post("/api/label", json={"rows": rows, "label": "red", "who": "ann", "how": dict.fromkeys(rows, "similar")})
    again = client.get(f"/api/similar?row={row}&who=ann&count=30").json()
    assert not {item["row"] for item in again[1:]} & set(rows)


def test_a_label_from_somebody_else_is_kept_and_said(client: TestClient, session: LabelSession) -> None:
    session.label([3], "blue", "bob")
    state = client.post("/api/label", json={"rows": [2, 3], "label": "red", "who": "ann"}).json()
    assert (state["given"], state["kept"], state["labelled"]) == (1, 1, 2)
    assert session.file.read()[session.paths[3]].label == "blue"


def test_a_search_takes_a_picture_of_the_folder_or_of_elsewhere_and_refuses_others(
    client: TestClient, session: LabelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(row for row in range(60) if row not in session.in_sample)
    content = session.paths[row].read_bytes()
    vectors = {content: session.embeddings.vectors[row]}

    def vector_of(self: Embeddings, picture: bytes) -> object:
        if picture not in vectors:
            raise UndecodableError("not an image")
        return vectors[picture]

    monkeypatch.setattr(Embeddings, "of", vector_of)
    found = client.post("/api/search?who=ann&count=5", content=content).json()
    assert found[0]["row"] == row and len(found) == 5 and {item["how"] for item in found} == {"similar"}
    assert found == client.get(f"/api/similar?row={row}&who=ann&count=5").json()
    refused = client.post("/api/search?who=ann", content=b"hello")
    assert refused.status_code == 422 and "the picture cannot be read: " in refused.json()["detail"]
    monkeypatch.setattr("headstart.labelling.app._LARGEST", 100)
    assert client.post("/api/search?who=ann", content=101 * b"x").status_code == 413


def test_images_come_as_jpeg_of_the_size_asked_for(client: TestClient) -> None:
    answer = client.get("/image/3?side=32")
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (24, 24)


def test_bad_requests_are_refused_in_one_line_and_change_nothing(client: TestClient, session: LabelSession) -> None:
    good = {"rows": [0], "label": "red", "who": "ann"}
    for change, words in (
        ({"label": "NA"}, "a class cannot be named 'NA'"),
        ({"rows": [60]}, "there is no image 60"),
        ({"rows": [-1]}, "there is no image -1"),
    ):
        answer = client.post("/api/label", json={**good, **change})
        assert answer.status_code == 422 and words in answer.json()["detail"]
    for broken in ({"rows": []}, {"who": ""}, {"label": ""}, {"how": {"0": "magic"}}, {"rows": list(range(61))}):
        assert client.post("/api/label", json={**good, **broken}).status_code == 422
    assert client.get("/image/60").status_code == 422 and client.get("/api/similar?row=-1&who=ann").status_code == 422
    assert not session.file.path.exists()
    session.paths[0].unlink()
    assert "No such file" in client.get("/image/0?side=40").json()["detail"]


def test_classes_are_added_and_skipped_images_do_not_come_back(client: TestClient) -> None:
    assert client.post("/api/add_class", json={"name": "teal"}).json()["classes"][-1] == {"name": "teal", "count": 0}
    items = client.get("/api/next?who=ann&count=5").json()
    rows = [item["row"] for item in items]
    assert client.post("/api/skip", json={"rows": rows, "who": "ann"}).status_code == 200
    assert not {item["row"] for item in client.get("/api/next?who=ann&count=55").json()} & set(rows)


def test_the_page_and_its_parts_are_served(client: TestClient) -> None:
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        answer = client.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)


def test_the_page_and_its_comparison_read_the_same_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tifffile")
    folder, comparisons = write_folder(tmp_path / "s2", 2), list[tuple[Path, list[str]]]()
    session = label_session(
        folder, file=tmp_path / "l.csv", backbone="small_cnn", weights="none", bands="all", show=[3, 2, 1]
    )

    def comparing(file: Path, options: list[str]) -> SimpleNamespace:
        comparisons.append((file, options))
        return SimpleNamespace(state=lambda: None, close=lambda: None)

    monkeypatch.setattr(app, "Comparing", comparing)
    with TestClient(make_app(session, KEY)) as found:
        found.get(f"/open/{KEY}")
        shown = f"headstart compare {tmp_path / 'l.csv'} --bands all --show 3,2,1"
        assert found.get("/api/state").json()["next"] == shown
        assert np.asarray(Image.open(io.BytesIO(found.get("/image/0?side=64").content))).shape == (24, 24, 3)
        refused = found.post("/api/search?who=ann", content=found.get("/image/0").content)
        assert refused.status_code == 422 and "has 3 bands where 13 are needed" in refused.json()["detail"]
    assert comparisons == [(tmp_path / "l.csv", ["--bands", "all", "--show", "3,2,1"])]
