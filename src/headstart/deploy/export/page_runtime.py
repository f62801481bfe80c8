"""ONNX Runtime for browsers: fetched from npm once, or given as a file, and always checked."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import NamedTuple

from headstart.data.sources.download import download
from headstart.errors import DataAbsent, ModelError
from headstart.storage.store import cache_root

VERSION = "1.30.0"
NAME = f"onnxruntime-web-{VERSION}.tgz"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/{NAME}"
MD5 = "7677e2cac4b2d0a14154aef901cdab13"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
SCRIPT, WASM = "package/dist/ort.wasm.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.wasm"


class Runtime(NamedTuple):
    """What a page needs to run a graph."""

    script: bytes
    wasm: bytes


def runtime_of(given: Path | None) -> Runtime:
    """Return the runtime from an npm package file; without one, from the cache or the npm registry.

    Raises:
        DataAbsent: it cannot be downloaded; the message says how to get it by hand.
        ModelError: the file is absent or another version.
    """
    path = given if given is not None else _fetched()
    if not path.is_file():
        raise ModelError(f"runtime {path}: no such file; get it with: npm pack onnxruntime-web@{VERSION}")
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise ModelError(
            f"{path}: has sha256 {found}, and onnxruntime-web {VERSION} has {SHA256}; get it with: npm pack"
            f" onnxruntime-web@{VERSION}"
        )
    with tarfile.open(path) as archive:
        script, wasm = (archive.extractfile(name) for name in (SCRIPT, WASM))
        assert script is not None and wasm is not None, "the checked package holds both"
        return Runtime(script.read(), wasm.read())


def _fetched() -> Path:
    target = cache_root() / "onnxruntime-web" / NAME
    try:
        return download(URL, target, MD5)
    except DataAbsent as error:
        raise DataAbsent(
            f"the page needs onnxruntime-web, which cannot be downloaded ({URL}); fetch it on another machine with 'npm"
            f" pack onnxruntime-web@{VERSION}' and give {NAME} as the runtime"
        ) from error
