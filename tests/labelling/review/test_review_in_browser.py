"""The page as people use it: headless Chromium, keys, two people, a phone."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from page_browser import NEEDS, SIZES, opened, press, served, text, wait
from reviewed_folder import draw_classes, review_of

from headstart.labelling.review.review_app import make_review_app
from headstart.labelling.review.session import ReviewSession

pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
pytestmark = NEEDS
NEXT = "headstart compare 'my photos/of-all' --corrections c.csv"


def page_of(session: ReviewSession) -> contextlib.AbstractContextManager[str]:
    return served(make_review_app(session, "key", NEXT))


@pytest.fixture
def session(tmp_path: Path) -> ReviewSession:
    return review_of(draw_classes(tmp_path / "p"), tmp_path / "c.csv")


def decisions(session: ReviewSession) -> dict[str, tuple[str, str]]:
    return {f"{row.path} {row.problem}": (row.decision, row.after) for row in session.file.read().values()}


def test_everything_is_decided_by_keyboard_undone_and_continued(
    session: ReviewSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        page_of(session) as address,
        opened(address, SIZES["desk"], tmp_path_factory) as driver,
    ):
        wait(driver, lambda: text(driver, "title").lower() == "copies")
        press(driver, "2")  # the second image is not marked any more
        press(driver, "1")
        wait(driver, lambda: "exclude the marked one" in text(driver, "exclude"))
        press(driver, "e")
        wait(driver, lambda: "wrong" in text(driver, "title"))
        assert decisions(session)["blue/00.png duplicate"] == ("exclude", "")
        assert len(driver.find_elements("css selector", "#beside img")) == 8
        press(driver, "z")
        wait(driver, lambda: text(driver, "title").lower() == "copies")
        assert decisions(session) == {}
        press(driver, "e")
        wait(driver, lambda: "wrong" in text(driver, "title"))
        press(driver, "r")
        wait(driver, lambda: "groups" in text(driver, "title").lower())
        assert decisions(session)["blue/03.png label"] == ("relabel", "red")
        press(driver, "c")
        driver.find_element("id", "other-name").send_keys("violet\n")
        wait(driver, lambda: "unknown class 'violet'" in text(driver, "error"))
        driver.find_element("id", "other-name").clear()
        driver.find_element("id", "other-name").send_keys("blue\n")
        wait(driver, lambda: "Everything is decided" in text(driver, "empty"))  # the dark image is excluded already
        assert decisions(session)["red/02.png group"] == ("relabel", "blue")
        wait(driver, lambda: "4 of 4 findings decided" in text(driver, "progress"))
        assert text(driver, "command") == NEXT
        driver.refresh()
        wait(driver, lambda: len(driver.find_elements("css selector", "#recent button")) == 3)
        driver.find_elements("css selector", "#recent button")[0].click()  # decide the group again
        wait(driver, lambda: "groups" in text(driver, "title").lower())
        press(driver, "k")
        wait(driver, lambda: decisions(session)["red/02.png group"] == ("keep", "red"))


def test_a_phone_shows_everything_within_its_width(
    session: ReviewSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        page_of(session) as address,
        opened(address, SIZES["phone"], tmp_path_factory, "SEVERE") as driver,
    ):
        for _ in range(3):
            wait(driver, lambda: text(driver, "title") != "")
            assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
            shown = text(driver, "title")
            assert driver.find_element("id", "keep").size["height"] >= 36
            driver.find_element("id", "unsure").click()
            wait(driver, lambda shown=shown: text(driver, "title") != shown)
