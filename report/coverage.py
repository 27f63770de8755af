"""How much of the source was understood."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from ..proofs.verdict import Understood
from .tables import aligned
from .terminal import Paint

_MOST = 5
"""So many gaps of a table are shown; JSON has all."""


def coverage(understood: Sequence[Understood], width: int, paint: Paint) -> list[str]:
    """A row for each table; below, what was not followed, and what else was not understood."""
    cells = [["understood", "table", "methods", "functions", "statements", "assumed", "not followed", "gaps"]]
    for u in understood:
        counts = (u.methods, u.functions, u.statements, len(u.assumed), len(u.unfollowed), len(u.gaps))
        cells.append([u.filesystem, u.table, *map(str, counts)])
    lines = aligned(cells, paint)
    for u in understood:
        if u.unfollowed or u.gaps:
            lines += ["", f"{u.filesystem}  {u.table}", *_missing(u, width)]
    return lines


def _missing(understood: Understood, width: int) -> Iterator[str]:
    more = len(understood.gaps) - _MOST
    items = [f"not followed: {', '.join(understood.unfollowed)}"] if understood.unfollowed else []
    items += [f"gap: {gap}" for gap in understood.gaps[:_MOST]]
    items += [f"and {more} more"] if more > 0 else []
    for item in items:
        yield from textwrap.wrap(
            item,
            max(width, 40),
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
