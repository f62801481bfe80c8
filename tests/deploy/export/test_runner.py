from __future__ import annotations

import io

import numpy as np
import pytest

from headstart.deploy.export.runner import read_array, serve, write_array


def test_arrays_of_every_type_come_through_a_pipe_unchanged() -> None:
    sink = io.BytesIO()
    given = [np.arange(6, dtype=np.uint8).reshape(1, 2, 3), np.array([0.1, -2.5], np.float32), np.zeros((0, 3), bool)]
    for each in given:
        write_array(sink, each)
    sink.seek(0)
    for each in given:
        found = read_array(sink)
        np.testing.assert_array_equal(found, each)
        assert found.dtype == each.dtype
    with pytest.raises(EOFError):
        read_array(sink)


def test_batches_are_answered_in_order_and_the_end_with_the_seconds() -> None:
    source, sink = io.BytesIO(), io.BytesIO()
    for batch in ([np.array([1.0, 2.0])], [np.array([3.0]), np.array([4.0])]):
        source.write(f"{len(batch)}\n".encode())
        for each in batch:
            write_array(source, each)
    source.write(b"end\n")
    source.seek(0)
    serve(lambda arrays: np.concatenate(arrays) * 2, source, sink)
    sink.seek(0)
    assert read_array(sink).tolist() == [2.0, 4.0] and read_array(sink).tolist() == [6.0, 8.0]
    assert float(sink.readline()) >= 0


def test_half_an_array_is_an_error() -> None:
    sink = io.BytesIO()
    write_array(sink, np.arange(10))
    with pytest.raises(EOFError):
        read_array(io.BytesIO(sink.getvalue()[:-1]))
