"""Drift as a page that works offline, and as a section of a report."""

from __future__ import annotations

from importlib.resources import files as package_files
from pathlib import Path

import jinja2

from headstart.report import numbers
from headstart.report.render.drift_words import drift_sentences
from headstart.report.render.words import by_word
from headstart.storage.files import write_atomic
from headstart.study.results.facts import read_facts
from headstart.version import VERSION

TEMPLATES = ("page", "reproduce", "drift", "drift_page")


def template_environment() -> jinja2.Environment:
    """Return the templates of all pages; what a template is given is escaped."""
    static = package_files("headstart.report.render") / "static"
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({name: (static / f"{name}.jinja").read_text(encoding="utf-8") for name in TEMPLATES}),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"prose": numbers.prose, "by_word": by_word}
    environment.globals |= {"drift_sentences": drift_sentences, "percent": numbers.percent}
    return environment


def write_drift_page(facts: str | Path, out: str | Path) -> Path:
    """Write the page of images without labels; return where.

    Args:
        facts: the file that an evaluation keeps of them.
        out: the page.

    Raises:
        StoreError: the facts are not what was written, or the page cannot be written.
    """
    path = Path(out)
    style = (package_files("headstart.report.render") / "static" / "report.css").read_text(encoding="utf-8")
    page = template_environment().get_template("drift_page")
    write_atomic(path, page.render(drift=read_facts(Path(facts)), style=style, version=VERSION))
    return path
