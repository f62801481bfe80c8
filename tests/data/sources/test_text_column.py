from __future__ import annotations

import pyarrow
import pytest

from headstart.data.sources.text_column import encode


@pytest.mark.parametrize("packed", [False, True])
def test_codes_are_by_first_appearance_and_words_for_missing_have_none(packed: bool) -> None:
    column = pyarrow.chunked_array([["b ", None, "NA"], ["a", "b", ""]])
    found = encode(column.dictionary_encode() if packed else column)
    assert found.values == ["b", "a"] and found.codes.tolist() == [0, -1, -1, 1, 0, -1]


def test_exact_values_are_kept_as_they_are() -> None:
    found = encode(pyarrow.chunked_array([["b ", None, "NA", "a", "b", "", "NA"]]), exact=True)
    assert found.values == ["b ", "NA", "a", "b", ""] and found.codes.tolist() == [0, -1, 1, 2, 3, 4, 1]
