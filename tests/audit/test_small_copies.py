from __future__ import annotations

import numpy as np

from headstart.audit.small_copies import ChosenCopies


def test_chosen_rows_of_two_tables_are_those_of_the_tables_put_together() -> None:
    random = np.random.default_rng(0)
    tables = [random.integers(0, 256, (count, 4, 4, 3)).astype(np.uint8) for count in (5, 3)]
    source, row = np.array([1, 0, 0, 1, 0]), np.array([2, 4, 0, 0, 3])
    whole = np.stack([tables[s][r] for s, r in zip(source, row, strict=True)])
    chosen = ChosenCopies(tables, source, row)
    assert len(chosen) == 5 and np.array_equal(chosen[:], whole) and np.array_equal(chosen[1:3], whole[1:3])
    assert np.array_equal(chosen[np.array([4, 0, 4])], whole[[4, 0, 4]])
    assert chosen[np.array([], dtype=np.int64)].shape == (0, 4, 4, 3)
