from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

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


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(WeightsError, match=r"would run code \(.*Linear.*state_dict"):
        read_checkpoint(path)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_file_cut_short_is_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model.{suffix}"
    state = {"weight": torch.randn(64, 64)}
    torch.save(state, path) if suffix == "pt" else save_file(state, path)
    for size in (0, 10, path.stat().st_size // 2, path.stat().st_size - 3):
        short = tmp_path / f"short.{suffix}"
        short.write_bytes(path.read_bytes()[:size])
        with pytest.raises(WeightsError, match="is cut short or no") as caught:
            read_checkpoint(short)
        assert "\n" not in str(caught.value)


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
