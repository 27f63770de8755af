"""Answers as JSON. `result.schema.json` beside this file describes a report; schema numbers only grow.

Keys come in a fixed order and equal answers give equal text, but for the times.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..proofs.verdict import (
    Comparison,
    ContractAnswer,
    OverlapAnswer,
    Repair,
    Report,
    Result,
    SideCheck,
    clause_verdicts,
    tally,
)

if TYPE_CHECKING:
    from ..proofs.engine import TableRow
    from ..spec.program import Source

SCHEMA = 1
_PLACES = 6
"""Decimals of a time in seconds."""


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of what `report_document` returns."""
    text = resources.files(__package__).joinpath("result.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def report_document(report: Report) -> dict[str, Any]:
    """A report as plain data."""
    clauses = clause_verdicts(report.results)
    return (
        envelope()
        | {
            "source": {
                "kind": report.kind,
                "kernel": report.kernel,
                "location": report.location,
                "module": report.module,
            },
            "memory_model": report.memory_model,
            "results": [result_document(r) for r in report.results],
            "summary": {
                "counts": tally([c.verdict for c in clauses]),
                "clauses": [
                    {
                        "filesystem": c.filesystem,
                        "table": c.table,
                        "clause": c.clause,
                        "verdict": c.verdict.value,
                        "debug_only": c.debug_only,
                    }
                    for c in clauses
                ],
                "obligations": tally([r.verdict for r in report.results]),
                "exit_status": report.status,
                "messages": list(report.messages),
                "seconds": round(report.seconds, _PLACES),
                "statistics": dict(report.statistics),
            },
            "understood": [asdict(u) for u in report.understood],
        }
        | ({} if report.comparison is None else {"baseline": _comparison(report.comparison)})
    )


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "file": comparison.baseline,
        "changes": [
            asdict(c)
            | {
                "before": c.before.value if c.before else None,
                "after": c.after.value if c.after else None,
            }
            for c in comparison.changes
        ],
    }


def tables_document(rows: Sequence[TableRow]) -> dict[str, Any]:
    """The operations tables that ``prove --list`` names."""
    return envelope() | {
        "tables": [
            {
                "filesystem": r.filesystem,
                "names": list(r.names),
                "table": r.table,
                "file": r.file,
                "line": r.line,
                "callbacks": dict(r.callbacks),
                "places": [_place(member, function, dict(r.places)) for member, function in r.callbacks],
            }
            for r in rows
        ]
    }


def _place(member: str, function: str, places: dict[str, Source]) -> dict[str, Any]:
    """A callback and where it is defined; no file and line 0 where that was not found."""
    at = places.get(function)
    return {
        "callback": member,
        "function": function,
        "file": at.file if at else "",
        "line": at.line if at else 0,
    }


def contract_document(
    answer: ContractAnswer, changes: Sequence[tuple[str, str]] | None = None
) -> dict[str, Any]:
    """The clauses and the callback table, and the changes by kernel version if they were asked for; with a
    tree, what the comparison with it found."""
    document = envelope() | {
        "kernel": answer.kernel,
        "clauses": [asdict(c) for c in answer.clauses],
        "callbacks": [dict(zip(answer.columns, row, strict=True)) for row in answer.rows],
        "messages": list(answer.messages),
        "exit_status": answer.status,
    }
    if changes is not None:
        document["changes"] = [{"kernel": kernel, "what": what} for kernel, what in changes]
    return document if answer.check is None else document | {"tree": _side(answer.check)}


def _side(check: SideCheck) -> dict[str, Any]:
    return {
        "differences": [asdict(d) | {"kind": d.kind.value} for d in check.differences],
        "unchecked": [{"file": path, "about": list(about)} for path, about in check.absent],
        "documentation": check.document,
        "compared": check.places,
    }


def overlap_document(answer: OverlapAnswer) -> dict[str, Any]:
    """The overlap matrix, one entry a pair."""
    return envelope() | {
        "kernel": answer.kernel,
        "callbacks": list(answer.callbacks),
        "pairs": [
            {"left": p.left, "right": p.right, "overlap": p.overlap.value, "reason": p.reason}
            for p in answer.pairs
        ],
    }


def dump(document: dict[str, Any]) -> str:
    """`document` as text; a value that JSON has no form for (NaN) is an error, not bad JSON."""
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def envelope() -> dict[str, Any]:
    """What every document begins with."""
    return {"schema": SCHEMA, "tool": {"name": "dentryproof", "version": __version__}}


def _repair(repair: Repair) -> dict[str, Any]:
    return {
        "changes": [asdict(e) for e in repair.edits],
        "sentence": repair.sentence,
        "diff": repair.diff,
        "reason": repair.reason,
    }


def result_document(r: Result) -> dict[str, Any]:
    """One result as plain data."""
    return {
        "filesystem": r.filesystem,
        "table": r.table,
        "clause": r.clause,
        "callbacks": list(r.callbacks),
        "object": r.object,
        "verdict": r.verdict.value,
        "debug_only": r.debug_only,
        "reason": r.reason,
        "bound": r.bound,
        "assumptions": list(r.assumptions),
        "core": list(r.core),
        "trace": [asdict(s) for s in r.trace],
        "seconds": round(r.seconds, _PLACES),
        "summary": r.summary,
        "fix": r.fix,
        "witness": r.witness,
        "witness_trace": [asdict(s) for s in r.witness_trace],
        "certificate": r.certificate,
        "cross_check": [asdict(o) for o in r.cross_check],
    } | ({} if r.repair is None else {"repair": _repair(r.repair)})
