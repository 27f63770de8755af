"""What a run found as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from ..errors import UsageError
from ..proofs.verdict import Report, Result, TraceStep, Verdict, clause_verdicts
from ..report import formulas
from ..report.escapes import printable
from ..report.pictures import trace_picture
from ..report.summary import by_row, verdict_words
from ..report.svg import STYLE, Link, svg
from ..report.text import headline, subject
from ..report.trace import held, place, words
from ..spec.logic import parse
from .documents import document

_SCHEMES = ("http://", "https://", "file:///", "/", "./", "../")


def checked_pattern(pattern: str) -> str:
    """The pattern of links to source, as it is; UsageError unless it has ``{file}``, has nothing else in
    braces but ``{line}``, and is an address that a browser may be sent to."""
    names = re.findall(r"\{([^{}]*)\}", pattern)
    rest = re.sub(r"\{(file|line)\}", "", pattern)
    if "file" not in names or "{" in rest or "}" in rest:
        raise UsageError(
            f"--source-url {pattern!r}: it must have {{file}}, may have {{line}} and no other brace"
        )
    if not pattern.startswith(_SCHEMES):
        raise UsageError(
            f"--source-url {pattern!r}: it must start with http://, https://, file:/// or a path"
        )
    return pattern


def linker(pattern: str) -> Link:
    """What makes links to source: nothing, if `pattern` is empty."""

    def link(file: str, line: int) -> str:
        if not pattern or not file:
            return ""
        return pattern.replace("{file}", quote(file)).replace("{line}", str(line))

    return link


def page(report: Report, source_url: str = "") -> str:
    """The report as an HTML page; places in the source are links where `source_url` is a pattern."""
    return document("html", "report.html.j2", **_values(report, linker(source_url)))


def _values(report: Report, link: Link) -> dict[str, Any]:
    verdicts = clause_verdicts(report.results)
    columns = list(dict.fromkeys(v.clause for v in verdicts))
    numbered = list(enumerate(report.results, 1))
    first: dict[tuple[str, str, str], int] = {}
    for verdict in (Verdict.VIOLATED, Verdict.UNKNOWN, Verdict.PROVED, Verdict.NOT_APPLICABLE):
        for n, r in numbered:  # a cell leads to a result that decides it
            if r.verdict is verdict:
                first.setdefault((r.filesystem, r.table, r.clause), n)
    rows = []
    for label, row in by_row(verdicts).items():
        cells: list[dict[str, str] | None] = []
        for clause in columns:
            v = row.get(clause)
            if v is None:
                cells.append(None)
                continue
            cells.append(
                {
                    "clause": clause,
                    "verdict": v.verdict.value,
                    "words": verdict_words(v.verdict, v.debug_only),
                    "to": f"r{first[v.filesystem, v.table, v.clause]}",
                }
            )
        rows.append((_shown(label), cells))
    counts = Counter(v.verdict.value for v in verdicts)
    return {
        "report": report,
        "kernel": _shown(report.kernel),
        "location": _shown(" and ".join(filter(None, (report.location, report.module)))),
        "columns": columns,
        "rows": rows,
        "counts": [(v.value, counts[v.value]) for v in Verdict],
        "results": [_result(n, r, link) for n, r in numbered],
        "rules": [(c, formulas.mathml(parse(c.formula))) for c in report.rules],
        "messages": [_shown(m) for m in report.messages],
        "picture_style": Markup(STYLE),
    }


def _shown(text: str) -> str:
    return printable(text)


def _result(number: int, r: Result, link: Link) -> dict[str, Any]:
    title = headline(r)
    picture = svg(trace_picture(r.trace, title, r.summary), f"trace-{number}", link) if r.trace else ""
    return {
        "id": f"r{number}",
        "filesystem": _shown(r.filesystem),
        "table": _shown(r.table),
        "clause": r.clause,
        "verdict": r.verdict.value,
        "words": verdict_words(r.verdict, r.debug_only),
        "subject": _shown(subject(r)),
        "summary": _shown(r.summary),
        "reason": _shown(r.reason) if r.reason != r.summary else "",
        "fix": _shown(r.fix),
        "repair": _shown(r.repair.sentence) if r.repair is not None else "",
        "diff": _shown(r.repair.diff) if r.repair is not None else "",
        "held": _shown(held(r.trace)) if r.trace else "",
        "core": [_shown(c) for c in r.core],
        "assumptions": [_shown(a) for a in r.assumptions],
        "bound": _shown(r.bound),
        "witness": _shown(r.witness),
        "certificate": _shown(r.certificate or (r.uncertified and f"none: {r.uncertified}")),
        "exported": _shown(", ".join(f"{form}: {file}" for form, file in r.exported)),
        "opinions": [_shown(f"{o.solver}: {o.answer or o.reason}") for o in r.cross_check],
        "picture": Markup(picture),
        "steps": [_step(s, link) for s in r.trace],
    }


def _step(s: TraceStep, link: Link) -> dict[str, Any]:
    return {
        "number": s.step,
        "cpu": f"CPU {s.cpu}" if s.cpu >= 0 else "kernel",
        "function": _shown(f"{s.function}()") if s.function else "",
        "words": _shown(words(s)),
        "place": _shown(place(s)),
        "link": link(s.file, s.line),
    }
