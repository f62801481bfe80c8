from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.cli.serve import _explainer, _GivenUpError
from headstart.deploy.classifier import Classifier
from headstart.deploy.serve.limits import Limits
from headstart.explain.compare import explain_pictures
from headstart.models.network import Network
from tests.cli.conftest import Call
from tests.deploy.serve.conftest import picture, untrained


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained().save(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process instead of telling it to stop")
def test_serve_answers_until_it_is_told_to_stop(model: Path) -> None:
    command = [sys.executable, "-m", "headstart", "serve", str(model), "--port", "0", "--queue", "64", "--batch", "8"]
    command += ["--megabytes", "1", "--device", "cpu"]
    (expected,) = Classifier.load(model).predict(picture(4))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            place = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
            assert place is not None
            with urllib.request.urlopen(f"{place[0]}/predict", picture(4), timeout=60) as answer:
                row = json.load(answer)["predictions"][0]
            assert row["class"] == expected.label
            assert row["probability"] == pytest.approx(expected.probability, abs=1e-3)
            request = urllib.request.Request(f"{place[0]}/explain?method=occlusion", picture(4))
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.read(8) == b"\x89PNG\r\n\x1a\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_what_cannot_be_served_is_one_line(call: Call, model: Path, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        cases = {
            ("serve", model, "--port", port): f"--port {port}: 127.0.0.1:{port} cannot be used",
            ("serve", model, "--host", "0.0.0.0"): "set a key that clients must send (--api-key or $HEADSTART_API_KEY)",
            ("serve", model, "--host", "300.1.1.1", "--api-key", "a"): "cannot be used",
            ("serve", model, "--batch", 9, "--queue", 4): "--batch 9: is more than --queue 4",
            ("serve", tmp_path / "nothing", "--port", 0): "nothing: no such file or folder",
            ("serve", model, "--port", 0, "--at-least", 0.9, "--level", 0.9): "this model guarantees no accuracy",
        }
        for command, message in cases.items():
            code, out, err = call(*command)
            assert code == 2 and out == "" and message in err and err.count("\n") == 1


def test_an_explanation_that_is_given_up_ends_before_the_network_runs_again() -> None:
    classifier = untrained()
    explain, given_up = _explainer(classifier), threading.Event()
    assert explain is not None
    passes: list[int] = []

    def count(*_: object) -> None:
        passes.append(1)
        if len(passes) == 3:
            given_up.set()

    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, *rest: count() if isinstance(module, Network) else None
    )
    try:
        with pytest.raises(_GivenUpError):
            explain(picture(4), "occlusion", given_up)
    finally:
        handle.remove()
    assert len(passes) == 3
    assert explain(picture(4), "occlusion", threading.Event())[:4] == b"\x89PNG"


@pytest.mark.parametrize("replaced", ["both/members.json", "a/model.safetensors", "b/model.safetensors"])
def test_an_ensemble_is_served_and_its_list_and_its_networks_are_watched(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: str
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        untrained().save(tmp_path / name / "model.safetensors")
    both = tmp_path / "both"
    both.mkdir()
    (both / "members.json").write_text(json.dumps({"members": ["../a", "../b"], "temperature": 1.0}))
    changed: list[bool] = []

    def run(app: Any, *rest: Any) -> None:
        (health,) = (route.endpoint for route in app.routes if route.path == "/health")
        changed.append(asyncio.run(health())["model_file_changed"])
        (tmp_path / replaced).write_text("{}")
        changed.append(asyncio.run(health())["model_file_changed"])

    monkeypatch.setattr("headstart.cli.serve.run", run)
    code, _, err = call("serve", both, "--port", 0, "--device", "cpu")
    assert code == 0, err
    assert changed == [False, True]


def test_the_limits_of_a_server_follow_its_device_and_its_options(
    call: Call, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[int, int, int]] = []  # images together, threads, images that wait
    monkeypatch.setenv("HEADSTART_THREADS", "2")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)

    def run(app: Any, listening: Any, limits: Limits) -> None:
        found.append((limits.batch, limits.workers, limits.queue))

    monkeypatch.setattr("headstart.cli.serve.run", run)
    for options in ([], ["--device", "auto"], ["--queue", 3], ["--batch", 20]):
        code, _, err = call("serve", model, "--port", 0, *options)
        assert code == 0, err
    assert found == [(8, 2, 256), (8, 2, 256), (3, 2, 3), (20, 2, 256)]


def test_explanations_leave_the_network_that_predicts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, seen = untrained(), []

    def noted(subjects: Any, *rest: Any) -> Any:
        seen.append(subjects[0].network)
        return explain_pictures(subjects, *rest)

    monkeypatch.setattr("headstart.explain.compare.explain_pictures", noted)
    explain = _explainer(classifier)
    assert explain is not None
    for seed in (1, 2):
        assert explain(picture(seed), "grad_cam", threading.Event()).startswith(b"\x89PNG")
    live = classifier.bundle.network
    assert seen[0] is seen[1]
    assert explain(picture(1), None, threading.Event()) == explain(picture(1), "grad_cam", threading.Event())
    mine = {id(value) for value in live.state_dict(keep_vars=True).values()}
    assert not mine & {id(value) for value in seen[0].state_dict(keep_vars=True).values()}
    assert all(torch.equal(value, seen[0].state_dict()[key]) for key, value in live.state_dict().items())
