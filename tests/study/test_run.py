from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from told import Told

from headstart.deploy.classifier import Classifier
from headstart.errors import DataError, StoreError
from headstart.saved_models import evaluate_models
from headstart.storage.opening import default_store
from headstart.study.planning.ensemble_keys import ensemble_key
from headstart.study.results.folder import StudyFolder
from headstart.study.run import run_study
from headstart.study.spec.load import load_study
from tests.study.conftest import OpenStudy, draw, small


def execute(spec: dict[str, Any], out: Path) -> tuple[Path, Told]:
    told = Told()
    return run_study(load_study(spec), out, device="cpu", listener=told).root, told


def results(root: Path) -> dict[str, Any]:
    found = {}
    for path in sorted(root.glob("runs/*/*/result.json")):
        result = json.loads(path.read_text())
        arrays = np.load(path.parent / "predictions.npz")
        found[str(path.parent.relative_to(root))] = (
            result["metrics"]["test"]["accuracy"],
            result["chosen"],
            arrays["test_probabilities"].tobytes(),
        )
    return found


@dataclass(frozen=True)
class Finished:
    """A study that was run once; its folder and its cache are not altered."""

    spec: dict[str, Any]
    root: Path
    told: Told
    pictures: list[Path]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finished")


@pytest.fixture(scope="module")
def run_once(place: Path) -> Finished:
    spec = small(draw(place / "pictures", 14))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(place / "cache"))
        root, told = execute(spec, place / "out")
    return Finished(spec, root, told, sorted((place / "pictures").rglob("*.png")))


@pytest.fixture
def finished(run_once: Finished, place: Path, own_store: Path, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """Return the study, and let the test use its cache."""
    monkeypatch.setenv("HEADSTART_CACHE", str(place / "cache"))
    return run_once


def test_a_study_leaves_runs_data_and_the_best_model(finished: Finished, tmp_path: Path) -> None:
    root, told = finished.root, finished.told
    assert len(told.ran) == 8 and told.broken == {}
    assert json.loads((root / "study.json").read_text())["status"] == "complete"
    folder = root / "runs" / "tuned" / "seed-0"
    result = json.loads((folder / "result.json").read_text())
    assert [row["recipe.lr"] for row in result["tried"]] == [0.01, 0.05]
    best = max(result["tried"], key=lambda row: (row["validation_accuracy"], -row["validation_log_loss"]))
    assert result["chosen"]["recipe.lr"] == best["recipe.lr"] and result["refit"] == "train+validation"
    dataset = json.loads(next(root.glob("data/*/dataset.json")).read_text())
    assert dataset["classes"] == ["blue", "green", "red"]
    classifier = Classifier.load(root)
    again = Classifier.load(classifier.save(tmp_path / "copy.safetensors"))
    test = np.load(root / "runs" / "pixels" / "seed-0" / "split.npz")["test"]
    picked = [finished.pictures[row] for row in test[:4]]
    one, two = classifier.predict(picked), again.predict(picked)
    assert [p.label for p in one] == [p.label for p in two]
    assert np.allclose([p.probabilities.sum() for p in one], 1, atol=1e-5)


def test_the_saved_model_gives_the_probabilities_that_were_scored(finished: Finished) -> None:
    for run in ("pixels", "probe · ridge", "tuned"):
        folder = StudyFolder(finished.root).run_folder(run, 1)
        with np.load(folder / "predictions.npz") as arrays:
            rows, scored = arrays["test_rows"], arrays["test_probabilities"]
        said = Classifier.load(folder).predict([finished.pictures[row] for row in rows])
        assert np.allclose([p.probabilities for p in said], scored, atol=2e-4), run


def test_a_second_run_computes_nothing(finished: Finished) -> None:
    _, told = execute(finished.spec, finished.root.parent)
    assert told.ran == [] and len(told.found) == 8


def test_another_study_takes_fits_from_the_store(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "headstart.study.execution.head_runs.fit_heads", lambda *a: pytest.fail("a head was fitted again")
    )
    monkeypatch.setattr(
        "headstart.study.execution.tuning.train.finetune", lambda *a: pytest.fail("a network was trained again")
    )
    second, told = execute({**finished.spec, "name": "other"}, tmp_path / "out")
    assert len(told.ran) == 8 and results(finished.root) == results(second)


@pytest.mark.long
def test_results_do_not_depend_on_what_is_run_together(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, runs = {}, finished.spec["runs"]
    for name in reversed(list(runs)):
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / f"cache {name}"))
        root, _ = execute({**finished.spec, "name": "one", "runs": {name: runs[name]}}, tmp_path / name)
        found |= results(root)
    assert found == results(finished.root)


