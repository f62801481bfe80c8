from __future__ import annotations

import re
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported_models import linear

from headstart.deploy.classifier import Classifier
from headstart.deploy.serve import app as app_module
from headstart.deploy.serve.limits import Limits
from headstart.errors import DataError, SpecError
from headstart.evaluate.uncertainty.answers import AnswerOptions, Uncertainty, held_out_of
from headstart.evaluate.uncertainty.stored import to_part
from tests.deploy.serve.conftest import form, picture, served
from tests.evaluate.uncertainty.test_conformal import honest


def test_the_server_answers_as_predict_does(classifier: Classifier) -> None:
    files = [(f"{n}.png", picture(n)) for n in range(5)]
    expected = classifier.predict([content for _, content in files])
    with served(classifier) as ask:
        status, answer, _ = ask("POST", "/predict", *form(files))
        alone = ask("POST", "/predict?top=1", files[3][1])
    assert status == 200 and [row["image"] for row in answer["predictions"]] == [name for name, _ in files]
    for row, prediction in zip(answer["predictions"], expected, strict=True):
        assert row["class"] == prediction.label
        assert np.allclose(
            [row["probabilities"][name] for name in classifier.classes], prediction.probabilities, atol=2e-6
        )
    assert alone[0] == 200
    assert alone[1]["predictions"][0]["probabilities"] == {
        expected[3].label: pytest.approx(expected[3].probability, abs=2e-6)
    }


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_answered(classifier: Classifier) -> None:
    with served(classifier) as ask:
        status, answer, _ = ask("POST", "/predict", *form([("good.png", picture(1)), ("bad.png", b"no picture")]))
        assert status == 422 and answer["detail"].startswith("bad.png: ")
        assert answer["predictions"][0]["class"] in classifier.classes and "error" in answer["predictions"][1]
        for body, headers in ((None, {}), (b"", {}), form([]), (b"--edge", {"Content-Type": "multipart/form-data"})):
            status, answer, _ = ask("POST", "/predict", body, headers)
            assert status == 422 and isinstance(answer["detail"], str)
        figures = ask("GET", "/metrics")[1].decode()
    assert 'headstart_images_total{outcome="predicted"} 1.0' in figures
    assert 'headstart_requests_total{path="/predict",status="422"} 5.0' in figures


def test_what_is_beyond_the_limits_is_refused_at_once(classifier: Classifier) -> None:
    limits = Limits(body=20_000, pictures=2, queue=3)
    with served(classifier, limits=limits) as ask:
        assert ask("POST", "/predict", b"x" * 20_001)[0] == 413
        assert ask("POST", "/predict", *form([(str(n), picture(n)) for n in range(3)]))[0] == 413
        assert ask("POST", "/predict", picture(1))[0] == 200


def test_an_overloaded_server_says_when_to_come_back_and_goes_on(classifier: Classifier) -> None:
    with served(classifier, limits=Limits(queue=2, pictures=8)) as ask:
        status, answer, headers = ask("POST", "/predict", *form([(str(n), picture(n)) for n in range(3)]))
        assert status == 503 and headers["retry-after"] == "1" and "wait" in answer["detail"]
        assert ask("POST", "/predict", picture(1))[0] == 200


