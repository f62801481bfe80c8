from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from headstart import progress
from headstart.cli import study as study_verbs
from headstart.errors import WeightsAbsent
from headstart.models import create
from tests.cli.conftest import Call

Passed = dict[str, Any]


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Passed:
    """Return what a verb hands to the function that runs studies, in place of running one."""
    found: Passed = {}

    def note(study: Any, out: Path, device: str, **how: Any) -> None:
        found.update(study=study, out=out, device=device, **how)

    monkeypatch.setattr(study_verbs, "run_and_show", note)
    return found


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(url: str) -> Path:
        raise WeightsAbsent(f"the weights cannot be downloaded; fetch {url}")

    monkeypatch.setattr(create, "fetch_url", absent)


def test_run_writes_json_where_it_is_told_and_shares_its_work(call: Call, study_file: Path, tmp_path: Path) -> None:
    code, out, _ = call(
        "run", study_file, "--out", tmp_path / "out", "--device", "cpu", "--store", tmp_path / "shared",
        "--budget", "1h", "--workers", 1, "--json",
    )  # fmt: skip
    said = json.loads(out)
    assert code == 0 and said["failed"] == []
    assert {row["run"] for row in said["ranking"]} == {"floor", "ridge", "knn"}
    assert Path(said["folder"]) == tmp_path / "out" / "small" and Path(said["report"]).is_file()
    assert list((tmp_path / "shared" / "features").iterdir())


def test_run_with_smoke_and_overrides(call: Call, study_file: Path, tmp_path: Path) -> None:
    study_file.write_text(study_file.read_text() + "smoke: {runs: {knn: {head: {k: 1}}}}\n")
    code, out, _ = call("run", study_file, "--smoke", "~runs.ridge", "-o", tmp_path, "--json")
    assert code == 0 and {row["run"] for row in json.loads(out)["ranking"]} == {"floor", "knn"}
    spec = json.loads((tmp_path / "small" / "runs" / "knn" / "seed-0" / "spec.json").read_text())
    assert spec["head"] == {"k": 1}


def test_strict_refuses_what_cannot_be_done_here(call: Call, study_file: Path, tmp_path: Path, offline: None) -> None:
    published = "runs.knn={backbone: resnet18, weights: imagenet}"
    for verb in ("run", "plan"):
        code, _, said = call(verb, study_file, published, "--strict", "--out", tmp_path / "strict")
        assert code == 2 and "cannot be downloaded" in said
    assert not (tmp_path / "strict").exists()
    code, out, _ = call("run", study_file, published, "--out", tmp_path / "out", "--json")
    assert code == 1 and [row["run"] for row in json.loads(out)["failed"]] == ["knn"]


def test_plan_says_in_json_what_would_be_done(call: Call, study_file: Path, tmp_path: Path) -> None:
    code, out, _ = call("plan", study_file, "--json", "--device", "cpu", "--out", tmp_path / "out", "--smoke")
    rows = json.loads(out)
    assert code == 0 and {run for row in rows for run in row["runs"]} == {"floor", "ridge", "knn"}
    assert {row["images"] for row in rows} == {20} and not (tmp_path / "out").exists()


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_on_ray_without_ray_says_how_to_get_it(call: Call, study_file: Path, photos: Path, tmp_path: Path) -> None:
    for verb, place in (("run", study_file), ("compare", photos)):
        code, _, said = call(verb, place, "--on", "ray", "--out", tmp_path)
        assert code == 2 and "pip install 'headstart[ray]'" in said


def test_compare_makes_the_study_that_its_options_ask_for(call: Call, manifest: Path, passed: Passed) -> None:
    code, _, said = call(
        "compare", manifest, "--label", "half", "--backbone", "efficientnet_lite0", "--backbone", "resnet18",
        "--seeds", 2, "--budget", "3min", "--name", "mine",
    )  # fmt: skip
    assert code == 0, said
    study = passed["study"]
    assert (study["name"], study["budget"]) == ("mine", "3min")
    assert study["seeds"] == 2 * 5  # ten images of a class are too few to set some aside: five folds, each seed
    assert (study["data"]["source"], study["data"]["label"]) == (str(manifest), "half")
    backbones = {settings["backbone"] for settings in study["runs"].values()}
    assert backbones == {"pixels", "efficientnet_lite0", "resnet18"}


def test_compare_asks_for_samples_of_the_training_images_unless_folds_vary_them(
    call: Call, manifest: Path, passed: Passed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("compare", manifest, "--label", "half", "--backbone", "efficientnet_lite0", "--training-images", 20)
    code, _, said = call(*asked)
    assert code == 0 and "training_images" not in passed["study"]["compare"]
    assert "the wider interval comes from them, without bootstrap samples" in said
    passed.clear()
    monkeypatch.setattr("headstart.api._fewest_images", lambda data, label: None)
    call(*asked)
    assert passed["study"]["compare"] == {"baseline": "raw pixels", "training_images": 20}


def test_compare_and_demo_pass_on_where_and_how(call: Call, photos: Path, passed: Passed) -> None:
    where = ("--out", "there", "--device", "cpu", "--json")
    call("compare", photos, *where, "--workers", 2, "--on", "HEAD:6379", "--store", "s3://bucket/prefix")
    assert (passed["out"], passed["device"], passed["as_json"]) == (Path("there"), "cpu", True)
    assert passed["how"] == {"workers": 2, "on": "HEAD:6379", "store": "s3://bucket/prefix"}
    passed.clear()
    call("demo", "--out", "there", "--device", "cpu", "--json")
    assert (passed["out"], passed["device"], passed["as_json"]) == (Path("there"), "cpu", True)
    assert passed["demo"] and passed["study"]["name"] == "demo" and "random features" in passed["study"]["runs"]


@pytest.mark.parametrize(("option", "level"), [("--quiet", progress.QUIET), ("--verbose", progress.VERBOSE)])
def test_how_much_is_said(call: Call, option: str, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_verbosity", progress.NORMAL)
    assert call(option, "cache", "--json")[0] == 0 and progress._verbosity == level


def test_the_version_is_printed(call: Call) -> None:
    from headstart.version import VERSION

    assert call("--version")[1] == f"headstart {VERSION}\n"
