"""The pictures: a trace on two CPUs, the life of a dentry, who overlaps whom. Layout only; every word and
every order comes from the same data as the text forms."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..proofs.verdict import Overlap, OverlapAnswer, TraceStep
from .drawing import CHARACTER, LINE, Box, Line, Picture, Shape, Text
from .trace import place, who, words

if TYPE_CHECKING:
    from ..spec.lifecycle import Stage

LANE = 400.0
"""Width of a CPU's lane."""
_NUMBERS, _BETWEEN, _TOP = 34.0, 48.0, 30.0
_BAR, _THIN = 10.0, 6.0
_PAD = 8.0
_DESTROYS = ("free", "defer")


# ---------------------------------------------------------------------------------------------- a trace


@dataclass(slots=True)
class _Row:
    """One step: where it stands and what it says."""

    step: TraceStep
    top: float
    lines: list[tuple[str, str]]
    height: float = 0.0

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


@dataclass(slots=True)
class _Lane:
    """A CPU: where its text starts, and the locks that get a bar of their own."""

    left: float
    locks: list[str] = field(default_factory=list)

    @property
    def text(self) -> float:
        return self.left + _BAR + 6 + (_THIN + 3) * len(self.locks) + 4

    @property
    def right(self) -> float:
        return self.left + LANE


def trace_picture(trace: Sequence[TraceStep], title: str, summary: str = "") -> Picture:
    """A trace: a lane for each CPU, time downwards. Read-side sections are bars, locks thin bars, grace
    periods a bar between the lanes; an arrow leads from what destroyed (or changed) the object to the last
    step."""
    cpus = sorted({s.cpu for s in trace if s.cpu >= 0})
    lanes = {cpu: _Lane(_NUMBERS + i * (LANE + _BETWEEN)) for i, cpu in enumerate(cpus)}
    for s in trace:
        if s.cpu >= 0 and s.event == "lock" and s.object not in lanes[s.cpu].locks:
            lanes[s.cpu].locks.append(s.object)
    rows = _rows(trace, lanes)
    bottom = rows[-1].top + rows[-1].height + 6 if rows else _TOP
    right = max((lane.right for lane in lanes.values()), default=LANE)
    shapes: list[Shape] = []
    for cpu, lane in lanes.items():
        shapes.append(Text(lane.text, 18, f"CPU {cpu}", "head"))
        shapes.append(Line(((lane.left, 24), (lane.right, 24)), "rule"))
    shapes += _bars(rows, lanes, bottom)
    shapes += _grace(rows, lanes, bottom)
    for row in rows:
        shapes += _step(row, lanes, right)
    cause = cause_of(trace)
    width = right + 30
    if rows and rows[-1].step.cpu >= 0:
        shapes += _marks(rows, lanes, cause)
    key, bottom = _key(trace, bottom + 10)
    shapes += key
    return Picture(width, bottom, title, _description(trace, summary), tuple(shapes))


def cause_of(trace: Sequence[TraceStep]) -> int | None:
    """The index of the step that the last one comes too late after: the last that destroys the object, or
    what leads to it; else the last that writes where the object hangs; else what another CPU writes last.
    None if there is none."""
    if not trace:
        return None
    about = trace[-1].object

    def leads(path: str) -> bool:
        return bool(path) and (about == path or about.startswith((f"{path}->", f"{path}.")))

    for events in (_DESTROYS, ("write",)):
        found = [i for i, s in enumerate(trace[:-1]) if s.event in events and leads(s.object)]
        if found:
            return found[-1]
    elsewhere = [i for i, s in enumerate(trace) if s.event == "write" and s.cpu not in (-1, trace[-1].cpu)]
    return elsewhere[-1] if elsewhere else None


def _description(trace: Sequence[TraceStep], summary: str) -> str:
    """Every step in words, for those who cannot see the picture."""
    told = []
    for s in trace:
        whose = f"CPU {s.cpu}" if s.cpu >= 0 else "the kernel"
        at = ", ".join(filter(None, [who(s), place(s)]))
        told.append(f"{s.step}. {whose}: {words(s)}" + (f" ({at})" if at else ""))
    return " ".join(filter(None, [summary, "; ".join(told)]))


