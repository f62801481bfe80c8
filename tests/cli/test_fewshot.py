from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.cli.fewshot import _numbers, _show, fewshot_and_show
from headstart.errors import SpecError
from headstart.fewshot import evaluation as fewshot_evaluation
from headstart.fewshot.methods import METHODS
from headstart.labelled_images import EPISODES, TUNED_EPISODES
from headstart.storage.opening import default_store
from tests.cli.conftest import Call
from tests.support.multispectral import write_folder


@pytest.mark.usefixtures("shared_cache")
def test_fewshot_does_what_its_options_ask_for(call: Call, photos: Path, manifest: Path) -> None:
    def scores(data: Path, *more: object) -> dict[tuple[str, int], float]:
        code, out, said = call(
            "fewshot", data, "--backbone", "lenet5", "--weights", "none", "--ways", 2, "--shots", "1,3",
            "--queries", 4, "--episodes", 200, "--method", "prototypes", "--method", "ridge", "--device", "cpu",
            "--json", *more,
        )  # fmt: skip
        assert code == 0, said
        return {(row["method"], row["shots"]): row["accuracy"] for row in json.loads(out)["rows"]}

    found = scores(photos)
    assert set(found) == {(method, shots) for method in ("prototypes", "ridge") for shots in (1, 3)}
    assert min(found.values()) > 0.8
    chance = [scores(manifest, "--label", "half", *seed) for seed in ((), ("--seed", 0), ("--seed", 1))]
    assert max(chance[0].values()) < 0.7
    assert chance[0] == chance[1] != chance[2]


