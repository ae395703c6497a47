"""The HTML of reports: one page without external files, for any width and for paper."""

from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1f2933;max-width:50em;margin:1.5em auto;padding:0 1em}
h1{font-size:1.5em;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:1.1em;margin:1.8em 0 .4em}h3{font-size:1em;margin:1.1em 0 .2em}p{margin:.5em 0}
ul{margin:.5em 0;padding-left:1.2em}.day{white-space:nowrap}.quiet{color:#52606d;font-size:.87em}.why{font-size:1.1em}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.87em}
th,td{padding:.3em 1em .3em 0;white-space:nowrap;border-bottom:1px solid #cbd2d9;text-align:left;vertical-align:top}
th{color:#52606d;font-weight:600;white-space:normal;vertical-align:bottom}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
td.t{white-space:normal;min-width:11em}details{margin:.8em 0}summary{cursor:pointer}
tr.first td{font-weight:600}
svg{display:block;width:100%;max-width:42em;height:auto}code{overflow-wrap:anywhere}
img{display:block;width:100%;min-width:34em;height:auto}
@media(max-width:600px){table{font-size:.8em}th,td{padding-right:.7em}}
@media print{body{margin:0;max-width:none;font-size:11pt}
svg{max-width:14cm}img{min-width:0}h2,svg,img,tr{break-inside:avoid}}
"""


def page(title: str, body: Iterable[str]) -> str:
    """Build the page. `title` is text, `body` has markup."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    lines = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{lines}\n</body></html>\n'


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Any]],
    words: Collection[int],
    sentences: Collection[int] = (),
    *,
    first: bool = True,
) -> str:
    """Build a table of text, which scrolls by itself on a narrow screen.

    Args:
        head: the column names.
        rows: the cells of each row, in the order of the columns.
        words: the columns that hold no numbers.
        sentences: the columns whose lines may break.
        first: whether the first row is emphasised.

    """

    def cells(tag: str, values: Sequence[Any]) -> str:
        kinds = ["class=t" if place in sentences else "" if place in words else "class=n" for place in range(len(head))]
        return "".join(
            f"<{tag}{' ' if kind else ''}{kind}>{escape(str(value))}</{tag}>"
            for kind, value in zip(kinds, values, strict=True)
        )

    lines = [f"<tr{' class=first' if first and not n else ''}>{cells('td', row)}</tr>" for n, row in enumerate(rows)]
    return f'<div class="wide"><table><tr>{cells("th", head)}</tr>{"".join(lines)}</table></div>'
