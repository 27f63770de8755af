"""A report as text: an overview, then every violated clause as a trace, every unknown one with its reason.

Pure functions from answers to text; what is shown depends on `Detail`, on nothing else.
"""

from __future__ import annotations

import enum
import itertools
import textwrap
from collections.abc import Iterable, Iterator

from ..proofs.verdict import (
    ClauseVerdict,
    Comparison,
    Opinion,
    Repair,
    Report,
    Result,
    Verdict,
    clause_verdicts,
    tally,
)
from .coverage import coverage
from .escapes import all_visible
from .summary import summary, verdict_words
from .terminal import MAX_WIDTH, Paint, plain
from .trace import draw, held

_CORE = 3
"""So many parts of a proof's core stand in the overview."""


class Detail(enum.Enum):
    """How much the text says."""

    QUIET = "quiet"
    """One line for each violated or unknown result, nothing else."""
    NORMAL = "normal"
    """An overview, traces and reasons."""
    VERBOSE = "verbose"
    """Also what each proof holds by, its bound, its assumptions and its witness."""


def render(
    report: Report,
    detail: Detail = Detail.NORMAL,
    width: int = MAX_WIDTH,
    paint: Paint = plain,
    statistics: bool = False,
) -> str:
    """The whole report, with how much was understood if `statistics`; ends in a newline unless empty."""
    report = all_visible(report)
    shown = told(report)
    if detail is Detail.QUIET:
        lines = [one_line(r, paint) for r in shown if r.verdict in _shown(detail)]
        return "".join(f"{line}\n" for line in lines)
    blocks = [_source(report), *_overview(report, width, paint)]
    for wanted in _shown(detail):
        blocks += ["\n".join(block(r, width, paint, detail)) for r in shown if r.verdict is wanted]
    if report.understood and (statistics or detail is Detail.VERBOSE):
        blocks.append("\n".join(coverage(report.understood, width, paint)))
    if report.messages:
        blocks.append("\n".join(f"note: {m}" for m in report.messages))
    if report.comparison is not None:
        blocks.append("\n".join(_comparison(report.comparison, paint)))
    blocks.append(_closing(report))
    return "\n\n".join(blocks) + "\n"


def subject(result: Result) -> str:
    """What the result is about: ``d_release against d_manage[rcu], on dentry->d_fsdata``."""
    parts = [" against ".join(result.callbacks), f"on {result.object}" if result.object else ""]
    return ", ".join(filter(None, parts))


def headline(result: Result, paint: Paint = plain) -> str:
    """The sentence above a trace: filesystem, table, clause, verdict, callbacks, object."""
    verdict = paint(result.verdict.value, verdict_words(result.verdict, result.debug_only))
    about = subject(result)
    return f"{paint('head', result.filesystem)}: {result.table}, {paint('head', result.clause)} {verdict}" + (
        f": {about}" if about else ""
    )


def one_line(result: Result, paint: Paint = plain) -> str:
    """The result in one line: for --quiet and for logs."""
    why = result.summary if result.verdict is Verdict.VIOLATED else result.reason
    return " ".join(f"{headline(result, paint)}{'. ' if why else ''}{why}".split())


def block(result: Result, width: int, paint: Paint, detail: Detail = Detail.NORMAL) -> list[str]:
    """All that is to be said of one result."""
    lines = textwrap.wrap(headline(result), width, break_long_words=False, break_on_hyphens=False)
    lines = [headline(result, paint)] if len(lines) == 1 else lines
    if result.verdict is Verdict.VIOLATED:
        lines += ["", *draw(result.trace, width, paint), ""]
        lines += _paragraph(result.summary, width)
        lines += _paragraph(held(result.trace), width)
        # A debug print that is left out is less of a change than any in the list of repairs.
        mended = result.repair is not None and bool(result.repair.edits) and not result.debug_only
        lines += _paragraph(f"Fix: {result.fix}" if result.fix and not mended else "", width)
        if result.repair is not None:
            lines += _repair(result.repair, width)
    else:
        lines += _named("reason", [result.reason], width)
        lines += _named("holds by", result.core, width)
    if detail is Detail.VERBOSE:
        lines += [""] if result.trace else []
        lines += _named("bound", [result.bound], width)
        lines += _named("assumes", result.assumptions, width)
        lines += _named("not vacuous", [result.witness], width)
        lines += _named("cross-checked", [_opinion(o) for o in result.cross_check], width)
    return lines


def _repair(repair: Repair, width: int) -> list[str]:
    """What mends the violation: a sentence, and the diff as it is, for git apply."""
    if not repair.edits:
        return _paragraph(f"Repair: {repair.sentence}", width)
    said = _paragraph(f"Repair: {repair.sentence}", width)
    if not repair.diff:
        return [*said, "  (the changed callback programs were proved)"]
    return [*said, "  (the patched source was read and proved)", "", *repair.diff.rstrip("\n").split("\n")]


