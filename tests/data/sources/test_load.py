from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data import readers
from headstart.data.dataset import Skip
from headstart.data.image_files import read_file
from headstart.data.sources import load as sources
from headstart.data.sources.catalogue import DATASETS
from headstart.data.sources.load import load_dataset
from headstart.data.sources.published import PUBLISHED
from headstart.data.sources.torchvision_sets import TORCHVISION
from headstart.data.splits import make_split
from headstart.errors import DataError


def test_class_folders_give_sorted_classes_and_rows(flowers: Path) -> None:
    data = load_dataset(flowers)
    assert data.name == "flowers"
    assert data.classes == ("aster", "rose", "tulip")
    assert data.counts().tolist() == [4, 6, 5]
    assert [data.reader.name(row) for row in (0, 4, 14)] == ["aster/0.png", "rose/0.png", "tulip/4.png"]
    assert data.given_split is None and len(data.fingerprint) == 32


def test_train_val_and_test_folders_are_the_given_split(tmp_path: Path, draw: Any) -> None:
    for seed, name in enumerate(("train/a/1", "train/b/2", "valid/a/3", "test/a/4", "test/b/5")):
        draw(tmp_path / "set" / f"{name}.png", seed)
    data = load_dataset(tmp_path / "set")
    assert data.classes == ("a", "b")
    assert data.given_split is not None
    assert sorted(data.given_split) == ["test", "test", "train", "train", "validation"]
    names = {data.reader.name(row): str(part) for row, part in enumerate(data.given_split)}
    assert names["valid/a/3.png"] == "validation"


def test_classes_that_are_called_train_and_tram_are_classes(tmp_path: Path, draw: Any) -> None:
    for seed, name in enumerate(("train/1", "train/2", "tram/3")):
        draw(tmp_path / "set" / f"{name}.png", seed)
    data = load_dataset(tmp_path / "set")
    assert data.classes == ("train", "tram") and data.given_split is None


def test_images_may_lie_deeper_in_their_class_and_all_in_one_folder_above(tmp_path: Path, draw: Any) -> None:
    for seed, name in enumerate(("top/a/x/1", "top/a/y/2", "top/b/3")):
        draw(tmp_path / "set" / f"{name}.png", seed)
    assert load_dataset(tmp_path / "set").counts().tolist() == [2, 1]


def test_names_with_spaces_quotes_and_other_scripts(tmp_path: Path, draw: Any) -> None:
    names = ("rose 'red'/a b.png", 'tulipe "noire"/c,d.png', "花/写真 #1.png", "роза/e%20|f.png")
    for seed, name in enumerate(names):
        draw(tmp_path / "set" / name, seed)
    data = load_dataset(tmp_path / "set")
    assert data.classes == tuple(sorted(name.split("/")[0] for name in names))
    assert {data.reader.name(row) for row in range(4)} == set(names)


def test_a_name_that_is_no_utf8_is_skipped_and_listed(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "set" / "a" / "1.png", 1)
    draw(tmp_path / "set" / "b" / "2.png", 2)
    odd = os.fsencode(tmp_path / "set" / "b") + b"/caf\xe9.png"
    os.link(tmp_path / "set" / "b" / "2.png", odd)
    data = load_dataset(tmp_path / "set")
    assert len(data) == 2
    assert data.skipped == (Skip("b/caf\ufffd.png", "has a name that is not valid UTF-8; rename it"),)


def test_the_fingerprint_depends_on_content_label_and_class_name_only(tmp_path: Path, draw: Any) -> None:
    def make(folder: str, names: tuple[str, ...], seed: int = 0) -> str:
        for number, name in enumerate(names):
            draw(tmp_path / folder / name, seed + number)
        return load_dataset(tmp_path / folder).fingerprint

    one = make("one", ("a/1.png", "b/2.png"))
    assert make("two", ("a/x.png", "b/y.png")) == one
    assert make("three", ("a/1.png", "c/2.png")) != one
    assert make("four", ("a/1.png", "b/2.png"), seed=7) != one


def test_a_change_in_a_file_changes_the_fingerprint(flowers: Path, draw: Any) -> None:
    before = load_dataset(flowers).fingerprint
    assert load_dataset(flowers).fingerprint == before
    draw(flowers / "rose" / "0.png", 99)
    assert load_dataset(flowers).fingerprint != before


