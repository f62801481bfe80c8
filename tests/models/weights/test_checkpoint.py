from __future__ import annotations

import hashlib
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from headstart.errors import WeightsError
from headstart.models.weights.checkpoint import read_checkpoint


def test_a_state_dict_is_found_under_its_usual_names(tmp_path: Path) -> None:
    state = nn.Linear(2, 3).state_dict()
    for number, content in enumerate((state, {"state_dict": state, "epoch": 3}, {"model": {"state_dict": state}})):
        path = tmp_path / f"{number}.pt"
        torch.save(content, path)
        found = read_checkpoint(path)
        assert found.state.keys() == state.keys()
        assert torch.equal(found.state["weight"], state["weight"])
        assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_safetensors_keep_what_they_say_about_themselves(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata={"license": "MIT"})
    assert read_checkpoint(tmp_path).metadata == {"license": "MIT"}


class Payload:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch /tmp/headstart-was-here",)


def test_a_pickle_that_would_run_code_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"state_dict": Payload()}, path)
    with pytest.raises(WeightsError, match=r"refused, because reading it would run code \(.*system") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not Path("/tmp/headstart-was-here").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "is an HDF5 file, as Keras writes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "run 'git lfs pull'"),
        (b"\n<!DOCTYPE html><html>404", "is a web page, not a checkpoint"),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "a.bin", "a.pt", "a.h5", "model.safetensors.index.json"])
def test_what_a_file_is_does_not_depend_on_its_name(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=words):
        read_checkpoint(tmp_path / name)


def test_weights_are_read_by_content_whatever_their_name(tmp_path: Path) -> None:
    state = nn.Linear(2, 3).state_dict()
    torch.save(state, tmp_path / "model.safetensors")
    save_file(state, tmp_path / "a.bin", metadata={"license": "MIT"})
    assert torch.equal(read_checkpoint(tmp_path).state["weight"], state["weight"])
    found = read_checkpoint(tmp_path / "a.bin")
    assert torch.equal(found.state["weight"], state["weight"]) and found.metadata == {"license": "MIT"}


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_tensor_is_taken_from_the_file_that_the_index_names(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ones, twos = torch.ones(2), torch.full((2,), 2.0)
    for name, part in {"1": {"a": ones, "b": -ones}, "2": {"a": -twos, "b": twos, "old": 2 * twos}}.items():
        path = tmp_path / f"{name}.{suffix}"
        save_file(part, path) if suffix == "safetensors" else torch.save(part, path)
    index = tmp_path / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": {"a": f"1.{suffix}", "b": f"2.{suffix}"}}))
    found = read_checkpoint(index)
    assert {key: value.tolist() for key, value in found.state.items()} == {"a": [1, 1], "b": [2, 2]}
    assert "the tensor 'b' is also in another file (and 2 more); each is taken" in capsys.readouterr().err
    index.write_text(json.dumps({"weight_map": {"a": f"1.{suffix}", "old": f"1.{suffix}"}}))
    with pytest.raises(WeightsError, match=rf"1\.{suffix}: the tensor 'old' is missing, 1 of 2"):
        read_checkpoint(index)


def test_a_torchscript_program_is_named(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is old
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "a.pt")  # type: ignore[no-untyped-call]
        with pytest.raises(WeightsError, match=r"is a TorchScript program; save the state_dict\(\)"):
            read_checkpoint(tmp_path / "a.pt")


def test_tensors_beside_a_state_dict_are_no_weights(tmp_path: Path) -> None:
    state = nn.Linear(2, 3).state_dict()
    best = torch.tensor(76.1)
    torch.save({"epoch": 9, "arch": "resnet18", "state_dict": state, "best_acc1": best}, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth")
    assert list(found.state) == ["weight", "bias"] and found.part == ""


@pytest.mark.parametrize("name", ["state_dict_ema", "model_ema"])
def test_the_average_of_the_weights_is_preferred_and_named(tmp_path: Path, name: str) -> None:
    plain, average = nn.Linear(2, 3).state_dict(), nn.Linear(2, 3).state_dict()
    torch.save({"state_dict": plain, "model": plain, name: average}, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth")
    assert found.part == name and torch.equal(found.state["weight"], average["weight"])
    torch.save({"state_dict": plain, name: None}, tmp_path / "b.pth")
    assert torch.equal(read_checkpoint(tmp_path / "b.pth").state["weight"], plain["weight"])


def test_a_folder_of_the_hub_is_read(tmp_path: Path) -> None:
    state = nn.Linear(2, 3).state_dict()
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert torch.equal(read_checkpoint(tmp_path).state["weight"], state["weight"])
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    assert list(read_checkpoint(tmp_path).state) == ["a"]


@pytest.mark.parametrize(("stem", "suffix"), [("model", "safetensors"), ("pytorch_model", "bin")])
def test_weights_divided_among_files_are_read_by_their_index(tmp_path: Path, stem: str, suffix: str) -> None:
    state = nn.Linear(2, 3).state_dict()
    names = {"weight": f"{stem}-00001-of-00002.{suffix}", "bias": f"{stem}-00002-of-00002.{suffix}"}
    for key, name in names.items():
        part = {key: state[key]}
        save_file(part, tmp_path / name) if suffix == "safetensors" else torch.save(part, tmp_path / name)
    (tmp_path / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": names}))
    found = read_checkpoint(tmp_path)
    assert {key: value.tolist() for key, value in found.state.items()} == {k: v.tolist() for k, v in state.items()}
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in sorted(names.values())]
    assert found.sha256 == hashlib.sha256(b"".join(digests)).hexdigest()
    (tmp_path / names["bias"]).unlink()
    with pytest.raises(WeightsError, match=r"00002-of-00002.* is missing, 1 of 2 files .*; download the folder again"):
        read_checkpoint(tmp_path)


def test_a_pickle_that_torch_did_not_write_is_refused_without_advice_to_run_it(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(WeightsError, match=r"a\.pkl: is a pickle that torch.save did not write, .* with torch.save$"):
        read_checkpoint(tmp_path / "a.pkl")
    (tmp_path / "b.pth").write_text("hello")
    with pytest.raises(WeightsError, match=r"b\.pth: is cut short or not a checkpoint$"):
        read_checkpoint(tmp_path / "b.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_file_cut_short_is_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    state = {"weight": torch.randn(64, 64)}
    torch.save(state, path) if suffix == "pt" else save_file(state, path)
    for size in (0, 10, path.stat().st_size // 2, path.stat().st_size - 3):
        short = tmp_path / f"short.{suffix}"
        short.write_bytes(path.read_bytes()[:size])
        with pytest.raises(WeightsError, match=r"short\.(pt|safetensors): is cut short or not a checkpoint$"):
            read_checkpoint(short)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "b.pth").write_text("hello")
    (tmp_path / "c.safetensors").write_text("hello, this is no checkpoint")
    torch.save({"epoch": 1, "state_dict": {"names": ["a"]}}, tmp_path / "d.pt")
    for name in ("a.pt", "b.pth", "c.safetensors", "d.pt", "absent.pt"):
        with pytest.raises(WeightsError, match=name):
            read_checkpoint(tmp_path / name)


def test_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"a": torch.ones(1)}, path)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_checkpoint(path, right.upper()).sha256 == right
    with pytest.raises(WeightsError, match=f"sha256 is {right}, expected abc"):
        read_checkpoint(path, "abc")
