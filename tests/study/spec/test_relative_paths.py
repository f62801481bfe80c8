from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import SpecError
from headstart.study.spec.relative_paths import from_folder


def test_paths_of_data_and_weights_start_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "net.safetensors").touch()
    study = {
        "name": "s",
        "data": {"source": "photos", "limit": 3},
        "defaults": {"weights": "./net.safetensors"},
        "runs": {"a": {"weights": {"path": "net.safetensors"}, "data": "photos"}, "b": None},
    }
    found = from_folder(study, tmp_path)
    assert found["data"] == {"source": str(tmp_path / "photos"), "limit": 3}
    assert Path(found["defaults"]["weights"]) == tmp_path / "net.safetensors"
    assert found["runs"]["a"] == {
        "weights": {"path": str(tmp_path / "net.safetensors")},
        "data": str(tmp_path / "photos"),
    }
    assert found["runs"]["b"] is None and found["name"] == "s"


@pytest.mark.parametrize("text", ["caltech101", "imagenet", "hf:cifar10", "~/photos", "$DATA/photos", "/photos"])
def test_names_and_absolute_paths_stay(tmp_path: Path, text: str) -> None:
    assert from_folder({"data": text}, tmp_path) == {"data": text}


def test_a_path_that_is_nowhere_is_named_where_it_was_looked_for(tmp_path: Path) -> None:
    assert from_folder({"data": "no/photos"}, tmp_path) == {"data": str(tmp_path / "no" / "photos")}


def test_a_path_from_the_current_folder_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "my" / "photos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(SpecError, match="relative paths start from the study file") as caught:
        from_folder({"data": "my/photos"}, tmp_path / "studies")
    assert str(tmp_path / "here" / "my" / "photos") in str(caught.value)


def test_what_is_no_mapping_is_left_to_the_check_that_follows(tmp_path: Path) -> None:
    assert from_folder(["a"], tmp_path) == ["a"] and from_folder({"data": 3}, tmp_path) == {"data": 3}


def test_a_file_of_corrections_starts_from_the_folder_too(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("path,decision,after\n")
    found = from_folder({"data": {"source": "caltech101", "corrections": "c.csv"}}, tmp_path)
    assert found == {"data": {"source": "caltech101", "corrections": str(tmp_path / "c.csv")}}