def test_files_that_are_no_images_are_skipped_and_listed(flowers: Path) -> None:
    (flowers / "rose" / "text.jpg").write_text("not an image")
    (flowers / "rose" / "empty.jpg").touch()
    (flowers / "rose" / "short.png").write_bytes((flowers / "rose" / "0.png").read_bytes()[:150])
    (flowers / "rose" / "notes.txt").write_text("red")
    (flowers / "loose.png").write_bytes((flowers / "rose" / "0.png").read_bytes())
    (flowers / "rose" / ".DS_Store").write_text("debris")
    (flowers / "rose" / "Thumbs.db").write_text("debris")
    data = load_dataset(flowers)
    assert len(data) == 15
    (short,) = [skip for skip in data.skipped if skip.name == "rose/short.png"]
    assert short.reason.startswith("is cut short")
    assert set(data.skipped) - {short} == {
        Skip("rose/text.jpg", "is not an image"),
        Skip("rose/empty.jpg", "has zero bytes"),
        Skip("rose/notes.txt", "does not have the name of an image"),
        Skip("loose.png", "is in no class folder"),
    }


@pytest.mark.parametrize("name", ["rose/text.jpg", "rose/notes.txt"])
def test_strict_refuses_what_would_be_skipped_and_names_it(flowers: Path, name: str) -> None:
    (flowers / name).write_text("not an image")
    with pytest.raises(DataError, match=f"flowers: {name} .*drop strict to skip it"):
        load_dataset(flowers, strict=True)


def test_a_class_of_which_no_image_can_be_used_is_no_class(flowers: Path) -> None:
    for path in (flowers / "rose").iterdir():
        path.write_bytes(b"")
    data = load_dataset(flowers)
    assert data.classes == ("aster", "tulip") and data.counts().tolist() == [4, 5]
    assert data.about["classes"] == "without a usable image, left out: rose"


def test_one_class_is_refused(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "set" / "only" / "1.png")
    with pytest.raises(DataError, match="there is only one class, 'only'"):
        load_dataset(tmp_path / "set")


def test_a_class_with_one_image_is_loaded_and_the_split_says_so(flowers: Path, draw: Any) -> None:
    draw(flowers / "yew" / "1.png", 50)
    split = make_split(load_dataset(flowers))
    assert any("'yew'" in note for note in split.notes)


def test_an_empty_folder_and_a_folder_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no image was found \(no file\)"):
        load_dataset(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="1 file, which is not an image by its name"):
        load_dataset(tmp_path)


def test_images_without_class_folders_are_refused_with_a_remedy(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "1.png")
    with pytest.raises(DataError, match="no class folders; put each class in a folder of its own"):
        load_dataset(tmp_path)


def test_all_images_unusable_is_refused_with_the_first(flowers: Path) -> None:
    for path in flowers.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no usable image: 15 with zero bytes \(the first: aster/0.png\)"):
        load_dataset(flowers)


def test_no_such_path_and_no_such_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file or folder: .*/absent"):
        load_dataset(tmp_path / "absent")
    with pytest.raises(DataError, match="'caltech11'; did you mean 'caltech101'"):
        load_dataset("caltech11")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.docx").write_text("x")
    with pytest.raises(DataError, match="is not a folder, manifest or archive"):
        load_dataset(tmp_path / "x.docx")


def test_an_unreadable_folder_is_named(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: str) -> Any:
        if str(path).endswith("rose"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"rose: the folder cannot be read .Permission denied"):
        load_dataset(flowers)


def test_an_unreadable_file_is_skipped(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path) -> bytes:
        if path.name == "3.png" and path.parent.name == "rose":
            raise PermissionError(13, "Permission denied")
        return read_file(path)

    monkeypatch.setattr(readers, "read_file", read)
    assert load_dataset(flowers).skipped == (Skip("rose/3.png", "cannot be read (Permission denied)"),)


def test_a_circle_of_links_ends(flowers: Path) -> None:
    (flowers / "rose" / "up").symlink_to(flowers)
    assert len(load_dataset(flowers).classes) == 3


def test_duplicates_are_dropped_on_request_and_counted(flowers: Path) -> None:
    data = (flowers / "rose" / "0.png").read_bytes()
    (flowers / "rose" / "copy.png").write_bytes(data)
    assert len(load_dataset(flowers)) == 16
    less = load_dataset(flowers, drop_duplicates=True)
    assert len(less) == 15 and less.about["duplicates"] == "1 exact duplicates dropped"


def test_an_image_in_two_classes_is_refused_when_duplicates_are_dropped(flowers: Path) -> None:
    (flowers / "aster" / "copy.png").write_bytes((flowers / "rose" / "0.png").read_bytes())
    with pytest.raises(DataError, match=r"rose/0.png and aster/copy.png are the same image with two labels"):
        load_dataset(flowers, drop_duplicates=True)


