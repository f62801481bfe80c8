"""Every block of README and docs runs as it stands on its page, top to bottom."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from sybil import Document

from headstart.study import comparison
from headstart.study.planning import microbenchmarks
from tests.docs.blocks import blocks_of
from tests.docs.readers_files import StandIns, draw, draw_one, smaller_pictures
from tests.docs.running import REPOSITORY, Runner, parse
from tests.docs.test_links import FENCED

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def at_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the datasets and weights that all pages share."""
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one cache for all pages, those of other workers too: most look at the same drawn photographs."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cache-of-the-pages"


@pytest.mark.docs
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.name) for page in PAGES],
)
def test_every_block_of_the_page_runs(
    page: Path, at_hand: Path, cache: Path, own_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(cache))
    monkeypatch.setattr(microbenchmarks, "_PATIENCE", 0.01)  # the figures of a plan are not looked at
    monkeypatch.setattr(comparison, "FOLDS", 3)  # of cross-validation, in place of five
    smaller_pictures(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name in ("studies", "benchmarks"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    document = Document.parse(str(page), lambda found: blocks_of(found))
    stand_in = StandIns(at_hand / "data", at_hand / "torch", monkeypatch)
    document.namespace.update(draw=draw, draw_one=draw_one, stand_in=stand_in)
    run = Runner(monkeypatch.setenv)
    for example in document.examples():
        try:
            run(example)
        except Exception as error:
            error.add_note(f"at {page.relative_to(REPOSITORY)}:{example.line}")
            raise


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_a_command_inside_a_sentence_has_a_verb_and_options_that_exist(page: Path) -> None:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for command in re.findall(r"`headstart ([^`]+)`", text):
        try:
            parse(shlex.split(command))
        except Exception as error:  # typer brings its own click, or takes the one that is installed
            if type(error).__name__ != "MissingParameter":  # a sentence may name a verb without what it works on
                error.add_note(f"headstart {command}")
                raise
