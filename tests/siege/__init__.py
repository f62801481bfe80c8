"""Seeded attacks on headstart: a fast form of each in the plain suite, a long one by `python -m tests.siege NAME`."""
