"""A two-CPU trace as a maintainer would draw it on paper: one column a CPU, time downwards.

Every step shows what it does at the left of its column and ``file:line`` at the right, under the name of
the function that does it. ``|`` runs down a column for as long as that CPU is inside a read-side critical
section. What the kernel as a whole does (cpu -1: grace periods) is a line across all columns. The last
step bears ``=>``. Nothing is ever cut off: where the columns do not fit, they are staggered instead.

For `held`, a ``lock``/``unlock`` step's `object` names the lock itself (``dentry->d_lock``), and a
``get``/``put`` step's what the reference counts.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..proofs.verdict import TraceStep
from .terminal import MAX_WIDTH, Paint, plain

GAP = 3
"""Blanks between two columns."""
GUTTER = 2
"""Width of the read-side bar and the blank after it."""
INDENT = 2
"""Steps stand this far right of their function's name."""

_VERBS = {
    "read": "reads",
    "write": "writes",
    "free": "frees",
    "defer": "queues for after a grace period",
    "alloc": "allocates",
    "lock": "takes",
    "unlock": "drops",
    "get": "takes a reference to",
    "put": "drops a reference to",
    "enter": "enters a read-side critical section",
    "leave": "leaves its read-side critical section",
    "wait": "waits for a grace period",
    "block": "may sleep",
    "gp-start": "grace period starts",
    "gp-end": "grace period ends",
    "fence": "has a memory barrier",
}


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of one step: its text, fitted to the column, and whether it is the step's first."""

    text: str
    role: str = ""
    first: bool = False


@dataclass(slots=True)
class _State:
    """What is drawn so far: for each CPU the current function and the depth of read-side sections."""

    function: dict[int, str] = field(default_factory=dict)
    depth: dict[int, int] = field(default_factory=dict)


def words(step: TraceStep) -> str:
    """What the step does, in words that name its object."""
    text = step.note or _VERBS.get(step.event, step.event)
    if not step.object or step.object in text:
        return text
    return f"{text} [{step.object}]" if step.note else f"{text} {step.object}"


def who(step: TraceStep) -> str:
    """The function that takes the step, as a call, or else whatever does: a thread of the kernel's own."""
    return f"{step.function}()" if step.function.isidentifier() else step.function


def place(step: TraceStep) -> str:
    """``file:line``, or nothing for a step that stands in no file."""
    return f"{step.file}:{step.line}" if step.file else ""


def draw(trace: tuple[TraceStep, ...], width: int = MAX_WIDTH, paint: Paint = plain) -> list[str]:
    """The trace as lines of at most `width` columns, wherever names and places allow that."""
    if not trace:
        return []
    cpus = sorted({s.cpu for s in trace if s.cpu >= 0})
    margin = len(str(max(s.step for s in trace))) + 4
    columns = _columns(trace, cpus, margin, width)
    if columns is None:
        return list(_staggered(trace, cpus, margin, min(width, MAX_WIDTH), paint))
    return list(_side_by_side(trace, columns, margin, paint))


def held(trace: tuple[TraceStep, ...]) -> str:
    """What each CPU is inside of or holds when the last step runs, in one sentence."""
    depth: dict[int, int] = {}
    holds: dict[int, list[str]] = {s.cpu: [] for s in sorted(trace, key=lambda s: s.cpu) if s.cpu >= 0}
    for s in trace:
        if s.event in ("enter", "leave"):
            depth[s.cpu] = depth.get(s.cpu, 0) + (1 if s.event == "enter" else -1)
        elif s.event in ("lock", "get"):
            holds[s.cpu].append(s.object if s.event == "lock" else f"a reference to {s.object}")
        elif s.event in ("unlock", "put"):
            name = s.object if s.event == "unlock" else f"a reference to {s.object}"
            if name in holds[s.cpu]:
                holds[s.cpu].remove(name)
    parts = []
    for cpu, names in holds.items():
        inside = ["a read-side critical section"] if depth.get(cpu, 0) > 0 else []
        what = inside + (names or ["no lock"])
        parts.append(f"CPU {cpu}: {', '.join(what)}")
    return f"Held at the last step: {'; '.join(parts)}." if parts else ""


def _columns(trace: tuple[TraceStep, ...], cpus: list[int], margin: int, width: int) -> dict[int, int] | None:
    """The width of each CPU's column, gutter included; None where they do not fit side by side."""
    need: dict[int, int] = {}
    naturals: dict[int, list[int]] = {}
    for cpu in cpus:
        steps = [s for s in trace if s.cpu == cpu]
        longest = max(max(map(len, [*words(s).split(), place(s)])) + INDENT for s in steps)
        need[cpu] = GUTTER + max(longest, 12, *(len(s.function) + 2 for s in steps))
        naturals[cpu] = [max(need[cpu], GUTTER + INDENT + len(words(s)) + 2 + len(place(s))) for s in steps]
    frame = margin + GAP * max(len(cpus) - 1, 0)
    least = sum(need.values())
    if frame + least > width:
        return None
    room = max(min(width, MAX_WIDTH) - frame, least)
    sizes = _split(room, need, naturals)
    for cpu in cpus:  # what is left over goes where something still has to wrap
        if sizes[cpu] < max(naturals[cpu]):
            sizes[cpu] += room - sum(sizes.values())
    return sizes


