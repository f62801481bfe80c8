"""What every test shares: shapes enforced, a store of its own, real images where they are at hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook
from spread import spread

CHECKED = ("evaluate", "fewshot", "transfer", "models", "explain")
install_import_hook([f"headstart.{area}" for area in CHECKED], "beartype.beartype")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    spread(config)


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give each test an empty cache, so that no test sees what another computed."""
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HEADSTART_CACHE", str(place))
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def real_images() -> Path:
    """Return the folder of real images, or skip."""
    place = os.environ.get("HEADSTART_DATA")
    if not place:
        pytest.skip("HEADSTART_DATA is not set: no real images at hand")
    return Path(place)
