from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_study import study_of

from headstart import api, progress
from headstart.cli import study as study_verbs
from headstart.errors import WeightsAbsent
from headstart.models import create
from headstart.report.render.plan_text import plan_lines
from tests.cli.conftest import Call
from tests.support.weights_cache import empty_caches, put_marker, put_random

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
    def absent(url: str, *, download: bool = True) -> Path:
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
    assert said["answer"].startswith("Use ") and said["kept"].split(",")[0] in said["answer"]
    assert said["findings"].startswith("The model is ")
    assert Path(said["model"]).is_file()
    assert Path(said["folder"]) == tmp_path / "out" / "small" and Path(said["report"]).is_file()
    assert list((tmp_path / "shared" / "features").iterdir())


def test_run_with_smoke_and_overrides(call: Call, study_file: Path, tmp_path: Path) -> None:
    study_file.write_text(study_file.read_text() + "smoke: {runs: {knn: {head: {k: 1}}}}\n")
    code, out, _ = call("run", study_file, "--smoke", "~runs.ridge", "-o", tmp_path, "--json")
    assert code == 0 and {row["run"] for row in json.loads(out)["ranking"]} == {"floor", "knn"}
    spec = json.loads((tmp_path / "small-smoke" / "runs" / "knn" / "seed-0" / "spec.json").read_text())
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


def test_on_ray_without_ray_says_how_to_get_it(
    call: Call, study_file: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.study.parallel.ray.find_spec", lambda name: None)
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


def test_compare_takes_a_line_up_of_what_is_cached(
    call: Call, photos: Path, passed: Passed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = empty_caches(monkeypatch, tmp_path)
    monkeypatch.setattr("headstart.study.planning.networks.default_device", lambda: "cpu")
    lites = {f"efficientnet_lite{i}" for i in range(3)}

    def backbones() -> set[str]:
        return {settings["backbone"] for settings in passed["study"]["runs"].values()} - {"pixels"}

    code, _, said = call("compare", photos, "--networks", "auto")
    assert code == 0 and backbones() == lites and "(now HF_HUB_OFFLINE is set)" in said
    put_marker(cache, "dinov3_small")
    call("compare", photos, "--networks", "auto")
    assert backbones() == lites | {"dinov3_small"}
    assert passed["study"]["runs"]["dinov3_small logistic"]["weights"] == "timm:lvd1689m"
    call("compare", photos, "--networks", "auto", "--licence", "open")
    assert backbones() == lites


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--networks", "dinov2_smal"], "unknown backbone 'dinov2_smal'; did you mean dinov2_small"),
        (["--networks", "fast", "--backbone", "resnet18"], "give networks or backbones, not both"),
        (["--licence", "gpl"], "unknown licence 'gpl'"),
    ],
)
def test_networks_that_cannot_be_are_refused_in_one_line(
    call: Call, photos: Path, passed: Passed, options: list[str], says: str
) -> None:
    code, _, said = call("compare", photos, *options)
    assert code == 2 and says in said and len(said.strip().splitlines()) == 1 and not passed


