from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.text import Text

from headstart import disclosure, progress
from headstart.api import Study
from headstart.disclosure import (
    HIDDEN,
    console,
    disclosable,
    printable,
    spreadsheet_text,
    typed,
    without_secrets,
    wrapped,
)
from headstart.errors import HeadstartError, MissingExtra, StoreError
from headstart.models.bundle import Bundle, Origin, bundle_bytes
from headstart.models.bundle_file import read_file
from headstart.models.heads import LinearHead
from headstart.models.network import Network
from headstart.models.pixels import pixels_backbone
from headstart.saved_models import evaluate_models
from headstart.study.results.folder import StudyFolder, json_bytes

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"https://me:{SECRET}@host:5000/x", f"https://{HIDDEN}@host:5000/x"),
        (f"https://{SECRET}@host/x", f"https://{HIDDEN}@host/x"),
        (f"s3://KEY:{SECRET}/with/slashes@bucket/p", f"s3://{HIDDEN}@bucket/p"),
        (f"https://host/x?token={SECRET}&v=1#part", f"https://host/x?token={HIDDEN}&v={HIDDEN}#part"),
        (f"--store 'memory://a?key={SECRET}' -v", f"--store 'memory://a?key={HIDDEN}' -v"),
        (f"a me:{SECRET}@b://me:{SECRET}@c", f"a me:{SECRET}@b://{HIDDEN}@c"),
    ],
)
def test_credentials_of_an_address_are_hidden(address: str, shown: str) -> None:
    assert without_secrets(address) == shown
    assert without_secrets(json.dumps({"a": address})) == json.dumps({"a": shown})


@pytest.mark.parametrize("text", ["s3://bucket/prefix", "hf:NAME:CONFIG@REVISION", "me@example.org", "a ?b=c", "12 %"])
def test_what_holds_no_credentials_is_kept(text: str) -> None:
    assert without_secrets(text) == text


def test_no_error_of_headstart_holds_credentials() -> None:
    address = f"https://me:{SECRET}@host"
    for error in (HeadstartError(f"{address} does not answer"), StoreError(address), MissingExtra(address, "x")):
        assert SECRET not in str(error) and HIDDEN in str(error)


def test_what_is_said_holds_neither_credentials_nor_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    progress.say(f"sending https://me:{SECRET}@host/\x1b]0;title\x07")
    assert capsys.readouterr().err == f"sending https://{HIDDEN}@host/\\x1b]0;title\\x07\n"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/alice"))
    disclosure._home.cache_clear()
    yield Path("/home/alice")
    disclosure._home.cache_clear()


@pytest.mark.parametrize(
    ("system", "shown"), [("posix", "open 'my file.csv' c.csv"), ("nt", 'open "my file.csv" c.csv')]
)
def test_a_command_is_quoted_as_the_users_shell_reads_it(
    system: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disclosure.os, "name", system)
    assert typed(["open", "my file.csv", "c.csv"]) == shown


def test_the_home_folder_has_no_name(home: Path) -> None:
    assert disclosable(f"{home}/flowers and {home}, {home}") == "~/flowers and ~, ~"
    assert disclosable("/home/alicea/x /srv/home/alice2") == "/home/alicea/x /srv/home/alice2"


def test_a_home_at_the_root_is_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/"))
    disclosure._home.cache_clear()
    assert disclosable("/a/b") == "/a/b"
    disclosure._home.cache_clear()


def test_what_a_study_writes_holds_neither(home: Path) -> None:
    written = json_bytes({"command": f"headstart run --store s3://k:{SECRET}@b", "source": str(home / "x")}).decode()
    assert json.loads(written) == {"command": f"headstart run --store s3://{HIDDEN}@b", "source": "~/x"}


