"""HTML as text: the elements of a page. Every text argument is escaped, unless named `*_html`."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Protocol, TypeVar

from loadtests.drawing import words
from loadtests.drawing.plot import Drawing, picture


class OfPattern(Protocol):
    @property
    def pattern(self) -> str: ...


T = TypeVar("T", bound=OfPattern)
STYLE = Path(__file__).with_name("report.css")
LONG = 36
"""A cell with more letters is set as text, not as a number."""
WIDE, NARROW = 760.0, 370.0
"""Each chart is drawn twice, for a screen or paper and for a phone: letters keep their size."""


def paragraph(text: str, *, kind: str = "") -> str:
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def points(every: Sequence[str]) -> str:
    """A list of sentences; nothing for none."""
    if not every:
        return ""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in every)}</ul>"


def warnings(every: Sequence[str]) -> str:
    """A box with these warnings; nothing for none."""
    found = points([words.begun(warning) for warning in every])
    return f'<div class="warnings"><h3>Warnings</h3>{found}</div>' if found else ""


def section(caption: str, *parts_html: str, name: str, title: str) -> str:
    """A chapter; `caption`: its first paragraph, if any."""
    parts = [f"<h2>{escape(title)}</h2>", paragraph(caption) if caption else "", *parts_html]
    return f'<section id="{escape(name)}">{"".join(parts)}</section>\n'


def contents(sections_html: Sequence[str]) -> str:
    """Links to these sections."""
    found = [
        re.search('id="([^"]+)"><h2>(.+?)</h2>', section_html) for section_html in sections_html
    ]
    links = [f'<a href="#{match[1]}">{match[2]}</a>' for match in found if match]
    return f'<nav aria-label="Contents">{"".join(links)}</nav>\n'


def key(names: Sequence[tuple[str, str]], *, patterns: Sequence[str] = ()) -> str:
    """The legend of a chart, from (text, class).

    `patterns`: where each of these has such a part, in a shade of its own colour.
    """
    colours = [words.colour_of(pattern) for pattern in patterns] or [""]
    shown = "".join(f'<i class="{colour}"></i>' for colour in colours)
    every = "".join(
        f'<li class="{escape(kind)}">{shown}{escape(name)}</li>' for name, kind in names
    )
    return f'<ul class="key">{every}</ul>'


def table(*, heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """The first cell of a row names it."""
    head = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(_cell(cell) for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def by_pattern(found: Sequence[T], rows: Mapping[str, Callable[[T], str]], *, caption: str) -> str:
    """A table with a column per pattern; `rows`: by label, the text of a cell."""
    return table(
        heads=["", *[words.name_of(figures.pattern) for figures in found]],
        rows=[[label, *map(of, found)] for label, of in rows.items()],
        caption=caption,
    )


def _cell(text: str) -> str:
    kind = ' class="words"' if len(text) > LONG else ""
    return f"<td{kind}>{escape(text)}</td>"


def figure(
    draw: Callable[[float], Drawing],
    *,
    name: str,
    title: str,
    caption: str,
    table_html: str,
) -> str:
    """A chart with its caption; its numbers as a table, folded away. `draw` is given a width."""
    wide, narrow = (
        picture(draw(width), width=width, name=f"{name}-{kind}", title=title)
        for kind, width in (("wide", WIDE), ("narrow", NARROW))
    )
    return (
        f'<figure><div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
        f"<figcaption>{escape(caption)}</figcaption>"
        f"<details><summary>The numbers</summary>{table_html}</details></figure>"
    )


def document(*, title: str, body_html: str) -> str:
    """A self-contained page, which may load no other file."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text()}</style></head>\n"
        f"<body>\n{body_html}</body></html>\n"
    )
