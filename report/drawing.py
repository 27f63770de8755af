"""Pictures as lists of shapes, laid out once for every kind of document (`svg.py`, `tikz.py`).

Units are those of a screen: text is monospaced, 12 high, and `CHARACTER` wide a letter. `y` grows downwards.
A `role` says what a shape means; how that looks is the back end's matter. Roles differ in pattern or stroke
and not in colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass

CHARACTER = 7.25
"""Width of a letter."""
LINE = 16
"""Height of a line of text."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle. Roles: ``section``, ``grace``, ``lock``, ``state``, ``callback``, ``yes``, ``no``,
    ``unknown``, ``cause``, ``last``, ``proved``, ``violated``, ``event``. `title` is what a reader who points
    at it, or cannot see it, is told."""

    x: float
    y: float
    width: float
    height: float
    role: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points. Roles: ``rule`` (thin), ``across`` (dashed); with a head ``flow``, ``cause``,
    and for relations between events ``po``, ``rf``, ``co``, ``fr`` and ``dep``."""

    points: tuple[tuple[float, float], ...]
    role: str


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; (`x`, `y`) is where its base line starts, ends (`anchor` ``end``) or has its
    ``middle``. Roles: ``head``, ``function``, ``step``, ``place``, ``number``, ``last``, and those of
    relations. `file` and `line`
    are what it may be linked to; `upwards` text is turned by 90 degrees."""

    x: float
    y: float
    text: str
    role: str = "step"
    anchor: str = "start"
    file: str = ""
    line: int = 0
    upwards: bool = False


Shape = Box | Line | Text


@dataclass(frozen=True, slots=True)
class Picture:
    """Shapes, the later above the earlier, with a title and a description for those who cannot see them."""

    width: float
    height: float
    title: str
    description: str
    shapes: tuple[Shape, ...]
