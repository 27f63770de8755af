"""Text made safe for each kind of document. What it says may come from a stranger's source."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

Answer = TypeVar("Answer")

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "'": "'",
    "`": r"\textasciigrave{}",
    "→": r"\ensuremath{\rightarrow}",
    "×": r"\ensuremath{\times}",
    "…": r"\dots{}",
    "–": "--",
}
_BREAKS = re.compile(r"(->|::|[_/.,;:)(=-])(?=[^\s()])")
_LONG = 19
"""Words longer than this may be broken, with no hyphen."""


def latex(text: str, breaks: bool = True) -> str:
    """`text` for LaTeX; long names may be broken after ``_``, ``/``, ``->`` unless `breaks` is false."""
    if breaks:
        text = re.sub(rf"\S{{{_LONG + 1},}}", lambda m: _BREAKS.sub("\\1\0", m.group()), text)
    return "".join(map(_latex, text)).replace(r"-\textgreater{}", r"\mbox{-\textgreater{}}")


def _latex(c: str) -> str:
    if c == "\0":
        return r"\allowbreak{}"
    if c in "\n\t\r":
        return " "
    if c in _LATEX:
        return _LATEX[c]
    return c if " " <= c <= "~" else f"[U+{ord(c):04X}]"


_RST = re.compile(r"([\\*`|_<>:\[\]])")


def rst(text: str) -> str:
    """`text` for reStructuredText, on one line."""
    return _RST.sub(r"\\\1", " ".join(_plain(text).split()))


_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")


def markdown(text: str) -> str:
    """`text` for Markdown, in a table's cell too, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(_plain(text).split()))


def _plain(text: str) -> str:
    """Without characters that no document should have."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"[U+{ord(c):04X}]" for c in text)


def printable(text: str) -> str:
    """`text` for HTML and SVG before their own escaping: control characters are told, not obeyed."""
    return _plain(text)


def visible(text: str) -> str:
    """`text` for a terminal, on one line: what a terminal would obey, and what cannot be seen, is written
    as in a string of Python (``\\x1b``, ``\\u202e``)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _visible_lines(text: str) -> str:
    """As `visible`, of several lines: line feeds and tabs stay."""
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))


def all_visible(answer: Answer) -> Answer:
    """An answer, or a tuple, set or dictionary in one, with each of its strings made `visible`."""
    found: Any = answer
    if isinstance(found, str):
        found = visible(found)
    elif isinstance(found, (tuple, frozenset)):
        found = type(found)(map(all_visible, found))
    elif isinstance(found, dict):
        found = {all_visible(k): all_visible(v) for k, v in found.items()}
    elif is_dataclass(found) and not isinstance(found, type):
        old = {f.name: getattr(found, f.name) for f in fields(found)}
        lines = {f.name for f in fields(found) if f.metadata.get("lines")}
        new = {n: _visible_lines(v) if n in lines else all_visible(v) for n, v in old.items()}
        found = replace(found, **new) if new != old else found
    return found  # type: ignore[no-any-return]
