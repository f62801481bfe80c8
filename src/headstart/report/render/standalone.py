"""Writes an object's notebook HTML as a standalone page that works offline."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from headstart.disclosure import printable
from headstart.report.render.words import by_word
from headstart.storage.files import write_atomic
from headstart.version import VERSION

_PAGE = Markup("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title} · headstart</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0 auto; max-width: 64em; padding: 24px 20px 40px; background: light-dark(#fbfbfa, #111417);
  color: light-dark(#16191d, #e7eaee); font: 15px/1.5 system-ui, sans-serif; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; opacity: .8; }}
.word {{ display: inline-block; max-width: 100%; overflow-wrap: anywhere; }}
footer {{ margin-top: 32px; font-size: 13px; opacity: .68; }}
@media print {{
  :root {{ color-scheme: light; }}
  body {{ background: #fff; color: #000; padding: 0; }}
  p, figure, tr, footer {{ break-inside: avoid; }}
  .hs.hs table {{ font-size: 12px; }}
  .hs.hs :is(th, td) {{ padding-top: 2px; padding-bottom: 2px; }}
  footer {{ margin-top: 16px; }}
}}
@page {{ margin: 14mm; }}
</style>
</head>
<body>
{shown}
<footer>{command}<p>Made by headstart {version}.</p></footer>
</body>
</html>
""")


def write_standalone(out: str | Path, title: str, shown: Markup, command: str) -> Path:
    """Write what an object shows as a page; return where.

    Args:
        out: the page.
        title: of its window.
        shown: the HTML of a notebook's output.
        command: that made it, or "".

    Raises:
        StoreError: the page cannot be written.
    """
    path = Path(out)
    typed = Markup("<pre>{}</pre>").format(by_word(printable(command))) if command else Markup("")
    write_atomic(path, _PAGE.format(title=printable(title), shown=shown, command=typed, version=VERSION))
    return path
