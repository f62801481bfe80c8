"""Random numbers by counter: uniform, independent, and the same for a row in any batch."""

from __future__ import annotations

import hashlib

import numpy as np

from headstart.transfer.augment.counter_rng import Draws, generator, number


def test_uniform_draws_are_uniform_and_independent() -> None:
    u = Draws(1, 2, np.arange(20000)).uniform("x", 2)
    assert u.min() >= 0 and u.max() < 1
    assert np.allclose(u.mean(axis=0), 0.5, atol=0.01) and np.allclose(u.var(axis=0), 1 / 12, atol=0.005)
    assert abs(np.corrcoef(u.T)[0, 1]) < 0.02
    assert abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 0.02
    assert number(1, "a") != number(1, "b") and generator(1).random() == generator(1).random()


def test_a_draw_is_splitmix64_of_its_counters() -> None:
    mask, golden = 2**64 - 1, 0x9E3779B97F4A7C15

    def mix(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    text = "\x1f".join(("7", "2", "flip"))
    base = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
    row = mix(base ^ mix((5 + 1) * golden & mask))
    expected = [(mix((row + (column + 1) * golden) & mask) >> 11) / 2**53 for column in range(3)]
    assert Draws(7, 2, np.array([5])).uniform("flip", 3)[0].tolist() == expected


def test_a_row_draws_the_same_in_any_company_and_something_else_elsewhere() -> None:
    rows = np.arange(50)
    whole = Draws(1, 2, rows).uniform("x", 4)
    assert np.array_equal(Draws(1, 2, rows[[30, 4]]).uniform("x", 4), whole[[30, 4]])
    assert np.array_equal(Draws(1, 2, rows).uniform("x", 2), whole[:, :2])
    for other in (
        Draws(0, 2, rows).uniform("x", 4),
        Draws(1, 3, rows).uniform("x", 4),
        Draws(1, 2, rows).uniform("y", 4),
    ):
        assert not np.isin(other, whole).any()


def test_parts_are_not_run_together() -> None:
    assert number(1, 23) != number(12, 3) and number("a", "b") != number("ab")
    assert 0 <= number(5) < 2**63
    assert generator(3, "order").permutation(9).tolist() != generator(4, "order").permutation(9).tolist()
