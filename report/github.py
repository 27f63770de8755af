"""Reports as GitHub Actions workflow commands: annotations on the lines of a pull request.

Escaping as the runner undoes it (actions/toolkit, packages/core/src/command.ts).
"""

from __future__ import annotations

from ..proofs.verdict import Report, Result, Verdict
from .text import one_line
from .where import where


def workflow_commands(report: Report) -> str:
    """One line for each violated result (an error; a warning if in a debug build only) and each unknown one
    (a warning); with a baseline only for those that are new or worse."""
    known = report.comparison.known if report.comparison else frozenset()
    told = [
        r for r in report.results if r.verdict in (Verdict.VIOLATED, Verdict.UNKNOWN) and r.key not in known
    ]
    return "".join(_line(report, r) + "\n" for r in told)


def _line(report: Report, result: Result) -> str:
    at = where(report, result)
    level = "error" if result.verdict is Verdict.VIOLATED and not result.debug_only else "warning"
    title = f"{result.filesystem}: {result.clause} {result.verdict.value}"
    places = {"file": at.file, "line": str(at.line) if at.line else "", "title": title}
    properties = ",".join(f"{k}={_property(v)}" for k, v in places.items() if v)
    fix = f". Smallest fix: {result.fix}" if result.fix else ""
    if result.repair is not None and result.repair.edits:
        fix = f". Repair, proved again: {result.repair.sentence}"
    return f"::{level} {properties}::{_data(one_line(result).rstrip('.') + fix)}."


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
