"""A bundle's file says itself whether it is as it was written."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from headstart.errors import WeightsError
from headstart.models.bundle_file import (
    ENTRY,
    FORMAT,
    SEAL,
    check_tensors,
    copy_with_temperature,
    description_of,
    file_content,
    find_bundle,
    licence_entry,
    licence_in,
    read_file,
    tensors_sha256,
)

TENSORS = {
    "b": torch.arange(6.0).reshape(2, 3),
    "a": torch.tensor(1, dtype=torch.int64),
    "c": torch.zeros(0, 2, dtype=torch.bfloat16),
    "d": torch.tensor([True, False]),
}


def saved(path: Path) -> Path:
    path.write_bytes(file_content(TENSORS, {"classes": ["ünï", "b"], "temperature": 1.0}))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    described, tensors = read_file(saved(tmp_path / "m"))
    assert described["classes"] == ["ünï", "b"] and described["format"] == FORMAT
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_every_changed_byte_of_the_file_is_seen(tmp_path: Path) -> None:
    data = saved(tmp_path / "m").read_bytes()
    written, tensors = read_file(tmp_path / "m")
    for at in random.Random(0).sample(range(len(data)), 300):
        changed = data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :]
        (tmp_path / "m").write_bytes(changed)
        with pytest.raises(WeightsError, match=r"damaged|cannot be read|not saved by headstart|has format"):
            read_file(tmp_path / "m")
    assert written and tensors


@pytest.mark.parametrize("alter", ["name", "type", "shape", "value", "more", "fewer"])
def test_the_sha256_is_of_name_type_shape_and_bytes(alter: str) -> None:
    changed = dict(TENSORS)
    if alter == "name":
        changed["B"] = changed.pop("b")
    elif alter == "more":
        changed["e"] = torch.zeros(1)
    elif alter == "fewer":
        del changed["c"]
    else:
        values = {"type": changed["b"].view(torch.int32), "shape": changed["b"].T, "value": changed["b"] + 1}
        changed["b"] = values[alter]
    assert tensors_sha256(changed) != tensors_sha256(TENSORS)
    assert tensors_sha256(dict(reversed(TENSORS.items()))) == tensors_sha256(TENSORS)


def test_a_description_without_its_seal_is_refused(tmp_path: Path) -> None:
    with safe_open(str(saved(tmp_path / "m")), framework="pt") as file:
        facts = file.metadata()
    said = json.loads(facts[ENTRY])
    without = {key: value for key, value in said.items() if key != SEAL}
    for changed in (without, {**said, "temperature": 2.0}, {**said, "tensors": "0" * 64}, {**said, SEAL: None}):
        save_file(TENSORS, tmp_path / "m", {ENTRY: json.dumps(changed)})
        with pytest.raises(WeightsError, match="altered or damaged after it was saved"):
            read_file(tmp_path / "m")
    save_file({**TENSORS, "b": TENSORS["b"] + 1}, tmp_path / "m", facts)
    with pytest.raises(WeightsError, match="altered or damaged after it was saved"):
        read_file(tmp_path / "m")
    with pytest.raises(WeightsError, match="altered or damaged"):
        check_tensors(tmp_path / "m", said, {})


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2", "page.HTML"])
def test_an_exported_file_is_called_one(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x08\x0a")
    with pytest.raises(WeightsError, match=r"is an exported file; give the study, run or model file"):
        read_file(tmp_path / name)


def test_the_same_bundle_is_the_same_bytes() -> None:
    assert len({file_content(TENSORS, {"a": 1, "b": 2}) for _ in range(20)}) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, '{"format": 99}', '{"format": [3]}'])
def test_a_description_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(WeightsError, match=r"m: (its description is damaged|has format)"):
        description_of(Path("m"), text)


def test_a_copy_has_another_temperature_and_a_seal_of_its_own(tmp_path: Path) -> None:
    copy_with_temperature(saved(tmp_path / "m"), tmp_path / "n", 2.5)
    before, after = (read_file(tmp_path / name)[0] for name in ("m", "n"))
    assert after.pop(SEAL) != before.pop(SEAL)
    assert after == {**before, "temperature": 2.5}


def test_a_copy_says_where_it_was_used_and_keeps_what_else_is_said_of_its_origin(tmp_path: Path) -> None:
    told = {"provenance": {"study": "old", "created": "yesterday"}, "temperature": 1.0}
    (tmp_path / "m").write_bytes(file_content(TENSORS, told))
    copy_with_temperature(tmp_path / "m", tmp_path / "n", 2.5, {"study": "new", "run": "r"})
    after = read_file(tmp_path / "n")[0]
    assert after["provenance"] == {"study": "new", "created": "yesterday", "run": "r"}


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, (8).to_bytes(8, "little") + b"{}      "])
def test_what_is_no_bundle_is_not_copied(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read as a model"):
        copy_with_temperature(tmp_path / "m", tmp_path / "n", 2.0)
    assert not (tmp_path / "n").exists()


def test_a_copy_of_a_file_that_says_nothing_of_its_origin_says_where_it_was_used(tmp_path: Path) -> None:
    copy_with_temperature(saved(tmp_path / "m"), tmp_path / "n", 2.5, {"run": "r"})
    assert read_file(tmp_path / "n")[0]["provenance"] == {"run": "r"}


def test_the_seal_is_of_what_is_said_and_not_of_the_order_in_which_it_is(tmp_path: Path) -> None:
    described, _ = read_file(saved(tmp_path / "m"))
    turned = json.dumps(dict(reversed(described.items())))
    assert description_of(tmp_path / "m", turned) == described


@pytest.mark.parametrize("kind", [str, Path])
def test_an_address_is_refused_as_it_was_written(kind: type[str | Path]) -> None:
    with pytest.raises(WeightsError) as told:
        find_bundle(kind("https://example.org/model.safetensors"))
    said = "https://example.org/model.safetensors: is an address; download the model and give the file's path"
    assert str(told.value) == said


def test_the_licence_of_the_weights_is_found_in_the_provenance() -> None:
    assert licence_in({"run": "r", **licence_entry("apache-2.0")}) == "apache-2.0"
    assert licence_in(licence_entry(None)) is None is licence_in({"licence": 3}) is licence_in(None)


def test_the_description_is_plain_json(tmp_path: Path) -> None:
    with safe_open(str(saved(tmp_path / "m")), framework="pt") as file:
        assert json.loads(file.metadata()[ENTRY])["tensors"] == tensors_sha256(TENSORS)
