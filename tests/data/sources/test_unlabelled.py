from __future__ import annotations

import io
import os
import socket
import sys
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from headstart.data.decoding.decode import UndecodableError
from headstart.data.sources.unlabelled import Found, Member, Unlabelled, find_images

unix = pytest.mark.skipif(sys.platform == "win32", reason="not on Windows")


def png(grey: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), grey).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder: photographs, and what lies about beside them."""
    for name in (
        *("photos/b/2.png", "photos/b/10.png", "photos/a.JPG", "photos/[x].png", "photos/.hidden.png"),
        *("photos/__MACOSX/b/2.png", "photos/headstart-runs/s/thumbnail.png", "photos/notes.txt", "photos/LICENSE"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(found: Found) -> list[str]:
    return [image.name.replace(os.sep, "/") for image in found.images]


def errors(found: Found) -> dict[str, str]:
    return {image.name: image.error for image in found.images if image.error is not None}


IN_PHOTOS = ["photos/[x].png", "photos/a.JPG", "photos/b/10.png", "photos/b/2.png"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("photos", IN_PHOTOS),
        ("photos/", IN_PHOTOS),
        ("photos/**", IN_PHOTOS),
        ("photos/*", [IN_PHOTOS[0], IN_PHOTOS[1], "photos/b/10.png", "photos/b/2.png"]),
        ("photos/**/*.png", [IN_PHOTOS[0], *IN_PHOTOS[2:]]),
        ("photos/*/?.png", ["photos/b/2.png"]),
        ("photos/[x].png", ["photos/[x].png"]),
        ("photos/.hidden.png", ["photos/.hidden.png"]),
    ],
)
def test_folders_and_globs_give_their_images_in_order_and_no_debris(place: str, expected: list[str]) -> None:
    found = find_images([place])
    assert names(found) == expected and not errors(found)
    assert all(image.read() == image.name for image in found.images)


@pytest.mark.usefixtures("here")
def test_other_files_are_counted_by_suffix_and_searched_folders_are_known() -> None:
    found = find_images(["photos"])
    assert found.ignored == {".txt": 1, "no suffix": 1} and found.folders == [Path("photos")]
    assert find_images(["photos/b/2.png"]).folders == []


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["photos/b/*.png", "photos"], ["photos/b/10.png", "photos/b/2.png", "photos/[x].png", "photos/a.JPG"]),
        (["photos", "photos/b/*.png", "photos/**", "photos/b", "./photos"], IN_PHOTOS),
        (["photos/b/../a.JPG", "linked/*.JPG", "{here}/photos/*.JPG"], ["photos/b/../a.JPG"]),
        (["list.csv", "photos/*.JPG"], ["photos/a.JPG", "photos/b/2.png", "linked/a.JPG"]),
        (["p.zip", "*.zip", "./*.zip"], ["p.zip!a.png", "p.zip!b.png"]),
        (
            ["photos/b", "p.zip", "photos"],
            ["photos/b/10.png", "photos/b/2.png", "p.zip!a.png", "p.zip!b.png", *IN_PHOTOS[:2]],
        ),
        (["photos", "photos/headstart-runs/s/thumbnail.png"], [*IN_PHOTOS, "photos/headstart-runs/s/thumbnail.png"]),
    ],
)
@unix
def test_a_file_that_is_found_again_is_listed_once(here: Path, places: list[str], expected: list[str]) -> None:
    Path("linked").symlink_to("photos")
    Path("list.csv").write_text("path\nphotos/a.JPG\nphotos/b/2.png\nlinked/a.JPG\n")
    with zipfile.ZipFile("p.zip", "w") as archive:
        for name in ("a.png", "b.png", "read.me"):
            archive.writestr(name, png())
    found = find_images([place.format(here=here) for place in places])
    assert names(found) == expected and not errors(found)
    searched = [place for place in places if "*" in place or Path(place).is_dir()]
    twice = find_images([place.format(here=here) for place in (*places, *searched)])
    assert names(twice) == expected and not errors(twice) and twice.ignored == found.ignored


def test_what_is_named_itself_is_listed_each_time(here: Path) -> None:
    Path("list.csv").write_text("path\nphotos/a.JPG\nphotos/b/2.png\nphotos/a.JPG\n")
    rows = ["photos/a.JPG", "photos/b/2.png", "photos/a.JPG"]
    assert names(find_images(["list.csv"])) == rows
    assert names(find_images([*rows, "photos"])) == [*rows, *(name for name in IN_PHOTOS if name not in rows)]
    lines = io.BytesIO("\n".join(rows).encode())
    assert names(find_images(["-"], lines)) == rows


def test_two_names_of_one_picture_in_a_folder_are_two_images(here: Path) -> None:
    os.link("photos/a.JPG", "photos/b/a.JPG")
    assert names(find_images(["photos", "photos/b"])) == sorted([*IN_PHOTOS, "photos/b/a.JPG"])


def test_an_archive_beside_the_images_of_a_folder_is_read_where_it_is_named(here: Path) -> None:
    with zipfile.ZipFile("photos/p.zip", "w") as archive:
        archive.writestr("a.png", png())
    found = find_images(["photos", "photos/*", "photos/p.zip"])
    assert names(found) == [*IN_PHOTOS, "photos/p.zip!a.png"]
    assert found.ignored == {".txt": 1, "no suffix": 1, ".zip": 1}


def test_a_path_in_a_table_that_no_system_takes_is_listed_all_the_same(here: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"path": ["a\0b/c.png", "photos/a.JPG"]}), "p.parquet")
    assert names(find_images(["p.parquet"])) == ["a\0b/c.png", "photos/a.JPG"]


@pytest.mark.usefixtures("here")
def test_every_input_has_an_entry_and_none_ends_the_others() -> None:
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/a.txt").touch()
    Path("torn.zip").write_bytes(b"PK\3\4 and no more")
    Path("no-column.csv").write_text("name,size\na,1\n")
    long = "x" * 300 + ".png"
    places = ["absent.png", "q*.gif", "texts/*", "HTTPS://a.org/x.png", "empty", "texts", "torn.zip", "no-column.csv"]
    found = find_images([*places, long, "nul\0.png", "photos/b"])
    said = errors(found)
    assert names(found)[-2:] == ["photos/b/10.png", "photos/b/2.png"] and len(found.images) == len(places) + 4
    assert said.pop("torn.zip").startswith("the archive cannot be read")
    assert said.pop("no-column.csv").startswith("no column 'path (or bytes)'; the columns are name, size")
    assert said.pop(long).startswith("cannot be read")
    assert said == {
        "absent.png": "no such file or folder",
        "q*.gif": "matches no image",
        "texts/*": "matches no image (1 other files)",
        "HTTPS://a.org/x.png": "is an address; download the image and give the file's path",
        "empty": "no image in it",
        "texts": "no image in it (1 other files)",
        "nul\0.png": "no such file or folder",
    }
    with pytest.raises(UndecodableError, match="no such file or folder"):
        found.images[0].read()


def test_members_of_archives_are_named_and_read_in_place(here: Path) -> None:
    with zipfile.ZipFile("p.zip", "w") as archive:
        for name, grey in (("b/1.png", 7), ("a.png", 8), ("__MACOSX/a.png", 9), ("read.me", 0)):
            archive.writestr(name, png(grey))
    found = find_images(["p.zip"])
    assert names(found) == ["p.zip!a.png", "p.zip!b/1.png"] and found.ignored == {".me": 1}
    assert [image.read() for image in found.images] == [png(8), png(7)]
    assert found.images[0].path is None and isinstance(found.images[0].source, Member)
    assert names(find_images(["*.zip"])) == names(found)


def test_a_table_names_paths_relative_to_itself(here: Path) -> None:
    Path("tables").mkdir()
    table = Path("tables/list.csv")
    table.write_text(
        "﻿id;image\n1;../photos/b/2.png\n2;\n3;https://a.org/x.png\n4;..\\photos\\a.JPG\n", encoding="utf-8"
    )
    found = find_images([table])
    opened = [Path(image.name).resolve() for image in found.images if image.error is None]
    assert opened == [here / "photos/b/2.png", here / "photos/a.JPG"]
    assert errors(found) == {
        "tables/list.csv!row 2": "has no path",
        "https://a.org/x.png": "is an address; download the image and give the file's path",
    }


def test_a_table_of_bytes_gives_its_rows(here: Path) -> None:
    table = pyarrow.table({"bytes": [png(1), png(2)], "path": ["one.png", "two.png"]})
    pyarrow.parquet.write_table(table, "p.parquet")
    found = find_images(["p.parquet"])
    assert names(found) == ["p.parquet!one.png", "p.parquet!two.png"]
    assert [image.read() for image in found.images] == [png(1), png(2)]
    pyarrow.parquet.write_table(table.select(["bytes"]), "q.parquet")
    assert names(find_images(["q.parquet"])) == ["q.parquet!row 0", "q.parquet!row 1"]


@pytest.mark.parametrize(
    "sent",
    [
        b"photos/b/2.png\nphotos/a.JPG\n",
        b"photos/b/2.png\r\n\r\nphotos/a.JPG",
        b"photos/b/2.png\0photos/a.JPG\0",
        "photos/b/2.png\nphotos/a.JPG\n".encode("utf-8-sig"),
        "photos/b/2.png\r\nphotos/a.JPG\r\n".encode("utf-16"),
    ],
)
@pytest.mark.usefixtures("here")
def test_standard_input_is_a_list_of_paths(sent: bytes) -> None:
    found = find_images(["-", "photos/[x].png", "-"], io.BytesIO(sent))
    assert names(found) == ["photos/b/2.png", "photos/a.JPG", "photos/[x].png"] and not errors(found)


def test_standard_input_is_an_image_even_a_damaged_one() -> None:
    for sent in (png(), png()[:40]):
        assert find_images(["-"], io.BytesIO(sent)).images == [Unlabelled("-", sent)]


@pytest.mark.usefixtures("here")
def test_a_list_is_not_searched_for_globs_and_an_empty_one_is_said() -> None:
    found = find_images(["-"], io.BytesIO(b"photos/*.png\nphotos/b\n"))
    assert errors(found) == {"photos/*.png": "no such file or folder"} and len(found.images) == 3
    assert errors(find_images(["-"], io.BytesIO(b" \n"))) == {"-": "standard input is empty"}
    assert errors(find_images(["-"])) == {"-": "no such file or folder"}  # where there is no standard input


@unix
@pytest.mark.usefixtures("here")
def test_a_pipe_is_read_once_and_a_socket_never() -> None:
    os.mkfifo("pipe")
    if os.fork() == 0:
        Path("pipe").write_bytes(png(5))
        os._exit(0)
    (image,) = find_images(["pipe"]).images
    os.wait()
    assert image.read() == image.read() == png(5) and image.path is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert errors(find_images(["socket"])) == {"socket": "is a device or a socket, not a file"}


@unix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_does_not_hide_the_others(here: Path) -> None:
    (here / "photos" / "b").chmod(0)
    try:
        found = find_images(["photos"])
    finally:
        (here / "photos" / "b").chmod(0o755)
    assert names(found) == [*IN_PHOTOS[:2], "photos/b"]
    assert errors(found) == {"photos/b": "the folder cannot be read (Permission denied)"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take only names that are text")
@pytest.mark.usefixtures("here")
def test_names_that_are_not_utf_8_are_read_too() -> None:
    for name in (b"\xff.png", b"\xfe.png"):
        Path(os.fsdecode(b"photos/b/" + name)).write_bytes(png(3))
    found = find_images(["photos/b"])
    assert [os.fsencode(image.name)[9:] for image in found.images] == [b"10.png", b"2.png", b"\xfe.png", b"\xff.png"]
    assert found.images[3].path is not None and found.images[3].path.read_bytes() == png(3)
