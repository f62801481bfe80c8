from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files

import pytest

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="node runs the page's script")
def test_the_page_shows_the_most_probable_classes_whatever_their_names() -> None:
    page = (files("headstart.deploy.serve") / "page.html").read_text(encoding="utf-8")
    best = re.search(r"^const best = .*$", page, re.MULTILINE)
    assert best is not None and NODE is not None
    answer = '{"9": 0.5, "bee": 0.3, "0": 0.15, "1": 0.05}'  # objects order names that are whole numbers first
    script = f"{best[0]} console.log(JSON.stringify(best({answer})))"
    shown = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True, timeout=30).stdout
    assert json.loads(shown) == [["9", 0.5], ["bee", 0.3], ["0", 0.15]]
