from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from headstart.deploy.export import page_runtime
from headstart.deploy.export.page_runtime import SCRIPT, WASM, runtime_of
from headstart.errors import DataAbsent, ModelError


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a package that holds both files of the runtime."""
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in ((WASM, b"wasm"), (SCRIPT, b"script")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_a_checked_package_gives_its_script_and_its_wasm(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_runtime, "SHA256", hashlib.sha256(package.read_bytes()).hexdigest())
    assert runtime_of(package) == (b"script", b"wasm")
    monkeypatch.setattr(page_runtime, "download", lambda url, target, md5: package)
    assert runtime_of(None) == (b"script", b"wasm")


def test_another_version_and_a_missing_file_are_refused(package: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"package\.tgz: has sha256 .*; get it with: npm pack onnxruntime-web@"):
        runtime_of(package)
    with pytest.raises(ModelError, match="no such file; get it with: npm pack"):
        runtime_of(tmp_path / "absent.tgz")


def test_without_a_network_the_way_by_hand_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> Path:
        raise DataAbsent("no route")

    monkeypatch.setattr(page_runtime, "download", absent)
    with pytest.raises(DataAbsent, match=r"npm pack onnxruntime-web@.* and give onnxruntime-web-.*tgz as the runtime"):
        runtime_of(None)
