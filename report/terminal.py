"""What the terminal can do: colour and width."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TextIO

Paint = Callable[[str, str], str]
"""``paint(role, text)``: `text` as it is shown in that role; adds no visible character."""

MAX_WIDTH = 110
_COLOURS = {
    "violated": "1;31",
    "unknown": "1;33",
    "proved": "32",
    "not-applicable": "2",
    "head": "1",
    "cpu": "1",
    "mark": "1;31",
    "free": "33",
    "section": "36",
    "place": "2",
}


def plain(role: str, text: str) -> str:
    """No colour."""
    return text


def coloured(role: str, text: str) -> str:
    """ANSI colours; leading and trailing blanks stay outside."""
    bare = text.strip()
    if not bare or role not in _COLOURS:
        return text
    return text.replace(bare, f"\x1b[{_COLOURS[role]}m{bare}\x1b[0m", 1)


def is_terminal(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that understands control sequences."""
    try:
        return stream.isatty() and os.environ.get("TERM", "") != "dumb"
    except ValueError:  # closed
        return False


def paint_for(stream: TextIO) -> Paint:
    """Colours on a terminal, unless NO_COLOR is set to anything but the empty string (no-color.org)."""
    return coloured if is_terminal(stream) and not os.environ.get("NO_COLOR") else plain


def width_for(stream: TextIO) -> int:
    """Columns to write for: COLUMNS or the terminal's, and `MAX_WIDTH` where there is no terminal."""
    if is_terminal(stream) or os.environ.get("COLUMNS"):
        return max(20, shutil.get_terminal_size((MAX_WIDTH, 24)).columns)
    return MAX_WIDTH
