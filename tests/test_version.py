from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.version import Version

import headstart
from headstart.version import VERSION


def test_the_package_has_one_version_in_normal_form() -> None:
    assert headstart.__version__ == VERSION == str(Version(VERSION))


def test_the_build_reads_the_version_from_this_module() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"] and "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "headstart.version.VERSION"}
