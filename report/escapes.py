"""Text made safe for each kind of document. What it says may come from a stranger's source."""

from __future__ import annotations

import re

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
