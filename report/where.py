"""The one place that a result is pinned to, for formats that want a single file and line."""

from __future__ import annotations

from dataclasses import dataclass

from ..proofs.verdict import Report, Result


@dataclass(frozen=True, slots=True)
class Where:
    """A place in the kernel tree; no file where nothing is known, line 0 where no line is."""

    file: str = ""
    line: int = 0
    function: str = ""


DESTROYS = frozenset({"free", "defer"})


def where(report: Report, result: Result) -> Where:
    """Where what must change stands: the free that comes too early, or else the last step of the trace in the
    filesystem's own callbacks, or else the operations table."""
    steps = [s for s in result.trace if s.file and s.line]
    frees = [s for s in steps if s.event in DESTROYS]
    for step in frees[-1:] or steps[-1:]:
        return Where(step.file, step.line, step.function)
    for t in report.tables:
        if (t.filesystem, t.table) == (result.filesystem, result.table) and t.file:
            return Where(t.file, t.line)
    return Where()
