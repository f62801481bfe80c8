from __future__ import annotations

import pytest

from headstart.cli.overview import said_overview


def test_only_the_overview_is_said_and_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    listener = said_overview()
    listener.overview(["photos: 3 images", "split: none"])
    listener.note("something else")
    assert capsys.readouterr() == ("", "photos: 3 images\nsplit: none\n")
