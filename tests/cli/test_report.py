from __future__ import annotations

from pathlib import Path

import pytest

from headstart.cli.report import report_and_show
from headstart.errors import SpecError
from headstart.report.render import formats
from tests.cli.conftest import Call


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str, Path | None]]:
    """Collect which reports would be written."""
    found: list[tuple[Path, str, Path | None]] = []

    def write(study: Path, format: str, out: Path | None) -> Path:
        found.append((study, format, out))
        return out or study / f"report.{format}"

    monkeypatch.setattr(formats, "write_report", write)
    return found


def test_the_path_of_the_report_is_printed(
    written: list[tuple[Path, str, Path | None]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report_and_show(tmp_path, "md", None)
    report_and_show(tmp_path, "csv", tmp_path / "mine.csv")
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "report.md"), str(tmp_path / "mine.csv")]
    assert written == [(tmp_path, "md", None), (tmp_path, "csv", tmp_path / "mine.csv")]


def test_a_folder_in_place_of_the_file_is_refused_before_anything_is_read(
    written: list[tuple[Path, str, Path | None]], tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match="is a folder; choose a file name"):
        report_and_show(tmp_path / "study", "html", tmp_path)
    assert written == []


@pytest.mark.usefixtures("shared_cache")
@pytest.mark.parametrize("format", ["html", "md", "csv", "json", "png"])
def test_a_report_is_written_where_it_is_told(call: Call, finished: Path, tmp_path: Path, format: str) -> None:
    code, out, _ = call("report", finished, "--format", format, "--out", tmp_path / f"mine.{format}")
    assert code == 0 and out.strip() == str(tmp_path / f"mine.{format}")
    assert (tmp_path / f"mine.{format}").stat().st_size > 100
