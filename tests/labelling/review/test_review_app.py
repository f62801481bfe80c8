from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from multispectral import write_folder
from PIL import Image
from reviewed_folder import draw_classes, review_of

from headstart.labelling.review.open_review import review_session
from headstart.labelling.review.review_app import make_review_app
from headstart.labelling.review.session import ReviewSession

KEY = "a-key"
NEXT = "headstart compare 'my photos/' --corrections c.csv"


@pytest.fixture
def session(tmp_path: Path) -> ReviewSession:
    return review_of(draw_classes(tmp_path / "p"), tmp_path / "c.csv")


@pytest.fixture
def client(session: ReviewSession) -> Iterator[TestClient]:
    with TestClient(make_review_app(session, KEY, NEXT)) as found:
        found.get(f"/open/{KEY}")
        yield found


def test_nothing_is_answered_without_the_key_and_no_other_page_may_frame_it(session: ReviewSession) -> None:
    with TestClient(make_review_app(session, KEY, NEXT)) as stranger:
        for path in ("/", "/api/state", "/api/next?who=eve", "/image/0", "/open/another"):
            assert stranger.get(path).status_code == 401
        refused = stranger.post("/api/decide", json={"place": 0, "decision": "exclude", "who": "eve"})
        assert refused.status_code == 401 and not session.file.path.exists()
        stranger.get(f"/open/{KEY}")
        headers = stranger.get("/").headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_findings_come_with_images_labels_and_neighbours_of_both_classes(client: TestClient) -> None:
    pair, label, group, dark = client.get("/api/next?who=ann").json()
    assert [(each["name"], each["label"]) for each in pair["rows"]] == [
        ("blue/00.png", "blue"),
        ("green/00.png", "green"),
    ]
    assert pair["title"] == "copies" and pair["marked"] == [8] and pair["beside"] == []
    assert [each["label"] for each in label["beside"]] == ["blue", "red"] and label["proposed"] == "red"
    assert all(row["label"] == each["label"] for each in label["beside"] for row in each["rows"])
    assert all(len(each["rows"]) == 4 for each in label["beside"])
    assert len(group["rows"]) == 3 and dark["kind"] == "dark"
    assert [each["kind"] for each in client.get("/api/next?who=ann&kind=label").json()] == ["label"]
    picture = client.get("/image/3?side=32")
    assert Image.open(io.BytesIO(picture.content)).size == (32, 32)


def test_decisions_are_saved_listed_and_undone(client: TestClient, session: ReviewSession) -> None:
    state = client.post("/api/decide", json={"place": 1, "decision": "relabel", "who": "ann"}).json()
    assert (state["relabelled"], state["excluded"]) == (1, 0) and state["next"] == NEXT
    state = client.post("/api/decide", json={"place": 2, "decision": "exclude", "who": "ann", "rows": [18]}).json()
    assert (state["relabelled"], state["excluded"]) == (1, 1)
    assert {each["kind"]: each["open"] for each in state["kinds"]} == {
        "label": 0,
        "duplicate": 1,
        "group": 0,
        "dark": 1,
    }
    last = client.get("/api/decided").json()
    assert [(each["kind"], each["decision"], each["after"]) for each in last] == [
        ("group", "exclude", ""),
        ("label", "relabel", "red"),
    ]
    undone = client.post("/api/undo", json={"who": "ann"}).json()
    assert undone["undone"]["kind"] == "group" and undone["excluded"] == 0
    assert client.post("/api/undo", json={"who": "bob"}).json()["undone"] is None
    assert [row.path for row in session.file.read().values()] == ["blue/03.png"]


def test_bad_requests_are_refused_in_one_line_and_change_nothing(client: TestClient, session: ReviewSession) -> None:
    good = {"place": 1, "decision": "relabel", "who": "ann"}
    for change, words in (
        ({"label": "violet"}, "unknown class 'violet'"),
        ({"place": 4}, "there is no problem 4"),
        ({"place": -1}, "there is no problem -1"),
        ({"decision": "exclude", "rows": []}, "no image is marked"),
    ):
        answer = client.post("/api/decide", json={**good, **change})
        assert answer.status_code == 422 and words in answer.json()["detail"]
    for broken in ({"who": ""}, {"decision": "delete"}, {"rows": list(range(61))}):
        assert client.post("/api/decide", json={**good, **broken}).status_code == 422
    assert client.get("/image/24").status_code == 422 and client.get("/image/-1").status_code == 422
    assert not session.file.path.exists()


def test_the_page_and_its_parts_are_served(client: TestClient) -> None:
    for path in ("/", "/review.js", "/asking.js", "/page.css", "/review.css"):
        assert client.get(path).status_code == 200


def test_bands_are_shown(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    given = {"file": tmp_path / "c.csv", "backbone": "small_cnn", "weights": "none", "bands": ["B04", 2], "show": [3]}
    found = review_session(write_folder(tmp_path / "s2", 4), **given)  # type: ignore[arg-type]
    with TestClient(make_review_app(found, KEY, NEXT)) as page:
        page.get(f"/open/{KEY}")
        shown = np.asarray(Image.open(io.BytesIO(page.get("/image/0").content)).convert("RGB")).astype(int)
        assert shown.shape == (24, 24, 3) and shown.std() > 20 and np.abs(shown[..., 0] - shown[..., 2]).max() <= 2
