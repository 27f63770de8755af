"""A history as text, as data and as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from ..proofs.timeline import Commit, Event, History, Thread, Turn
from ..proofs.verdict import Verdict
from .drawing import CHARACTER, LINE, Box, Line, Picture, Shape, Text
from .escapes import all_visible
from .json import envelope
from .tables import aligned
from .terminal import MAX_WIDTH, Paint, plain

_BAD = (Verdict.VIOLATED, Verdict.UNKNOWN)
_ROLES = {
    Turn.BROKE: "violated",
    Turn.UNKNOWN: "unknown",
    Turn.FIXED: "proved",
    Turn.APPEARED: "",
    Turn.DECIDED: "",
    Turn.GONE: "not-applicable",
}


def render_history(
    history: History, quiet: bool = False, width: int = MAX_WIDTH, paint: Paint = plain
) -> str:
    """What turned, oldest first, a line each; then what is not proved at the end, and which commits were
    tried. With `quiet` the first alone."""
    history = all_visible(history)
    events = history.events
    rows = [["commit", "date", "filesystem", "table", "clause", "object", "event", "subject"]]
    rows += [[*_when(e), *_about(t), e.turn.value, _subject(e)] for t, e in events]
    table = aligned(rows, paint)
    lines = [_coloured(line, e.turn, paint) for line, (_, e) in zip(table[1:], events, strict=True)]
    if quiet:
        return "".join(f"{line}\n" for line in lines)
    blocks = [textwrap.fill(_head(history), width)]
    blocks.append("\n".join([table[0], *lines]) if events else "nothing turned")
    blocks.append("\n".join(_end(history, paint)))
    blocks.append("\n".join(_tried(history, paint)))
    if history.messages:
        blocks.append("\n".join(f"note: {m}" for m in history.messages))
    return "\n\n".join(blocks) + "\n"


def _head(history: History) -> str:
    first, last = history.points[0], history.points[-1]
    mode = "all tried" if history.every else "bisected; --every tries all of them"
    commits = _count(history.commits, "commit")
    return (
        f"from {first.short} ({first.date}) to {last.short} ({last.date}): {commits} on the line, "
        f"{_count(history.candidates, 'candidate')} ({mode}), {len(history.tried)} tried"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _when(event: Event) -> tuple[str, str]:
    return event.commit.short, event.commit.date


def _about(thread: Thread) -> tuple[str, str, str, str]:
    return thread.filesystem, thread.table, thread.clause, thread.object or "-"


def _subject(event: Event) -> str:
    """What there is to say of the commit: its subject, and where its place is not certain how far it goes."""
    said = event.commit.subject
    if not event.exact:
        said = f"(here, or since {event.since.short}) {said}"
    return f"{said} (merged by {event.merge.short})" if event.merge is not None else said


def _coloured(line: str, turn: Turn, paint: Paint) -> str:
    role = _ROLES[turn]
    word = f"  {turn.value}  "
    return line.replace(word, f"  {paint(role, turn.value)}  ", 1) if role else line


def _end(history: History, paint: Paint) -> Iterator[str]:
    """What stands at the last commit, and what is not proved there."""
    last = [(t, t.verdicts[-1]) for t in history.threads]
    counts = [(v, sum(v is found for _, found in last)) for v in Verdict]
    said = ", ".join(f"{n} {v.value}" for v, n in counts if n)
    yield f"at {history.points[-1].short}: {said or 'nothing is left that a clause speaks about'}"
    for thread, verdict in last:
        if verdict in _BAD and verdict is not None:
            where = ": ".join(filter(None, (thread.filesystem, f"{thread.table}, {thread.clause}")))
            on = f" on {thread.object}" if thread.object else ""
            yield f"  {where}{on}: {paint(verdict.value, verdict.value)}{_standing(thread)}"


def _standing(thread: Thread) -> str:
    """Since when the last verdict has been what it is, where that is known."""
    if not thread.events:
        return ", from the first commit on"
    event = thread.events[-1]
    return f", since {event.commit.short}" if event.after is thread.verdicts[-1] else ""


def _tried(history: History, paint: Paint) -> Iterator[str]:
    yield "tried:"
    for t in history.tried:
        by = f" (merged by {t.merge[:12]})" if t.merge else ""
        why = f"; {paint('unknown', 'skipped')}: {t.reason}" if t.reason else ""
        yield f"  {t.commit.short}  {t.commit.date}  {t.commit.subject}{by}{why}"


def history_document(history: History) -> dict[str, Any]:
    """The same as plain data; `history.schema.json` describes it."""
    return envelope() | {
        "repository": history.repository,
        "from": _commit(history.points[0]),
        "to": _commit(history.points[-1]),
        "commits": history.commits,
        "candidates": history.candidates,
        "every": history.every,
        "tried": [
            {"commit": _commit(t.commit), "skipped": t.reason, "merge": t.merge} for t in history.tried
        ],
        "points": [
            {"commit": c.name, "certain": sure}
            for c, sure in zip(history.points, history.certain, strict=True)
        ],
        "threads": [
            {
                "filesystem": t.filesystem,
                "table": t.table,
                "clause": t.clause,
                "object": t.object,
                "verdicts": [_word(v) for v in t.verdicts],
                "events": [_event(e) for e in t.events],
            }
            for t in history.threads
        ],
        "messages": list(history.messages),
        "exit_status": history.status,
    }


def _event(e: Event) -> dict[str, Any]:
    return {
        "event": e.turn.value,
        "before": _word(e.before),
        "after": _word(e.after),
        "commit": _commit(e.commit),
        "exact": e.exact,
        "since": e.since.name,
        "merge": e.merge.name if e.merge is not None else "",
    }


def _commit(commit: Commit) -> dict[str, str]:
    return {"name": commit.name, "date": commit.date, "subject": commit.subject}


def _word(verdict: Verdict | None) -> str | None:
    return verdict.value if verdict is not None else None


# ------------------------------------------------------------------------------------------- the picture

_STEP, _HIGH, _GAP, _MARGIN = 44.0, 18.0, 8.0, 10.0
_BOXES = {Verdict.PROVED: "proved", Verdict.VIOLATED: "violated", Verdict.UNKNOWN: "unknown"}


def timeline(history: History) -> Picture:
    """A row for each clause and object that turned or is not proved, a column for each commit of the line
    that was tried. A bar goes on to the next commit where nothing can have turned between them; where
    candidates lie between that were not tried, a dashed line does."""
    rows = [t for t in history.threads if t.events or t.verdicts[-1] in _BAD]
    labels = [" ".join(filter(None, (t.filesystem, t.table, t.clause, t.object))) for t in rows]
    left = _MARGIN * 2 + CHARACTER * max(map(len, ("nothing turned", *labels)))
    top = _MARGIN * 2 + CHARACTER * len("2000-01-01 123456789012")
    right = left + _STEP * len(history.points)
    shapes: list[Shape] = []
    for i, commit in enumerate(history.points):
        shapes.append(Text(left + _STEP * i + 12, top - 6, f"{commit.date} {commit.short}", upwards=True))
    for number, (thread, label) in enumerate(zip(rows, labels, strict=True)):
        y = top + number * (_HIGH + _GAP)
        shapes.append(Text(_MARGIN, y + 13, label, "function"))
        shapes += _bars(history, thread, left, y)
    if not rows:
        shapes.append(Text(_MARGIN, top + 13, "nothing turned", "function"))
    bottom = top + max(len(rows), 1) * (_HIGH + _GAP) + _GAP
    shapes += _legend(bottom)
    first, last = history.points[0], history.points[-1]
    description = "; ".join(
        f"{e.commit.short} {e.commit.date}: {' '.join(filter(None, _about(t)))} {e.turn.value}"
        for t, e in history.events
    )
    return Picture(
        max(right + _MARGIN, 380),
        bottom + LINE + _MARGIN,
        f"Verdicts from {first.short} to {last.short}",
        description or "Nothing turned.",
        tuple(shapes),
    )


def _bars(history: History, thread: Thread, left: float, y: float) -> Iterator[Shape]:
    for i, verdict in enumerate(thread.verdicts):
        last = i + 1 == len(thread.verdicts)
        sure = last or history.certain[i + 1]
        x = left + _STEP * i
        if verdict is not None:
            commit = history.points[i]
            title = f"{commit.short} {commit.date}: {verdict.value}: {commit.subject}"
            yield Box(x, y, _STEP if sure else _STEP / 2, _HIGH, _BOXES[verdict], title)
        if not sure:
            start, middle = x + (_STEP / 2 if verdict is not None else 0), y + _HIGH / 2
            yield Line(((start, middle), (x + _STEP, middle)), "across")


def _legend(y: float) -> Iterator[Shape]:
    x = _MARGIN
    for verdict, role in _BOXES.items():
        yield Box(x, y, 18, 12, role)
        yield Text(x + 24, y + 11, verdict.value, "place")
        x += 24 + CHARACTER * (len(verdict.value) + 2)
    yield Line(((x, y + 6), (x + 24, y + 6)), "across")
    yield Text(x + 30, y + 11, "not tried", "place")
