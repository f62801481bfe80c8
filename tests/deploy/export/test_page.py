from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import math
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.deploy.classifier import Classifier
from headstart.deploy.export import page, page_runtime
from headstart.deploy.export.checking import check_forms
from headstart.deploy.export.page import build, finish, packed, usage
from headstart.deploy.export.page_runtime import SCRIPT, WASM, Runtime, runtime_of
from headstart.deploy.export.served.predict import Model
from headstart.deploy.export.target import Parts
from headstart.deploy.page_template import IN_BROWSER, page_text
from headstart.disclosure import spreadsheet_text
from headstart.errors import ModelError


def test_the_pages_csv_has_the_rule_of_predict_for_text_that_a_spreadsheet_would_compute() -> None:
    source = page_text(IN_BROWSER, title="", about="")
    found = re.search(r"const text = \(value\) => /(.+?)/\.test\(value\) \? `'\$\{value\}` : value;", source)
    assert found is not None
    for first in map(chr, range(256)):
        assert (re.match(found[1], first) is not None) == (spreadsheet_text(first) != first), repr(first)
    for cells in ("...facts.classes.map(text)]", "[text(r.name), text(r.label), r.probability", "text(r.set.join"):
        assert cells in source


NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="node runs the page's script")
@pytest.mark.parametrize(("most", "costs"), [(0.6, None), (0.75, 0.45), (0.95, math.inf)])
def test_the_page_s_sets_and_decisions_are_those_of_the_server_folder(most: float, costs: float | None) -> None:
    source = page_text(IN_BROWSER, title="", about="")
    judged = re.search(r"^const judged = .*?^};$", source, re.MULTILINE | re.DOTALL)
    assert judged is not None and NODE is not None
    classes = ["ant", "bee", "cat"]
    rule: dict[str, Any] = {"most": most, "most_named": 10, "unfamiliar": 0.05}
    if costs is not None:
        ask = None if math.isinf(costs) else costs
        rule["costs"] = {"mistake": 1.0, "confusions": [[0, 2, 1.5], [1, 0, 0.25]], "ask": ask}
    rows = np.random.default_rng(0).dirichlet([1, 1, 1], 40).astype(np.float32)
    call = f"const rows = {json.dumps(rows.tolist())}; const rule = {json.dumps(rule)};"
    shares = [[None, 0.04, 0.05, 0.5][k % 4] for k in range(len(rows))]
    call += f"const shares = {json.dumps(shares)}; const classes = {json.dumps(classes)};"
    call += "console.log(JSON.stringify(rows.map((row, k) => judged(row, shares[k], classes, rule))))"
    done = subprocess.run([NODE, "-e", f"{judged[0]} {call}"], capture_output=True, text=True, check=True, timeout=30)
    folder = Model.__new__(Model)
    folder.classes = classes
    expected = [folder._said(row, share, rule) for row, share in zip(rows, shares, strict=True)]
    assert json.loads(done.stdout) == expected and len({each["answer"] for each in expected}) > 1
    decided = {each.get("decision") for each in expected}
    assert (None in decided) == (costs is None) and ("ask" in decided) == (costs == 0.45)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put something small where the real runtime would be."""
    monkeypatch.setattr(page, "runtime_of", lambda given: Runtime(b"export const env = '</script>';", b"\0asm"))


def test_the_graph_inside_the_page_is_the_model(parts: Parts, tmp_path: Path, runtime: None) -> None:
    (form,) = build(parts, tmp_path)
    (check,) = check_forms(Classifier(parts.ensemble), [form], parts.material.test)
    assert check.n == 16 and check.labels_differ <= 1 and 0 < check.largest_difference < 0.01
    finish(parts, tmp_path, [check], ["a note <b>"], usage(parts))
    text = (tmp_path / "classifier.html").read_text()
    assert "{{" not in text and page.CARD not in text and "a note &lt;b&gt;" in text
    facts = re.search(r'id="facts">([^<]*)<', text)
    assert facts is not None
    assert json.loads(facts[1]) == {
        "classes": ["ant", "bee", "cat"],
        "label_rule": {"kind": "most probable"},
        "answers": None,
    }
    assert "connect-src 'none'" in text and not re.search(r"""(src|href)=["']?https?:""", text)


def test_what_is_packed_is_text_that_ends_no_script() -> None:
    text = packed(b"</script>" * 9)
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", text) and gzip.decompress(base64.b64decode(text)) == b"</script>" * 9
    assert packed(b"x") == packed(b"x")


def test_a_page_that_a_browser_would_not_load_is_refused(
    parts: Parts, tmp_path: Path, runtime: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "LARGEST", 1000)
    with pytest.raises(
        ModelError, match=r"cannot export to page: it would have .*, more than a browser loads \(1.0 kB\);"
    ):
        build(parts, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_runtime_is_read_from_a_package_with_the_right_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "onnxruntime-web.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in ((SCRIPT, b"script"), (WASM, b"wasm")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(ModelError, match=r"has sha256 .*; get it with: npm pack onnxruntime-web@1\.\d+\.\d+"):
        runtime_of(path)
    with pytest.raises(ModelError, match=r"^runtime .*absent.tgz: no such file; get it with: npm pack"):
        runtime_of(tmp_path / "absent.tgz")
    monkeypatch.setattr(page_runtime, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert runtime_of(path) == Runtime(b"script", b"wasm")
