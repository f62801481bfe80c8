"""Levels of other libraries' loggers, for as long as they would say what a user cannot act on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logged_from(level: int, *names: str) -> Iterator[None]:
    """Let these loggers report nothing below a level for as long as the block runs; "" is the root logger."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, own in zip(loggers, before, strict=True):
            logger.setLevel(own)
