"""What every clause came to, for many tables at once: filesystem × clause."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ..proofs.verdict import ClauseVerdict, Verdict
from .terminal import Paint, plain

DEBUG_ONLY = "violated (debug build only)"
_MARKS = {
    Verdict.PROVED.value: ".",
    Verdict.VIOLATED.value: "V",
    DEBUG_ONLY: "D",
    Verdict.UNKNOWN.value: "?",
    Verdict.NOT_APPLICABLE.value: "-",
}


def summary(verdicts: tuple[ClauseVerdict, ...], width: int, paint: Paint) -> list[str]:
    """The table in words; in marks, where it is too wide for them; a list, where it is too wide for those."""
    for form in (_in_words, _in_marks):
        if max(map(len, form(verdicts, plain))) <= width:
            return form(verdicts, paint)
    return list(_listing(verdicts, width))


def verdict_words(verdict: Verdict, debug_only: bool) -> str:
    """The verdict as it is always shown: a violation that needs a debug build says so."""
    return DEBUG_ONLY if verdict is Verdict.VIOLATED and debug_only else verdict.value


def _cell(clause: ClauseVerdict | None) -> str:
    if clause is None or clause.verdict is Verdict.NOT_APPLICABLE:
        return "-"
    return "debug" if clause.debug_only else clause.verdict.value


def by_row(verdicts: tuple[ClauseVerdict, ...]) -> dict[str, dict[str, ClauseVerdict]]:
    """The verdicts by row label (the filesystem; with its table where it has several) and clause."""
    tables: dict[str, set[str]] = {}
    for v in verdicts:
        tables.setdefault(v.filesystem, set()).add(v.table)
    rows: dict[str, dict[str, ClauseVerdict]] = {}
    for v in verdicts:
        label = v.filesystem if len(tables[v.filesystem]) == 1 else f"{v.filesystem} {v.table}"
        rows.setdefault(label, {})[v.clause] = v
    return rows


def _in_words(verdicts: tuple[ClauseVerdict, ...], paint: Paint) -> list[str]:
    """The table in words. A clause's id stands above its column, broken after its hyphens."""
    rows = by_row(verdicts)
    clauses = list(dict.fromkeys(v.clause for v in verdicts))
    heads = {c: [f"{w}-" for w in c.split("-")[:-1]] + [c.split("-")[-1]] for c in clauses}
    height = max(map(len, heads.values()))
    sizes = {c: max(map(len, [*heads[c], *(_cell(r.get(c)) for r in rows.values())])) for c in clauses}
    first = max(map(len, rows))
    lines = []
    for i in range(height):
        cells = [(heads[c][i] if i < len(heads[c]) else "").ljust(sizes[c]) for c in clauses]
        lines.append("  ".join([" " * first, *cells]).rstrip())
    lines.append("  ".join(["-" * first, *("-" * sizes[c] for c in clauses)]))
    for label, row in rows.items():
        cells = []
        for c in clauses:
            cell, found = _cell(row.get(c)), row.get(c)
            cells.append(paint(found.verdict.value if found else "", cell.ljust(sizes[c])))
        lines.append("  ".join([label.ljust(first), *cells]).rstrip())
    if any(v.debug_only for v in verdicts):
        lines.append(f"debug: {DEBUG_ONLY}")
    return lines


def _in_marks(verdicts: tuple[ClauseVerdict, ...], paint: Paint) -> list[str]:
    """The table in marks of one character. Columns are numbered; the clauses' ids stand below."""
    rows = by_row(verdicts)
    clauses = list(dict.fromkeys(v.clause for v in verdicts))
    first = max(map(len, rows))
    numbers = [str(i + 1) for i in range(len(clauses))]
    lines = [" ".join([" " * first, *(n.rjust(2) for n in numbers)])]
    for label, row in rows.items():
        cells = []
        for clause in clauses:
            found = row.get(clause)
            words = verdict_words(found.verdict, found.debug_only) if found else ""
            cells.append(paint(found.verdict.value if found else "", _MARKS.get(words, "").rjust(2)))
        lines.append(" ".join([label.ljust(first), *cells]).rstrip())
    shown = {verdict_words(v.verdict, v.debug_only) for v in verdicts}
    wide = max(len(lines[0]), 60)
    lines += ["", *_wrapped([f"{mark} {words}" for words, mark in _MARKS.items() if words in shown], wide)]
    return lines + _wrapped([f"{n} {clause}" for n, clause in zip(numbers, clauses, strict=True)], wide)


def _wrapped(items: list[str], width: int) -> list[str]:
    """The items on lines, none of them broken."""
    text = ", ".join(item.replace(" ", "\0") for item in items)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


def _listing(verdicts: tuple[ClauseVerdict, ...], width: int) -> Iterator[str]:
    """The table's content where it is too wide: a paragraph for each row, the worst first."""
    for label, row in by_row(verdicts).items():
        yield label
        for said in (
            Verdict.VIOLATED.value,
            DEBUG_ONLY,
            Verdict.UNKNOWN.value,
            Verdict.PROVED.value,
            Verdict.NOT_APPLICABLE.value,
        ):
            names = [c for c, v in row.items() if verdict_words(v.verdict, v.debug_only) == said]
            if names:
                yield from textwrap.wrap(
                    f"{said}: {', '.join(names)}",
                    max(width, 40),
                    initial_indent="  ",
                    subsequent_indent="    ",
                    break_long_words=False,
                    break_on_hyphens=False,
                )