@pytest.mark.slow
def test_a_comparison_runs_with_random_weights_in_the_cache(
    call: Call, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_random(empty_caches(monkeypatch, tmp_path), "mobilenetv4_small")
    code, said, _ = call("compare", photos, "--networks", "auto", "--seeds", 1, "--out", tmp_path / "out", "--json")
    ranked = {row["run"] for row in json.loads(said)["ranking"]}
    assert code == 0 and {"mobilenetv4_small logistic", "efficientnet_lite0 logistic"} <= ranked


def test_compare_asks_for_samples_of_the_training_images_unless_folds_vary_them(
    call: Call, manifest: Path, passed: Passed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("compare", manifest, "--label", "half", "--backbone", "efficientnet_lite0", "--training-images", 20)
    code, _, said = call(*asked)
    assert code == 0 and "training_images" not in passed["study"]["compare"]
    assert "cross-validation already varies the training images; no bootstrap samples are drawn" in said
    passed.clear()
    monkeypatch.setattr("headstart.study.comparison._is_small", lambda listed: False)
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


@dataclass
class Ended:
    """Results of a study that another test says."""

    folder: Path
    lost: list[dict[str, Any]] = field(default_factory=list)
    kept: str = "net, chosen by validation accuracy"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def model(self) -> Path:
        return self.folder / "model.safetensors"

    def failed(self) -> list[dict[str, Any]]:
        return self.lost

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "report": str(self.report),
            "answer": "net is best",
            "model": None,
            "kept": self.kept,
            "ranking": [{"run": "net", "mean": 0.5}],
            "failed": self.lost,
            "problems": ["a leak"],
        }


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Return the results that every study has, without running it."""
    results = Ended(tmp_path / "my study")
    results.folder.mkdir()
    monkeypatch.setattr(api.Study, "run", lambda self, out, **how: results)
    monkeypatch.setattr(study_verbs, "show_ranking", lambda folder: print(f"ranking of {folder.name}"))
    return results


SPEC: dict[str, Any] = {"name": "s", "data": "d", "runs": {"net": {"strategy": "ridge"}}}
LOST = [{"run": "net", "seed": seed, "why": "no route"} for seed in (3, 4)]


def test_a_study_ends_with_its_ranking_report_model_and_next_command(
    ended: Ended, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study_verbs.run_and_show(SPEC, tmp_path, "cpu")
    assert capsys.readouterr().out.splitlines() == ["ranking of my study", "", f"report:  {ended.report}"]
    ended.model.touch()
    study_verbs.run_and_show(SPEC, tmp_path, "cpu", demo=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[3:6] == [
        f"model:   {ended.model}",
        "         net, chosen by validation accuracy",
        f"use it:  headstart predict '{ended.folder}' YOUR-PHOTO.jpg",
    ]
    assert lines[6] == "next:    headstart compare path/to/your/folder" and all(len(line) < 80 for line in lines[6:])


def test_a_failed_run_is_named_and_the_status_is_1(
    ended: Ended, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended.lost = LOST
    with pytest.raises(SystemExit) as end:
        study_verbs.run_and_show(SPEC, tmp_path, "cpu")
    said = capsys.readouterr()
    assert end.value.code == 1 and said.out.startswith("ranking of my study")
    assert said.err == "headstart: 2 runs failed (each seed counts); the first: 'net', seed 3: no route\n"


@pytest.mark.parametrize(("lost", "code"), [([], 0), (LOST, 1)])
def test_json_has_the_ranking_the_failures_and_the_problems(
    ended: Ended, tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: list[dict[str, Any]], code: int
) -> None:
    ended.lost = lost
    with pytest.raises(SystemExit) as end:
        study_verbs.run_and_show(SPEC, tmp_path, "cpu", as_json=True)
    assert end.value.code == code
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(ended.folder),
        "report": str(ended.report),
        "answer": "net is best",
        "model": None,
        "kept": ended.kept,
        "ranking": [{"run": "net", "mean": 0.5}],
        "failed": lost,
        "problems": ["a leak"],
    }


def test_a_plan_is_printed_with_what_is_unavailable(
    study_file: Path, tmp_path: Path, offline: None, capsys: pytest.CaptureFixture[str]
) -> None:
    published = ["runs.knn={backbone: resnet18, weights: imagenet}"]
    study_verbs.show_plan(study_file, tmp_path, "cpu", published, smoke=False, as_json=False)
    out = capsys.readouterr().out
    assert "unavailable: knn: the weights cannot be downloaded" in out and "1  heads: " in out
    with pytest.raises(WeightsAbsent, match="run 'knn': the weights"):
        study_verbs.show_plan(study_file, tmp_path, "cpu", published, smoke=False, as_json=True, strict=True)


def test_the_ranking_of_a_study_is_its_answer_and_its_leaderboard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = {"[net]": np.ones((2, 60), bool), "floor": np.tile(np.arange(60) < 20, (2, 1))}
    study_verbs.show_ranking(study_of(tmp_path, right, best="[net]", baseline="floor"))
    out = capsys.readouterr().out
    assert out.count("[net]") >= 2 and "100.0 %" in out and "behind" in out  # names are no markup


def test_a_plan_of_a_study_fits_the_terminal(study_file: Path, tmp_path: Path) -> None:
    rows = api.Study(study_file).plan(tmp_path / "out", "cpu")
    for width in (80, 120):
        lines = plan_lines(rows, width)
        assert max(map(len, lines)) <= width
        assert any("floor: 1 run × seed" in line for line in lines)
    json.dumps(rows)
