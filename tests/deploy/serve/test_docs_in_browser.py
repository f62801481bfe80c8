"""The page of the server's interface as people use it: headless Chromium, a desk and a phone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from page_browser import NEEDS, SIZES, opened, text, wait

from headstart.deploy.classifier import Classifier
from tests.deploy.serve.conftest import picture, served

selenium = pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
pytestmark = NEEDS


@pytest.mark.parametrize("size", list(SIZES))
def test_every_operation_is_described_and_can_be_tried_with_a_key(
    classifier: Classifier, size: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    paths = [tmp_path / f"{seed}.png" for seed in range(2)]
    for seed, path in enumerate(paths):
        path.write_bytes(picture(seed))
    with served(classifier, key="sesame") as ask:
        address = f"http://127.0.0.1:{ask.port}/docs"  # type: ignore[attr-defined]
        with opened(address, SIZES[size], tmp_path_factory) as driver:
            wait(driver, lambda: text(driver, "title").startswith("headstart "))
            shown = driver.find_elements("css selector", "details")
            heads = [each.find_element("tag name", "summary").text.split()[:2] for each in shown]
            assert sorted(heads) == [["GET", "/health"], ["GET", "/model"], ["POST", "/explain"], ["POST", "/predict"]]
            predict = shown[heads.index(["POST", "/predict"])]
            predict.find_element("tag name", "summary").click()
            assert "503" in predict.text and "Retry-After" in predict.text
            send = predict.find_element("tag name", "button")

            def answer(part: str = "p") -> str:
                return "".join(each.text for each in predict.find_elements("css selector", f".answer {part}"))

            predict.find_element("css selector", "input[type=file]").send_keys("\n".join(map(str, paths)))
            send.click()
            wait(driver, lambda: answer().startswith("401 "))
            driver.find_element("id", "key").send_keys("sesame")
            predict.find_elements("css selector", "input")[0].send_keys("1")
            send.click()
            wait(driver, lambda: answer().startswith("200 "))
            found = json.loads(answer("pre"))["predictions"]
            assert [each["image"] for each in found] == [path.name for path in paths]
            assert {len(each["probabilities"]) for each in found} == {1}  # top = 1
            assert driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth") <= 0