def test_fewshot_reads_bands(call: Call, tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    folder = write_folder(tmp_path / "s2", 10)
    asked = ["--backbone", "lenet5", "--weights", "none", "--ways", 3, "--shots", 3, "--queries", 5, "--episodes", 40]
    code, out, said = call("fewshot", folder, *asked, "--bands", "B08,11,3", "--show", "B08,11,3", "--json")
    assert code == 0 and json.loads(out)["rows"][0]["accuracy"] > 0.9, said
    code, _, said = call("fewshot", folder, *asked, "--show", "3,2,1")
    assert code == 2 and "give data.bands, too" in said and len(said.strip().splitlines()) == 1


def test_fewshot_with_too_few_classes_is_refused_before_any_work(call: Call, photos: Path) -> None:
    code, _, said = call("fewshot", photos, "--ways", 3, "--backbone", "lenet5", "--weights", "none")
    assert code == 2 and "2" in said and "3" in said


def test_a_network_is_tuned_in_each_of_a_few_episodes(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: dict[str, Any] = {"ways": 2, "shots": "2", "queries": 4, "episodes": None, "seed": 0}
    place = (str(photos), "lenet5", "none")
    both = ["finetune", "prototypes"]
    fewshot_and_show(*place, {"label": None}, **asked, methods=both, device="cpu", out=photos, as_json=True)
    table = json.loads(capsys.readouterr().out)
    assert [(row["method"], row["episodes"]) for row in table["rows"]] == [("finetune", 5), ("prototypes", 5)]
    assert len(table["comparisons"]["2"]) == 1


def test_the_table_of_few_shot_results_shows_the_dataset_literally(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"method": "ridge", "transductive": False, "shots": 1, "accuracy": 0.5, "low": 0.4, "high": 0.6}
    _show({"rows": [row], "comparisons": {1: [{"verdict": "a [b] :star:"}]}}, "[other]:star:")
    out = capsys.readouterr().out
    assert "[other]:star:" in out and "1 shot: a [b] :star:" in out and "40.00–60.00 %" in out


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect what would be evaluated, instead of evaluating it."""
    found: list[Any] = []

    class Nothing:
        name = "nothing"

        def to_dict(self) -> dict[str, Any]:
            return {"rows": [], "comparisons": {}}

    def note(usable: Any, spec: Any, **_: Any) -> Nothing:
        found.append((usable, spec))
        return Nothing()

    monkeypatch.setattr(fewshot_evaluation, "run_fewshot", note)
    return found


@pytest.mark.usefixtures("shared_cache")
def test_all_methods_are_asked_over_many_episodes_and_tuning_over_few(
    call: Call, photos: Path, asked: list[Any]
) -> None:
    common = ("fewshot", photos, "--json", "--backbone", "lenet5", "--weights", "none", "--ways", 2, "--shots", "1,2")
    assert call(*common, "--queries", 3, "--method", "all", "--seed", 4)[0] == 0
    usable, spec = asked.pop()
    assert spec == fewshot_evaluation.FewShotSpec(2, (1, 2), 3, EPISODES, tuple(METHODS), 4)
    assert usable.features.shape == (20, 84) and np.bincount(usable.labels).tolist() == [10, 10]
    call(*common, "--queries", 3, "--method", "finetune", "--method", "knn")
    usable, spec = asked.pop()
    assert spec.episodes == TUNED_EPISODES and usable.features is not None
    call(*common, "--queries", 3, "--method", "finetune", "--episodes", 7)
    usable, spec = asked.pop()
    assert spec.episodes == 7 and usable.features is None  # tuning starts from the images
    code, _, said = call(*common, "--method", "ridg")
    assert code == 2 and "did you mean 'ridge'" in said


def test_pruning_the_cache_meanwhile_leaves_what_the_episodes_are_drawn_from(
    call: Call, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = fewshot_evaluation.run_fewshot, []

    def pruned(*given: Any, **how: Any) -> Any:
        default_store().prune(0)
        left.extend(row["kind"] for row in default_store().entries())
        return real(*given, **how)

    monkeypatch.setattr(fewshot_evaluation, "run_fewshot", pruned)
    few = ("--ways", 2, "--shots", "1", "--queries", 3, "--episodes", 5, "--method", "prototypes")
    assert call("fewshot", photos, "--backbone", "lenet5", "--weights", "none", "--json", *few)[0] == 0
    assert {"features", "images"} <= set(left)
    default_store().prune(0)
    assert default_store().entries() == []  # nobody is at work any more


def test_shots_are_whole_numbers_separated_by_commas() -> None:
    assert _numbers("1,5") == (1, 5) and _numbers("3") == (3,)
    with pytest.raises(SpecError, match="--shots '1;5': write whole numbers separated by commas"):
        _numbers("1;5")


def test_a_row_shows_percentages_and_what_is_unknown_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"low": 0.512, "high": 0.534, "new_classes": {"low": 0.48, "high": 0.56}, "episodes_per_second": 12345.6}
    rows: list[dict[str, Any]] = [
        {"method": "tim", "transductive": True, "shots": 5, "accuracy": 0.52345, **known},
        {"method": "knn", "transductive": False, "shots": 1, "accuracy": 1.0, "low": None, "high": None},
    ]
    _show({"rows": rows, "comparisons": {5: [{"verdict": f"v{k}"} for k in range(8)]}}, "title")
    out = capsys.readouterr().out
    first = next(line for line in out.splitlines() if "tim" in line)
    assert first.split("  ")[0].strip() == "tim (transductive)"
    assert all(text in first for text in ("52.34 %", "51.20–53.40 %", "48.0–56.0 %", "12,346"))
    assert next(line for line in out.splitlines() if "knn" in line).split() == ["knn", "1", "100.00", "%"]
    assert [line for line in out.splitlines() if line.startswith("5 shots: ")] == [f"5 shots: v{k}" for k in range(6)]


def test_one_method_alone_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def row(method: str, shots: int, accuracy: float) -> dict[str, Any]:
        return {
            "method": method, "shots": shots, "accuracy": accuracy, "low": None, "high": None, "transductive": False,
        }  # fmt: skip

    rows = [row("ridge", 1, 0.6732), row("ridge", 5, 0.9268)]
    _show({"rows": rows, "comparisons": {}}, "title")
    assert capsys.readouterr().out.splitlines()[0] == "ridge: 67.3 % with 1 image of each class, 92.7 % with 5"
    _show({"rows": rows[1:], "comparisons": {}}, "title")
    assert capsys.readouterr().out.splitlines()[0] == "ridge: 92.7 % with 5 images of each class"
    _show({"rows": [*rows, row("knn", 1, 0.5)], "comparisons": {}}, "title")
    assert "of each class" not in capsys.readouterr().out


def test_images_with_several_labels_are_refused_after_what_was_found_is_told(call: Call, photos: Path) -> None:
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.*"))[:6]
    table = photos / "several.csv"
    table.write_text(
        "path,label\n" + "".join(f"{name},{'sun|moon' if row % 2 else 'sun'}\n" for row, name in enumerate(names))
    )
    code, _, said = call("fewshot", table, "--ways", 2, "--shots", 1)
    table.unlink()
    assert code == 2 and "several: 6 images, 2 labels, several per image" in said
    assert said.endswith("headstart: several: episodes need one label per image; this dataset has several\n")


@pytest.mark.usefixtures("shared_cache")
def test_the_table_is_written_as_a_page_too(call: Call, photos: Path, tmp_path: Path) -> None:
    code, out, said = call(
        "fewshot", photos, "--backbone", "lenet5", "--weights", "none", "--ways", 2, "--shots", "1", "--queries", 4,
        "--episodes", 50, "--method", "prototypes", "--method", "ridge", "--device", "cpu", "--out", tmp_path,
    )  # fmt: skip
    assert code == 0, said
    (page,) = tmp_path.glob("fewshot-*.html")
    text = page.read_text(encoding="utf-8")
    assert out.rstrip().endswith(f"page: {page}") and "50 episodes for each number of shots" in text
    assert text.count("<tr>") == 3 and "prototypes" in text and "ridge" in text
