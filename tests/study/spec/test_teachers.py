"""The teachers that a study names: in which order runs are done, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.errors import SpecError
from headstart.study.spec.load import load_study
from headstart.study.spec.settings import recipe_of, strategy_of
from headstart.study.spec.teachers import teachers_of


def study(**runs: Any) -> dict[str, Any]:
    return {"name": "s", "data": "d", "runs": runs, "ensembles": {"both": ["a", "b"]}}


HEADS: dict[str, Any] = {"a": {"strategy": "ridge"}, "b": {"strategy": "knn"}}


def student(teacher: Any, **more: Any) -> dict[str, Any]:
    return {"strategy": "distil", "teacher": teacher, **more}


def test_a_run_follows_every_member_of_its_teacher() -> None:
    read = load_study(study(last=student("one"), one=student("both"), **HEADS))
    assert [run.name for run in read.runs] == ["a", "b", "one", "last"]
    assert [teacher.name for teacher in read.run("one").teachers] == ["a", "b"]
    assert read.run("last").sources == ("one",) and read.run("a").teachers == ()
    assert teachers_of(read.spec, read.runs, "s", {}) == {"one": ("a", "b"), "last": ("one",)}


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ({"s": student("nobody")}, "run 's' learns from unknown run or ensemble 'nobody'"),
        ({"s": student("s")}, "run 's' cannot be its own teacher; name another run"),
        ({"a": student("both"), "b": {}}, "run 'a' cannot be its own teacher: the ensemble 'both' has it as a member"),
        ({"s": student("t"), "t": student("s")}, "runs start or learn from one another in a circle: s, t"),
        ({"s": {"strategy": "distil"}}, "strategy 'distil' learns from a teacher; set teacher: NAME, a run or an"),
        ({"s": student({"run": "a", "path": "b"})}, "teacher needs exactly one of run"),
        ({"s": student("a", temperature=0)}, "temperature"),
        ({"s": student("a", hard_labels=1.5)}, "hard_labels"),
        ({"s": student("a", teacher_views="some")}, "teacher_views"),
        ({"s": student("a", episodes={"ways": 2})}, "not on episodes"),
        ({"s": student("e"), "e": {"episodes": {"ways": 2}}}, "run 'e' evaluates episodes and leaves no classifier"),
    ],
)
def test_what_cannot_teach_is_refused_in_one_line(runs: dict[str, Any], told: str) -> None:
    spec = study(**{**HEADS, **runs})
    with pytest.raises(SpecError) as error:
        load_study(spec)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_teacher_cannot_be_excluded_while_others_learn_from_it() -> None:
    with pytest.raises(SpecError, match=r"'a' cannot be excluded, because other runs start or learn from it: 's'"):
        load_study({**study(s=student("a"), **HEADS), "ensembles": {}}, ["~runs.a"])


def test_paths_start_from_the_studys_folder_and_names_of_runs_do_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "s.yaml").write_text(
        "name: s\ndata: {source: d, unlabelled: a}\nruns:\n  a: {strategy: ridge}\n"
        "  s: {strategy: distil, teacher: a}\n  p: {strategy: distil, teacher: {path: model.safetensors}}\n"
    )
    read = load_study(tmp_path / "s.yaml")
    first, second = (read.run(name).spec.teacher for name in ("s", "p"))
    assert first is not None and first.run == "a"
    assert second is not None and second.path == str(tmp_path / "model.safetensors")
    assert read.spec.data.unlabelled == str(tmp_path / "a")


def test_what_is_learned_is_as_of_fine_tuning_or_of_scratch_and_training_is_long() -> None:
    read = load_study(study(tuned=student("a"), small=student("a", weights="none", backbone="small_cnn"), **HEADS))
    tuned, small = read.run("tuned").spec, read.run("small").spec
    assert strategy_of(tuned).kind == "fine_tune" and strategy_of(small).kind == "scratch"
    head = tuned.model_copy(update={"train_only": ["head"]})
    assert strategy_of(head).kind == "linear_probe" and strategy_of(head).train_only is None
    recipe = recipe_of(tuned)  # three times the 20 epochs of EfficientNet, at the rate of lp_ft
    assert (recipe.epochs, recipe.lr, recipe.label_smoothing) == (60, pytest.approx(0.01), 0.0)
    assert recipe.norm_statistics == "frozen" and recipe.mixes == ("mixup",)
    assert recipe_of(small).norm_statistics == "batch" and recipe_of(small).epochs == 24
