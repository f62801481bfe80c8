"""The page as people use it: headless Chromium, keys, two tabs, a phone."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from page_browser import NEEDS, SIZES, opened, press, served, text, wait
from unlabelled_folder import colour_of, draw_folder, embedded

from headstart.labelling.app import make_app
from headstart.labelling.comparing import Comparing
from headstart.labelling.embeddings import Embeddings
from headstart.labelling.label_file import LabelFile
from headstart.labelling.session import LabelSession

pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
pytestmark = NEEDS
KEYS = {"red": "1", "green": "2", "blue": "3"}


def page_of(session: LabelSession) -> contextlib.AbstractContextManager[str]:
    return served(make_app(session, "key"))


def session_of(folder: Path, each: int) -> LabelSession:
    pictures = embedded(draw_folder(folder / "p", each))
    return LabelSession(pictures, LabelFile(folder / "l.csv"), list(KEYS), suggests=True)


@pytest.fixture
def session(tmp_path: Path) -> LabelSession:
    return session_of(tmp_path, 100)


def label_one(driver: Any, session: LabelSession) -> str:
    """Give the image that is shown its right class by a key, and wait for the next."""
    wait(driver, lambda: text(driver, "caption") != "")
    name, before = text(driver, "caption"), int((session.labels >= 0).sum())
    press(driver, KEYS[colour_of(name)])
    wait(driver, lambda: int((session.labels >= 0).sum()) > before and text(driver, "caption") != name)
    return name


def test_most_images_are_labelled_by_keyboard_with_undo_reload_and_two_tabs(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    session = session_of(tmp_path, 36)
    with (
        page_of(session) as address,
        opened(address, SIZES["desk"], tmp_path_factory, "SEVERE") as driver,
    ):
        names = [label_one(driver, session) for _ in range(72)]
        assert len(set(names)) == 72 and "72 of 108 images labelled" in text(driver, "progress")
        rows = session.file.read()
        assert len(rows) == 72 and all(given.label == colour_of(path) for path, given in rows.items())
        press(driver, "z")
        wait(driver, lambda: text(driver, "caption") == names[-1])
        assert len(session.file.read()) == 71
        driver.refresh()
        wait(driver, lambda: "71 of 108" in text(driver, "progress"))
        label_one(driver, session)
        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        driver.get(address)
        driver.find_element("id", "who").send_keys("-two\t")
        driver.refresh()
        other = [label_one(driver, session) for _ in range(3)]
        driver.switch_to.window(first)
        mine = [label_one(driver, session) for _ in range(3)]
        assert not set(other) & set(mine) and len(session.file.read()) == 78
        assert {given.who for given in session.file.read().values()} == {"me", "me-two"}
        wait(driver, lambda: "measured on the" in text(driver, "accuracy"))


def test_similar_images_together_a_new_class_and_a_refusal(
    session: LabelSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with page_of(session) as address, opened(address, SIZES["desk"], tmp_path_factory) as driver:
        wait(driver, lambda: text(driver, "caption") != "")
        while "random sample" in text(driver, "why"):
            label_one(driver, session)
        before = int((session.labels >= 0).sum())
        press(driver, "g")
        wait(driver, lambda: len(driver.find_elements("css selector", "#grid button")) == 24)
        tiles = driver.find_elements("css selector", "#grid button")
        tiles[0].click()
        assert tiles[0].get_attribute("aria-pressed") == "false"
        press(driver, "1")
        wait(driver, lambda: int((session.labels >= 0).sum()) == before + 23)
        press(driver, "n")
        driver.find_element("id", "new-name").send_keys("NA\n")
        wait(driver, lambda: "cannot be named" in text(driver, "error"))
        driver.find_element("id", "new-name").clear()
        driver.find_element("id", "new-name").send_keys("teal\n")
        wait(driver, lambda: "teal" in text(driver, "classes"))
        assert session.classes == [*KEYS, "teal"]


def test_a_search_by_a_picture_a_skip_that_is_undone_and_a_label_from_somebody_else(
    session: LabelSession, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.suggests = False
    blues = [row for row, path in enumerate(session.paths) if colour_of(path) == "blue"]
    wanted = session.paths[blues[0]]
    monkeypatch.setattr(Embeddings, "of", lambda self, picture: self.vectors[blues].mean(axis=0))
    with page_of(session) as address, opened(address, SIZES["desk"], tmp_path_factory, "SEVERE") as driver:
        wait(driver, lambda: text(driver, "caption") != "")
        skipped = text(driver, "caption")
        press(driver, " ")
        wait(driver, lambda: text(driver, "caption") not in ("", skipped))
        press(driver, "z")
        wait(driver, lambda: text(driver, "caption") == skipped and f"undone: {skipped}" in text(driver, "saved"))
        session.label([session.paths.index(wanted.with_name(skipped))], "red", "bob")
        press(driver, KEYS["green"])
        wait(driver, lambda: "not saved; one image has a label from somebody else already" in text(driver, "saved"))
        assert [given.who for given in session.file.read().values()] == ["bob"]
        press(driver, "g")  # the random sample comes one by one
        wait(driver, lambda: "labelled one by one" in text(driver, "why"))
        assert driver.find_element("id", "one").is_displayed() and not driver.find_element("id", "grid").is_displayed()
        driver.find_element("id", "search-file").send_keys(str(wanted))
        wait(driver, lambda: len(driver.find_elements("css selector", "#grid button")) == 24)
        assert "most like your picture" in text(driver, "why")
        names = [each.get_attribute("alt") for each in driver.find_elements("css selector", "#grid img")]
        press(driver, KEYS["blue"])
        wait(driver, lambda: "saved: 24 images as blue" in text(driver, "saved"))
        given = {path.name: each for path, each in session.file.read().items() if each.who != "bob"}
        assert set(given) == set(names) and {each.how for each in given.values()} == {"similar"}
        driver.find_element("id", "copy").click()
        wait(driver, lambda: text(driver, "copy") in ("copied", "selected: press Ctrl-C"))


def test_a_class_that_is_typed_is_given_and_an_unknown_one_is_added(
    session: LabelSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for number in range(40):
        session.add_class(f"Kind {number}")
    with page_of(session) as address, opened(address, SIZES["desk"], tmp_path_factory, "SEVERE") as driver:
        wait(driver, lambda: text(driver, "caption") != "")
        first = text(driver, "caption")
        press(driver, "n")
        driver.find_element("id", "new-name").send_keys("kind 39\n")
        wait(driver, lambda: text(driver, "caption") not in ("", first))
        assert {path.name: each.label for path, each in session.file.read().items()} == {first: "Kind 39"}
        assert len(driver.find_elements("css selector", "#class-names option")) == 43
        press(driver, "n")
        driver.find_element("id", "new-name").send_keys("kind\n")
        wait(driver, lambda: "kind" in session.classes)
        assert len(session.file.read()) == 1


def test_images_come_in_random_order_until_s_is_pressed(
    session: LabelSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    session.suggests = False
    with (
        page_of(session) as address,
        opened(address, SIZES["desk"], tmp_path_factory, "SEVERE") as driver,
    ):
        wait(driver, lambda: "random sample" in text(driver, "why"))
        assert "fewer labels in simulations" in text(driver, "savings")
        names = [label_one(driver, session) for _ in range(5)]
        first = [session.embeddings.dataset.reader.name(row) for row in session.suggester.sample[:5].tolist()]
        assert names == first and session.at_random.sum() == 5
        press(driver, "s")
        wait(driver, lambda: "typical" in text(driver, "why"))
        driver.refresh()
        wait(driver, lambda: "typical" in text(driver, "why"))
        assert driver.find_element("id", "order-suggested").get_attribute("aria-pressed") == "true"
        press(driver, "s")
        wait(driver, lambda: "random sample" in text(driver, "why"))
        session.suggests = True  # headstart is started again, with --suggest
        driver.refresh()
        wait(driver, lambda: "typical" in text(driver, "why"))


def test_models_are_compared_by_a_click_and_their_report_cannot_use_the_page(
    session: LabelSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    report = tmp_path / "report.html"
    report.write_text("<p id=said></p><script>document.getElementById('said').textContent = self.origin</script>")
    program = f"print({json.dumps({'answer': 'Use ridge.', 'report': str(report)})!r})"
    monkeypatch.setattr(Comparing.__init__, "__defaults__", ((sys.executable, "-c", program), ()))
    with (
        page_of(session) as address,
        opened(address, SIZES["desk"], tmp_path_factory, "SEVERE") as driver,
    ):
        wait(driver, lambda: text(driver, "caption") != "")
        assert not driver.find_element("id", "compare").is_enabled()
        while len({colour_of(path) for path in session.file.read()}) < 2 or not session.tested:
            label_one(driver, session)
        wait(driver, driver.find_element("id", "compare").is_enabled)
        assert f"It is tested on {session.tested} of the labelled images" in text(driver, "fair")
        driver.find_element("id", "compare").click()
        wait(driver, lambda: text(driver, "compared").endswith(" labels: Use ridge."))
        page = driver.current_window_handle
        driver.find_element("id", "report").click()
        (other,) = {*driver.window_handles} - {page}
        driver.switch_to.window(other)
        wait(driver, lambda: text(driver, "said") == "null")  # an origin of its own: neither cookie nor storage
        driver.close()
        driver.switch_to.window(page)


def test_a_phone_shows_everything_within_its_width(
    session: LabelSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        page_of(session) as address,
        opened(address, SIZES["phone"], tmp_path_factory, "SEVERE") as driver,
    ):
        wait(driver, lambda: text(driver, "caption") != "")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        for button in driver.find_elements("css selector", "#classes button"):
            assert button.size["height"] >= 36