def test_many_clients_at_once_each_get_their_own_answer(classifier: Classifier) -> None:
    contents = [picture(n) for n in range(40)]
    expected = [p.label for p in classifier.predict(contents)]
    got: dict[int, Any] = {}
    with served(classifier) as ask:

        def one(n: int) -> None:
            got[n] = ask("POST", "/predict", contents[n])

        threads = [threading.Thread(target=one, args=(n,)) for n in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [got[n][1]["predictions"][0]["class"] for n in range(40)] == expected


def test_a_client_that_is_slow_is_sent_away(classifier: Classifier) -> None:
    with served(classifier, limits=Limits(seconds=0.3)) as ask:
        with socket.create_connection(("127.0.0.1", ask.port)) as slow:  # type: ignore[attr-defined]
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
            slow.settimeout(20)
            assert b" 408 " in slow.recv(200)
        with socket.create_connection(("127.0.0.1", ask.port)) as gone:  # type: ignore[attr-defined]
            gone.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        end = time.monotonic() + 60
        while (status := ask("POST", "/predict", picture(1))[0]) in (408, 503) and time.monotonic() < end:
            time.sleep(0.02)  # on a busy machine a sound request, too, may take longer than it may
        assert status == 200


def test_a_key_is_asked_for(classifier: Classifier) -> None:
    with served(classifier, key="sesame") as ask:
        assert ask("POST", "/predict", picture(1))[0] == 401
        assert ask("POST", "/predict", picture(1), {"X-API-Key": "sesam"})[0] == 401
        assert ask("POST", "/predict", picture(1), {"X-API-Key": "sesame"})[0] == 200
        assert ask("GET", "/model", headers={"Authorization": "Bearer sesame"})[0] == 200
        assert ask("GET", "/health")[0] == 200 and ask("GET", "/metrics")[0] == 401


def test_a_browser_opens_the_interface_of_a_server_with_a_key_and_can_give_it_there(classifier: Classifier) -> None:
    with served(classifier, key="sesame") as ask:
        assert ask("GET", "/docs")[0] == 200
        status, interface = ask("GET", "/openapi.json")[:2]
        scheme = interface["components"]["securitySchemes"]["key"]
        assert status == 200 and interface["security"] == [{"key": []}]
        assert ask("GET", "/model")[0] == 401
        assert ask("GET", "/model", headers={scheme["name"]: "sesame"})[0] == 200
    with served(classifier) as ask:
        assert "security" not in ask("GET", "/openapi.json")[1]


def test_the_page_of_the_interface_needs_no_network_and_no_key(classifier: Classifier) -> None:
    with served(classifier, key="sesame") as ask:
        status, content, headers = ask("GET", "/docs")
        statuses = ask("GET", "/openapi.json")[1]["paths"]["/predict"]["post"]["responses"]
    page = content.decode()
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert not re.search(r"https?:|src=|url\(|import ", page) and re.findall(r'href="(.*?)"', page) == ["openapi.json"]
    assert "connect-src 'self'" in page and statuses.keys() == {"200", "400", "401", "408", "413", "422", "503"}


def test_the_model_is_described_and_its_file_watched(
    classifier: Classifier, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = list[str]()
    monkeypatch.setattr(app_module, "say", said.append)
    monkeypatch.setattr(app_module, "WATCHED", 0.01)
    with served(classifier, files=[model_file]) as ask:
        found = ask("GET", "/model")[1]
        assert found["classes"] == ["ant", "bee", "cat"] and found["networks"] == ["lenet5"]
        assert ask("GET", "/health")[1] == {"status": "ok", "model_file_changed": False}
        assert said == []
        model_file.write_bytes(b"another model")
        assert ask("GET", "/health")[1]["model_file_changed"] is True
        assert ask("POST", "/predict", picture(1))[0] == 200
        assert ask("GET", "/openapi.json")[1]["paths"].keys() >= {"/predict", "/explain", "/model", "/health"}
        assert b"Choose pictures" in ask("GET", "/")[1]
        end = time.monotonic() + 20
        while not said and time.monotonic() < end:
            time.sleep(0.01)
    (line,) = said
    assert line == f"{model_file}: changed on disk; restart the server to use the new version"


def test_an_impossible_number_of_classes_is_named(classifier: Classifier) -> None:
    with served(classifier) as ask:
        status, answer, _ = ask("POST", "/predict?top=0", picture(1))
    assert status == 422 and answer["detail"] == "top = 0: Input should be greater than or equal to 1"


def test_an_explanation_is_a_picture(classifier: Classifier) -> None:
    def explain(content: bytes, method: str, given_up: threading.Event) -> bytes:
        if method == "tea_leaves":
            raise SpecError("unknown explainer")
        if method == "blind":
            raise DataError("it is no picture")
        return b"png of " + content[:4]

    with served(classifier) as ask:
        assert ask("POST", "/explain", picture(1))[0] == 501
    with served(classifier, explain=explain) as ask:
        status, content, headers = ask("POST", "/explain?method=lime", picture(1))
        assert (status, content, headers["content-type"]) == (200, b"png of \x89PNG", "image/png")
        assert ask("POST", "/explain?method=tea_leaves", picture(1))[:2] == (422, {"detail": "unknown explainer"})
        assert ask("POST", "/explain?method=blind", picture(1))[:2] == (422, {"detail": "body: it is no picture"})


def test_an_explanation_that_takes_too_long_is_given_up_and_keeps_its_slot_until_it_ends(
    classifier: Classifier,
) -> None:
    go, calls = threading.Event(), []

    def explain(content: bytes, method: str, given_up: threading.Event) -> bytes:
        calls.append(method)
        assert go.wait(20)
        return b"png"

    with served(classifier, explain=explain, limits=Limits(seconds=0.5)) as ask:
        status, answer, headers = ask("POST", "/explain", picture(1))
        assert status == 503 and headers["retry-after"] == "1" and "no explanation within 0.5 s" in answer["detail"]
        assert "being explained" in ask("POST", "/explain", picture(1))[1]["detail"]
        assert len(calls) == 1
        go.set()
        end = time.monotonic() + 20
        while (status := ask("POST", "/explain", picture(1))[0]) == 503 and time.monotonic() < end:
            time.sleep(0.02)
        assert status == 200


def test_an_explanation_is_told_that_nobody_waits_for_it(classifier: Classifier) -> None:
    told: list[bool] = []

    def explain(content: bytes, method: str, given_up: threading.Event) -> bytes:
        told.append(given_up.is_set())
        told.append(given_up.wait(60))
        return b"png"

    with served(classifier, explain=explain, limits=Limits(seconds=0.5)) as ask:
        assert ask("POST", "/explain", picture(1))[0] == 503
    assert told == [False, True]


def test_a_body_that_arrives_slowly_keeps_nobody_from_an_explanation(classifier: Classifier) -> None:
    with (
        served(classifier, explain=lambda content, method, given_up: b"png") as ask,
        socket.create_connection(("127.0.0.1", ask.port)) as slow,  # type: ignore[attr-defined]
    ):
        slow.sendall(b"POST /explain HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        time.sleep(0.2)
        assert ask("POST", "/explain", picture(1))[0] == 200


def test_a_defect_is_no_traceback_for_the_client(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(names: Any, pixels: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(classifier, "answered", broken)
    with served(classifier) as ask:
        status, answer, _ = ask("POST", "/predict", picture(1))
        assert status == 500 and "secret" not in str(answer)
        figures = ask("GET", "/metrics")[1].decode()
        assert 'headstart_requests_total{path="/predict",status="500"} 1.0' in figures
        assert "headstart_request_seconds_count 1.0" in figures
        monkeypatch.undo()
        assert ask("POST", "/predict", picture(1))[0] == 200


def test_several_labels_of_an_image_are_counted_one_by_one() -> None:
    model = Classifier(linear(multi_label=True, threshold=1e-6))
    with served(model) as ask:
        (row,) = ask("POST", "/predict", picture(1))[1]["predictions"]
        figures = ask("GET", "/metrics")[1].decode()
    assert row["class"] == "ant|bee|cat"
    for name in ("ant", "bee", "cat"):
        assert f'headstart_predictions_total{{label="{name}"}} 1.0' in figures
    assert "ant|bee" not in figures


def test_the_server_says_how_sure_it_is(classifier: Classifier) -> None:
    n = len(classifier.classes)
    probabilities, labels = honest(60, n, 0)
    part = to_part(Uncertainty(n, held_out_of(probabilities, labels), notes=("a note",)))
    judged = Classifier(replace(classifier.ensemble, uncertainty=part))
    (expected,) = judged.predict(picture(1))
    with served(judged) as ask:
        row = ask("POST", "/predict", picture(1))[1]["predictions"][0]
        about = ask("GET", "/model")[1]["answers"]
    assert (row["answer"], row["set"], row["familiarity"]) == (expected.answer, list(expected.set), None)
    assert about == {
        "level": 0.95,
        "shortfall": "",
        "sets": "lac",
        "held_out_images": 60,
        "familiarity": None,
        "unfamiliar": None,
        "costs": False,
        "notes": ["a note"],
        "at_least": None,
        "promise": "Sets contain the right class for 95.0 % of images like those of the study (60 checked).",
    }
    assert "withheld" not in row
    few = to_part(Uncertainty(n, held_out_of(probabilities[:5], labels[:5])))
    with served(Classifier(replace(classifier.ensemble, uncertainty=few))) as ask:
        about = ask("GET", "/model")[1]["answers"]
    assert about["shortfall"].startswith("5 held-out images are too few for sets of 95.0 %")
    assert about["promise"] == "Sets contain the right class for 83.3 % of images like those of the study (5 checked)."
    with served(classifier) as ask:
        assert ask("GET", "/model")[1]["answers"] is None
        assert "answer" not in ask("POST", "/predict", picture(1))[1]["predictions"][0]


def test_answers_that_are_asked_to_be_accurate_may_be_withheld_and_the_interface_says_so(
    classifier: Classifier,
) -> None:
    n = len(classifier.classes)
    labels = np.arange(90) % n
    sharp = np.full((90, n), 0.001 / (n - 1), np.float32)
    sharp[np.arange(90), labels] = 0.999
    sharp[:3] = np.roll(sharp[:3], 1, axis=1) * 0.5 + 0.5 / n  # the least certain are wrong
    part = to_part(Uncertainty(n, held_out_of(sharp, labels)))
    judged = Classifier(replace(classifier.ensemble, uncertainty=part), asked=AnswerOptions(level=0.9, at_least=0.95))
    (expected,) = judged.predict(picture(1))
    with served(judged) as ask:
        row = ask("POST", "/predict", picture(1))[1]["predictions"][0]
        about, interface = ask("GET", "/model")[1]["answers"], ask("GET", "/openapi.json")[1]
    assert row["withheld"] is expected.withheld is True
    assert (about["level"], about["at_least"]) == (0.9, 0.95)
    assert about["promise"] in interface["info"]["description"]
    assert "right in at least 95.0 % of cases" in about["promise"] and "are withheld for review" in about["promise"]
