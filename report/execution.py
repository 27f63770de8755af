"""A candidate execution as text and as a picture: the events of each thread in program order, and between
them reads-from (rf), coherence (co), from-reads (fr), dependencies, read-side critical sections and grace
periods.

Of ``co`` and ``fr`` only the step to the next write is shown; the rest follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from ..encodings.execution import Event, Execution, Kind, Tag
from .drawing import CHARACTER, LINE, Box, Line, Picture, Shape, Text

_LANE_GAP, _LEFT, _TOP, _ROW = 130.0, 34.0, 62.0, 44.0
_BAR = 10.0


Places = dict[int, tuple[float, float, float]]
"""By event, where its box is: left, top, width."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One pair of a base relation."""

    relation: str
    first: int
    second: int


def names(execution: Execution) -> list[str]:
    """What each event is called: a letter, or ``init x``."""
    found = []
    number = 0
    for e in execution.events:
        if e.thread is None:
            found.append(f"init {e.location}")
            continue
        found.append((chr(97 + number // 26 - 1) if number >= 26 else "") + chr(97 + number % 26))
        number += 1
    return found


def edges(execution: Execution) -> list[Edge]:
    """The base relations that are shown, without program order."""
    s = execution.structure
    found = [Edge("rf", a, b) for a, b in execution.rf]
    co = execution.co
    nearest = co - (co @ co)
    found += [Edge("co", a, b) for a, b in nearest if Tag.INIT not in s.events[a].tags]
    found += [Edge("fr", a, b) for a, b in execution.rf.inverse() @ nearest if a != b and (a, b) not in s.rmw]
    for name, relation in (("addr", s.addr), ("data", s.data), ("ctrl", s.ctrl)):
        found += [
            Edge(name, a, b)
            for a, b in relation
            if s.events[b].kind is not Kind.FENCE and (a, b) not in s.rmw
        ]
    found += [Edge("rmw", a, b) for a, b in s.rmw]
    return found


def sections(execution: Execution) -> Iterator[tuple[int, int]]:
    """Read-side critical sections of RCU and SRCU: first and last event."""
    events = execution.events
    opened: dict[int | None, list[int]] = {}
    for i, e in enumerate(events):
        if Tag.RCU_LOCK in e.tags:
            opened.setdefault(e.thread, []).append(i)
        elif Tag.RCU_UNLOCK in e.tags and opened.get(e.thread):
            yield opened[e.thread].pop(), i
    for a, b in execution.structure.data:
        if Tag.SRCU_LOCK in events[a].tags and Tag.SRCU_UNLOCK in events[b].tags:
            yield a, b


def grace_periods(execution: Execution) -> Iterator[int]:
    """The events that wait for a grace period."""
    for i, e in enumerate(execution.events):
        if e.tags & {Tag.SYNC_RCU, Tag.SYNC_SRCU}:
            yield i


def _threads(execution: Execution) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for i, e in enumerate(execution.events):
        if e.thread is not None:
            found.setdefault(e.thread, []).append(i)
    return dict(sorted(found.items()))


def described(event: Event) -> str:
    """An event in a word, a location and a value."""
    marks = sorted(t.value for t in event.tags if t is not Tag.RMW)
    star = "*" if Tag.RMW in event.tags and not event.tags & {Tag.LKR, Tag.LKW} else ""
    if event.kind is Kind.FENCE:
        return f"F[{marks[0]}]"
    if event.kind is Kind.SRCU:
        return f"SRCU[{marks[0]}] {event.location}"
    word = f"{event.kind}{star}[{','.join(marks) or 'plain'}]"
    return f"{word} {event.location}={event.value}"


def execution_text(execution: Execution, width: int = 110) -> list[str]:
    """The execution as lines: a column a thread, then the relations, a line each."""
    called = names(execution)
    threads = _threads(execution)
    columns = [
        [f"P{t}", *(f"{called[i]:>2} {described(execution.events[i])}" for i in events)]
        for t, events in threads.items()
    ]
    lines: list[str] = []
    for part in _fitting(columns, width):
        widths = [max(map(len, c)) for c in part]
        lines += [
            "   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in zip_longest(*part, fillvalue="")
        ]
    by_name: dict[str, list[str]] = {}
    for edge in edges(execution):
        by_name.setdefault(edge.relation, []).append(f"{called[edge.first]} -> {called[edge.second]}")
    for name, pairs in by_name.items():
        lines += _wrapped(f"{name:<5}", pairs, width)
    if found := [f"section {called[a]}..{called[b]}" for a, b in sections(execution)]:
        lines += _wrapped(
            "rcu  ", found + [f"grace period {called[g]}" for g in grace_periods(execution)], width
        )
    elif grace := [f"grace period {called[g]}" for g in grace_periods(execution)]:
        lines += _wrapped("rcu  ", grace, width)
    return lines


def _fitting(columns: list[list[str]], width: int) -> Iterator[list[list[str]]]:
    """The columns in groups that fit side by side."""
    group: list[list[str]] = []
    used = 0
    for column in columns:
        need = max(map(len, column)) + 3
        if group and used + need > width:
            yield group
            group, used = [], 0
        group.append(column)
        used += need
    if group:
        yield group


def _wrapped(head: str, parts: Sequence[str], width: int) -> Iterator[str]:
    line = head
    for i, part in enumerate(parts):
        piece = part + ("," if i + 1 < len(parts) else "")
        if len(line) > len(head) and len(line) + 1 + len(piece) > width:
            yield line
            line = " " * len(head)
        line += f" {piece}"
    yield line


# ------------------------------------------------------------------------------------------- the picture


def execution_picture(execution: Execution, title: str, cycle: Sequence[int] = ()) -> Picture:
    """The execution with a lane a thread, program order downwards; the events of `cycle` are framed."""
    threads = _threads(execution)
    called = names(execution)
    place: Places = {}
    heads: list[Shape] = []
    left = _LEFT
    # Initial values are a lane of their own, if something reads them.
    initial = [i for i, e in enumerate(execution.events) if e.thread is None and execution.rf.rows[i]]
    lanes = [("initially", initial)] if initial else []
    lanes += [(f"P{thread}", events) for thread, events in threads.items()]
    for title_, events in lanes:
        left += _BAR + 14
        wide = max(len(_words(execution, called, i)) for i in events) * CHARACTER + 16
        heads.append(Text(left + wide / 2, _TOP - 14, title_, "head", "middle"))
        place |= {i: (left, _TOP + row * _ROW, wide) for row, i in enumerate(events)}
        left += wide + _LANE_GAP
    right = max(left - _LANE_GAP + _LEFT + 40, 360.0)
    bottom = _TOP + max((len(events) for _, events in lanes), default=0) * _ROW
    shapes: list[Shape] = [*heads, *_marks(execution, place), *_lines(execution, threads, place)]
    for i, (left, top, wide) in place.items():
        text = _words(execution, called, i)
        shapes.append(Box(left, top, wide, LINE + 6, "event", execution.events[i].text))
        if i in cycle:
            shapes.append(Box(left, top, wide, LINE + 6, "last"))
        shapes.append(Text(left + 8, top + LINE, text))
    key, bottom = _key(execution, bottom + 14, right)
    lines = "; ".join(execution_text(execution))
    return Picture(right, bottom, title, lines, (*shapes, *key))


def _words(execution: Execution, called: Sequence[str], i: int) -> str:
    e = execution.events[i]
    return f"{called[i]}: {described(e)}" if e.thread is not None else f"{e.location}={e.value}"


def _marks(execution: Execution, place: Places) -> Iterator[Shape]:
    """Bars: sections along their lane, grace periods beside their event."""
    for a, b in sections(execution):
        (left, top, _), (_, end, _) = place[a], place[b]
        yield Box(left - _BAR - 6, top, _BAR, end - top + LINE + 6, "section", "read-side critical section")
    for g in grace_periods(execution):
        left, top, _ = place[g]
        yield Box(left - _BAR - 6, top - 4, _BAR, LINE + 14, "grace", "grace period")


def _lines(execution: Execution, threads: dict[int, list[int]], place: Places) -> Iterator[Shape]:
    high = LINE + 6
    for events in threads.values():
        for a, b in pairwise(events):
            (left, top, wide), (_, below, _) = place[a], place[b]
            middle = left + min(40.0, wide / 2)
            yield Line(((middle, top + high), (middle, below)), "po")
    used: dict[tuple[float, float], int] = {}
    for edge in edges(execution):
        if edge.first not in place or edge.second not in place:
            continue
        (al, at, aw), (bl, bt, bw) = place[edge.first], place[edge.second]
        role = edge.relation if edge.relation in ("rf", "co", "fr") else "dep"
        shift = used.setdefault((al, bl), 0)
        used[al, bl] = shift + 1
        first_y, second_y = at + high / 2, bt + high / 2
        if al == bl:
            out = al + max(aw, bw) + 18 + 12 * (shift % 6)
            points: tuple[tuple[float, float], ...] = (
                (al + aw, first_y),
                (out, first_y),
                (out, second_y),
                (bl + bw, second_y),
            )
            where = (out + 3, (first_y + second_y) / 2 + 4)
        else:
            start = (al + aw, first_y) if al < bl else (al, first_y)
            end = (bl, second_y) if al < bl else (bl + bw, second_y)
            points = (start, end)
            part = 0.3 if role == "fr" else 0.55 if role == "co" else 0.42
            where = (start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part - 4)
        yield Line(points, role)
        yield Text(where[0], where[1], edge.relation, role)


def _key(execution: Execution, top: float, right: float) -> tuple[list[Shape], float]:
    """What the lines mean."""
    shown = {e.relation if e.relation in ("rf", "co", "fr") else "dep" for e in edges(execution)}
    said = [("po", "program order")]
    said += [
        (role, text)
        for role, text in (
            ("rf", "reads from"),
            ("co", "coherence"),
            ("fr", "from-reads"),
            ("dep", "dependency, rmw"),
        )
        if role in shown
    ]
    shapes: list[Shape] = []
    x, y = _LEFT, top
    for role, text in said:
        wide = 40 + len(text) * CHARACTER + 20
        if x > _LEFT and x + wide > right:
            x, y = _LEFT, y + LINE + 4
        shapes.append(Line(((x, y + 8), (x + 32, y + 8)), role))
        shapes.append(Text(x + 38, y + 12, text, "place"))
        x += wide
    bars = []
    if any(True for _ in sections(execution)):
        bars.append(("section", "read-side critical section"))
    if any(True for _ in grace_periods(execution)):
        bars.append(("grace", "grace period"))
    x = _LEFT
    for role, text in bars:
        if x == _LEFT:
            y += LINE + 6
        shapes.append(Box(x, y, _BAR, LINE, role))
        shapes.append(Text(x + 18, y + 12, text, "place"))
        x += 18 + len(text) * CHARACTER + 24
    return shapes, y + LINE + 12
