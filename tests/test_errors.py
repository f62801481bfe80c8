"""Errors: which are which, and the lines that name what is unknown or not installed."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from headstart import errors
from headstart.errors import (
    LONGEST,
    LONGEST_LINE,
    HeadstartError,
    MissingExtra,
    SpecError,
    choose,
    first_line,
    forbidden_library,
    lacks_memory,
    require,
    unknown_name,
)

NOEXEC = getattr(os, "ST_NOEXEC", 8)


def test_errors_are_caught_by_the_kinds_that_their_docstring_draws() -> None:
    assert issubclass(errors.DataAbsent, errors.DataError) and issubclass(errors.WeightsAbsent, errors.WeightsError)
    assert issubclass(errors.WeightsError, errors.ModelError)
    assert issubclass(errors.ImageTypeError, errors.DataError) and issubclass(errors.ImageTypeError, TypeError)
    assert issubclass(errors.ArgumentError, errors.DataError) and issubclass(errors.ArgumentError, ValueError)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__]
    assert issubclass(errors.NoLabels, errors.DataError)
    assert len(kinds) == 15 and all(issubclass(kind, errors.HeadstartError) for kind in kinds)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)


def test_a_missing_package_names_its_extra() -> None:
    require("json", "JSON", "none")
    with pytest.raises(MissingExtra) as caught:
        require("no_such_package", "the search", "search")
    assert str(caught.value) == "the search needs an optional package: pip install 'headstart[search]'"


def test_an_unknown_name_gets_the_nearest_and_the_known_ones() -> None:
    assert unknown_name("head", "liner", ["svm", "linear"]) == (
        "unknown head 'liner'; did you mean 'linear'? (known: linear, svm)"
    )
    assert unknown_name("head", "zzz", ["svm", "linear"]) == "unknown head 'zzz' (known: linear, svm)"


def test_a_long_list_of_names_is_cut_with_its_count() -> None:
    assert "did you mean 'accuracy'?" in unknown_name("metric", "acc", ["accuracy", "mcc"])  # it begins so
    assert "did you mean 'mcc'?" in unknown_name("metric", "mac", ["accuracy", "mcc"])
    assert unknown_name("x", "", ["a"]) == "unknown x '' (known: a)"
    assert unknown_name("x", 7, "abc", limit=2) == "unknown x '7' (known: a, b, … (3 in all))"
    assert unknown_name("x", 7, "abc", limit=3) == "unknown x '7' (known: a, b, c)"


def test_choosing_returns_the_value_or_raises() -> None:
    assert choose("head", "svm", {"svm": 5}) == 5
    with pytest.raises(SpecError, match=r"^unknown head 'svn'; did you mean 'svm'\? \(known: svm\)$"):
        choose("head", "svn", {"svm": 5})


def test_a_message_is_one_line_of_bounded_length() -> None:
    assert str(HeadstartError("first\n second\r\nthird")) == "first  second third"
    assert len(str(SpecError("a" * 10_000))) == LONGEST_LINE + 2
    assert unknown_name("key", "x" * 500, ["y"]) == f"unknown key {'x' * LONGEST!r} (known: y)"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one \ntwo"), "one "),
        (ValueError(""), "ValueError"),
        (KeyError(), "KeyError"),
    ],
)
def test_the_first_line_of_an_error_is_what_it_says_or_its_kind(error: Exception, line: str) -> None:
    assert first_line(error) == line


@pytest.mark.parametrize(
    "text", ["could not create a primitive", "std::bad_alloc", "DefaultCPUAllocator: not enough memory"]
)
def test_a_lack_of_memory_is_recognised_in_the_words_of_each_library(text: str) -> None:
    assert lacks_memory(RuntimeError(text)) and lacks_memory(MemoryError())
    assert not lacks_memory(RuntimeError("shapes differ")) and not lacks_memory(ValueError(text))


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), True),
        (OSError("libtorch_cuda.so: cannot open shared object file: Cannot allocate memory"), True),
        (OSError(12, "Cannot allocate memory", "/a/file"), True),
        (
            OSError("[WinError 1455] The paging file is too small for this operation to complete. Error loading x.dll"),
            True,
        ),
        (ImportError("DLL load failed while importing _C: The paging file is too small for this operation"), True),
        (ImportError("a.so: failed to map segment from shared object: Operation not permitted"), False),  # noexec
        (ImportError("a.so: cannot allocate memory in static TLS block"), False),  # of a fixed size
        (OSError(28, "No space left on device"), False),
    ],
)
def test_a_library_that_does_not_fit_into_memory_is_no_defect(error: Exception, lacks: bool) -> None:
    assert lacks_memory(error) is lacks


@pytest.mark.skipif(not hasattr(os, "ST_NOEXEC"), reason="only Linux says how a disk is mounted")
@pytest.mark.parametrize(("flags", "library"), [(NOEXEC | 4096, "/tmp/a.so"), (4096, None), (None, None)])
def test_a_library_on_a_disk_without_programs_is_no_lack_of_memory(
    flags: int | None, library: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def statvfs(place: str) -> SimpleNamespace:
        assert place == "/tmp/a.so"
        if flags is None:
            raise FileNotFoundError(place)
        return SimpleNamespace(f_flag=flags)

    monkeypatch.setattr(os, "statvfs", statvfs)
    for kind in (OSError, ImportError):
        error = kind("/tmp/a.so: failed to map segment from shared object")
        assert forbidden_library(error) == library and lacks_memory(error) is (library is None)
    try:
        raise ImportError("IMPORTANT: PLEASE READ THIS") from error
    except ImportError as wrapped:  # as NumPy does
        assert forbidden_library(wrapped) == library
    assert forbidden_library(ValueError("/tmp/a.so: failed to map segment from shared object")) is None