def _opinion(opinion: Opinion) -> str:
    return f"{opinion.solver} says {opinion.answer}" if opinion.answer else (
        f"not by {opinion.solver}: {opinion.reason}"
    )


def told(report: Report) -> tuple[Result, ...]:
    """The results that may be told at length: with a baseline, those that it does not have."""
    known = report.comparison.known if report.comparison else frozenset()
    return tuple(r for r in report.results if r.key not in known)


def _comparison(comparison: Comparison, paint: Paint) -> Iterator[str]:
    """What is new, worse, better and gone, a line each."""
    from .difference import turned

    known = len(comparison.known)
    yield f"compared with {comparison.baseline}: {known} violated or unknown as before" + (
        "" if comparison.changes else ", nothing else changed"
    )
    yield from (f"  {'worse' if c.worse else '     '}  {turned(c, paint)}" for c in comparison.changes)


def _shown(detail: Detail) -> tuple[Verdict, ...]:
    most = (Verdict.VIOLATED, Verdict.UNKNOWN)
    return (*most, Verdict.PROVED) if detail is Detail.VERBOSE else most


def _source(report: Report) -> str:
    module = f" and {report.module}" if report.module else ""
    kinds = {"tree": f"read from {report.location}{module}", "models": "from models"}
    model = "" if report.memory_model == "lkmm" else f", with memory model {report.memory_model}"
    return f"kernel {report.kernel}, {kinds.get(report.kind, report.kind)}{model}"


def _closing(report: Report) -> str:
    counts = tally([c.verdict for c in clause_verdicts(report.results)])
    total = sum(counts.values())
    if not total:
        return "Nothing was decided."
    said = ", ".join(f"{n} {name.replace('-', ' ')}" for name, n in counts.items() if n)
    return f"{total} {'clause' if total == 1 else 'clauses'}: {said} ({report.seconds:.2f} s)"


def _paragraph(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _named(name: str, items: Iterable[str], width: int) -> list[str]:
    """``name  item``, one item under the other, each wrapped under its own start."""
    lines: list[str] = []
    for item in filter(None, items):
        head = f"  {name if not lines else '':<13}"
        lines += textwrap.wrap(
            item,
            max(width, 40),
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _overview(report: Report, width: int, paint: Paint) -> Iterator[str]:
    """One filesystem: a line for each clause. More: a table filesystem × clause, in words, or in marks
    where these are too wide, or a list where marks are."""
    verdicts = clause_verdicts(report.results)
    if len({v.filesystem for v in verdicts}) <= 1:
        for table, group in itertools.groupby(verdicts, key=lambda v: (v.filesystem, v.table)):
            yield "\n".join(
                [f"{paint('head', table[0])}  {table[1]}", *_clause_lines(list(group), report, width, paint)]
            )
        return
    yield "\n".join(summary(verdicts, width, paint))


def _clause_lines(group: list[ClauseVerdict], report: Report, width: int, paint: Paint) -> Iterator[str]:
    words = [verdict_words(v.verdict, v.debug_only) for v in group]
    first, second = max(map(len, words)), max(len(v.clause) for v in group)
    for v, said in zip(group, words, strict=True):
        results = [
            r
            for r in report.results
            if (r.filesystem, r.table, r.clause) == (v.filesystem, v.table, v.clause)
        ]
        head = f"  {said:<{first}}  {v.clause:<{second}}  "
        text = textwrap.wrap(
            _gist(v, results), max(width - len(head), 24), break_long_words=False, break_on_hyphens=False
        ) or [""]
        yield (head.replace(said, paint(v.verdict.value, said), 1) + text[0]).rstrip()
        yield from (" " * len(head) + line for line in text[1:])


def _gist(clause: ClauseVerdict, results: list[Result]) -> str:
    """What a clause's line in the overview says beside its verdict."""
    if clause.verdict is Verdict.NOT_APPLICABLE:
        return "; ".join(dict.fromkeys(r.reason for r in results if r.reason))
    deciding = [r for r in results if r.verdict is clause.verdict]
    about = subject(deciding[0])
    if clause.verdict is not Verdict.PROVED:
        more = len(deciding) - 1
        return f"{about}{f', and {more} more' if more else ''}"
    if len(deciding) > 1:
        objects = dict.fromkeys(r.object for r in deciding if r.object)
        about = f"{len(deciding)} obligations" + (f", on {', '.join(objects)}" if objects else "")
    core = list(dict.fromkeys(c for r in deciding for c in r.core))
    rest = f"; and {len(core) - _CORE} more (--verbose)" if len(core) > _CORE else ""
    return about + (f"; holds by: {'; '.join(core[:_CORE])}{rest}" if core else "")
