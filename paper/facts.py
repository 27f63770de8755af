"""What the paper says in numbers: asked of the tool itself, or of what its own commands wrote to files."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..proofs.cache import default_folder
from ..proofs.engine import handbook_answer, kernels, run
from ..proofs.request import Request
from ..proofs.verdict import Report, Result, Verdict, clause_verdicts, tally
from ..report.pictures import trace_picture
from ..report.tikz import tikz
from ..spec.kernel_functions import table
from .documents import Raw, contract_values
from .verdicts import MARKS

Note = Callable[[str], None]


def facts(root: Path, note: Note) -> dict[str, Any]:
    """All values of ``paper.tex.j2``; the repository is at `root`, recorded results are read from it.

    `note` is told what takes long. A result that nothing recorded is left out of the paper as a whole.
    """
    reports = {}
    for kernel in kernels():
        note(f"deciding every obligation of Linux {kernel}")
        request = Request(
            everything=True, kernel=kernel, cache=default_folder(), jobs=len(os.sched_getaffinity(0))
        )
        reports[kernel] = run(request)
    ordered = [reports[k] for k in sorted(reports, key=_number)]
    summaries = [_summary(r) for r in ordered]
    autofs = _autofs(ordered[0])
    newest = ordered[-1].kernel
    note(f"the contract for Linux {newest}")
    contract = contract_values(handbook_answer(Request(kernel=newest)), "latex")
    return contract | {
        "kernels": summaries,
        "main": summaries[-1],
        "old": summaries[0],
        "history": _history(ordered),
        "coverage": [_coverage(r) for r in ordered],
        "marks": MARKS,
        "functions": len(table()),
        "expected": _expected(root / "tests" / "expected"),
        "mutation": _mutation(root / "bench" / "mutation.tsv", root / "tests" / "expected"),
        "timing": _recorded(root / "bench" / "results" / "commands.json"),
        "solvers": _recorded(root / "bench" / "results" / "solvers.json"),
        "memory": _memory(_recorded(root / "bench" / "results" / "memory_models.json")),
        "litmus": _litmus(_recorded(root / "bench" / "results" / "litmus.json")),
        "scaling": _scaling(_recorded(root / "bench" / "results" / "scaling.json")),
        "peers": _recorded(root / "bench" / "results" / "peers.json"),
        "certificates": _recorded(root / "bench" / "results" / "certificates.json"),
        "autofs_picture": Raw(tikz(trace_picture(autofs.trace, "autofs", autofs.summary))),
        "autofs_caption": autofs.summary,
    }


def _number(kernel: str) -> tuple[int, ...]:
    return tuple(int(p) for p in kernel.split(".") if p.isdigit())


def _summary(report: Report) -> dict[str, Any]:
    """The counts of one kernel."""
    verdicts = clause_verdicts(report.results)
    return {
        "kernel": report.kernel,
        "tables": len({(v.filesystem, v.table) for v in verdicts}),
        "obligations": sum(r.verdict is not Verdict.NOT_APPLICABLE for r in report.results),
        "counts": tally([v.verdict for v in verdicts]),
    }


def _autofs(report: Report) -> Result:
    """The violation that the mail found."""
    found = (
        r
        for r in report.results
        if (r.filesystem, r.clause, r.verdict) == ("autofs", "rcu-delay-dentry", Verdict.VIOLATED)
    )
    return min(found, key=lambda r: len(r.trace))


def _history(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """Every clause that some kernel breaks, with its mark in each."""
    reports = list(reports)
    marks: dict[tuple[str, str, str], dict[str, str]] = {}
    for report in reports:
        for v in clause_verdicts(report.results):
            mark = "debug" if v.debug_only else v.verdict.value
            marks.setdefault((v.filesystem, v.table, v.clause), {})[report.kernel] = mark
    rows = []
    for key in sorted(k for k, m in marks.items() if {"violated", "debug"} & set(m.values())):
        by = next(
            _by(r)
            for report in reports
            for r in report.results
            if (r.filesystem, r.table, r.clause) == key and r.verdict is Verdict.VIOLATED
        )
        found = [MARKS[marks[key][r.kernel]] if r.kernel in marks[key] else "" for r in reports]
        rows.append({"filesystem": key[0], "table": key[1], "clause": key[2], "marks": found, "by": by})
    return rows


def _by(result: Result) -> str:
    """The function whose step breaks the clause."""
    steps = [s for s in result.trace if s.file]
    return f"{steps[-1].function}()" if steps else ""


def _coverage(report: Report) -> dict[str, Any]:
    """How much of one kernel's methods was understood."""
    parts = report.understood
    return {
        "kernel": report.kernel,
        "tables": len(parts),
        "methods": sum(u.methods for u in parts),
        "functions": sum(u.functions for u in parts),
        "statements": sum(u.statements for u in parts),
        "assumed": len({name for u in parts for name in u.assumed}),
        "unfollowed": len({name for u in parts for name in u.unfollowed}),
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def _expected(folder: Path) -> dict[str, int]:
    """How many clauses of the models' kernels were judged by reading, and where the tool disagrees."""
    kept = {".".join(k.split(".")[:2]) for k in kernels()} | set(kernels())
    rows = [r for k in sorted(kept) if (p := folder / f"{k}.tsv").is_file() for r in _rows(p)]
    wrong = len(_rows(folder / "disagreements.tsv"))
    return {"rows": len(rows), "disagree": wrong, "agree": len(rows) - wrong}


def _mutation(path: Path, read: Path) -> dict[str, Any] | None:
    """The scores of ``prove mutate`` by operator, over all kernels and filesystems; None if it never ran."""
    if not path.is_file():
        return None
    rows = _rows(path)
    totals: dict[str, Counter[str]] = {}
    for row in rows:
        totals.setdefault(row["operator"], Counter()).update({k: int(row[k]) for k in OUTCOMES})
    survivors = [r for p in read.glob("survivors-*.tsv") for r in _rows(p)]
    return {
        "blind": sum(r["verdict"] == "blind" for r in survivors),
        "filesystems": len({(r["kernel"], r["filesystem"]) for r in rows}),
        "rows": [{"operator": name, **count} for name, count in sorted(totals.items())],
    }


OUTCOMES = ("mutants", "killed", "unknown", "masked", "equivalent", "explained", "survived")
"""The columns of numbers of bench/mutation.tsv."""


def _memory(recorded: Any) -> dict[str, Any] | None:
    """How many obligations are proved, or broken, under both memory models, and how many under one alone."""
    if recorded is None:
        return None
    found: dict[str, Any] = dict(recorded)
    for one in found["kernels"]:
        said = {(v["lkmm"], v["sc"]): v["obligations"] for v in one["verdicts"]}
        one["proved"], one["broken"] = said.get(("proved", "proved"), 0), said.get(("broken", "broken"), 0)
        one["differ"] = one["obligations"] - one["proved"] - one["broken"]
        one["ms"] = {row["name"]: row["median"] for row in one["rows"]}
    return found


def _litmus(recorded: Any) -> dict[str, Any] | None:
    """Agreement with the results that litmus tests state, by folder, and why others are not answered."""
    if recorded is None:
        return None
    rows: dict[str, dict[str, Any]] = {}
    reasons: Counter[str] = Counter()
    for row in recorded["rows"]:
        counts = row["agreement"]
        stated = row["tests"] - counts.get("not stated", 0) - counts.get("undecided", 0)
        first = {"folder": row["folder"], "tests": row["tests"], "stated": stated}
        own = rows.setdefault(row["folder"], first)
        own[row["memory_model"]] = counts.get("agrees", 0)
        if row["memory_model"] == "lkmm":
            own |= {"differs": counts.get("differs", 0), "races": counts.get("forgiven", 0)}
            reasons.update(row["reasons"])
    kept = [r for r in rows.values() if r["stated"]]
    return {
        "rows": kept,
        "tests": sum(r["tests"] for r in rows.values()),
        "stated": sum(r["stated"] for r in kept),
        "agree": sum(r["lkmm"] for r in kept),
        "agree_sc": sum(r["sc"] for r in kept),
        "races": sum(r["races"] for r in kept),
        "differ": sum(r["differs"] for r in kept),
        "reasons": reasons.most_common(),
    }


def _scaling(recorded: Any) -> dict[str, Any] | None:
    """Curves by series, of scenarios that are proved, as coordinates for a plot."""
    if recorded is None:
        return None
    plots: dict[str, list[dict[str, Any]]] = {}
    for curve in recorded["curves"]:
        if curve["answer"] == "proved":
            points = " ".join(f"({size},{seconds})" for size, seconds in curve["points"])
            plots.setdefault(curve["series"], []).append(curve | {"points": Raw(points)})
    return {**recorded, "plots": plots}


def _recorded(path: Path) -> Any:
    """What a benchmark wrote; None if it was not run."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
