"""The page as people use it: headless Chromium with the network off, a desk and a phone."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_browser import NEEDS, SIZES, opened
from PIL import Image

from headstart.deploy.classifier import Classifier
from headstart.deploy.export.page import PAGE, build, finish, usage
from headstart.deploy.export.page_runtime import runtime_of
from headstart.deploy.export.target import Parts
from headstart.errors import HeadstartError

selenium = pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
pytestmark = NEEDS
PATIENCE = 120  # seconds


@pytest.fixture(scope="module")
def page(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small model, with the real runtime ($ONNXRUNTIME_WEB, the cache, or npm)."""
    folder = tmp_path_factory.mktemp("page")
    given = os.environ.get("ONNXRUNTIME_WEB")
    try:
        runtime_of(Path(given) if given else None)
    except HeadstartError as error:
        pytest.skip(str(error))
    own = Parts(parts.ensemble, parts.material, Path(given) if given else None)
    own.float_graph = parts.float_graph
    build(own, folder)
    finish(own, folder, [], [], usage(own))
    return folder / PAGE


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several sizes and kinds: turned by EXIF, transparent, grey, and one that is none."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for k in range(8):
        colour = generator.integers(0, 256, (1, 1, 3))
        pixels = np.clip(colour + generator.integers(-40, 40, (90 + 20 * k, 120, 3)), 0, 255).astype(np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6 if k % 2 else 1
        Image.fromarray(pixels).save(folder / f"photo-{k}.png", exif=exif.tobytes())
    clear = np.dstack([pixels, np.full(pixels.shape[:2], 90, np.uint8)])
    Image.fromarray(clear).save(folder / "clear.png")
    Image.fromarray(pixels[..., 0]).save(folder / "grey.png")
    (folder / "no-picture.png").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module", params=list(SIZES))
def browser(request: pytest.FixtureRequest, page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose network is off, with the page open; afterwards: nothing was fetched, no error was logged."""
    with opened(page, SIZES[request.param], tmp_path_factory, "SEVERE", offline=True) as driver:
        yield driver


def until(browser: Any, condition: str) -> None:
    """Wait until an expression of the page is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, PATIENCE, 0.1).until(lambda page: page.execute_script(f"return {condition}"))


def test_the_page_says_what_the_classifier_says_and_saves_it(browser: Any, parts: Parts, photos: Path) -> None:
    files = sorted(photos.iterdir())
    browser.find_element("id", "files").send_keys("\n".join(map(str, files)))
    until(browser, f"results.length === {len(files)} && !busy")
    status = browser.find_element("id", "status").text
    assert status == f"{len(files) - 1} classified, 1 could not be read"
    browser.find_element("id", "unsure").click()
    browser.find_element("id", "csv").click()
    saved = browser.downloads / "predictions.csv"
    until(browser, "true")
    for _ in range(100):
        if saved.is_file():
            break
        browser.execute_async_script("setTimeout(arguments[0], 100)")
    rows = list(csv.DictReader(saved.read_text(encoding="utf-8").splitlines()))
    assert sorted(row["image"] for row in rows) == [file.name for file in files]
    unread = rows.pop()
    assert (unread["image"], unread["class"], unread["ant"]) == ("no-picture.png", "", "")
    assert unread["error"].startswith("cannot be read as a picture") and not any(row["error"] for row in rows)
    sure = [float(row["probability"]) for row in rows]
    assert sure == sorted(sure)
    for row in rows:
        (expected,) = Classifier(parts.ensemble).predict(photos / row["image"])
        found = [float(row[name]) for name in ("ant", "bee", "cat")]
        np.testing.assert_allclose(found, expected.probabilities, atol=0.01, err_msg=row["image"])
        assert row["class"] == expected.label


def test_the_page_fits_its_screen_and_can_be_cleared(browser: Any) -> None:
    until(browser, "results.length > 0 && !busy")
    wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
    for button in browser.find_elements("css selector", "button, .button"):
        if button.is_displayed():
            assert button.size["height"] >= 40, button.text
    browser.find_element("id", "clear").click()
    assert browser.find_elements("css selector", "#rows li") == []
    assert browser.find_element("id", "status").text == "Ready."
