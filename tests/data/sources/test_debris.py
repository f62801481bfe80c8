from __future__ import annotations

import pytest

from headstart.data.sources.debris import data_files, is_debris


@pytest.mark.parametrize(
    ("path", "debris"),
    [
        ("__MACOSX/cat/1.jpg", True),
        ("cat/._1.jpg", True),
        ("cat/.ipynb_checkpoints/1.jpg", True),
        ("headstart-runs/pets/1.jpg", True),
        ("cat/Thumbs.db", True),
        ("cat/1.jpg", False),
        ("my-headstart-runs/1.jpg", False),
    ],
)
def test_hidden_files_and_those_of_systems_and_of_headstart_are_debris(path: str, debris: bool) -> None:
    assert is_debris(path) is debris


def test_a_study_folder_of_any_name_holds_no_data() -> None:
    study = ["results/a/study.json", "results/a/runs/knn/seed-0/lime.png", "results/a/data/1/x.png"]
    pets = ["cat/1.jpg", "cat/study.json", "dog/1.jpg", "results/mine/1.jpg"]
    assert data_files([*study, *pets]) == pets
    assert data_files(["study.json", "runs/knn/lime.png", "cat/1.jpg"]) == []
