"""Engines give what PyTorch gives, whatever runs the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from headstart.models.preprocessing import Preprocessing
from headstart.transfer.frozen import engine as module
from headstart.transfer.frozen.engine import Engine, Normalised, export_onnx

NEEDS = Preprocessing(8, 8, "bilinear", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ).eval()


def plainly(module: nn.Module, pixels: np.ndarray) -> np.ndarray:
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (NEEDS.mean, NEEDS.std))
    with torch.no_grad():
        return module((images - mean) / std).numpy()


def some_pixels(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)


def test_the_engine_gives_what_pytorch_gives() -> None:
    subject, pixels = network(), some_pixels(7)
    engine = Engine(subject, NEEDS)
    assert engine.name == "onnxruntime" and engine.output_shape == (5,)
    assert np.allclose(engine(pixels), plainly(subject, pixels), atol=1e-5)
    assert np.array_equal(engine(pixels), Engine(subject, NEEDS)(pixels)), "to the last bit"


class OnlyTwo(nn.Module):
    """A network whose graph has the number of images in it, as a traced `expand` has."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3)) + torch.ones(1, 3).expand(int(images.shape[0]), 3)


def test_a_graph_that_holds_the_number_of_images_is_not_used() -> None:
    engine, pixels = Engine(OnlyTwo(), NEEDS), some_pixels(5)
    assert engine.name == "pytorch"
    assert np.allclose(engine(pixels), plainly(OnlyTwo(), pixels), atol=1e-5)


def test_a_network_is_exported_once_and_again_for_other_weights_normalisation_or_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exported: list[nn.Module] = []

    def export(network: nn.Module, example: torch.Tensor) -> bytes | None:
        exported.append(network)
        return export_onnx(network, example)

    monkeypatch.setattr(module, "export_onnx", export)
    module._graphs.clear()
    first, other = network(), network()
    with torch.no_grad():
        other[0].weight.mul_(2)
    engines = [Engine(subject, NEEDS) for subject in (first, network(), other, first)]
    assert len(exported) == 2 and {engine.name for engine in engines} == {"onnxruntime"}
    same, again, twice, last = (engine(some_pixels(3)) for engine in engines)
    assert np.array_equal(same, again) and np.array_equal(same, last) and not np.allclose(same, twice)
    Engine(first, replace(NEEDS, mean=(0.1, 0.1, 0.1)))
    Engine(first, replace(NEEDS, size=9, resize=9))
    assert len(exported) == 4
    monkeypatch.setattr(module, "_KEPT", 3000)  # bytes: one graph, not two
    for subject in (first, other, first):
        Engine(subject, NEEDS)
    assert len(exported) == 6 and len(module._graphs) == 1
    Engine(first, NEEDS, anew=True)
    assert len(exported) == 7
    monkeypatch.setattr(module, "_KEPT", 100)  # less than its weights

    def fingerprint(network: nn.Module) -> str:
        raise AssertionError("hashed, though its graph cannot be kept")

    monkeypatch.setattr(module, "fingerprint", fingerprint)
    Engine(first, NEEDS)
    assert len(exported) == 8


@pytest.mark.parametrize(("threads", "kept_busy"), [(None, 3), (1, 1)])
def test_one_call_keeps_as_many_threads_busy_as_it_may(
    threads: int | None, kept_busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    true = onnxruntime.InferenceSession

    def session(
        graph: bytes, options: onnxruntime.SessionOptions, providers: list[str]
    ) -> onnxruntime.InferenceSession:
        asked.append(options.intra_op_num_threads)
        return true(graph, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setenv("HEADSTART_THREADS", "3")
    Engine(network(), NEEDS, threads=threads)
    assert asked == [kept_busy]


def test_a_network_that_onnx_cannot_hold_is_run_by_pytorch() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(x.detach().numpy().mean((2, 3)))

    engine = Engine(Odd(), NEEDS)
    pixels = some_pixels(3)
    with torch.no_grad():
        expected = Normalised(Odd(), NEEDS)(torch.from_numpy(pixels)).numpy()
    assert engine.name == "pytorch" and np.allclose(engine(pixels), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("off", "same"), [(0.0, True), (0.9e-3, True), (1.1e-3, False), (float("nan"), False), (float("inf"), False)]
)
def test_outputs_agree_within_a_thousandth_of_the_largest_value(off: float, same: bool) -> None:
    expected = np.array([[1.0, -4.0]], np.float32)
    assert module._agree(expected + np.array([[0.0, 4 * off]], np.float32), expected) is same
    assert not module._agree(expected[:, :1], expected)


def test_a_runtime_that_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, pixels = network(), some_pixels(3)
    monkeypatch.setattr(module, "_onnx_session", lambda *_: lambda given: plainly(subject, given) + 1)
    engine = Engine(subject, NEEDS)
    assert engine.name == "pytorch"
    np.testing.assert_allclose(engine(pixels), plainly(subject, pixels), atol=1e-5)


def test_a_graph_takes_any_number_of_images() -> None:
    import onnx

    graph = export_onnx(Normalised(network(), NEEDS), torch.from_numpy(some_pixels(2)))
    assert graph is not None
    shape = onnx.load_from_string(graph).graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param == "n" and [each.dim_value for each in shape[1:]] == [8, 8, 3]


def test_a_network_that_cannot_be_exported_leaves_standard_output_alone(capfd: pytest.CaptureFixture[str]) -> None:
    stretched = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(6))  # of 2 × 2 pixels, as in AlexNet
    engine = Engine(stretched, Preprocessing(4, 4))
    assert engine.name == "pytorch" and capfd.readouterr().out == ""
