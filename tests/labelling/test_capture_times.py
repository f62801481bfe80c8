from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from multispectral import write_folder
from PIL import Image

from headstart.data.sources.without_labels import load_without_labels
from headstart.labelling.capture_times import capture_times

MOMENT = int(datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp())


def photographs(folder: Path, texts: list[str | None]) -> Path:
    folder.mkdir()
    for number, text in enumerate(texts):
        exif = Image.Exif()
        if text is not None:
            exif.get_ifd(0x8769)[36867] = text
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(folder / f"{number}.jpg", exif=exif)
    return folder


def test_times_are_those_at_which_the_pictures_were_taken(tmp_path: Path) -> None:
    found = load_without_labels(photographs(tmp_path / "p", ["2024:05:06 07:08:09", None, "2024:05:06 07:08:10"]))
    times = capture_times(found.reader)
    assert times is not None and times.tolist() == [MOMENT, -1, MOMENT + 1]


@pytest.mark.parametrize("texts", [[None, None], ["2024:05:06 07:08:09", None, None], ["0000:00:00 00:00:00"]])
def test_few_or_broken_times_are_none(tmp_path: Path, texts: list[str | None]) -> None:
    assert capture_times(load_without_labels(photographs(tmp_path / "p", texts)).reader) is None


def test_files_that_pillow_cannot_open_have_no_time_and_nothing_is_printed_about_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tifffile")
    found = load_without_labels(write_folder(tmp_path / "s2", 1), bands="all")
    capfd.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])  # pytest's own; without any, Python prints what is logged
        assert capture_times(found.reader) is None
    assert capfd.readouterr() == ("", "")


def test_a_program_that_logs_gets_what_pillow_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("tifffile")
    found = load_without_labels(write_folder(tmp_path / "s2", 1), bands="all")
    caplog.clear()
    assert capture_times(found.reader) is None
    assert {(each.name, each.levelname) for each in caplog.records} == {("PIL.TiffImagePlugin", "ERROR")}
