from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main
from PIL import Image

from headstart.cli import command_line
from headstart.cli import main as cli
from headstart.storage.presence import since
from headstart.version import VERSION


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    return path


def study(tmp_path: Path, text: str) -> str:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return str(path)


def one_line(code: int, err: str) -> str:
    lines = [line for line in err.splitlines() if line.strip()]
    assert code == 2 and len(lines) == 1 and lines[0].startswith("headstart: "), err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", "/no/such/place"], "/no/such/place"),
        (["run", "/no/such/study.yaml"], "no such study file"),
        (["predict", "/no/such/model", "x.jpg"], "no such file or folder"),
        (["report", "/no/such/study"], "/no/such/study"),
        (["datasets", "cifar100x"], "did you mean 'cifar100'"),
        (["backbones", "resnet81"], "did you mean"),
        (["cache", "--prune", "many"], "not a size"),
        (["fewshot", "/no/such/place"], "/no/such/place"),
        (["audit", "/no/such/place"], "/no/such/place"),
        (["explain", "/no/such/model", "x.jpg"], "no such file or folder"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    code, _, err = run(capsys, *arguments)
    assert says in one_line(code, err)


@pytest.mark.parametrize(
    ("run_text", "says"),
    [
        ("strategy: scratch\n    recipe: {learning_rate: 1}", "recipe key 'learning_rate'"),
        ("strategy: ridge\n    weights: none\n    head: {penalti: 1}", "did you mean 'penalt"),
        ("strategy: fine_tune\n    freeze_until: stage9\n    weights: none", "has no stage 'stage9'"),
        ("backbone: resnet81", "unknown backbone 'resnet81'"),
        ("weights: {path: /no/weights.pt}", "no such weights file"),
        ("strategy: scratch\n    truncate_at: nowhere", "no stage 'nowhere'"),
    ],
)
def test_a_study_that_cannot_be_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run_text: str, says: str
) -> None:
    for name in ("a", "b"):
        for number in range(6):
            picture(tmp_path / "data" / name / f"{number}.png", number)
    runs = "" if "backbone" in run_text else "    backbone: lenet5\n"
    file = study(tmp_path, f"name: s\ndata: {tmp_path / 'data'}\nruns:\n  first:\n{runs}    {run_text}\n")
    code, _, err = run(capsys, "run", file, "-o", str(tmp_path / "out"))
    assert says in one_line(code, err)
    assert not (tmp_path / "out").exists()


def test_compare_predict_and_report_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("a b", "ü'ß"):
        for number in range(8):
            picture(tmp_path / "data" / name / f"{number}.png", number + 50 * (name == "a b"))
    file = study(
        tmp_path,
        f"name: small\ndata: {tmp_path / 'data'}\nseeds: 1\naudit: false\n"
        "runs: {floor: {backbone: pixels, strategy: majority}, pixels: {backbone: pixels, strategy: ridge}}\n",
    )
    assert run(capsys, "plan", file, "-o", str(tmp_path / "out"))[0] == 0
    code, out, _ = run(capsys, "run", file, "-o", str(tmp_path / "out"), "--json")
    assert code == 0 and {row["run"] for row in json.loads(out)["ranking"]} == {"floor", "pixels"}
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    image = str(tmp_path / "data" / "a b" / "1.png")
    code, out, err = run(capsys, "predict", str(tmp_path / "out" / "small"), image, str(broken), "--format", "json")
    rows = json.loads(out)
    assert (
        code == 1 and rows[0]["class"] in ("a b", "ü'ß") and "error" in rows[1] and "1 not read (1 not an image)" in err
    )
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    code, out, _ = run(capsys, "report", str(tmp_path / "out" / "small"), "--format", "md")
    assert code == 0 and Path(out.strip().splitlines()[-1]).is_file()


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from headstart.cli.main import app; import headstart; dir(headstart);"
        "print([m for m in ('torch', 'numpy', 'sklearn', 'rich', 'pandas', 'timm') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_lists_are_readable_by_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert "eurosat" in json.loads(run(capsys, "datasets", "--json")[1])
    assert json.loads(run(capsys, "doctor", "--json")[1])["torch"]
    assert json.loads(run(capsys, "cache", "--json")[1])["kinds"] == {}
    stages = json.loads(run(capsys, "backbones", "lenet5", "--json")[1])["stages"]
    assert stages[-1]["stage"] and all(row["parameters"] >= 0 for row in stages)


@pytest.mark.parametrize(
    "verb", sorted(command.name or command.callback.__name__ for command in cli.app.registered_commands)
)
def test_no_line_of_help_ends_within_a_word_at_80_columns(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, verb, "--help")
    broken = [line for line in out.splitlines() if line.endswith("-") and not line.endswith(" cross-")]
    assert code == 0 and broken == []
    assert "list[" not in out and "range>" not in out and ("KEY=VALUE...  " in out) == (verb in ("run", "plan"))


def test_no_summary_is_cut_off_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, "--help")
    assert code == 0 and "..." not in out.partition("Commands:")[2]


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--version")
    assert (code, out) == (0, f"headstart {VERSION}\n")


@pytest.mark.parametrize("verb", ["run", "compare", "audit", "evaluate"])
def test_corrections_that_do_not_fit_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    for place in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        picture(tmp_path / "photos" / place, len(place) + int(place[2]) + 5 * (place[0] == "b"))
    (tmp_path / "c: 1.csv").write_text("path,decision,after\na/0.png,relabel,c\n")
    monkeypatch.chdir(tmp_path)
    text = "name: s\ndata: photos\nruns: {p: {backbone: pixels, strategy: majority}}\n"
    given = {"run": [study(tmp_path, text)], "evaluate": ["no.safetensors", "photos"]}.get(verb, ["photos"])
    code, _, err = run(capsys, verb, *given, "--corrections", "c: 1.csv")
    if verb == "evaluate":
        assert "no.safetensors" in one_line(code, err)
    else:
        assert "c: 1.csv: a/0.png: unknown class 'c'" in one_line(code, err)


@pytest.mark.parametrize(
    "verb", sorted(command.name or command.callback.__name__ for command in cli.app.registered_commands)
)
def test_every_verb_keeps_what_it_uses_of_the_cache_unless_it_reads_none(
    verb: str, own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new verb holds the cache without any line of its own; one that does not is listed with the reason."""
    own_store.mkdir(exist_ok=True)
    (command,) = [each for each in cli.app.registered_commands if verb in (each.name, each.callback.__name__)]
    held: list[bool] = []
    monkeypatch.setattr(command, "name", verb)
    monkeypatch.setattr(command, "callback", lambda: held.append(since(own_store) is not None))
    monkeypatch.setattr(command_line, "_built", typer.main.get_command)
    with pytest.raises(SystemExit) as ended:
        cli.main([verb])
    assert not ended.value.code and held == [verb not in cli.UNHELD]
    assert since(own_store) is None


def test_verbs_that_do_not_hold_the_cache_exist_and_are_few() -> None:
    verbs = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert cli.UNHELD.keys() <= verbs and len(cli.UNHELD) == 5
