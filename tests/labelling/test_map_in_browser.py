"""The map in the page of `headstart label`, in headless Chromium: a lasso, a class for all, undo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from page_browser import NEEDS, SIZES, opened, press, served, text, wait
from unlabelled_folder import colour_of, draw_folder, embedded

from headstart.labelling.app import make_app
from headstart.labelling.label_file import LabelFile
from headstart.labelling.session import LabelSession

pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
pytestmark = NEEDS


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabelSession:
    monkeypatch.setattr("headstart.labelling.map_view.method_for", lambda *given: ("pca", ""))
    folder = draw_folder(tmp_path / "p", 60)
    return LabelSession(embedded(folder, 0.05), LabelFile(tmp_path / "l.csv"), ["red", "green", "blue"])


def lasso(driver: Any, session: LabelSession, colour: str) -> int:
    """Draw a lasso around all images of a colour with the mouse; return how many of them can get a label."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    rows = [row for row, path in enumerate(session.paths) if colour_of(path) == colour]
    box = driver.execute_script(
        "const map = labelMap.view; map.whole(); map.paint(); const all = map.points.positions;"
        " const at = arguments[0].map((row) => map.screen([all[2 * row], all[2 * row + 1]]));"
        " const xs = at.map((p) => p[0]), ys = at.map((p) => p[1]);"
        " return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), map.width, map.height]",
        rows,
    )
    stage = driver.find_element("css selector", ".map-stage")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", stage)
    left, top, right, bottom = box[0] - 6, box[1] - 6, box[2] + 6, box[3] + 6
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    places = [(round(x - box[4] / 2), round(y - box[5] / 2)) for x, y in corners]
    chain = (
        ActionChains(driver, 20).key_down(Keys.SHIFT).move_to_element_with_offset(stage, *places[0]).click_and_hold()
    )
    for x, y in places[1:]:
        chain = chain.move_to_element_with_offset(stage, x, y)
    chain.release().key_up(Keys.SHIFT).perform()
    return sum(row not in session.in_sample for row in rows)


@contextmanager
def label_page(session: LabelSession, size: str, folders: pytest.TempPathFactory) -> Iterator[Any]:
    """Open the page in Chromium, at its first image."""
    with served(make_app(session, "key")) as address, opened(address, SIZES[size], folders, "SEVERE") as driver:
        wait(driver, lambda: text(driver, "caption") != "")
        yield driver


def test_a_lasso_gives_a_class_to_all_that_it_holds_and_undo_takes_it_back(
    session: LabelSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with label_page(session, "desk", tmp_path_factory) as driver:
        press(driver, "m")
        wait(driver, lambda: "principal components" in text(driver, "map-words"))
        count = lasso(driver, session, "green")
        wait(driver, lambda: f"{count} images without a label are chosen" in text(driver, "map-said"))
        assert f"{60 - count} are of the random sample" in text(driver, "map-said")
        press(driver, "2")
        wait(driver, lambda: f"saved: {count} images as green" in text(driver, "saved"))
        given = session.file.read()
        assert len(given) == count and all(each.label == colour_of(path) == "green" for path, each in given.items())
        assert {each.how for each in given.values()} == {"chosen"}
        legend = driver.find_element("css selector", ".map-legend").text
        assert "green" in legend and str(count) in legend
        press(driver, "2")
        wait(driver, lambda: "no image is chosen" in text(driver, "error"))
        press(driver, "z")
        wait(driver, lambda: f"undone: {count} images" in text(driver, "saved"))
        assert session.file.read() == {}
        press(driver, "m")
        wait(driver, lambda: text(driver, "caption") != "")
        assert not driver.find_element("id", "map-view").is_displayed()


def test_a_phone_shows_the_map_within_its_width(
    session: LabelSession, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with label_page(session, "phone", tmp_path_factory) as driver:
        driver.find_element("id", "mode-map").click()
        wait(driver, lambda: "principal components" in text(driver, "map-words"))
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        assert driver.find_element("css selector", ".map-stage").size["height"] >= 260
