"""Decides the same obligations in several ways, side by side, one process each obligation after the other.

    python bench/solvers.py [--kernel VERSION] [--every N] [--limit SECONDS] [--json FILE]

z3 on clocks, cvc5 on the same formulas (if it is installed), and a SAT solver on order variables with cycle
lemmas. Times are of building the formulas and deciding, without cores being shrunk further than the way
does by itself; an obligation that takes longer than the limit counts as not decided. Nothing asserts the
figures; that all ways agree is asserted, since figures of ways that disagree mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from dentryproof.encodings.routes import Ways
from dentryproof.errors import UsageError
from dentryproof.proofs.kept import kept, kept_kernel, kept_text
from dentryproof.proofs.obligation import Obligation
from dentryproof.proofs.obligations import questions
from dentryproof.spec.contract import clauses
from dentryproof.spec.modelfile import load
from dentryproof.spec.vfs import vfs

NAMES = {"z3": "z3, clocks", "sat": "SAT, order variables", "cvc5": "cvc5, clocks"}


def obligations(kernel: str, every: int) -> list[Obligation]:
    """Every so manieth obligation of all models of a kernel, those of one scenario and formula once."""
    found: dict[Any, Obligation] = {}
    for one in kept(kernel, everything=True):
        model = load(kept_text(one.name), one.name)
        for clause in clauses():
            for question in questions(model, clause, vfs(kernel)):
                if isinstance(question, Obligation):
                    found.setdefault((question.scenario, question.formula), question)
    return list(found.values())[::every]


def main() -> None:
    """Print a line for each way, and write them to a file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--limit", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    kernel = kept_kernel(options.kernel)
    asked = obligations(kernel, options.every)
    times: dict[str, list[float]] = {}
    for obligation in asked:
        said = set()
        for solver in NAMES:
            started = time.perf_counter()
            try:
                found = Ways(obligation.scenario).find(
                    obligation.formula, holds=False, solver=solver, timeout=options.limit
                )
            except UsageError:  # not installed
                continue
            spent = time.perf_counter() - started
            times.setdefault(solver, []).append(spent if found.status != "unknown" else float("inf"))
            said.add(found.status)
        assert len(said - {"unknown"}) <= 1, obligation.clause.id
    rows = []
    for solver, spent in times.items():
        decided = [s for s in spent if s != float("inf")]
        both = [
            s / z for s, z in zip(spent, times["z3"], strict=True) if float("inf") not in (s, z) and z > 0
        ]
        rows.append(
            {
                "name": NAMES[solver],
                "decided": len(decided),
                "median": f"{statistics.median(decided) * 1000:.1f}",
                "slowest": f"{max(decided):.2f}",
                "ratio": f"{statistics.median(both):.2f}",
            }
        )
        print(*rows[-1].values(), sep="\t")
    if options.json:
        document = {"kernel": kernel, "obligations": len(asked), "limit": options.limit, "rows": rows}
        options.json.parent.mkdir(exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
