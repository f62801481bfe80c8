"""The page of `headstart map` in headless Chromium: what is drawn where, a lasso, names that would be code, a phone."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_browser import NEEDS, SIZES, opened, text, wait
from PIL import Image

from headstart.maps.page import map_page
from headstart.maps.points import Colouring, encoded, quantised
from headstart.maps.sheets import sheets

pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
pytestmark = NEEDS
BAD = "<img src=x onerror=window.bad=1>"
CLASSES = ["ant", BAD, "crab"]
CORNERS = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], dtype=np.float32)  # the last is of no class
AT = (
    "const where = map.screen([map.points.positions[2 * arguments[0]], map.points.positions[2 * arguments[0] + 1]]);"
    "const x = Math.round(where[0] * map.ratio), y = Math.round(where[1] * map.ratio), gl = map.drawing.gl;"
)
PIXEL = (
    f"{AT} map.paint(); const found = new Uint8Array(4);"
    "if (gl) gl.readPixels(x, gl.canvas.height - 1 - y, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, found);"
    "else found.set(map.drawing.context.getImageData(x, y, 1, 1).data); return [...found];"
)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    shown = [
        Colouring("class", CLASSES, np.array([0, 1, 2, -1])),
        Colouring("split", ["test"], np.array([0, 0, -1, 0])),
    ]
    tile = Image.new("RGB", (64, 32), (200, 30, 30))
    data = {
        "positions": encoded(quantised(CORNERS), "<u2"),
        "colours": [each.plain for each in shown],
        "names": ["=cmd", f"{BAD}.jpg", 'a "b".jpg', "d.jpg"],
        "sheets": sheets([0, 2], 2, lambda place: tile),
        "table": [["ant", 1, 0.5, BAD, 0.25]],
    }
    place = tmp_path / "map.html"
    place.write_text(map_page(BAD, "facts", ["words"], data), encoding="utf-8")
    return place


def shown(driver: Any) -> list[str]:
    return [each.get_attribute("aria-pressed") for each in driver.find_elements("css selector", ".map-list button")]


@pytest.mark.parametrize("kind", ["webgl", "canvas"])
def test_points_are_drawn_in_their_place_and_colour(
    kind: str, page: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with opened(page, SIZES["desk"], tmp_path_factory, "SEVERE") as driver:
        driver.get(f"{page.as_uri()}#{kind}")
        driver.refresh()
        assert driver.execute_script("return map.drawing.kind") == {"webgl": "WebGL2", "canvas": "canvas"}[kind]
        palette = driver.execute_script("return MAP_RGB")
        for row in range(3):
            found = driver.execute_script(PIXEL, row)
            assert np.abs(np.array(found) - [*palette[row], 255]).max() <= 12, row  # WebGL2 smooths the edges
        grey = driver.execute_script(PIXEL, 3)
        assert grey[0] < grey[2] and abs(grey[0] - 169) < 12 and grey[3] == 255
        driver.find_element("css selector", ".map-list button").click()
        assert shown(driver) == ["false", "true", "true"] and driver.execute_script(PIXEL, 0) == grey
        driver.find_element("css selector", ".map-list button").click()
        assert np.abs(np.array(driver.execute_script(PIXEL, 0)) - [*palette[0], 255]).max() <= 12


def test_names_are_never_code_and_a_choice_is_saved(page: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    with opened(page, SIZES["desk"], tmp_path_factory, "SEVERE") as driver:
        stage = driver.find_element("css selector", ".map-stage")
        x, y, width, height = driver.execute_script(f"{AT} return [...where, map.width, map.height]", 1)
        move = ActionChains(driver).move_to_element_with_offset(stage, round(x - width / 2), round(y - height / 2))
        move.perform()
        tip = driver.find_element("css selector", ".map-tip")
        assert tip.is_displayed() and tip.text.splitlines() == [f"{BAD}.jpg", f"class: {BAD}", "split: test"]
        driver.execute_script("map.choose(map.points.inside([[-1, -1], [70000, -1], [70000, 70000], [-1, 70000]]))")
        listed = driver.find_element("css selector", ".map-chosen").text
        assert "4 chosen" in listed and BAD in listed
        assert len(driver.find_elements("css selector", ".map-chosen canvas")) == 2  # the others have no picture
        save = next(e for e in driver.find_elements("css selector", ".map-chosen button") if "CSV" in e.text)
        save.click()
        wait(driver, lambda: (driver.downloads / "chosen.csv").is_file())
        rows = list(csv.reader(io.StringIO((driver.downloads / "chosen.csv").read_text("utf-8-sig"))))
        assert rows == [
            ["image", "class", "split"],
            ["'=cmd", "ant", "test"],
            [f"{BAD}.jpg", BAD, "test"],
            ['a "b".jpg', "crab", ""],
            ["d.jpg", "", "test"],
        ]
        driver.find_element("css selector", "details summary").click()
        assert BAD in driver.find_element("css selector", "tbody").text
        assert driver.execute_script("return window.bad") is None
        assert driver.find_element("tag name", "h1").text == BAD and text(driver, "map")


def test_keys_move_zoom_and_name_the_image_in_the_middle(page: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    from selenium.webdriver.common.keys import Keys

    with opened(page, SIZES["desk"], tmp_path_factory, "SEVERE") as driver:
        stage = driver.find_element("css selector", ".map-stage")
        first = driver.execute_script("return map.view")
        stage.send_keys("+")
        assert driver.execute_script("return map.view.scale") == pytest.approx(1.5 * first["scale"])
        for _ in range(6):
            stage.send_keys(Keys.ARROW_LEFT, Keys.ARROW_UP)
        stage.send_keys(Keys.ENTER)
        assert driver.find_element("css selector", ".map-said").text == 'a "b".jpg, class: crab'  # above on the left
        stage.send_keys("0")
        assert driver.execute_script("return map.view") == pytest.approx(first)
        stage.send_keys("l")
        assert driver.execute_script("return map.lassoing") is True


def test_two_fingers_zoom_and_one_moves_on_a_phone(page: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with opened(page, SIZES["phone"], tmp_path_factory, "SEVERE") as driver:
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
        box = driver.execute_script("const b = map.stage.getBoundingClientRect(); return [b.left + 180, b.top + 150]")
        before = driver.execute_script("return map.view")

        def touch(kind: str, *places: tuple[float, float]) -> None:
            points = [{"x": box[0] + x, "y": box[1] + y, "id": k} for k, (x, y) in enumerate(places)]
            driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", (-20, 0), (20, 0))
        for wide in (30, 40, 50, 60):
            touch("touchMove", (-wide, 0), (wide, 0))
        touch("touchEnd")
        zoomed = driver.execute_script("return map.view")
        assert zoomed["scale"] == pytest.approx(3 * before["scale"], rel=0.15)
        touch("touchStart", (0, 0))
        touch("touchMove", (30, 10))
        touch("touchMove", (60, 20))
        touch("touchEnd")
        moved = driver.execute_script("return map.view")
        assert moved["x"] - zoomed["x"] == pytest.approx(60, abs=31) and moved["scale"] == zoomed["scale"]
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390


def test_a_thirteenth_class_takes_the_colour_of_the_first(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    codes = np.repeat(np.arange(30), 2)
    colouring = Colouring("class", [f"c{code:02d}" for code in range(30)], codes)
    positions = encoded(quantised(np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)), "<u2")
    place = tmp_path / "many.html"
    data = {"positions": positions, "colours": [colouring.plain], "names": None, "table": []}
    place.write_text(map_page("many", "", [], data), encoding="utf-8")
    with opened(place, SIZES["desk"], tmp_path_factory, "SEVERE") as driver:
        assert shown(driver) == ["true"] * 12 + ["false"] * 18
        driver.find_elements("css selector", ".map-list button")[20].click()
        assert shown(driver) == ["false"] + ["true"] * 11 + ["false"] * 8 + ["true"] + ["false"] * 9
        driver.find_element("css selector", ".map-legend input").send_keys("c07")
        assert [e.text for e in driver.find_elements("css selector", ".map-list button .map-name")] == ["c07"]


def test_what_is_printed_keeps_its_proportions(page: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The page is laid out for paper after what it draws for paper; nothing is drawn again then."""
    with opened(page, SIZES["desk"], tmp_path_factory, "SEVERE") as driver:
        driver.execute_script("dispatchEvent(new Event('beforeprint'))")
        drawn = driver.execute_script(
            "return [map.drawing.canvas.width / map.ratio, map.drawing.canvas.height / map.ratio]"
        )
        driver.execute_script("map.resize = () => undefined")
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        box = driver.execute_script("return [map.stage.clientWidth, map.stage.clientHeight]")
        assert drawn == pytest.approx(box, abs=1)
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        driver.execute_script("dispatchEvent(new Event('afterprint'))")
        assert driver.execute_script("return map.stage.style.height") == ""
