from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from unlabelled_folder import draw_folder, embedded

from headstart.errors import StoreError
from headstart.labelling import map_view
from headstart.labelling.app import make_app
from headstart.labelling.label_file import LabelFile
from headstart.labelling.map_view import MapView
from headstart.labelling.session import LabelSession


@pytest.fixture
def session(tmp_path: Path) -> LabelSession:
    folder = draw_folder(tmp_path / "photos", 40)
    return LabelSession(embedded(folder), LabelFile(tmp_path / "labels.csv"), ["red", "green", "blue"])


@pytest.fixture
def pca(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.labelling.map_view.method_for", lambda *given: ("pca", ""))


@pytest.fixture
def client(session: LabelSession, pca: None) -> Iterator[TestClient]:
    with TestClient(make_app(session, "key")) as found:
        found.get("/open/key")
        yield found


def settled(view: MapView, known: int = 0) -> dict[str, Any]:
    """Return the answer when nothing is pending any more."""
    until = time.monotonic() + 60
    while view.answer(0)["pending"]:
        assert time.monotonic() < until
        time.sleep(0.01)
    return view.answer(known)


def codes(colours: list[dict[str, Any]], name: str) -> np.ndarray:
    (found,) = (each for each in colours if each["name"] == name)
    return np.frombuffer(base64.b64decode(found["codes"]), "<u2").astype(int)


def test_the_map_is_computed_once_and_not_sent_again(session: LabelSession, pca: None) -> None:
    view = MapView(session)
    found = settled(view)
    assert found["version"] == 1 and len(base64.b64decode(found["positions"])) == 120 * 4
    assert found["words"][0].startswith("The two principal components") and found["sample"] == sorted(session.in_sample)
    assert view.answer(1) == {"version": 1, "pending": False, "progress": None, "problem": ""}
    view.close()


def test_labels_are_shown_and_the_guess_about_the_sample_is_kept_back(session: LabelSession, pca: None) -> None:
    view = MapView(session)
    names = [path.name.partition("-")[0] for path in session.paths]
    others = [row for row in range(120) if row not in session.in_sample]
    for row in others[::3]:
        session.label([row], names[row], "ann")
    assert (codes(view.colours(), "label") != 65535).sum() == len(others[::3])
    session.refit()
    guesses = codes(view.colours(), "label or guess")
    assert (guesses[sorted(session.in_sample)] == 65535).all() and (guesses[others] != 65535).all()


def test_a_map_by_neighbours_takes_the_first_ones_place(session: LabelSession, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = map_view.project

    def project(vectors: Any, *, method: str, **named: Any) -> Any:
        asked.append(method)
        return real(vectors, method="pca", **named)

    monkeypatch.setattr(map_view, "project", project)
    monkeypatch.setattr(map_view, "method_for", lambda *given: ("tsne", ""))
    view = MapView(session)
    assert settled(view)["version"] == 2 and asked == ["pca", "tsne"]
    assert "positions" in view.answer(1) and "positions" not in view.answer(2)


def test_a_problem_is_said_and_the_map_that_is_there_remains(
    session: LabelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = map_view.project

    def project(vectors: Any, *, method: str, **named: Any) -> Any:
        if method == "tsne":
            raise StoreError("the disk is full")
        return real(vectors, method=method, **named)

    monkeypatch.setattr(map_view, "project", project)
    monkeypatch.setattr(map_view, "method_for", lambda *given: ("tsne", ""))
    found = settled(MapView(session))
    assert found["version"] == 1 and found["problem"] == "the disk is full"


def test_closing_gives_up_what_is_being_computed(session: LabelSession, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def project(vectors: Any, *, method: str, watch: Any = None, **named: Any) -> Any:
        begun.append(method)
        while method == "tsne":
            watch(10, 750)
            time.sleep(0.01)

    monkeypatch.setattr(map_view, "project", project)
    monkeypatch.setattr(map_view, "method_for", lambda *given: ("tsne", ""))
    view = MapView(session)
    view.answer(1)
    until = time.monotonic() + 60
    while "tsne" not in begun:
        assert time.monotonic() < until
        time.sleep(0.01)
    view.close()
    assert view._thread is not None and not view._thread.is_alive()


def test_the_page_says_how_far_a_map_is_and_does_not_wait_for_a_search_when_it_ends(
    session: LabelSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, free = [threading.Event() for _ in range(3)], threading.Event()
    times = iter([100.0, 104.0])

    def project(vectors: Any, *, method: str, watch: Any = None, **named: Any) -> Any:
        if method == "tsne":
            for done, step in zip((10, 50), steps, strict=False):
                watch(done, 750)
                step.set()
            free.wait()

    monkeypatch.setattr(map_view, "project", project)
    monkeypatch.setattr(map_view, "method_for", lambda *given: ("tsne", ""))
    monkeypatch.setattr(map_view, "_now", lambda: next(times))
    monkeypatch.setattr(map_view, "_PATIENCE", 0.05)
    view = MapView(session)
    view.answer(1)
    assert steps[1].wait(60)
    assert view.answer(1)["progress"] == {"done": 50 / 750, "left": 70.0}  # 40 steps took 4 s; 700 are left
    view.close()
    free.set()


def test_many_images_get_a_label_at_once_and_one_undo_takes_it_back(client: TestClient, session: LabelSession) -> None:
    rows = [row for row in range(120) if row not in session.in_sample]
    assert len(rows) > 60
    state = client.post("/api/label", json={"rows": rows, "label": "red", "who": "ann"}).json()
    assert state["labelled"] == len(rows) and len(session.file.read()) == len(rows)
    assert (codes(client.get("/api/map_colours").json(), "label") == 0).sum() == len(rows)
    undone = client.post("/api/undo", json={"who": "ann"}).json()
    assert undone["labelled"] == 0 and undone["undone_images"] == len(rows) and len(undone["undone"]) == 60
    body = {"rows": [0] * 5001, "label": "red", "who": "ann"}
    assert client.post("/api/label", json=body).status_code == 422


def test_the_drawing_is_served(client: TestClient) -> None:
    assert "class ImageMap" in client.get("/map.js").text and ".map-stage" in client.get("/map.css").text
    assert "labelMap" in client.get("/label_map.js").text
    assert client.get("/api/map").json()["version"] in (0, 1)
