"""The command line in this process, and photographs that a small network can classify."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headstart.api import Study
from headstart.cli import main as command_line
from tests.docs.readers_files import draw

Call = Callable[..., tuple[int, str, str]]
Passed = list[tuple[tuple[Any, ...], dict[str, Any]]]
STUDY = """
name: small
data: {photos}
seeds: 1
audit: false
defaults: {{backbone: lenet5, weights: none}}
runs:
  floor: {{backbone: pixels, strategy: majority}}
  ridge: {{strategy: ridge}}
  knn: {{strategy: knn}}
"""


def passed_to(monkeypatch: pytest.MonkeyPatch, *functions: tuple[ModuleType, str]) -> Passed:
    """Return the list to which these functions add the arguments that they are called with, and do nothing else."""
    found: Passed = []

    def note(*given: Any, **named: Any) -> None:
        found.append((given, named))

    for module, name in functions:
        monkeypatch.setattr(module, name, note)
    return found


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs a command and returns its exit status, standard output and standard error."""
    monkeypatch.setenv("HEADSTART_REMOTE", "")  # `--store` sets it; this puts it back

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            command_line.main([str(argument) for argument in arguments])
        out = capsys.readouterr()
        return int(ended.value.code or 0), out.out, out.err

    return run


@pytest.fixture(scope="module")
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared-cache")


@pytest.fixture
def shared_cache(one_cache: Path, own_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the tests of one file share their cache."""
    monkeypatch.setenv("HEADSTART_CACHE", str(one_cache))
    return one_cache


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("photos") / "flowers", classes=2, per_class=10, size=40)


@pytest.fixture
def study_file(photos: Path, tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(photos=photos))
    return path


@pytest.fixture
def manifest(photos: Path, tmp_path: Path) -> Path:
    """Return a manifest whose column `half` divides the images otherwise than by class."""
    rows = [
        f"{path},{path.parent.name},{'ab'[number % 2]}" for number, path in enumerate(sorted(photos.rglob("*.jpg")))
    ]
    (tmp_path / "list.csv").write_text("path,label,half\n" + "\n".join(rows) + "\n")
    return tmp_path / "list.csv"


@pytest.fixture(scope="module")
def finished(photos: Path, one_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study of two small networks."""
    runs = {"one": {"strategy": "ridge"}, "two": {"strategy": "prototypes"}}
    study = {
        "name": "small",
        "data": str(photos),
        "seeds": 1,
        "audit": False,
        "defaults": {"backbone": "lenet5", "weights": "none"},
        "runs": runs,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(one_cache))
        return Study(study).run(tmp_path_factory.mktemp("runs"), report=False).folder