def _rows(trace: Sequence[TraceStep], lanes: dict[int, _Lane]) -> list[_Row]:
    rows: list[_Row] = []
    function: dict[int, str] = {}
    top = _TOP
    for s in trace:
        lines: list[tuple[str, str]] = []
        if s.cpu < 0:
            lines = [(words(s), "step")]
        else:
            lane = lanes[s.cpu]
            size = int((lane.right - lane.text - _PAD) / CHARACTER)
            name = who(s)
            if name and function.get(s.cpu) != name:
                function[s.cpu] = name
                lines += [(part, "function") for part in _wrap(name, size)]
            last = s is trace[-1]
            lines += [(part, "last" if last else "step") for part in _wrap(words(s), size)]
            lines += [(part, "place") for part in _wrap(place(s), size)]
        row = _Row(s, top, lines, LINE * len(lines) + (6 if s.cpu >= 0 else 14))
        rows.append(row)
        top += row.height
    return rows


def _wrap(text: str, size: int) -> list[str]:
    return textwrap.wrap(text, max(size, 12), break_on_hyphens=False)


def _step(row: _Row, lanes: dict[int, _Lane], right: float) -> Iterator[Shape]:
    s, base = row.step, row.top + LINE - 3
    yield Text(_NUMBERS - 8, base, str(s.step), "number", "end")
    if s.cpu < 0:
        yield Line(((_NUMBERS, row.middle), (right, row.middle)), "across")
        yield Text(_NUMBERS + LANE / 2, row.middle - 5, row.lines[0][0], "function", "middle")
        return
    yield Line(((_NUMBERS, row.top - 1), (right, row.top - 1)), "rule")
    lane = lanes[s.cpu]
    for i, (text, role) in enumerate(row.lines):
        linked = (s.file, s.line) if role == "place" else ("", 0)
        if role == "place":
            yield Text(lane.right - _PAD, base + i * LINE, text, role, "end", *linked)
        else:
            yield Text(lane.text, base + i * LINE, text, role)


def _bars(rows: list[_Row], lanes: dict[int, _Lane], bottom: float) -> Iterator[Shape]:
    """Read-side sections and locks, from the step that begins them to the one that ends them."""
    depth: dict[int, int] = {}
    begun: dict[tuple[int, str], float] = {}
    for row in rows:
        s = row.step
        if s.cpu < 0:
            continue
        if s.event in ("enter", "leave"):
            before = depth.get(s.cpu, 0)
            depth[s.cpu] = max(0, before + (1 if s.event == "enter" else -1))
            if not before and depth[s.cpu]:
                begun[s.cpu, ""] = row.top
            elif before and not depth[s.cpu]:
                yield _bar(lanes[s.cpu], "", begun.pop((s.cpu, "")), row.top + row.height)
        elif s.event == "lock":
            begun.setdefault((s.cpu, s.object), row.top)
        elif s.event == "unlock" and (s.cpu, s.object) in begun:
            yield _bar(lanes[s.cpu], s.object, begun.pop((s.cpu, s.object)), row.top + row.height)
    for (cpu, what), top in begun.items():
        yield _bar(lanes[cpu], what, top, bottom)


def _bar(lane: _Lane, lock: str, top: float, bottom: float) -> Box:
    if not lock:
        return Box(lane.left, top, _BAR, bottom - top - 4, "section", "read-side critical section")
    x = lane.left + _BAR + 6 + (_THIN + 3) * lane.locks.index(lock)
    return Box(x, top, _THIN, bottom - top - 4, "lock", f"holds {lock}")


def _grace(rows: list[_Row], lanes: dict[int, _Lane], bottom: float) -> Iterator[Shape]:
    """Grace periods, between the first two lanes (right of the only one)."""
    x = min(lane.right for lane in lanes.values()) + 14 if lanes else 0.0
    begun: float | None = None
    for row in rows:
        if row.step.event == "gp-start" and begun is None:
            begun = row.middle
        elif row.step.event == "gp-end" and begun is not None:
            yield Box(x, begun, 20, row.middle - begun, "grace", "grace period")
            begun = None
    if begun is not None:
        yield Box(x, begun, 20, bottom - begun, "grace", "grace period, not over yet")


