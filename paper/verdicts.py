"""What a run found as a LaTeX table: filesystem × clause, with a footnote for each violation and each
assumption that a proof in the table rests on."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any

from ..proofs.verdict import Report, Result, Verdict, clause_verdicts
from ..report.escapes import latex
from ..report.summary import by_row, verdict_words
from ..report.text import headline
from .documents import Raw, document

MARKS = {
    "proved": Raw(r"$\bullet$"),
    "violated": Raw(r"\textbf{V}"),
    "debug": Raw(r"\textbf{D}"),
    "unknown": Raw("?"),
    "not-applicable": Raw("--"),
}


def verdict_table(report: Report) -> str:
    """The table as a document of its own."""
    return document("latex", "verdicts.tex.j2", **verdict_values(report))


def verdict_values(report: Report) -> dict[str, Any]:
    """What ``latex/verdicts.tex.j2`` uses."""
    verdicts = clause_verdicts(report.results)
    rows = by_row(verdicts)
    columns = list(dict.fromkeys(v.clause for v in verdicts))
    notes = _Notes()
    found: dict[tuple[str, str, str], list[Result]] = {}
    for r in report.results:
        found.setdefault((r.filesystem, r.table, r.clause), []).append(r)
    cells = []
    for label, row in rows.items():
        line: list[tuple[Raw, list[str]]] = []
        for clause in columns:
            v = row.get(clause)
            if v is None:
                line.append((Raw(""), []))
                continue
            mark = "debug" if v.debug_only else v.verdict.value
            results = found[v.filesystem, v.table, v.clause]
            line.append((MARKS[mark], list(notes.of(v.verdict, results))))
        cells.append((label, line))
    return {
        "preamble": _preamble(),
        "kernel": report.kernel,
        "location": report.location,
        "messages": report.messages,
        "columns": columns,
        "width": Raw(f"{0.72 / max(len(columns), 1):.3f}"),
        "rows": cells,
        "marks": MARKS,
        "violations": notes.violations,
        "assumptions": notes.assumptions,
    }


def _preamble() -> Raw:
    from ..report.tikz import PREAMBLE

    return Raw(PREAMBLE)


class _Notes:
    """Footnotes: numbers for violations, letters for assumptions, each text once."""

    def __init__(self) -> None:
        self.violations: list[tuple[str, Raw]] = []
        self.assumptions: list[tuple[str, Raw]] = []
        self._known: dict[str, str] = {}

    def of(self, verdict: Verdict, results: list[Result]) -> Iterator[str]:
        """The notes of one cell: what violates the clause, or what its proofs assume."""
        if verdict is Verdict.VIOLATED:
            for r in results:
                if r.verdict is Verdict.VIOLATED:
                    said = verdict_words(r.verdict, r.debug_only)
                    yield self._note(
                        f"{headline(r)}. {r.summary}" if r.summary else f"{headline(r)} {said}", True
                    )
        elif verdict is Verdict.PROVED:
            for text in dict.fromkeys(a for r in results for a in r.assumptions):
                yield self._note(text, False)

    def _note(self, text: str, violation: bool) -> str:
        if text not in self._known:
            notes = self.violations if violation else self.assumptions
            name = str(len(notes) + 1) if violation else _letters(len(notes))
            notes.append((name, Raw(latex(text))))
            self._known[text] = name
        return self._known[text]


def _letters(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    name = string.ascii_lowercase[number % 26]
    return name if number < 26 else _letters(number // 26 - 1) + name