def test_a_limit_keeps_some_of_each_class_and_always_the_same(flowers: Path) -> None:
    first, again = load_dataset(flowers, limit=3), load_dataset(flowers, limit=3)
    assert first.counts().tolist() == [3, 3, 3]
    assert first.fingerprint == again.fingerprint != load_dataset(flowers).fingerprint


def test_select_and_without_are_each_others_opposite(flowers: Path) -> None:
    data = load_dataset(flowers)
    kept = data.without([0, 3, 7], Skip("x", "y"))
    assert len(kept) == 12 and kept.skipped == (Skip("x", "y"),)
    chosen = data.select([row for row in range(15) if row not in (0, 3, 7)])
    assert chosen.fingerprint == kept.fingerprint != data.fingerprint
    assert chosen.reader.name(0) == data.reader.name(1)
    assert chosen.select([2]).reader.read(0) == data.reader.read(4)


def test_a_folder_of_the_data_place_is_found_by_its_name(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_DATA", str(flowers.parent))
    assert len(load_dataset("flowers")) == 15


def test_a_known_name_is_read_from_a_local_copy_with_its_lists(
    tmp_path: Path, draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("ant/1", "ant/2", "bass/1", "bass/2", "BACKGROUND_Google/1")):
        draw(tmp_path / "caltech101" / f"{name}.png", seed)
    (tmp_path / "caltech101.splits").mkdir()
    (tmp_path / "caltech101.splits" / "train.txt").write_text("ant/1.png\nbass/1.png\nBACKGROUND_Google/1.png\n")
    (tmp_path / "caltech101.splits" / "test.txt").write_text("ant/2.png\nbass/2.png\n")
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    data = load_dataset("caltech101")
    assert data.classes == ("ant", "bass") and data.given_split is not None
    assert list(data.given_split) == ["train", "test", "train", "test"]
    assert data.about["left out"].startswith("1 images of BACKGROUND_Google: left out by the convention")
    assert data.about["licence"] == "CC BY 4.0"


def test_what_stands_here_as_a_path_goes_before_a_name(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flowers.rename(flowers.with_name("groceries"))
    monkeypatch.chdir(flowers.parent)
    assert load_dataset("groceries").classes == ("aster", "rose", "tulip")


def test_every_name_of_the_catalogue_has_a_source() -> None:
    assert set(DATASETS) == {"groceries", *PUBLISHED, *TORCHVISION}
    assert not set(PUBLISHED) & set(TORCHVISION)
    for info in DATASETS.values():
        assert info.images > 0 and info.classes > 1 and info.homepage.startswith("http") and info.licence


def test_the_images_are_not_decoded_to_load_them(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    assert len(load_dataset(flowers)) == 15


def test_always_distinct_sources_are_known() -> None:
    assert set(sources.ALWAYS_DISTINCT) <= set(DATASETS)


@pytest.mark.realdata
def test_caltech101_as_given(real_images: Path) -> None:
    data = load_dataset("caltech101")
    assert len(data) == 8677 and len(data.classes) == 101
    split = make_split(data, validation=0.5)
    assert len(split.test) == 2893 and len(split.train) + len(split.validation) == 5784
    assert [skip.name for skip in data.skipped] == ["BACKGROUND_Google/tmp"]
    assert data.about["left out"].startswith("467 images of BACKGROUND_Google")
    assert len(np.unique(data.digests)) == 8677


@pytest.mark.realdata
def test_caltech101_strict_names_the_line_that_is_no_image(real_images: Path) -> None:
    with pytest.raises(DataError, match=r"BACKGROUND_Google/tmp is named in train.txt"):
        load_dataset("caltech101", strict=True)


@pytest.mark.realdata
def test_cifar10_small_has_its_given_split(real_images: Path) -> None:
    data = load_dataset("cifar10-small")
    split = make_split(data, validation=0)
    assert (len(split.train), len(split.test)) == (5000, 1000)
    assert data.classes[0] == "airplane"


def test_a_source_may_be_relative_and_is_remembered_by_its_full_path(
    flowers: Path, tmp_path: Path, draw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(flowers)
    here = load_dataset(".")
    assert here.name == "flowers" and here.about["source"] == str(flowers)
    assert load_dataset(Path("../flowers")).fingerprint == here.fingerprint
    monkeypatch.chdir(flowers / "rose")
    assert load_dataset("..").name == "flowers"


def test_a_dataset_travels_to_another_process(flowers: Path) -> None:
    data = load_dataset(flowers).select([3, 5])
    copy = pickle.loads(pickle.dumps(data))
    assert copy.fingerprint == data.fingerprint and copy.reader.read(1) == data.reader.read(1)
    groceries = pickle.loads(pickle.dumps(load_dataset("groceries")))
    assert groceries.reader.read(0)[:2] == b"\xff\xd8"
