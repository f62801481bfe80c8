"""The checks before a commit, on GitHub and in `.ci/run` are the same ones."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
SCRIPT = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
NOT_ON_GITHUB = {"realdata", "costly"}  # real images are not there; costly is three others in one
WEEKLY = {"thorough"}


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def pieces() -> list[str]:
    found = re.search(r'^PIECES="([a-z ]+)"$', SCRIPT, re.MULTILINE)
    assert found is not None
    return found[1].split()


def test_every_piece_has_a_function_and_a_line_in_the_header() -> None:
    functions = re.findall(r"^(?:run_)?([a-z]+)\(\) \{", SCRIPT, re.MULTILINE)
    described = re.findall(r"^#   ([a-z]+) {2,}\S", SCRIPT, re.MULTILINE)
    assert set(pieces()) <= set(functions) and sorted(described) == sorted(pieces())


def test_a_warning_ends_the_building_of_the_site() -> None:
    (line,) = (line for line in SCRIPT.splitlines() if "mkdocs build" in line)
    assert " --strict " in line and " --quiet" not in line.split("#")[0]  # with it, mkdocs counts no warnings


def run_by(workflow: str, minutes: int) -> set[str]:
    """Return the pieces that the jobs of a workflow run after an install, each job within so many minutes."""
    run = set()
    for job in read(f".github/workflows/{workflow}")["jobs"].values():
        commands = [step["run"] for step in job["steps"] if "run" in step]
        found = [re.fullmatch(r"bash \.ci/run ([a-z]+)", command) for command in commands]
        assert None not in found and commands[0] == "bash .ci/run install", commands
        run |= {each[1] for each in found if each is not None}
        assert job["timeout-minutes"] <= minutes and job["steps"][0]["uses"].startswith("actions/checkout@")
    return run


def test_the_workflow_runs_every_piece_after_an_install() -> None:
    assert run_by("ci.yml", 60) == set(pieces()) - NOT_ON_GITHUB - WEEKLY


def test_what_is_slow_runs_once_a_week() -> None:
    assert run_by("thorough.yml", 360) == {"install"} | WEEKLY  # a job on GitHub ends after six hours
    days = read(".github/workflows/thorough.yml")[True]["schedule"][0]["cron"].split()[2:]  # YAML reads `on` as true
    assert days == ["*", "*", "1"]


def test_the_workflow_tests_the_versions_and_systems_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    matrix = read(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == versions and project["requires-python"] == f">={versions[0]}"
    systems = {"ubuntu": "POSIX :: Linux", "macos": "MacOS", "windows": "Microsoft :: Windows"}
    named = re.findall(r"Operating System :: (.+)", "\n".join(project["classifiers"]))
    assert sorted(systems[name.partition("-")[0]] for name in matrix["os"]) == sorted(named)


def test_the_hooks_before_a_commit_run_what_the_piece_style_runs() -> None:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    body = re.search(r"^run_style\(\) \{\n(.*?)^\}", SCRIPT, re.MULTILINE | re.DOTALL)
    assert body is not None
    tools = [" ".join(word for word in line.split() if word.isalpha()) for line in body[1].strip().splitlines()]
    hooks = [" ".join(word for word in hook["entry"].split() if word.isalpha()) for hook in local["hooks"]]
    assert hooks == [tool for tool in tools if tool] == ["ruff format", "ruff check", "mypy"]
    assert all(hook["language"] == "system" for hook in local["hooks"])