@pytest.mark.long
def test_choices_do_not_see_the_test_labels(small_study: dict[str, Any], tmp_path: Path) -> None:
    """Whoever looked at the test images' labels before the end would choose otherwise when they are shuffled."""
    import shutil

    spec = {**small_study, "data": {"source": str(tmp_path / "given")}}
    pictures = tmp_path / "pictures"
    for part, rows in (("train", range(9)), ("val", range(9, 12)), ("test", range(12, 14))):
        for label in ("blue", "green", "red"):
            (tmp_path / "given" / part / label).mkdir(parents=True)
            for row in rows:
                shutil.copy(pictures / label / f"{row:03d}.png", tmp_path / "given" / part / label / f"{row}.png")
    honest, _ = execute(spec, tmp_path / "out")
    test = tmp_path / "given" / "test"
    (test / "blue").rename(test / "was blue")
    (test / "red").rename(test / "blue")
    (test / "was blue").rename(test / "red")
    shuffled, _ = execute({**spec, "name": "shuffled"}, tmp_path / "out")
    for path in sorted(honest.glob("runs/*/*/result.json")):
        other = json.loads((shuffled / path.relative_to(honest)).read_text())
        one = json.loads(path.read_text())
        assert one["chosen"] == other["chosen"] and one["temperature"] == other["temperature"]
        assert [row["validation_accuracy"] for row in one["tried"]] == [
            row["validation_accuracy"] for row in other["tried"]
        ]


def test_a_run_that_becomes_nan_fails_and_the_others_go_on(small_study: dict[str, Any], tmp_path: Path) -> None:
    runs = {
        **small_study["runs"],
        "wild": {
            "strategy": "scratch",
            "recipe": {"epochs": 5, "lr": 1000.0, "schedule": "none", "weight_decay": 10.0, "batch_size": 4},
        },
    }
    root, told = execute({**small_study, "seeds": 1, "runs": runs}, tmp_path / "out")
    assert list(told.broken) == ["wild (seed 0)"] and "finite" in told.broken["wild (seed 0)"]
    manifest = json.loads((root / "runs" / "wild" / "seed-0" / "manifest.json").read_text())
    assert manifest["status"] == "failed" and "finite" in manifest["error"]
    assert len(told.ran) == 4


def test_a_rate_that_becomes_nan_does_not_end_its_grid(small_study: dict[str, Any], tmp_path: Path) -> None:
    recipe = {"epochs": 5, "lr": {"grid": [1000.0, 0.01]}, "schedule": "none", "weight_decay": 10.0, "batch_size": 4}
    runs = {"grid": {"strategy": "scratch", "recipe": recipe}}
    root, told = execute({**small_study, "seeds": 1, "runs": runs}, tmp_path / "out")
    assert told.broken == {}
    result = json.loads((root / "runs" / "grid" / "seed-0" / "result.json").read_text())
    assert result["chosen"]["recipe.lr"] == 0.01 and len(result["tried"]) == 1
    assert any(note.startswith("failed with recipe.lr=1000.0") for note in result["notes"])
    left = [path for path in default_store().root.glob("trials/*/training/*") if ".partial" not in str(path)]
    assert left and not [path for path in left if path.suffix in (".ckpt", ".safetensors")]


def test_a_chain_starts_from_the_network_of_the_run_before(small_study: dict[str, Any], tmp_path: Path) -> None:
    runs = {
        "first": {"strategy": "scratch", "recipe": {"epochs": 1, "batch_size": 8}},
        "second": {"strategy": "ridge", "weights": {"run": "first"}},
    }
    root, told = execute({**small_study, "seeds": 1, "runs": runs}, tmp_path / "out")
    assert told.broken == {}
    first = Classifier.load(root / "runs" / "first" / "seed-0").bundle.network.backbone.state_dict()
    second = Classifier.load(root / "runs" / "second" / "seed-0").bundle.network.backbone.state_dict()
    assert all((first[key] == second[key]).all() for key in first)


def test_one_class_is_refused(tmp_path: Path, small_study: dict[str, Any]) -> None:
    import shutil

    for name in ("green", "red"):
        shutil.rmtree(tmp_path / "pictures" / name)
    with pytest.raises(DataError, match="one class"):
        execute(small_study, tmp_path / "out")


