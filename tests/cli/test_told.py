"""What a command tells on standard error before its work, and of the audit after it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.docs.readers_files import draw

STUDY = """
name: small
data: {photos}
seeds: 2
defaults: {{backbone: lenet5, weights: none}}
runs:
  floor: {{backbone: pixels, strategy: majority}}
  ridge: {{strategy: ridge}}
"""
FOUND = [
    "flowers: 21 images, 2 classes: daisy, lily; the smallest is lily with 10, the largest has 11",
    "left out: files that are not images by their names (2 .svg, 1 .txt); 1 with zero bytes",
]
LEAK = "1 of 9 test images (11.1 %) has a copy in the training or validation part: 1 exact, 0 near"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Return photographs with a split, of which one is in both parts, and files that are no photographs."""
    root = tmp_path / "flowers"
    draw(root / "train", classes=2, per_class=6, size=40)
    draw(root / "Test_set", classes=2, per_class=4, size=40, seed=1)
    shutil.copy(root / "train" / "daisy" / "00.jpg", root / "Test_set" / "daisy" / "again.jpg")
    (root / "train" / "lily" / "cut.jpg").touch()
    for name in ("train/lily/1.svg", "train/lily/2.SVG", "notes.txt"):
        (root / name).write_text("no image")
    return root


@pytest.mark.usefixtures("shared_cache")
def test_a_study_tells_what_it_found_before_its_runs_and_what_the_audit_found_after_them(
    call: Call, parts: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY.format(photos=parts))
    code, out, said = call("run", study, "-o", tmp_path / "out")
    lines = said.splitlines()
    assert code == 0 and [lines[0], lines[2]] == FOUND
    assert lines[1] == (
        "split: given by the folders Test_set, train; validation 20 % of the rest (seed 0):"
        " 10 train, 2 validation, 9 test"
    )
    assert lines[3] == "2 runs to do, each with 2 seeds"
    assert [line.split(":")[0] for line in lines[4:6]] == ["floor", "ridge"] and len(lines) == 7
    assert LEAK in out

    code, out, said = call("--quiet", "run", study, "-o", tmp_path / "out", "--json")
    assert code == 0 and said == "" and any(LEAK in problem for problem in json.loads(out)["problems"])
    code, out, said = call("run", study, "-o", tmp_path / "out")
    assert said.splitlines()[3:] == ["2 runs to do, each with 2 seeds", said.splitlines()[-1]]
    assert said.splitlines()[-1].startswith("2 reused in ")


@pytest.mark.usefixtures("shared_cache")
def test_audit_and_fewshot_tell_what_they_found(call: Call, parts: Path, tmp_path: Path) -> None:
    code, out, said = call("audit", parts, "-o", tmp_path / "out", "--json")
    assert code == 0 and [line for line in said.splitlines() if line in FOUND] == FOUND
    assert "split: given by the folders Test_set, train" in said.splitlines()
    assert any(LEAK in problem for problem in json.loads(out)["problems"])
    options = (
        "--ways",
        2,
        "--shots",
        "1",
        "--queries",
        3,
        "--episodes",
        9,
        "--backbone",
        "lenet5",
        "--weights",
        "none",
    )
    code, out, said = call("fewshot", parts, *options, "--json")
    assert code == 0 and [line for line in said.splitlines() if line in FOUND] == FOUND
    assert "split: none; episodes are drawn from all 21 images" in said and json.loads(out)["rows"]


@pytest.mark.parametrize("verb", ["compare", "fewshot", "audit"])
def test_nothing_is_told_before_an_error_of_the_input(call: Call, tmp_path: Path, verb: str) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "a" / "x.jpg").write_bytes(b"no image")
    code, out, said = call(verb, tmp_path / "photos")
    assert code == 2 and out == "" and said.startswith("headstart: ") and len(said.splitlines()) == 1


def test_compare_tells_nothing_before_an_error_of_its_options(call: Call, photos: Path, tmp_path: Path) -> None:
    code, _, said = call("compare", photos, "-o", tmp_path, "--backbone", "resnet81")
    assert code == 2 and len(said.splitlines()) == 1 and "resnet81" in said


@pytest.mark.long
@pytest.mark.usefixtures("shared_cache")
def test_compare_tells_that_it_tests_by_cross_validation(call: Call, photos: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path, "--seeds", 1, "--backbone", "efficientnet_lite0")
    code, _, said = call("compare", photos, *out)
    assert code == 0 and said.splitlines()[:2] == [
        "flowers: 20 images, 2 classes: daisy, lily; 10 images of each",
        "split: 5-fold cross-validation, so that every image is tested once: 13 train, 3 validation, 4 test in the"
        " first fold",
    ]


@pytest.mark.long
@pytest.mark.usefixtures("shared_cache")
def test_what_the_audit_advises_leaves_the_copies_out(call: Call, parts: Path, tmp_path: Path) -> None:
    options = ("-o", tmp_path / "out", "--seeds", 1, "--backbone", "efficientnet_lite0", "--json")
    for kind, images in (("exact", 20), ("near", 20)):
        code, out, said = call("compare", parts, "--drop-duplicates", kind, *options)
        assert code == 0 and f"flowers: {images} images" in said
        assert not [problem for problem in json.loads(out)["problems"] if "copy" in problem or "copies" in problem]
    code, _, said = call("compare", parts, "--drop-duplicates", "all", *options)
    assert (code, said) == (2, "headstart: unknown kind of duplicates 'all' (known: exact, near)\n")


@pytest.mark.usefixtures("shared_cache")
def test_the_audits_of_two_folders_of_one_name_are_both_kept(call: Call, tmp_path: Path) -> None:
    for seed, side in enumerate("ab"):
        place = draw(tmp_path / side / "photos", classes=2, per_class=5, size=24, seed=seed)
        for _ in range(2):
            assert call("audit", place, "--backbone", "pixels", "-o", tmp_path / "out")[0] == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    other = names[0].removesuffix(".html")
    assert other.startswith("audit-photos-")
    assert names == [f"{other}.html", f"{other}.json", "audit-photos.html", "audit-photos.json"]
