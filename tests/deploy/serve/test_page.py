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


@pytest.mark.skipif(NODE is None, reason="node runs the page's script")
def test_a_dropped_folder_gives_the_images_in_it_and_in_its_folders() -> None:
    page = (files("headstart.deploy.serve") / "page.html").read_text(encoding="utf-8")
    pattern, walk = (
        re.search(start, page, re.MULTILINE | re.DOTALL)
        for start in (r"^const IMAGE = .*?;$", r"^async function inside.*?^}$")
    )
    assert pattern is not None and walk is not None and NODE is not None
    script = f"""{pattern[0]}
{walk[0]}
const file = (name) => ({{ isFile: true, name, file: (done) => done(name) }});
const folder = (name, ...pieces) => ({{
  name, createReader: () => ({{ readEntries: (done) => done(pieces.shift() ?? []) }}),  // a browser gives 100 at a time
}});
const inner = folder("b", [file("2.PNG"), file(".hidden.jpg")]);
inside(folder("a", [file("1.jpg"), inner], [file("3.heic"), file("notes.txt")]), "")
  .then((found) => console.log(JSON.stringify(found)));"""
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(done.stdout) == [
        {"file": "1.jpg", "name": "a/1.jpg"},
        {"file": "2.PNG", "name": "a/b/2.PNG"},
        {"file": "3.heic", "name": "a/3.heic"},
    ]
