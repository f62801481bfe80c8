from __future__ import annotations

from pathlib import Path

import pytest

from headstart.study.results.version import study_folder, versioned_name

ONE, OTHER = "1a2b3c4d", "5e6f7a8b"


def test_a_study_of_other_images_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert versioned_name(tmp_path, "pets", ONE) == "pets"
    study_folder(tmp_path, "pets").write_study({"fingerprint": ONE})
    assert versioned_name(tmp_path, "pets", ONE) == "pets"
    assert versioned_name(tmp_path, "pets", OTHER) == "pets-5e6f7a"
    study_folder(tmp_path, "pets-5e6f7a").write_study({"fingerprint": OTHER})
    assert versioned_name(tmp_path, "pets", OTHER) == "pets-5e6f7a"


def test_the_folder_of_an_earlier_version_of_headstart_is_used(tmp_path: Path) -> None:
    study_folder(tmp_path, "pets").write_study({"name": "pets"})
    assert versioned_name(tmp_path, "pets", OTHER) == "pets"


def test_a_damaged_study_is_of_the_images_that_its_data_are_named_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = study_folder(tmp_path, "pets")
    folder.write_study({"fingerprint": ONE})
    (folder.root / "study.json").write_text('{"fingerprint": "1a')
    assert versioned_name(tmp_path, "pets", OTHER) == "pets"  # nothing was finished
    folder.data_folder(ONE).mkdir(parents=True)
    assert versioned_name(tmp_path, "pets", ONE) == "pets"
    assert versioned_name(tmp_path, "pets", OTHER) == "pets-5e6f7a"
    assert capsys.readouterr().err.count("study.json: damaged; it will be rewritten") == 3
