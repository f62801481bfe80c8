from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from headstart.deploy.page_template import BY_SERVER, IN_BROWSER, PageEngine, filled, page_text

NODE = shutil.which("node")


def run(start: str, pieces: list[str], script: str) -> Any:
    """Run pieces of the page's script, given by patterns, and then a script; return what it prints as JSON."""
    page = page_text(IN_BROWSER, title="", about="")
    found = [re.search(piece, page, re.MULTILINE | re.DOTALL) for piece in pieces]
    assert NODE is not None and all(found)
    text = "\n".join([start, *(each[0] for each in found if each is not None), script])
    done = subprocess.run([NODE, "-e", text], capture_output=True, text=True, check=True, timeout=30)
    return json.loads(done.stdout)


def test_every_place_is_filled_once_and_values_are_not_read_again() -> None:
    assert filled("a {{ one }} b {{ two }}", {"one": "{{ two }}", "two": r"\1"}) == r"a {{ two }} b \1"


@pytest.mark.parametrize("engine", [IN_BROWSER, BY_SERVER])
def test_one_page_has_either_engine(engine: PageEngine) -> None:
    def rest(text: str) -> str:
        """Return the page without what its engine brings."""
        text = re.sub(r"^// The engine of.*?^const engine = .*?$", "", text, flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r'http-equiv="Content-Security-Policy" content="[^"]*"', "", text)
        return text.replace(engine.privacy, "").replace(IN_BROWSER.privacy, "")

    page = page_text(engine, title="A title", about="About it.", card="<p>A card", data="<i>data")
    assert "{{" not in page and f"connect-src {engine.connects};" in page and engine.privacy in page
    assert rest(page) == rest(
        page_text(IN_BROWSER, title="A title", about="About it.", card="<p>A card", data="<i>data")
    )
    assert not re.search(r"""(src|href)=["']?https?:""", page)


@pytest.mark.skipif(NODE is None, reason="node runs the page's script")
def test_a_dropped_folder_gives_what_is_in_it_and_names_what_cannot_be_read() -> None:
    script = """
const file = (name) => ({ isFile: true, name, file: (ok) => ok({ name, type: "" }) });
const gone = (name) => ({ isFile: true, name, file: (ok, no) => no(new Error("not found")) });
const folder = (name, ...pieces) => ({
  name,
  createReader: () => ({
    readEntries: (ok, no) => { const next = pieces.shift() ?? []; next === "locked" ? no(new Error(next)) : ok(next); },
  }),
});
const inner = folder("b", [file("2.PNG"), file(".hidden.jpg"), gone("5.png"), gone("list.txt"), gone("._6.jpg")]);
const locked = folder("c", [file("7.jpg")], "locked");
const rest = [file("3.heic"), file("notes.txt"), gone("4.jpg"), file("8.jpg")];
const all = folder("a", [file("1.jpg"), inner, locked], rest);
(async () => {
  for await (const found of inside(all, "")) add([found]);
  console.log(JSON.stringify(queue.map(({ name, error, number }) => [number, name, error ?? ""])));
})();
"""
    pieces = [
        r"^const PICTURE = .*?;$",
        r"^const hidden = .*?;$",
        r"^function add.*?^}$",
        r"^async function\* inside.*?^}$",
    ]
    found = run("const queue = [], work = () => {}; let added = 0;", pieces, script)
    assert found == [
        [0, "a/1.jpg", ""],
        [1, "a/b/2.PNG", ""],
        [2, "a/b/5.png", "cannot be read (not found)"],
        [3, "a/c/7.jpg", ""],
        [4, "a/c", "cannot be read (locked)"],
        [5, "a/3.heic", ""],
        [6, "a/4.jpg", "cannot be read (not found)"],
        [7, "a/8.jpg", ""],
    ]


@pytest.mark.skipif(NODE is None, reason="node runs the page's script")
def test_results_are_in_the_order_of_the_pictures_whichever_comes_first() -> None:
    start = """
const results = [], rows = [], box = { checked: false };
const list = { insertBefore: (row, next) => rows.splice(next === null ? rows.length : rows.indexOf(next), 0, row) };
const $ = (id) => (id === "unsure" ? box : list);
"""
    script = """
const given = [[2, 0.5], [0, 0.9], [3, Infinity], [1, 0.5]];
const shown = [false, true].map((checked) => {
  box.checked = checked; results.length = rows.length = 0;
  for (const [number, sureness] of given) place({ number, sureness, row: number });
  return [[...rows], sorted().map((r) => r.number)];
});
console.log(JSON.stringify(shown));
"""
    found = run(start, [r"^const inOrder = .*?;$", r"^const sorted = .*?;$", r"^function place.*?^}$"], script)
    assert found == [[[0, 1, 2, 3], [0, 1, 2, 3]], [[1, 2, 0, 3], [1, 2, 0, 3]]]
