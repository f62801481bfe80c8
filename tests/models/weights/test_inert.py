"""Files of torch.save with more than tensors in them: their objects are shells, and nothing runs."""

from __future__ import annotations

import argparse
import builtins
import collections
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from headstart.errors import WeightsError
from headstart.models.weights.checkpoint import read_checkpoint
from headstart.models.weights.inert import Shell, first_name, load_inert, tensors_of


@pytest.fixture
def abroad(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what makes a class in a module that is gone when the file is read."""
    with pytest.MonkeyPatch.context() as patch:

        def make(name: str, *bases: type) -> Any:
            module, _, title = name.rpartition(".")
            for place in (module.partition(".")[0], module):
                if place not in sys.modules:
                    patch.setitem(sys.modules, place, ModuleType(place))
            kind = type(title, bases or (object,), {"__module__": module})
            setattr(sys.modules[module], title, kind)
            return kind

        make.gone = patch.undo  # type: ignore[attr-defined]
        yield make


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return list(found) == list(expected) and all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "torchvision/shufflenet_v2_x0_5"])
def test_a_network_saved_whole_gives_its_state_dict(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    make = torchvision.models.get_model if "/" in name else timm.create_model
    network = make(name.removeprefix("torchvision/"))
    torch.save(network, tmp_path / "whole.pt")
    assert same(read_checkpoint(tmp_path / "whole.pt").state, network.state_dict())


def test_a_network_saved_whole_by_an_old_pytorch_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match=r"whole in the format before PyTorch 1\.6\); save its state_dict\(\)"):
        read_checkpoint(tmp_path / "old.pt")


def test_buffers_that_are_not_saved_and_wrappers_are_as_in_the_state_dict(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    network.register_buffer("hidden", torch.ones(3), persistent=False)
    network.register_buffer("shown", torch.ones(3))
    network.register_parameter("none", None)
    torch.save(nn.DataParallel(network), tmp_path / "a.pt")
    assert same(read_checkpoint(tmp_path / "a.pt").state, nn.DataParallel(network).state_dict())


def test_the_arguments_of_a_training_script_are_plain_data(tmp_path: Path) -> None:
    state = nn.Linear(2, 3).state_dict()
    arguments = argparse.Namespace(lr=0.1, output=Path("out"), milestones=[1, 2], betas=(0.9, 0.99))
    torch.save({"model": state, "args": arguments, "epoch": 3}, tmp_path / "a.pth")
    assert same(read_checkpoint(tmp_path / "a.pth").state, state)
    shell = load_inert(tmp_path / "a.pth")["args"]
    assert type(shell) is Shell and shell.state["lr"] == 0.1 and shell.state["milestones"] == [1, 2]


def test_a_fastai_export_and_a_saved_learner(tmp_path: Path, abroad: Any) -> None:
    learner_kind, list_kind = abroad("fastai.learner.Learner"), abroad("fastcore.foundation.L")
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(nn.Linear(4, 2)))
    learner, hypers = learner_kind(), list_kind()
    hypers.items = [{"lr": 0.001}]
    learner.__dict__.update(model=network, dls=abroad("fastai.data.core.DataLoaders")(), opt=None, lr=0.001)
    torch.save(learner, tmp_path / "export.pkl", pickle_protocol=2)
    torch.save({"model": network.state_dict(), "opt": {"state": [{}], "hypers": hypers}}, tmp_path / "saved.pth")
    expected = network.state_dict()
    abroad.gone()
    for name in ("export.pkl", "saved.pth"):
        assert same(read_checkpoint(tmp_path / name).state, expected)


def test_an_object_too_tangled_for_the_reader_is_named(tmp_path: Path, abroad: Any) -> None:
    learner = abroad("fastai.learner.Learner")()
    learner.ring = ([],)
    learner.ring[0].append(learner.ring)  # as the callbacks of a real Learner hold it
    torch.save(learner, tmp_path / "export.pkl", pickle_protocol=2)
    assert first_name(tmp_path / "export.pkl") == "fastai.learner.Learner"
    abroad.gone()
    with pytest.raises(WeightsError, match=r"holds a whole fastai\.learner\.Learner, .* learn\.model\.state_dict\(\)"):
        read_checkpoint(tmp_path / "export.pkl")
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(b"x")
    assert first_name(tmp_path / "a.pt") is first_name(tmp_path / "b.pt") is None


def test_dicts_of_libraries_are_dicts(tmp_path: Path, abroad: Any) -> None:
    settings = abroad("omegaconf.dictconfig.AttributeDict", dict)(lr=0.1)
    counts = collections.defaultdict(list, a=[1])
    torch.save({"state_dict": {"a": torch.ones(1)}, "hyper_parameters": settings, "n": counts}, tmp_path / "a.ckpt")
    abroad.gone()
    found = load_inert(tmp_path / "a.ckpt")
    assert found["hyper_parameters"] == {"lr": 0.1} and found["n"] == {"a": [1]}
    assert read_checkpoint(tmp_path / "a.ckpt").state.keys() == {"a"}


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "function", [builtins.eval, builtins.exec, builtins.open, subprocess.call, builtins.__import__]
)
def test_a_malicious_file_is_refused_and_does_nothing(tmp_path: Path, function: Any, zipped: bool) -> None:
    mark = tmp_path / "mark"
    harm = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    arguments = {"open": (str(mark), "w"), "call": (["touch", str(mark)],)}.get(function.__name__, (harm,))
    content = {"args": argparse.Namespace(a=1), "state_dict": {"a": torch.ones(1), "b": Call(function, *arguments)}}
    torch.save(content, tmp_path / "evil.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=rf"would run code \(.*{function.__name__}") as caught:
        read_checkpoint(tmp_path / "evil.pt")
    assert not mark.exists() and "\n" not in str(caught.value)


def test_a_function_that_is_not_known_to_be_hostile_is_not_called_either(tmp_path: Path) -> None:
    import shelve

    content = {"a": torch.ones(1), "b": Call(shelve.open, str(tmp_path / "mark")), "c": Call(getattr, "x", "upper")}
    torch.save(content, tmp_path / "odd.pt")
    assert list(read_checkpoint(tmp_path / "odd.pt").state) == ["a"]
    assert not list(tmp_path.glob("mark*"))
    assert load_inert(tmp_path / "odd.pt")["c"].args == ("x", "upper")


def test_shells_without_a_network_give_no_tensors(tmp_path: Path) -> None:
    torch.save({"args": argparse.Namespace(weight=torch.ones(1))}, tmp_path / "a.pt")
    assert tensors_of(load_inert(tmp_path / "a.pt")["args"]) == {}
    with pytest.raises(WeightsError, match="holds no tensors of a network"):
        read_checkpoint(tmp_path / "a.pt")
    torch.save(argparse.Namespace(model=argparse.Namespace(model=1)), tmp_path / "b.pt")
    with pytest.raises(WeightsError, match="holds no tensors of a network"):
        read_checkpoint(tmp_path / "b.pt")
    with pytest.raises(pickle.UnpicklingError):
        (tmp_path / "c.pt").write_bytes(pickle.dumps(print))
        load_inert(tmp_path / "c.pt")