def test_study_json_holds_neither_and_is_what_its_seal_says(home: Path, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.write_study({"spec": {"track": f"https://me:{SECRET}@host"}, "source": f"data: {home}/x"})
    assert folder.read_study() == {"spec": {"track": f"https://{HIDDEN}@host"}, "source": "data: ~/x"}
    folder.write_run("a", 0, "k", {}, error=f"{home}/x: no answer of https://me:{SECRET}@host")
    assert folder.manifest("a", 0)["error"] == f"~/x: no answer of https://{HIDDEN}@host"


def test_no_file_of_a_study_holds_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, address = tmp_path / "alice", f"https://me:{SECRET}@host"
    generator = np.random.default_rng(0)
    for name in ("dark", "light"):
        (alice / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = generator.integers(0, 100, (12, 12, 3)) + (150 if name == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(alice / "photos" / name / f"{number}.png")
    new = generator.integers(0, 255, (12, 12, 3)).astype(np.uint8)
    for name in ("dark", "light"):
        (alice / "photos2" / name).mkdir(parents=True)
        Image.fromarray(new + (name == "light")).save(alice / "photos2" / name / "new.png")
    monkeypatch.setattr(Path, "home", lambda: alice)
    disclosure._home.cache_clear()
    runs = {"ridge": {"backbone": "pixels", "strategy": "ridge", "input_size": 8}}
    study = {"name": "s", "question": f"{address}?", "data": str(alice / "photos"), "seeds": 1, "runs": runs}
    try:
        done = Study(study).run(tmp_path / "out", device="cpu", command=f"headstart {alice} {address}")
        evaluate_models(done.folder, alice / "photos2", tmp_path / "out", command=address, device="cpu")
    finally:
        disclosure._home.cache_clear()
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {"study.json", "report.html", "spec.json", "manifest.json"} <= {path.name for path in files}
    held = [p.relative_to(tmp_path) for p in files if any(s in p.read_bytes() for s in (SECRET.encode(), bytes(alice)))]
    assert held == []


def test_a_bundle_holds_neither(home: Path, tmp_path: Path) -> None:
    origin = Origin("pixels", input_size=8, weights=f"{home}/w.pt")
    provenance = {"run": "r", "from": f"https://me:{SECRET}@host"}
    one = Bundle(Network(pixels_backbone(8), LinearHead(192, 2)).eval(), origin, ("a", "b"), provenance=provenance)
    (tmp_path / "m").write_bytes(bundle_bytes(one, whole=True))
    described, _ = read_file(tmp_path / "m")
    assert described["origin"]["weights"] == "~/w.pt"
    assert described["provenance"] == {"run": "r", "from": f"https://{HIDDEN}@host"}
    assert b"alice" not in (tmp_path / "m").read_bytes()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("ü 写 \t\n", "ü 写 \t\n"),
    ],
)
def test_a_name_cannot_steer_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_table_cannot_steer_a_terminal() -> None:
    stream = io.StringIO()
    console(file=stream, width=80).print(Text("a\x1b]0;title\x07b \x9b2J", style="red"))
    assert "\x1b]" not in stream.getvalue() and "\x9b" not in stream.getvalue()
    assert "a\\x1b]0;titleb" in stream.getvalue()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_spreadsheet_computes_nothing(text: str) -> None:
    assert spreadsheet_text(text) == "'" + text
    assert (spreadsheet_text(-1.5), spreadsheet_text("a=b"), spreadsheet_text(None)) == (-1.5, "a=b", None)


class Screen(io.StringIO):
    """A terminal of 40 columns."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


def test_a_line_is_broken_between_words_in_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda number: os.terminal_size((40, 24)))
    line = "  photos: 180 images, 6 classes: butterfly-like, crab, dolphin, elephant"
    broken = wrapped(line, Screen()).splitlines()
    assert broken == ["  photos: 180 images, 6 classes:", "  butterfly-like, crab, dolphin,", "  elephant"]
    share = wrapped("x" * 34 + " 99.8 % here", Screen(), indent="").splitlines()  # 39 columns up to the space
    assert share == ["x" * 34, "99.8 % here"]
    install = wrapped("it needs an optional package: pip install 'headstart[serve]'", Screen(), indent="").splitlines()
    assert install == ["it needs an optional package:", "pip install 'headstart[serve]'"]
    assert wrapped(line, io.StringIO()) == line and wrapped("short", Screen()) == "short"
    monkeypatch.setenv("COLUMNS", "30")
    assert max(map(len, wrapped("words " * 20, Screen()).splitlines())) <= 30
    assert wrapped(line, io.StringIO()) == line
