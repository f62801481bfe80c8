from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from reviewed_folder import draw_classes, review_of

from headstart.data.sources.load import load_dataset
from headstart.errors import SpecError
from headstart.labelling.review import session as sessions
from headstart.labelling.review.session import ReviewSession


@pytest.fixture
def session(tmp_path: Path) -> ReviewSession:
    return review_of(draw_classes(tmp_path / "p"), tmp_path / "c.csv")


def rows_of(session: ReviewSession) -> list[tuple[str, str, str, str]]:
    return [(row.path, row.decision, row.before, row.after) for row in session.file.read().values()]


def test_each_decision_says_what_becomes_of_every_image(session: ReviewSession) -> None:
    session.decide(0, "exclude", "ann")
    session.decide(1, "relabel", "ann")
    session.decide(2, "relabel", "bob", rows=[16], label="green")
    assert rows_of(session) == [
        ("blue/00.png", "keep", "blue", "blue"),
        ("green/00.png", "exclude", "green", ""),
        ("blue/03.png", "relabel", "blue", "red"),
        ("red/00.png", "relabel", "red", "green"),
        ("red/01.png", "keep", "red", "red"),
        ("red/02.png", "keep", "red", "red"),
    ]
    assert session.changed() == (2, 1)
    assert [(each.place, each.row.decision, each.row.who) for each in session.decided(2)] == [
        (2, "relabel", "bob"),
        (1, "relabel", "ann"),
    ]
    corrected = load_dataset(session.file.path.parent / "p", corrections=session.file.path)
    assert len(corrected) == 23 and corrected.counts().tolist() == [7, 8, 8]


def test_findings_about_excluded_images_are_settled_and_the_next_session_continues(
    session: ReviewSession, tmp_path: Path
) -> None:
    assert session.next(9, "ann") == [0, 1, 2, 3]
    session.decide(0, "exclude", "ann")  # green/00.png, which is too dark as well
    assert session.next(9, "ann") == [1, 2] and session.counts()["dark"] == (0, 1)
    session.decide(2, "exclude", "ann", rows=[17])
    again = review_of(tmp_path / "p", tmp_path / "c.csv")
    assert again.next(9, "bob") == [1] and again.changed() == (0, 2)
    assert again.next(9, "bob", kind="group") == [] == again.next(9, "bob", kind="dark")


def test_decisions_of_another_program_on_the_same_file_are_not_asked_for_again(
    session: ReviewSession, tmp_path: Path
) -> None:
    other = review_of(tmp_path / "p", tmp_path / "c.csv")
    other.decide(1, "relabel", "bob")
    assert session.next(9, "ann") == [0, 2, 3] and session.changed() == (1, 0)
    other.decide(2, "exclude", "bob", rows=[17])
    session.catch_up()
    assert session.changed() == (1, 1)


def test_undo_takes_back_each_persons_own_last_decision(session: ReviewSession) -> None:
    session.decide(1, "keep", "ann")
    session.decide(1, "exclude", "bob")
    session.decide(3, "not sure", "ann")
    assert session.undo("bob") == 1 and session.undo("bob") is None
    assert rows_of(session)[-1] == ("blue/03.png", "keep", "blue", "blue")
    assert session.undo("ann") == 3 and session.is_open(3)
    assert session.undo("ann") == 1 and rows_of(session) == []


def test_undo_leaves_what_somebody_else_decided_since(session: ReviewSession) -> None:
    session.decide(1, "keep", "ann")
    session.decide(1, "relabel", "bob")
    assert session.undo("ann") is None
    assert rows_of(session) == [("blue/03.png", "relabel", "blue", "red")]
    assert session.undo("bob") == 1 and rows_of(session) == []  # not what ann has taken back


def test_two_people_are_not_shown_the_same_finding(session: ReviewSession, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now[0])
    assert session.next(3, "ann") == [0, 1, 2] and session.next(3, "bob") == [3]
    assert session.next(1, "ann", kind="label") == [1] and session.next(3, "bob") == [3]
    assert session.next(3, "ann") == [0, 1, 2]
    now[0] += sessions._RESERVED + 1
    assert session.next(1, "bob") == [0]


def test_bad_decisions_change_nothing(session: ReviewSession) -> None:
    for place, decision, rows, label, says in (
        (1, "delete", None, None, "unknown decision 'delete'"),
        (0, "relabel", None, None, "unknown class ''"),
        (0, "relabel", None, "violet", "unknown class 'violet'"),
        (0, "exclude", [], None, "no image is marked to exclude"),
        (0, "exclude", [5], None, "image 5 does not belong to this problem"),
    ):
        with pytest.raises(SpecError, match=says):
            session.decide(place, decision, "ann", rows=rows, label=label)
    assert not session.file.path.exists()


def test_neighbours_are_the_nearest_of_a_class_without_suspects(session: ReviewSession) -> None:
    vectors = session.embeddings.vectors - session.embeddings.vectors.mean(axis=0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    reds = sorted(range(16, 24), key=lambda row: -float(unit[row] @ unit[3]))
    assert session.neighbours(3, "red") == reds[:4]
    assert 3 not in session.neighbours(0, "blue", count=8) and len(session.neighbours(0, "blue", count=8)) == 6


def test_many_threads_at_once_lose_no_decision(tmp_path: Path) -> None:
    session = review_of(draw_classes(tmp_path / "p"), tmp_path / "c.csv")

    def work(who: str) -> None:
        for _ in range(5):
            for place in range(4):
                session.decide(place, "keep", who)

    threads = [threading.Thread(target=work, args=(who,)) for who in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(session.file.read()) == 7
    for who in ("a", "b"):
        undone = 0
        while session.undo(who) is not None:
            undone += 1
        assert undone <= 20
    assert session.file.read() == {}
