from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.units import count, duration, parse_duration, parse_size, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (0.25, "250 ms"),
        (0.9996, "1000 ms"),
        (1.0, "1.0 s"),
        (59.94, "59.9 s"),
        (60.0, "1 min"),
        (75.2, "1 min 15 s"),
        (599.0, "9 min 59 s"),
        (601.0, "10 min"),
        (3600.0, "1 h"),
        (5430.0, "1 h 30 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "–"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_990_000, "10.0 MB"), (734_003_200, "734 MB"),
     (2_500_000_000, "2.5 GB")],
)  # fmt: skip
def test_sizes_are_decimal(number: float | None, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "–"), (999, "999"), (1000, "1.0 k"), (11_176_512, "11.2 M"), (100_000_000, "100 M"), (1.5e9, "1.5 G")],
)
def test_counts_have_three_digits_at_most(number: float | None, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20min", 1200), ("1.5h", 5400), ("1h 30min", 5400), ("2 min", 120), ("5m", 300), ("2 HOURS", 7200)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("value", "says"),
    [(5, "has no unit; write 5s or 5min"), ("", "above 0"), ("0s", "above 0"), ("5 days", "not a duration"),
     ("min", "not a duration"), ("5", "not a duration"), ("-5s", "not a duration"), (True, "not a duration")],
)  # fmt: skip
def test_what_is_not_a_duration_is_refused(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_duration(value)


@pytest.mark.parametrize(("text", "number"), [("5GB", 5 * 10**9), ("300 mb", 3 * 10**8), ("0", 0), ("1.5kB", 1500)])
def test_sizes_are_read(text: str, number: int) -> None:
    assert parse_size(text) == number


@pytest.mark.parametrize("text", ["", "GB", "5 XB", "-1GB", "five", "1e3", "9" * 400 + "GB"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a size|too large"):
        parse_size(text)


FEW = settings(max_examples=40, deadline=None, derandomize=True)
NUMBERS = st.integers(1, 400).map("9".__mul__) | st.floats(0, 1e12).map("{:f}".format)
TEXTS = st.text(max_size=20) | st.builds(
    "{}{}{}".format, NUMBERS, st.sampled_from(" \n"), st.sampled_from(["s", "KB", "x"])
)
SPELLED = {3600: ("h", " hours", "hour"), 60: ("min", "m", " Minutes"), 1: ("s", " sec", "seconds")}


@FEW
@given(st.lists(st.tuples(st.integers(1, 90), st.sampled_from(sorted(SPELLED)), st.integers(0, 2)), min_size=1))
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, int, int]]) -> None:
    text = " ".join(f"{number}{SPELLED[unit][spelling]}" for number, unit, spelling in parts)
    assert parse_duration(text) == sum(number * unit for number, unit, _ in parts)


@FEW
@given(st.floats(1, 1e7))
def test_a_duration_that_was_written_is_read_back(seconds: float) -> None:
    closest = 0.051 if seconds < 60 else 0.51 if seconds < 600 else 60  # what is left out of the text
    assert parse_duration(duration(seconds)) == pytest.approx(seconds, abs=closest)


@FEW
@given(st.floats(0, 1e15))
def test_a_size_that_was_written_is_read_back(number: float) -> None:
    assert parse_size(size(number)) == pytest.approx(number, rel=0.051, abs=0.51)


@FEW
@given(TEXTS)
def test_any_text_is_a_duration_and_a_size_or_is_refused_in_one_line(text: str) -> None:
    for read in (parse_duration, parse_size):
        try:
            assert 0 <= read(text) < math.inf
        except ValueError as error:
            assert "\n" not in str(error) and "write" in str(error)