def _marks(rows: list[_Row], lanes: dict[int, _Lane], cause: int | None) -> Iterator[Shape]:
    """The last step, what it comes too late after, and the arrow between."""
    last = rows[-1]
    lane = lanes[last.step.cpu]
    yield Box(lane.text - 4, last.top, lane.right - lane.text + 4, last.height - 2, "last", "the last step")
    if cause is None or rows[cause].step.cpu < 0:
        return
    first = rows[cause]
    other = lanes[first.step.cpu]
    yield Box(other.text - 4, first.top, other.right - other.text + 4, first.height - 2, "cause", "")
    if lane is other:
        x = lane.right
        points = ((x, first.middle), (x + 16, first.middle), (x + 16, last.middle), (x + 2, last.middle))
    else:
        start = other.text - 4 if other.left > lane.left else other.right
        end = lane.right + 2 if other.left > lane.left else lane.text - 6
        bend = (min(lane.right, other.right) + max(lane.left, other.left)) / 2
        points = ((start, first.middle), (bend, first.middle), (bend, last.middle), (end, last.middle))
    yield Line(points, "cause")


def _key(trace: Sequence[TraceStep], top: float) -> tuple[list[Shape], float]:
    """What the bars mean, those that there are."""
    events = {s.event for s in trace}
    wanted = [
        ("section", "read-side critical section", "enter"),
        ("lock", "lock held", "lock"),
        ("grace", "grace period", "gp-start"),
    ]
    shapes: list[Shape] = []
    x = _NUMBERS
    for role, text, event in wanted:
        if event in events:
            shapes += [Box(x, top, 22, 12, role), Text(x + 28, top + 11, text, "place")]
            x += 28 + CHARACTER * len(text) + 28
    return shapes, top + (22 if shapes else 0)


# ------------------------------------------------------------------------------------ the life of a dentry


def lifecycle_picture(stages: Sequence[Stage], kernel: str, besides: Sequence[str] = ()) -> Picture:
    """The teardown of a dentry as a state diagram: a state is what others can tell of it; on the arrows
    stands what the VFS does, in the states the callbacks that run there and the locks around them. `besides`
    are locks that some callers hold as well."""
    groups: list[list[Stage]] = []
    for stage in stages:
        if groups and groups[-1][0].state == stage.state:
            groups[-1].append(stage)
        else:
            groups.append([stage])
    width, x, box = 790.0, 20.0, 330.0
    shapes: list[Shape] = []
    top = 10.0
    for i, group in enumerate(groups):
        calls = [s for s in group if s.callback]
        lines = _state_words(group[0])
        height = 12 + LINE * len(lines) + sum(_callback_height(s) for s in calls) + (4 if calls else 0)
        shapes.append(Box(x, top, box, height, "state", ", ".join(lines)))
        for n, line in enumerate(lines):
            shapes.append(Text(x + 10, top + 18 + n * LINE, line, "function" if n == 0 else "step"))
        inner = top + 12 + LINE * len(lines)
        for s in calls:
            shapes.append(Box(x + 10, inner, box - 20, _callback_height(s) - 6, "callback"))
            shapes.append(Text(x + 20, inner + 15, f"->{s.callback}()", "function"))
            shapes.append(Text(x + 20, inner + 15 + LINE, _locks(s), "place"))
            inner += _callback_height(s)
        bottom = top + height
        # what the VFS does within the state, beside it; what leads on, on the arrow
        beside = [s.step for s in group[1:] if not s.callback]
        text = [part for step in beside for part in _bullet(step, 54)]
        for n, line in enumerate(text):
            shapes.append(Text(x + box + 24, top + 18 + n * LINE, line, "place"))
        bottom = max(bottom, top + 12 + LINE * len(text)) if text else bottom
        if i + 1 < len(groups):
            leads = _wrap(groups[i + 1][0].step, 52)
            drop = 26.0 + LINE * max(0, len(leads) - 1) + (bottom - top - height)
            start = top + height
            shapes.append(Line(((x + 40, start), (x + 40, start + drop + 8)), "flow"))
            for n, line in enumerate(leads):
                shapes.append(Text(x + 54, start + drop - 6 - LINE * (len(leads) - 1 - n), line, "step"))
            top = start + drop + 10
        else:
            top = bottom + 10
    if besides:
        said = f"Some callers hold besides, until d_lock is dropped: {', '.join(besides)}"
        shapes.append(Text(x, top + 12, said, "place"))
        top += 24
    title = f"The teardown of a dentry, kernel {kernel}"
    told = "; then ".join(f"{s.step} ({_locks(s)})" for s in stages)
    return Picture(width, top, title, told, tuple(shapes))