def test_images_that_break_off_are_listed_and_left_out(small_study: dict[str, Any], tmp_path: Path) -> None:
    whole = (tmp_path / "pictures" / "blue" / "003.png").read_bytes()
    (tmp_path / "pictures" / "blue" / "003.png").write_bytes(whole[: len(whole) // 2])
    root, _ = execute({**small_study, "runs": {"pixels": small_study["runs"]["pixels"]}}, tmp_path / "out")
    dataset = json.loads(next(root.glob("data/*/dataset.json")).read_text())
    assert ["003.png" in skip["name"] for skip in dataset["skipped"]] == [True]
    with np.load(root / "runs" / "pixels" / "seed-0" / "split.npz") as split:
        assert sum(len(split[part]) for part in ("train", "validation", "test")) == 41


def _in_child(spec: dict[str, Any], out: str) -> None:
    run_study(load_study(spec), out, device="cpu")


@pytest.mark.slow
def test_killed_again_and_again_a_study_ends_with_the_same_numbers(small_study: dict[str, Any], tmp_path: Path) -> None:
    undisturbed, _ = execute(small_study, tmp_path / "calm")
    os.environ["HEADSTART_CACHE"] = str(tmp_path / "stormy cache")
    context = multiprocessing.get_context("spawn")
    generator = np.random.default_rng(0)
    kept: set[str] = set()
    for _ in range(10):
        child = context.Process(target=_in_child, args=(small_study, str(tmp_path / "storm")))
        child.start()
        time.sleep(float(generator.uniform(4, 10)))
        if child.is_alive() and child.pid is not None:
            os.kill(child.pid, signal.SIGKILL)
        child.join()
        store = default_store()
        rows = [row for row in store.entries() if row["complete"]]  # a trial that lost gives up its network
        finished = {f"{r['kind']}/{r['key']}/{'' if r['kind'] == 'trials' else r['bytes']}" for r in rows}
        assert kept <= finished, "what was finished stays finished, untouched"
        kept = finished
    stormy, _ = execute(small_study, tmp_path / "storm")
    assert results(stormy) == results(undisturbed)


@pytest.mark.slow
def test_two_processes_do_not_disturb_each_other(small_study: dict[str, Any], tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_in_child, args=(small_study, str(tmp_path / "both"))) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    os.environ["HEADSTART_CACHE"] = str(tmp_path / "own cache")
    alone, _ = execute(small_study, tmp_path / "alone")
    assert results(tmp_path / "both" / "small") == results(alone)


def test_a_study_says_what_a_file_of_corrections_changed(pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "corrections.csv"
    file.write_text("path,problem,decision,after\nblue/000.png,label,relabel,red\nred/001.png,dark,exclude,\n")
    runs = {"pixels": {"backbone": "pixels", "strategy": "ridge"}}
    spec = {"name": "c", "data": {"source": str(pictures)}, "seeds": 1, "audit": False, "runs": runs}
    plain, _ = execute(spec, tmp_path / "out")
    data = {"source": str(pictures), "corrections": str(file)}
    corrected, _ = execute({**spec, "data": data}, tmp_path / "out")
    facts = json.loads((corrected / "study.json").read_text())
    assert [(each["name"], each["before"], each["after"]) for each in facts["corrected"]] == [
        ("red/001.png", "red", ""),
        ("blue/000.png", "blue", "red"),
    ]
    assert "corrected" not in json.loads((plain / "study.json").read_text())
    assert corrected.name.startswith("c-")  # other images than the first
    (card,) = (json.loads(path.read_text()) for path in corrected.glob("data/*/dataset.json"))
    assert card["corrected"] == facts["corrected"] and card["n"] == 41
    found = evaluate_models(corrected / "model.safetensors", pictures, tmp_path / "e", corrections=file, device="cpu")
    assert [each.name for each in found.dataset.corrected] == ["red/001.png", "blue/000.png"]


MOVES: dict[str, tuple[Callable[[Path], object], str, str]] = {  # how, and then the place and name of the study
    "renamed": (lambda root: root.rename(root.with_name("new")), "out", "new"),
    "its parent renamed": (lambda root: root.parent.rename(root.parent.with_name("new")), "new", "small"),
    "deleted with its parent": (lambda root: shutil.rmtree(root.parent), "out", "small"),
}


@pytest.mark.parametrize("how", MOVES)
def test_a_study_whose_folder_is_moved_ends_in_one_line_and_continues_in_the_new_place(
    finished: Finished, tmp_path: Path, how: str
) -> None:
    move, place, name = MOVES[how]
    root = tmp_path / "out" / "small"

    class Moving(Told):
        def done(self, run: str, score: float, seconds: float | None = None, images: int | None = None) -> None:
            super().done(run, score, seconds, images)
            if len(self.ran) == 3:
                move(root)

    told = Moving()
    with pytest.raises(StoreError, match="small: was moved, renamed or deleted") as raised:
        run_study(load_study(finished.spec), root.parent, device="cpu", listener=told)
    assert "\n" not in str(raised.value)
    assert len(told.ran) == 3 and not root.exists()
    again, told = execute({**finished.spec, "name": name}, tmp_path / place)
    assert again == tmp_path / place / name
    assert len(told.found) == (0 if how.startswith("deleted") else 3), "what the folder holds is not written again"
    assert results(again) == results(finished.root)
    assert json.loads((again / "study.json").read_text())["status"] == "complete"
    assert not list(tmp_path.rglob("*.lock")) and not list(tmp_path.rglob(".*.tmp"))


def test_what_is_planned_and_what_study_json_says_have_the_same_keys(open_study: OpenStudy) -> None:
    runs = {"a": {"strategy": "majority"}, "b": {"strategy": "ridge"}}
    session = open_study(runs, seeds=2, ensembles={"both": ["a", "b"]})
    assert isinstance(session.listener, Told)
    told = {(row["run"], row["seed"]): row["key"] for row in session.listener.planned}
    assert told == {(run, int(seed)): key for run, keys in session.state.keys.items() for seed, key in keys.items()}
    members = [[task for task in session.plan.tasks if task.seed == seed] for seed in (0, 1)]
    assert [told["both", seed] for seed in (0, 1)] == [ensemble_key(each) for each in members] and len(told) == 6
