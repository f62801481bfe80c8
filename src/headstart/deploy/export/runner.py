"""Runs an exported model in a process of its own: `python runner.py KIND PATH THREADS`.

Nothing of headstart is imported, but for its own model files. Arrays come by standard input, each batch behind a line
with their number; the probabilities go back by standard output in the same way. A line "end" is answered by the seconds
that the model took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

Arrays = Sequence[np.ndarray]
Run = Callable[[Arrays], np.ndarray]


def onnx(path: Path, threads: int) -> Run:
    """Return what runs an ONNX graph on one array an input."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda arrays: session.run(["probabilities"], dict(zip(names, arrays, strict=True)))[0]


def page(path: Path, threads: int) -> Run:
    """Return what runs the graph inside of a page."""
    import base64
    import gzip
    import re
    import tempfile

    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="text/plain" id="graph">([^<]*)</script>', text)
    assert found is not None, "the page holds no graph"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(gzip.decompress(base64.b64decode(found[1])))
        return onnx(file, threads)


def torch(path: Path, threads: int) -> Run:
    """Return what runs a `torch.export` program on one array an input."""
    import torch

    torch.set_num_threads(threads)
    module = torch.export.load(path).module()

    def run(arrays: Arrays) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = module(*(torch.from_numpy(each) for each in arrays))[0].numpy()
            return found

    return run


def timm(path: Path, threads: int) -> Run:
    """Return what runs a folder that timm loads on pixels, normalised as its configuration says."""
    import json

    import timm
    import torch

    torch.set_num_threads(threads)
    model = timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    mean, std = (torch.tensor(model.pretrained_cfg[name]).view(1, 3, 1, 1) for name in ("mean", "std"))

    several = json.loads((path / "config.json").read_text(encoding="utf-8"))["problem_type"].startswith("multi")

    def run(arrays: Arrays) -> np.ndarray:
        (pixels,) = arrays
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            logits = model((images - mean) / std)
            found: np.ndarray = (logits.sigmoid() if several else logits.softmax(1)).numpy()
            return found

    return run


def server(path: Path, threads: int) -> Run:
    """Return what runs a server folder's own predict.py on encoded pictures, uint8 [bytes], or on pixels [h, w, 3]."""
    sys.path.insert(0, str(path))
    import predict  # type: ignore[import-not-found]

    model = predict.Model(threads=threads)

    def run(arrays: Arrays) -> np.ndarray:
        found: np.ndarray = model.probabilities([each.tobytes() if each.ndim == 1 else each for each in arrays])
        return found

    return run


def headstart(path: Path, threads: int, *, engine: bool = False) -> Run:
    """Return what runs a model file as `predict` does; with `engine`, as `serve` does."""
    import os

    os.environ["HEADSTART_THREADS"] = str(threads)
    import torch

    from headstart.deploy.classifier import Classifier

    torch.set_num_threads(threads)
    classifier = Classifier.load(path, engine=engine)
    members = classifier.ensemble.members
    sides = list(dict.fromkeys(_view(bundle) for bundle in members))
    return lambda arrays: classifier.averaged([arrays[sides.index(_view(bundle))] for bundle in members])


def _view(bundle: Any) -> tuple[int, int, str]:
    needs = bundle.preprocessing
    return needs.size, needs.resize, needs.interpolation


def engine(path: Path, threads: int) -> Run:
    """Return what runs a model file as `serve` does."""
    return headstart(path, threads, engine=True)


KINDS: dict[str, Callable[[Path, int], Run]] = {
    "onnx": onnx,
    "page": page,
    "torch": torch,
    "timm": timm,
    "server": server,
    "headstart": headstart,
    "engine": engine,
}


def serve(run: Run, source: BinaryIO, sink: BinaryIO) -> None:
    """Answer batches until the end; see the module."""
    seconds = 0.0
    while (line := source.readline().strip()) not in (b"end", b""):
        arrays = [read_array(source) for _ in range(int(line))]
        started = time.perf_counter()
        found = run(arrays)
        seconds += time.perf_counter() - started
        write_array(sink, found)
        sink.flush()
    sink.write(f"{seconds}\n".encode())
    sink.flush()


def read_array(source: BinaryIO) -> np.ndarray:
    """Read one array from a pipe.

    Raises:
        EOFError: the other side ended.
    """
    header = source.readline()
    if not header:
        raise EOFError
    kind, *shape = header.decode().split()
    found = np.empty([int(side) for side in shape], kind)
    content = source.read(found.nbytes)
    if len(content) < found.nbytes:
        raise EOFError
    found.reshape(-1).view(np.uint8)[:] = np.frombuffer(content, np.uint8)
    return found


def write_array(sink: BinaryIO, array: np.ndarray) -> None:
    """Write one array to a pipe: a line with its type and shape, then its bytes."""
    sink.write(" ".join([array.dtype.str, *map(str, array.shape)]).encode() + b"\n")
    sink.write(np.ascontiguousarray(array).tobytes())


def main(kind: str, path: str, threads: str) -> None:
    """Load the model, then answer; what libraries print goes to standard error, not among the arrays."""
    sink: Any = sys.stdout.buffer
    sys.stdout = sys.stderr
    serve(KINDS[kind](Path(path), int(threads)), sys.stdin.buffer, sink)


if __name__ == "__main__":
    main(*sys.argv[1:])
