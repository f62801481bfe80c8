from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from headstart.errors import WeightsError
from headstart.models.bundle import Ensemble, bundle_bytes, ensemble_bytes, model_bytes, read_bundle, read_ensemble
from headstart.models.bundle_file import ENTRY, file_content
from headstart.models.uncertainty import KEY, UncertaintyPart, part_facts, part_tensors, read_part
from tests.models.test_bundle import bundle

PART = UncertaintyPart({"level": 0.95}, {"right": torch.tensor([0.1, 0.9]), "labels": torch.tensor([0, 2])})


@pytest.mark.parametrize("count", [1, 2])
def test_the_part_is_read_as_it_was_written(count: int, tmp_path: Path) -> None:
    members = tuple(bundle(0, number) for number in range(count))
    path = tmp_path / "model.safetensors"
    path.write_bytes(model_bytes(Ensemble(members, uncertainty=PART)))
    found = read_ensemble(path).uncertainty
    assert found is not None and dict(found.facts) == PART.facts
    assert {name: each.tolist() for name, each in found.tensors.items()} == {
        name: each.tolist() for name, each in PART.tensors.items()
    }
    assert len(read_ensemble(path).members) == count


def test_a_model_without_it_has_the_same_bytes_as_before() -> None:
    one, two = bundle(), (bundle(), bundle(0, 1))
    assert model_bytes(Ensemble((one,))) == bundle_bytes(one, whole=True)
    assert model_bytes(Ensemble(two)) == ensemble_bytes(Ensemble(two))
    assert part_facts(None) == part_tensors(None) == {} and read_part({}, {}) is None


def test_the_network_of_a_model_with_it_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(model_bytes(Ensemble((bundle(),), uncertainty=PART)))
    ours, theirs = read_bundle(tmp_path / "m").network.state_dict(), bundle().network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def forged(path: Path, tensors: dict[str, torch.Tensor], facts: Any) -> Path:
    """Write a model whose part says anything, well sealed."""
    whole = model_bytes(Ensemble((bundle(),), uncertainty=PART))
    path.write_bytes(whole)
    with safe_open(str(path), framework="pt") as file:
        described = json.loads(file.metadata()[ENTRY])
    path.write_bytes(file_content({**load_file(path), **tensors}, {**described, KEY: facts}))
    return path


def test_what_it_may_not_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="uncertainty must be a mapping"):
        read_ensemble(forged(tmp_path / "a", {}, [1]))
    with pytest.raises(WeightsError, match="not finite"):
        read_ensemble(forged(tmp_path / "b", {f"{KEY}.right": torch.tensor([torch.nan])}, {}))


def test_an_altered_part_breaks_the_seal(tmp_path: Path) -> None:
    content = model_bytes(Ensemble((bundle(),), uncertainty=replace(PART, facts={"level": 0.95})))
    (tmp_path / "m").write_bytes(content.replace(b"0.95", b"0.50"))
    with pytest.raises(WeightsError, match="was altered"):
        read_ensemble(tmp_path / "m")
