"""The files of `headstart export` beside the study that they come from: graphs, and the page in headless Chromium.

    headstart export STUDY --to onnx,page --check 32
    headstart export STUDY --to onnx,page --int8 --check 32
    python benchmarks/exported.py STUDY headstart-exports                  all test images, and 500 of them on the page
    python benchmarks/exported.py STUDY headstart-exports --count 32 --page 8        does it run?

An export checks its files itself; this measures what a check does not say: which images a file calls unfamiliar, and
what the page does in a browser. The study has one network and tells unfamiliar images. The page needs selenium,
chromium and chromedriver.

onnx, onnx-int8    each on all test images, from the same pixels. Beside the study's own predictions: labels that
                   differ, the largest difference of a probability, points of accuracy lost (95 %, paired) and the share
                   of images called unfamiliar, with its interval; int8 also beside the float graph: bytes, familiarity
page, page-int8    test images, evenly spread, given as files to the page, whose network is off, beside `predict` on the
                   same files; `sent` are requests for anything but the page and what it made itself
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.decoding.decode import View, decode, quiet_pillow
from headstart.deploy.classifier import Classifier
from headstart.deploy.export.accuracy_lost import accuracy_lost
from headstart.deploy.export.page import PAGE
from headstart.deploy.export.pictures import Pictures
from headstart.evaluate.metrics.intervals import proportion
from headstart.evaluate.uncertainty.familiarity import MOST_REJECTED
from headstart.study.results.export_material import material_of
from headstart.study.results.tested import run_folder

BATCH = 16
OUTPUTS = ("probabilities", "familiarity")
PATIENCE = 900  # seconds
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")
OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}


def answers(graphs: Sequence[Path], pictures: Pictures) -> list[list[np.ndarray]]:
    """Return probabilities and familiarity of all pictures by each graph, which get the same pixels."""
    import onnxruntime

    sessions = [onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in graphs]
    (source,) = json.loads(sessions[0].get_modelmeta().custom_metadata_map["inputs"])
    view = View(source["resize"], source["size"], source["interpolation"])
    found: list[list[list[np.ndarray]]] = [[[] for _ in OUTPUTS] for _ in graphs]
    with quiet_pillow():
        for start in range(0, pictures.count, BATCH):
            rows = range(start, min(start + BATCH, pictures.count))
            pixels = np.stack([decode(pictures.read(row), view) for row in rows])
            for session, kept in zip(sessions, found, strict=True):
                for place, each in zip(kept, session.run(OUTPUTS, {source["name"]: pixels}), strict=True):
                    place.append(each)
    return [[np.concatenate(each) for each in kept] for kept in found]


def compared(graphs: Sequence[Path], pictures: Pictures, own: np.ndarray) -> list[dict[str, Any]]:
    """Return how each graph compares with the study's own probabilities, and with the first graph."""
    lines, first = [], None
    for path, (scores, share) in zip(graphs, answers(graphs, pictures), strict=True):
        right = [each.argmax(1) == pictures.labels for each in (own, scores)]
        strange = int((share <= MOST_REJECTED).sum())
        line = {"file": f"{path.parent.name}/{path.name}", "bytes": path.stat().st_size, "images": pictures.count}
        line |= {
            "labels_differ": int((own.argmax(1) != scores.argmax(1)).sum()),
            "largest_difference": float(np.abs(own - scores).max()),
            "accuracy": float(right[1].mean()),
            "points_lost": accuracy_lost(*right)._asdict(),
            "unfamiliar": proportion(strange, pictures.count),
        }
        if first is None:
            first = line["bytes"], share
        else:
            line["bytes_of_float"] = line["bytes"] / first[0]
            line["familiarity_differs"] = {
                "mean": float(np.abs(first[1] - share).mean()),
                "most": float(np.abs(first[1] - share).max()),
            }
        lines.append(line)
    return lines


def on_page(page: Path, files: Sequence[Path], folder: Path) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Return the rows of the CSV that the page saves of these files, and what else was seen."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE)
        saving = {"behavior": "allow", "downloadPath": str(folder)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", saving)
        patience = WebDriverWait(driver, PATIENCE, 0.2)
        started = time.perf_counter()
        driver.get(page.resolve().as_uri())
        patience.until(lambda tab: tab.execute_script("return session !== null"))
        ready = time.perf_counter()
        driver.find_element("id", "files").send_keys("\n".join(map(str, files)))
        patience.until(lambda tab: tab.execute_script(f"return results.length === {len(files)} && !busy"))
        done = time.perf_counter()
        driver.find_element("id", "csv").click()
        saved = folder / "predictions.csv"
        patience.until(lambda _: saved.is_file())  # it has its name when it is complete
        log = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    finally:
        driver.quit()
    asked = [m["params"]["request"]["url"] for m in log if m["method"] == "Network.requestWillBeSent"]
    sent = [url for url in asked if not url.startswith(("blob:", "data:")) and url != page.resolve().as_uri()]
    with saved.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return rows, {"sent": sent, "seconds_to_start": ready - started, "seconds": done - ready}


def page_beside_predict(page: Path, study: Path, pictures: Pictures) -> dict[str, Any]:
    """Return how the page's answers compare with `predict` on the same files."""
    classifier = Classifier.load(study)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        files = [folder / f"{row:05}.jpg" for row in range(pictures.count)]
        for row, file in enumerate(files):
            content = pictures.read(row)
            assert isinstance(content, bytes)
            file.write_bytes(content)
        rows, line = on_page(page, files, folder)
        own = classifier.predict([str(file) for file in files])
    assert [row["image"] for row in rows] == [file.name for file in files]
    shown = np.array([[float(row[label]) for label in classifier.classes] for row in rows])
    return {
        "file": f"{page.parent.name}/{page.name}",
        "bytes": page.stat().st_size,
        "images": pictures.count,
        "labels_differ": sum(row["class"] != each.label for row, each in zip(rows, own, strict=True)),
        "largest_difference": float(np.abs(shown - np.stack([each.probabilities for each in own])).max()),
        "answers_differ": sum(row["answer"] != each.answer for row, each in zip(rows, own, strict=True)),
        **line,
    }


def measured(study: Path, exports: Path, count: int | None, on_pages: int) -> list[dict[str, Any]]:
    """Return a line for each file of the exports."""
    pictures = material_of(study, Classifier.load(study).ensemble).test
    run = run_folder(study)
    assert run is not None and pictures.labels is not None
    with np.load(run / "predictions.npz") as stored:
        own = stored["test_probabilities"]
        assert np.array_equal(stored["test_labels"], pictures.labels)
    few = pictures if count is None else pictures.first(count)
    own = own[np.linspace(0, len(own) - 1, few.count).round().astype(np.int64)]
    graphs = [path for kind in ("onnx", "onnx-int8") if (path := exports / kind / "model.onnx").is_file()]
    pages = [path for kind in ("page", "page-int8") if (path := exports / kind / PAGE).is_file()]
    lines = compared(graphs, few, own) if graphs else []
    return [*lines, *(page_beside_predict(page, study, pictures.first(on_pages)) for page in pages)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="folder of a study")
    parser.add_argument("exports", type=Path, help="what headstart export wrote of it")
    parser.add_argument("--count", type=int, help="test images for the graphs (all)")
    parser.add_argument("--page", type=int, default=500, help="test images for the page")
    asked = parser.parse_args()
    for each in measured(asked.study, asked.exports, asked.count, asked.page):
        print(json.dumps(each))
