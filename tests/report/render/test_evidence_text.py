"""Classes and mistakes of the answer's run as text: the worst first, and in the Markdown."""

from __future__ import annotations

from pathlib import Path

from headstart.report.read.summary import load_summary
from headstart.report.render.evidence_text import class_rows, mistake_rows
from headstart.report.render.formats import markdown


def test_markdown_has_the_findings_the_classes_and_the_mistakes(study: Path) -> None:
    summary = load_summary(study)
    text = markdown(summary)
    run, classes, wrong = summary.headline_run, class_rows(summary), mistake_rows(summary)
    assert f"## Classes: {run}" in text and f"## Mistakes: {run}" in text and "## Findings" in text
    assert [float(row[2].split()[0]) for row in classes] == sorted(float(row[2].split()[0]) for row in classes)
    assert classes[0][0] in text and len(wrong) <= 12 and all(row[1] != row[2] for row in wrong)
