"""Why an image cannot be used: for good, or only for now."""

from __future__ import annotations


class UndecodableError(Exception):
    """These bytes are not a usable image; the message says why, in a few words."""


class LacksMemoryError(UndecodableError):
    """There is too little free memory now; the image may be sound, so nothing about it may be remembered."""

    def __init__(self) -> None:
        super().__init__("cannot be decoded now: too little memory is free; close other programs and try again")
