"""What the terminal can do: colour, width, a progress line."""

from __future__ import annotations

import os
import shutil
import sys
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


class Progress:
    """One line on stderr, rewritten in place; silent where stderr is no terminal."""

    def __init__(self, enabled: bool = True, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.enabled = enabled and is_terminal(self.stream)
        self.drawn = False

    def __call__(self, done: int, total: int, what: str) -> None:
        """Say that `done` of `total` obligations are decided and that `what` comes next."""
        if self.enabled:
            text = f"[{done}/{total}] {what}"[: width_for(self.stream) - 1]
            self.stream.write(f"\r{text}\x1b[K")
            self.stream.flush()
            self.drawn = True

    def clear(self) -> None:
        """Remove the line."""
        if self.drawn:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self.drawn = False