def _bullet(text: str, size: int) -> list[str]:
    return textwrap.wrap(text, size, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _callback_height(stage: Stage) -> float:
    return LINE * 2 + 14


def _locks(stage: Stage) -> str:
    return f"under {', '.join(stage.locks)}" if stage.locks else "no lock held"


def _state_words(stage: Stage) -> list[str]:
    """What others can tell of the dentry, the most important first."""
    count = "dead: no new reference" if stage.dead else "alive: can be referenced again"
    found = "hashed: any walk can find it" if stage.hashed else "unhashed: walks on their way may be at it"
    lines = [count, found, "d_inode as it was" if stage.inode else "d_inode is NULL"]
    if stage.memory != "yes":
        lines.append(f"memory stays {stage.memory}" if stage.memory != "no" else "memory is gone")
    return lines


# ------------------------------------------------------------------------------------- who overlaps whom

_CELL = 24.0
_SIGNS = {Overlap.OVERLAPS: ("yes", "x"), Overlap.NEVER: ("no", "."), Overlap.UNKNOWN: ("unknown", "?")}


def overlap_picture(answer: OverlapAnswer) -> Picture:
    """The overlap matrix: filled and crossed where two callbacks can overlap, hatched where it is not
    known."""
    names = answer.callbacks
    label = CHARACTER * max((len(n) for n in names), default=0) + 12
    pairs = {frozenset((p.left, p.right)): p for p in answer.pairs}
    shapes: list[Shape] = []
    for i, name in enumerate(names):
        middle = label + i * _CELL + _CELL / 2
        shapes.append(Text(label - 8, label + i * _CELL + 16, name, "step", "end"))
        shapes.append(Text(middle + 4, label - 8, name, "step", upwards=True))
    for i, left in enumerate(names):
        for j, right in enumerate(names):
            pair = pairs.get(frozenset((left, right)))
            if pair is None:
                continue
            role, sign = _SIGNS[pair.overlap]
            x, y = label + j * _CELL, label + i * _CELL
            title = f"{left} and {right}: {pair.overlap.value}"
            shapes.append(Box(x, y, _CELL, _CELL, role, title))
            shapes.append(Text(x + _CELL / 2, y + 16, sign, "on" if role == "yes" else "step", "middle"))
    edge = label + _CELL * len(names)
    for n, (overlap, words_) in enumerate(
        (
            (Overlap.OVERLAPS, "there is a trace in which they overlap"),
            (Overlap.NEVER, "proved that they never do"),
            (Overlap.UNKNOWN, "unknown"),
        )
    ):
        role, sign = _SIGNS[overlap]
        y = edge + 14 + n * 22
        shapes.append(Box(20, y, 18, 18, role))
        shapes.append(Text(29, y + 13, sign, "on" if role == "yes" else "step", "middle"))
        shapes.append(Text(46, y + 13, words_, "place"))
    over = {k for k, p in pairs.items() if p.overlap is Overlap.OVERLAPS}
    others = {left: [right for right in names if frozenset((left, right)) in over] for left in names}
    told = "; ".join(f"{left} overlaps {', '.join(o) or 'nothing'}" for left, o in others.items())
    width = max(edge, 46 + CHARACTER * 40) + 14
    return Picture(
        width, edge + 86, f"Who overlaps whom on one dentry, kernel {answer.kernel}", told, tuple(shapes)
    )
