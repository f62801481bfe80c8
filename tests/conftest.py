"""What every test shares: shapes enforced, a store of its own, real images where they are at hand."""

from __future__ import annotations

import atexit
import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis  # noqa: F401  # before the freeze below: it looks for who refers to the random generators
import pytest
import shapes
from spread import begin_elsewhere, spread

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers and the processes that tests start inherit it
    _no_weights = tempfile.TemporaryDirectory(prefix="headstart-no-weights-")  # a developer's own are not seen
    atexit.register(_no_weights.cleanup)
    os.environ |= {"HF_HOME": _no_weights.name, "TORCH_HOME": _no_weights.name, "HF_HUB_OFFLINE": "1"}

gc.disable()  # until the tests run: what is imported stays, and visiting it again and again takes seconds

_caches = itertools.count()
CHECKED = ("evaluate", "fewshot", "transfer", "models", "explain")
shapes.enforce([f"headstart.{area}" for area in CHECKED])


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    spread(config)


def pytest_collection(session: pytest.Session) -> None:
    begin_elsewhere(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:  # not after the collection: the process that hands tests to workers collects none
    gc.collect()
    gc.freeze()  # a million objects, which no later collection need visit: pytest asks for five of all at its end
    gc.enable()


@pytest.fixture(autouse=True)
def own_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Give each test an empty cache, so that no test sees what another computed; real images are asked for by mark.

    Workers have a width of the terminal in their environment, which is taken away.
    """
    shapes.begin()
    place = tmp_path_factory.getbasetemp() / f"cache{next(_caches)}"  # mktemp would look for a free name, and link it
    place.mkdir(mode=0o700)
    monkeypatch.setenv("HEADSTART_CACHE", str(place))
    monkeypatch.delenv("COLUMNS", raising=False)
    if request.node.get_closest_marker("realdata") is None:
        monkeypatch.delenv("HEADSTART_DATA", raising=False)
    yield place
    try:
        place.rmdir()  # of most tests it is empty
    except OSError:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def real_images() -> Path:
    """Return the folder of real images, or skip."""
    place = os.environ.get("HEADSTART_DATA")
    if not place:
        pytest.skip("HEADSTART_DATA is not set: no real images at hand")
    return Path(place)
