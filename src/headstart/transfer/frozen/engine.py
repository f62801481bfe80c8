"""Engines run a frozen network forward, as fast as this machine can with the same numbers.

On the CPU the network is exported to ONNX and run by ONNX Runtime, whose fused kernels are faster than
eager PyTorch (benchmarks/features.py); if it cannot be exported, or its numbers differ, PyTorch runs
it. The choice never depends on a timing, so that the same machine always gives the same bits.
"""

from __future__ import annotations

import io
import logging
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headstart.models.freeze import fingerprint
from headstart.models.preprocessing import Preprocessing, scale_and_shift
from headstart.threads import cores
from headstart.transfer.frozen.padding import with_fixed_padding
from headstart.transfer.loggers import logged_from

Pixels = npt.NDArray[np.uint8]
_KEPT = 1 << 26  # bytes of graphs that are kept
_graphs: OrderedDict[str, bytes] = OrderedDict()  # by network and size of the images, the last used last
_lock = threading.Lock()
TOLERANCE = 1e-3  # largest difference from eager PyTorch, relative to the largest value, that passes for equal


class Normalised(nn.Module):
    """A network that takes uint8 pixels [n, h, w, 3], scales them to 0..1 and normalises them first."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        scale, shift = scale_and_shift(preprocessing)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return what the network makes of the normalised images."""
        images = pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift
        output: Tensor = self.network(images)
        return output


class Engine:
    """Runs uint8 pixels [n, size, size, 3] through a frozen network; gives float32 [n, ...].

    Args:
        network: takes normalised images; it is put in evaluation mode.
        preprocessing: size, mean and std.
        device: "cpu", "cuda", "mps" or "cuda:1".
        threads: that one call keeps busy, where ONNX Runtime runs the network; None: all that this process may.
        anew: the network is exported though an earlier engine of this process has done it.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        device: str = "cpu",
        *,
        threads: int | None = None,
        anew: bool = False,
    ) -> None:
        self.device = torch.device(device)
        module = Normalised(network, preprocessing).eval()
        shape = (2, preprocessing.size, preprocessing.size, preprocessing.channels)
        example = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
        self._run: Callable[[Pixels], npt.NDArray[np.float32]]
        if self.device.type == "cpu":
            with torch.inference_mode():
                expected = module(example).numpy()
            session = _onnx_session(module, example, threads or cores(), anew)
            if session is not None and _serves(session, example.numpy(), expected):
                self.name, self._run = "onnxruntime", session
            else:
                self.name, self._run = "pytorch", _eager_cpu(module)
        else:
            self.name, self._run = f"pytorch {self.device.type} autocast", _eager_gpu(module, self.device)
            with torch.inference_mode():
                expected = self._run(example.numpy())
        self.output_shape: tuple[int, ...] = expected.shape[1:]

    def __call__(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Return the network's output, float32 [n, *output_shape]."""
        return self._run(pixels)


def _serves(
    session: Callable[[Pixels], npt.NDArray[np.float32]], pixels: Pixels, expected: npt.NDArray[np.float32]
) -> bool:
    """Return whether a session gives what PyTorch gave, for another number of images than the graph was made with."""
    more = np.arange(len(pixels) + 1) % len(pixels)
    try:
        return _agree(session(pixels[more]), expected[more])
    except Exception:  # the exporter took the number of images for a constant: PyTorch serves
        logging.getLogger(__name__).info("ONNX Runtime runs this network on one number of images only", exc_info=True)
        return False


def _agree(got: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> bool:
    if got.shape != expected.shape or not np.isfinite(got).all():
        return False
    bound = TOLERANCE * max(float(np.abs(expected).max()), 1e-6)
    return float(np.abs(got - expected).max()) <= bound


def _onnx_session(
    module: nn.Module, example: Tensor, threads: int, anew: bool
) -> Callable[[Pixels], npt.NDArray[np.float32]] | None:
    import onnxruntime

    graph = _graph_of(module, example, anew)
    if graph is None:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what fails is raised, and said by whoever handles it
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # images decode on the same cores
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception:  # an operator that this ONNX Runtime does not know: PyTorch serves
        logging.getLogger(__name__).info("ONNX Runtime cannot load this network", exc_info=True)
        return None
    if len(session.get_inputs()) != 1:  # the exporter took the input for a constant: this is another function
        return None
    name = session.get_inputs()[0].name

    def run(pixels: Pixels) -> npt.NDArray[np.float32]:
        output: npt.NDArray[np.float32] = session.run(None, {name: np.ascontiguousarray(pixels)})[0]
        return output

    return run


def _graph_of(module: nn.Module, example: Tensor, anew: bool) -> bytes | None:
    """Return the graph of a network, from an earlier engine of this process if there was one: an export takes seconds.

    Whatever is kept, an engine compares what it runs with PyTorch. A network too large for its graph to be kept is not
    looked up.
    """
    if sum(held.nbytes for held in (*module.parameters(), *module.buffers())) > _KEPT:
        return export_onnx(with_fixed_padding(module, example), example)
    key = f"{fingerprint(module)} {tuple(example.shape)} {module}"
    with _lock:
        graph = _graphs.pop(key, None)
    if graph is None or anew:
        graph = export_onnx(with_fixed_padding(module, example), example)
    if graph is not None and len(graph) <= _KEPT:
        with _lock:
            _graphs[key] = graph  # the last of them
            while sum(map(len, _graphs.values())) > _KEPT:
                _graphs.popitem(last=False)
    return graph


def export_onnx(module: nn.Module, example: Tensor) -> bytes | None:
    """Return the network as an ONNX graph with a free first dimension, or None if it cannot be exported."""
    buffer = io.BytesIO()
    torch._C._jit_set_onnx_log_output_stream(
        "stderr"
    )  # the exporter prints what it cannot export, by default on stdout
    with warnings.catch_warnings(), logged_from(logging.ERROR, "torch.onnx"):
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module,
                (example,),
                buffer,  # type: ignore[arg-type]
                dynamo=False,
                input_names=["input"],
                output_names=["output"],
                dynamic_axes={"input": {0: "n"}, "output": {0: "n"}},
            )
        except Exception:  # the exporter raises many kinds; every one means that PyTorch must serve
            logging.getLogger(__name__).info("this network cannot be exported to ONNX", exc_info=True)
            return None
    return buffer.getvalue()


def _eager_cpu(module: nn.Module) -> Callable[[Pixels], npt.NDArray[np.float32]]:
    module = module.to(memory_format=torch.channels_last)

    def run(pixels: Pixels) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            output: npt.NDArray[np.float32] = module(torch.from_numpy(np.ascontiguousarray(pixels))).numpy()
        return output

    return run


def _eager_gpu(module: nn.Module, device: torch.device) -> Callable[[Pixels], npt.NDArray[np.float32]]:
    module = module.to(device).to(memory_format=torch.channels_last)
    pin = device.type == "cuda"

    def run(pixels: Pixels) -> npt.NDArray[np.float32]:
        batch = torch.from_numpy(np.ascontiguousarray(pixels))
        if pin:
            batch = batch.pin_memory()
        with torch.inference_mode(), torch.autocast(device.type, torch.float16):
            output: Tensor = module(batch.to(device, non_blocking=True))
        result: npt.NDArray[np.float32] = output.float().cpu().numpy()
        return result

    return run
