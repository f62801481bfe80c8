"""The page of a server as people use it: headless Chromium, a desk and a phone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_browser import NEEDS, SIZES, opened, text, wait
from PIL import Image

from headstart.deploy.classifier import Classifier
from headstart.evaluate.uncertainty.answers import AnswerOptions, Uncertainty, held_out_of
from headstart.evaluate.uncertainty.stored import to_part
from tests.deploy.serve.conftest import picture, served, untrained
from tests.evaluate.uncertainty.test_conformal import honest

selenium = pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
pytestmark = NEEDS


def judged() -> Classifier:
    """Return a classifier that says how sure it is, and is so of some pictures only."""
    plain = untrained()
    plain.bundle.network.head.weight.data *= 0.3
    probabilities, labels = honest(60, 3, 0)
    part = to_part(Uncertainty(3, held_out_of(probabilities, labels)))
    return Classifier(replace(plain.ensemble, uncertainty=part), asked=AnswerOptions(level=0.8))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return judged()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return twenty pictures, one that only the server reads, and one that is none."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(20):
        (folder / f"{seed:02d}.png").write_bytes(picture(seed))
    with Image.open(io.BytesIO(picture(20))) as image:
        image.save(folder / "20.tif")
    (folder / "none.png").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module", params=list(SIZES))
def browser(
    request: pytest.FixtureRequest, classifier: Classifier, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Give a browser with the page open; afterwards: nothing was fetched from elsewhere."""
    with served(classifier) as ask:
        address = f"http://127.0.0.1:{ask.port}/"  # type: ignore[attr-defined]
        with opened(address, SIZES[request.param], tmp_path_factory) as driver:
            yield driver


def saved(browser: Any) -> list[dict[str, str]]:
    """Return the rows of the CSV that the page saves."""
    file = browser.downloads / "predictions.csv"
    file.unlink(missing_ok=True)
    browser.find_element("id", "csv").click()
    wait(browser, file.is_file)
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_the_page_says_what_predict_says(browser: Any, classifier: Classifier, photos: Path) -> None:
    files = sorted(photos.iterdir())
    wait(browser, lambda: text(browser, "status") == "Ready.")
    assert text(browser, "title") == "lenet5" and "into 3 classes. Sets contain the right class" in text(
        browser, "about"
    )
    browser.find_element("id", "files").send_keys("\n".join(map(str, files)))
    wait(browser, lambda: text(browser, "status") == "21 classified, 1 could not be read")
    rows = saved(browser)
    assert [row["image"] for row in rows] == [file.name for file in files]  # as they were added, not as answers came
    assert rows[-1]["error"] and not any(row["error"] for row in rows[:-1])
    shown = [each.text for each in browser.find_elements("css selector", "#rows .label")]
    for row, words in zip(rows[:-1], shown, strict=True):
        (expected,) = classifier.predict(photos / row["image"])
        found = [float(row[name]) for name in classifier.classes]
        np.testing.assert_allclose(found, expected.probabilities, atol=2e-6, err_msg=row["image"])
        assert (row["class"], row["answer"], row["set"]) == (expected.label, expected.answer, "|".join(expected.set))
        says = {"sure": expected.label, "one of": " or ".join(expected.set), "don't know": "don't know"}
        assert words == says[expected.answer]
    assert len({row["answer"] for row in rows[:-1]}) > 1
    blank = browser.find_elements("css selector", "#rows .blank")
    assert len(blank) == 2  # the TIFF, which only the server reads, and what is no picture
    browser.find_element("id", "unsure").click()
    sure = [float(row["probability"]) for row in saved(browser)[:-1]]
    assert sure == sorted(sure)


def test_the_page_fits_its_screen_and_can_be_cleared(browser: Any) -> None:
    wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
    browser.find_element("id", "clear").click()
    assert browser.find_elements("css selector", "#rows li") == [] and text(browser, "status") == "Ready."


def test_a_key_is_asked_for_and_withheld_answers_are_for_a_person(
    photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    n = 3
    labels = np.arange(90) % n
    sharp = np.full((90, n), 0.001 / (n - 1), np.float32)
    sharp[np.arange(90), labels] = 0.999
    sharp[:3] = np.roll(sharp[:3], 1, axis=1) * 0.5 + 0.5 / n
    part = to_part(Uncertainty(n, held_out_of(sharp, labels)))
    model = Classifier(replace(untrained().ensemble, uncertainty=part), asked=AnswerOptions(level=0.9, at_least=0.95))
    (expected,) = model.predict(photos / "00.png")
    assert expected.withheld
    from selenium.webdriver.support.expected_conditions import alert_is_present
    from selenium.webdriver.support.ui import WebDriverWait

    with (
        served(model, key="sesame") as ask,
        opened(f"http://127.0.0.1:{ask.port}/", SIZES["desk"], tmp_path_factory) as driver,  # type: ignore[attr-defined]
    ):
        for given in ("open", "sesame"):
            prompt = WebDriverWait(driver, 60).until(alert_is_present())
            prompt.send_keys(given)
            prompt.accept()
        wait(driver, lambda: text(driver, "status") == "Ready.")
        driver.find_element("id", "files").send_keys(str(photos / "00.png"))
        wait(driver, lambda: text(driver, "status") == "1 classified")
        (row,) = saved(driver)
    assert row["withheld"] == "true" and row["class"] == expected.label
