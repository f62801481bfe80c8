"""A page of one output: self-contained, escaped, with the command that made it."""

from __future__ import annotations

import re
from pathlib import Path

from headstart.report.render.notebook import look
from headstart.report.render.standalone import write_standalone


def test_a_page_holds_the_output_and_nothing_that_is_fetched_or_run(tmp_path: Path) -> None:
    shown = look.panel(look.title("Audit of <photos>"), look.line("2 pairs of copies", "problem"))
    place = write_standalone(tmp_path / "audit.html", "Audit of <photos>", shown, "headstart audit '<photos>'\x1b[2J")
    text = place.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and "<title>Audit of &lt;photos&gt; · headstart</title>" in text
    assert '<p class="hs-problem">2 pairs of copies</p>' in text
    command = text.split("<pre>")[1].split("</pre>")[0]
    assert re.sub("</?(span|wbr)[^>]*>", "", command) == "headstart audit &#39;&lt;photos&gt;&#39;\\x1b[2J"
    assert "<script" not in text and "http://" not in text and "https://" not in text and "default-src 'none'" in text


def test_without_a_command_there_is_none(tmp_path: Path) -> None:
    text = write_standalone(tmp_path / "page.html", "Scores", look.panel(), "").read_text(encoding="utf-8")
    assert "<pre>" not in text and "Made by headstart" in text