def _split(room: int, need: dict[int, int], naturals: dict[int, list[int]]) -> dict[int, int]:
    """Column widths that sum to at most `room` and let as many steps as possible stand on one line."""
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    """For each width used by the columns so far: how many steps fit, and the columns' widths."""
    for cpu, least in need.items():
        grown: dict[int, tuple[int, tuple[int, ...]]] = {}
        for size in sorted({least, *naturals[cpu]}):
            fitting = sum(n <= size for n in naturals[cpu])
            for used, (count, sizes) in best.items():
                if used + size <= room and grown.get(used + size, (-1,))[0] < count + fitting:
                    grown[used + size] = (count + fitting, (*sizes, size))
        best = grown
    _, sizes = max(best.values(), key=lambda found: (found[0], -sum(found[1])))
    return dict(zip(need, sizes, strict=True))


def _side_by_side(
    trace: tuple[TraceStep, ...], columns: dict[int, int], margin: int, paint: Paint
) -> Iterator[str]:
    blanks = " " * GAP
    total = margin + sum(columns.values()) + GAP * max(len(columns) - 1, 0)
    heads = [f"CPU {cpu}".ljust(size - GUTTER) for cpu, size in columns.items()]
    yield (" " * margin + blanks.join(" " * GUTTER + paint("cpu", h) for h in heads)).rstrip()
    yield " " * margin + blanks.join(" " * GUTTER + "-" * (size - GUTTER) for size in columns.values())
    state = _State()
    for i, s in enumerate(trace, 1):
        last = i == len(trace)
        label, edge = _label(s, last, margin), _edge(s, state)
        if s.cpu < 0:
            yield from _across(s, label, total, paint)
            continue
        for line in _lines(s, columns[s.cpu] - GUTTER, state):
            cells = []
            for cpu, size in columns.items():
                own = cpu == s.cpu
                bar = edge if own and line.first else "|" if state.depth.get(cpu, 0) > 0 else " "
                body = line.text if own else ""
                cells.append(
                    paint("section", bar)
                    + " "
                    + paint(_role(s, last, line), body)
                    + " " * (size - GUTTER - len(body))
                )
            yield (_margin(label if line.first else "", margin, paint) + blanks.join(cells)).rstrip()
            if line.first:
                _step_section(s, state)


def _staggered(
    trace: tuple[TraceStep, ...], cpus: list[int], margin: int, width: int, paint: Paint
) -> Iterator[str]:
    """For narrow terminals: each CPU's lines start a little further right and say which CPU they are."""
    state = _State()
    tag = max((len(f"CPU {cpu} ") for cpu in cpus), default=0)
    for i, s in enumerate(trace, 1):
        last = i == len(trace)
        label, edge = _label(s, last, margin), _edge(s, state)
        if s.cpu < 0:
            yield from _across(s, label, width, paint)
            continue
        shift = 2 * cpus.index(s.cpu)
        for line in _lines(s, max(width - margin - shift - tag - GUTTER, 12), state):
            bar = edge if line.first else "|" if state.depth.get(s.cpu, 0) > 0 else " "
            yield (
                _margin(label if line.first else "", margin, paint)
                + " " * shift
                + paint("cpu", f"CPU {s.cpu}".ljust(tag))
                + paint("section", bar)
                + " "
                + paint(_role(s, last, line), line.text)
            ).rstrip()
            if line.first:
                _step_section(s, state)


def _lines(step: TraceStep, size: int, state: _State) -> Iterator[_Line]:
    """The lines of one step in a column of `size`: its function where that changes, what it does, where."""
    name = who(step)
    if name and state.function.get(step.cpu) != name:
        state.function[step.cpu] = name
        yield _Line(name, "function")
    pad, at = " " * INDENT, place(step)
    texts = textwrap.wrap(words(step), max(size - INDENT, 8), break_long_words=False, break_on_hyphens=False)
    room = size - INDENT - len(texts[-1])
    for i, text in enumerate(texts[:-1]):
        yield _Line(pad + text, "step", first=i == 0)
    if at and room >= len(at) + 2:
        yield _Line(pad + texts[-1] + at.rjust(room), "step", first=len(texts) == 1)
        return
    yield _Line(pad + texts[-1], "step", first=len(texts) == 1)
    if at:
        yield _Line(at.rjust(size), "place")


def _across(step: TraceStep, label: str, total: int, paint: Paint) -> Iterator[str]:
    """A step of the kernel as a whole: a dashed line across all columns."""
    where = ", ".join(filter(None, [who(step), place(step)]))
    text = f" {words(step)}" + (f" ({where}) " if where else " ")
    size = max(total - len(label), len(text) + 8)
    yield paint("section", label) + paint("section", text.center(size, "-"))


def _label(step: TraceStep, last: bool, margin: int) -> str:
    return f"{'=>' if last else '  '}{step.step:>{margin - 3}} "


def _margin(label: str, margin: int, paint: Paint) -> str:
    return paint("mark" if label.startswith("=>") else "place", label.ljust(margin))


def _role(step: TraceStep, last: bool, line: _Line) -> str:
    if line.role == "function":
        return "head"
    if last:
        return "mark"
    return "free" if step.event == "free" else line.role


def _edge(step: TraceStep, state: _State) -> str:
    """The gutter of a step's first line: ``+`` where its section begins or ends, ``|`` inside, else blank."""
    if step.event in ("enter", "leave"):
        return "+"
    return "|" if state.depth.get(step.cpu, 0) > 0 else " "


def _step_section(step: TraceStep, state: _State) -> None:
    change = {"enter": 1, "leave": -1}.get(step.event, 0)
    state.depth[step.cpu] = max(0, state.depth.get(step.cpu, 0) + change)
