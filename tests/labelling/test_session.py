from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from unlabelled_folder import colour_of, draw_folder, embedded

from headstart.data.sources.without_labels import UNKNOWN, load_without_labels
from headstart.errors import DataError, SpecError
from headstart.labelling import session as sessions
from headstart.labelling.embeddings import Embeddings
from headstart.labelling.label_file import LabelFile
from headstart.labelling.session import LabelSession


def opened(tmp_path: Path, *classes: str, each: int = 20) -> LabelSession:
    folder = tmp_path / "photos"
    if not folder.exists():
        draw_folder(folder, each)
    return LabelSession(embedded(folder), LabelFile(tmp_path / "labels.csv"), list(classes), suggests=True)


def answer(session: LabelSession, count: int, who: str = "ann") -> None:
    """Label the next images as an oracle would."""
    for each in session.next(count, who):
        session.label([each.row], colour_of(session.paths[each.row]), who, {each.row: each.how})


def test_labels_are_kept_and_the_next_session_goes_on_with_them(tmp_path: Path) -> None:
    session = opened(tmp_path, "red", "green")
    answer(session, 12)
    assert session.classes[:2] == ["red", "green"] and set(session.classes) == {"red", "green", "blue"}
    assert sum(session.counts().values()) == 12 == (session.labels != UNKNOWN).sum()
    again = opened(tmp_path)
    assert np.array_equal(np.array(again.classes)[again.labels], np.array(session.classes)[session.labels])
    assert np.array_equal(again.at_random, session.at_random) and again.at_random.sum() == 3
    assert not {each.row for each in again.next(12, "ann")} & set(np.flatnonzero(session.labels != UNKNOWN))


def test_a_folder_given_by_a_path_that_goes_up_keeps_all_labels(tmp_path: Path) -> None:
    draw_folder(tmp_path / "photos", 4)
    (tmp_path / "labels").mkdir()
    folder, file = tmp_path / "labels" / ".." / "photos", LabelFile(tmp_path / "labels" / "labels.csv")
    session = LabelSession(embedded(folder), file, suggests=True)
    session.label([0, 1], "red", "ann")
    session.label([2], "blue", "ann")
    assert session.counts() == {"red": 2, "blue": 1}
    session.label([0], "blue", "ann")
    assert len((tmp_path / "labels" / "labels.csv").read_text(encoding="utf-8").splitlines()) == 4


