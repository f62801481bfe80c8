"""Checks HTML for a notebook: well formed, no script, nothing from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"img", "br", "line", "circle", "rect", "meta"}


class _Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "object", "link", "form"), tag
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            assert name != "src" or (value or "").startswith("data:image/jpeg;base64,"), value
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def text_of(html: str) -> str:
    """Return the text of HTML that is sound, with one space between its pieces."""
    assert "url(" not in html and "@import" not in html
    checker = _Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return " ".join(" ".join(checker.text).split())