def test_undo_restores_what_was_there_for_each_person(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.label([0, 1], "red", "ann")
    session.label([1], "blue", "bob")
    session.label([1], "green", "ann")
    assert session.undo("ann") == [1] and session.classes[session.labels[1]] == "blue"
    assert session.undo("ann") == [0] and session.labels[0] == UNKNOWN
    assert session.classes[session.labels[1]] == "blue"  # bob's, and ann's undo leaves it
    assert session.undo("ann") == []
    session.unlabel([2], "ann")
    assert session.undo("bob") == [1] and session.labels[1] == UNKNOWN  # ann has taken back her red


def test_a_label_that_somebody_gave_meanwhile_is_kept(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.label([1], "blue", "bob")
    assert session.label([0, 1, 2], "red", "ann", replace=False) == [0, 2]
    assert [session.classes[session.labels[row]] for row in (0, 1, 2)] == ["red", "blue", "red"]
    assert session.label([1], "red", "ann", replace=False) == []
    assert session.undo("ann") == [0, 2] and session.undo("ann") == []
    assert session.counts()["blue"] == 1 == (session.labels != UNKNOWN).sum()


def test_undo_takes_back_a_skip_and_nobody_else_is_shown_the_image(tmp_path: Path) -> None:
    session = opened(tmp_path)
    first, second = (each.row for each in session.next(2, "ann"))
    session.label([first], "red", "ann")
    session.skip([second], "ann")
    assert session.undo("ann") == [second] and session.labels[first] != UNKNOWN
    assert second not in {each.row for each in session.next(60, "bob")}
    assert second in {each.row for each in session.next(60, "ann")}
    assert session.undo("ann") == [first] and first not in {each.row for each in session.next(60, "bob")}


def test_undo_passes_over_what_changed_nothing(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.label([0], "red", "ann")
    session.skip([1], "ann")
    session.skip([1], "ann")  # again, in another window
    session.unlabel([2], "ann")  # which somebody else has done already
    assert session.undo("ann") == [1] and session.undo("ann") == [0] and session.undo("ann") == []


def test_images_that_wait_in_a_page_are_not_shown_to_others_while_it_asks_for_more(tmp_path: Path) -> None:
    session = opened(tmp_path)
    for _ in range(3):
        answer(session, 10)
    session.refit()
    waiting = {each.row for each in session.next(10, "ann", suggest=False)}
    other = {each.row for each in session.next(10, "ann", suggest=True)}
    assert waiting - other and not (waiting | other) & {each.row for each in session.next(60, "bob")}


def test_a_search_finds_the_unlabelled_images_most_like_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(tmp_path)
    greens = [row for row, path in enumerate(session.paths) if colour_of(path) == "green"]
    vectors = session.embeddings.vectors
    monkeypatch.setattr(Embeddings, "of", lambda self, picture: vectors[greens].mean(axis=0))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    by_cosine = np.argsort(-(unit @ vectors[greens].mean(axis=0)), kind="stable").tolist()
    session.label([by_cosine[0]], "green", "ann")
    expected = [row for row in by_cosine[1:] if row not in session.in_sample]
    assert session.search(b"a picture", 7) == expected[:7]
    assert {colour_of(session.paths[row]) for row in expected[:7]} == {"green"}
    assert session.search(b"a picture", 60) == expected and len(expected) in (41, 42)


def test_what_one_person_found_is_shown_to_nobody_else_for_two_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, now = opened(tmp_path), [1000.0]
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now[0])
    vectors = session.embeddings.vectors
    row = next(row for row in range(60) if row not in session.in_sample)
    monkeypatch.setattr(Embeddings, "of", lambda self, picture: vectors[row])
    found = session.search(b"a picture", 8, "ann")
    assert found[0] == row and found == session.search(b"a picture", 8, "ann") == session.search(b"a picture", 8)
    other = session.search(b"a picture", 8, "bob")
    like = session.like(other[0], 8, "bob")
    assert len(other) == len(like) == 8 and like[0] == other[0] and not set(found) & {*other, *like}
    assert not {each.row for each in session.next(60, "cat")} & {*found, *other, *like}
    now[0] += 121
    assert session.search(b"a picture", 8, "bob") == found


def test_two_people_are_not_shown_the_same_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, now = opened(tmp_path), [1000.0]
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now[0])
    mine = {each.row for each in session.next(10, "ann")}
    assert not mine & {each.row for each in session.next(10, "bob")}
    assert mine == {each.row for each in session.next(10, "ann")}
    now[0] += sessions._RESERVED + 1
    assert mine & {each.row for each in session.next(10, "bob")}


def test_without_suggestions_all_images_come_in_random_order_and_the_sample_measures(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.suggests = False
    rows = [each.row for each in session.next(60, "ann")]
    assert rows[:18] == session.suggester.sample.tolist() and sorted(rows) == list(range(60))
    assert [each.how for each in session.next(20, "ann")] == 18 * ["random"] + 2 * ["rest"]
    answer(session, 20)
    assert session.at_random.sum() == 18 and [each.row for each in session.next(3, "ann")] == rows[20:23]
    assert {each.how for each in session.next(8, "ann", suggest=True)} == {"typical"}


def test_what_one_skips_is_left_to_others_and_said_where_it_belongs_to_the_sample(tmp_path: Path) -> None:
    session = opened(tmp_path)
    first = int(session.suggester.sample[0])
    session.skip([first], "ann")
    assert session.skipped_sample == 1
    assert first not in {each.row for each in session.next(60, "ann")}
    assert first in {each.row for each in session.next(60, "bob")}
    session.label([first], "red", "bob", {first: "random"})
    assert session.skipped_sample == 0 and session.at_random[first]


def test_only_the_random_sample_can_measure(tmp_path: Path) -> None:
    session = opened(tmp_path)
    outside = next(row for row in range(len(session.paths)) if row not in session.in_sample)
    inside = int(session.suggester.sample[0])
    session.label([outside, inside], "red", "ann", {outside: "random"})
    assert not session.at_random.any()
    how = {path: each.how for path, each in session.file.read().items()}
    assert how == {session.paths[outside]: "chosen", session.paths[inside]: "chosen"}


def test_an_image_of_the_sample_that_gets_another_label_still_measures(tmp_path: Path) -> None:
    session = opened(tmp_path)
    inside = int(session.suggester.sample[0])
    session.label([inside], "red", "ann", "random")
    session.label([inside], "blue", "ann")  # a mistake that is put right
    assert session.at_random[inside] and session.classes[session.labels[inside]] == "blue"


def test_labels_of_another_program_on_the_same_file_are_not_asked_for_again(tmp_path: Path) -> None:
    session, other = opened(tmp_path), opened(tmp_path)
    rows = [each.row for each in session.next(12, "ann")]
    other.label(rows[:5], "red", "bob")
    assert not {each.row for each in session.next(40, "ann")} & set(rows[:5])
    assert session.counts() == {"red": 5}
    other.label(rows[5:6], "teal", "bob")
    session.catch_up()
    assert session.counts() == {"red": 5, "teal": 1}


def test_the_classifier_gets_good_and_then_says_what_it_is_unsure_of(tmp_path: Path) -> None:
    session = opened(tmp_path)
    assert session.refit() is None and session.margins() is None
    for _ in range(4):
        answer(session, 10)
        session.refit()
    assert session.fitted is not None and session.fitted.accuracy["n"] == 10 and not session.needs_fit
    truth = [session.classes.index(colour_of(path)) for path in session.paths]
    assert (session.fitted.probabilities.argmax(axis=1) == truth).mean() > 0.85
    assert session.margins() is not None and {each.how for each in session.next(8, "ann")} == {"random", "uncertain"}
    session.label([0], "red", "ann")
    assert session.needs_fit


def test_a_name_that_no_table_can_hold_is_refused_before_anything_changes(tmp_path: Path) -> None:
    session = opened(tmp_path)
    for name in ("NA", "  ", "a|b"):
        with pytest.raises(SpecError, match="a class cannot be named"):
            session.label([0], name, "ann")
    assert not (tmp_path / "labels.csv").exists() and session.classes == []
    assert session.add_class(" cafe\u0301 ") == "caf\u00e9" == session.classes[0]


def test_images_inside_an_archive_cannot_be_labelled(tmp_path: Path) -> None:
    import zipfile

    folder = draw_folder(tmp_path / "photos", 1)
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(folder / "red-000.png", "red.png")
    found = embedded(folder)
    inside = Embeddings(
        load_without_labels(tmp_path / "p.zip"), found.vectors[:1], "drawn", "none", found.resources, found.spec
    )
    with pytest.raises(DataError, match="unpack the images into a folder"):
        LabelSession(inside, LabelFile(tmp_path / "l.csv"))


def test_labels_of_other_images_in_the_file_are_kept(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.label([0, 1], "red", "ann")
    gone = session.paths[0]
    gone.unlink()
    later = opened(tmp_path)
    later.label([5], "blue", "bob")
    assert gone in later.file.read() and len(later.file.read()) == 3
    assert sum(later.counts().values()) == 2


def test_many_threads_at_once_lose_no_label(tmp_path: Path) -> None:
    session = opened(tmp_path)

    def work(who: str) -> None:
        for _ in range(8):
            answer(session, 1, who)

    threads = [threading.Thread(target=work, args=(who,)) for who in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(session.file.read()) == 24
