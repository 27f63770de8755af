"""Decides the same obligations under each memory model, and compares the verdicts.

    python bench/memory_models.py [--kernel VERSION] [--every N] [--solver NAME] [--json FILE]

Obligations of one thread are the same under every model and are left out. Times are of building the question
and deciding it. Nothing asserts the figures; that what is proved under lkmm is proved under sc is asserted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from solvers import obligations

from dentryproof.encodings.routes import Ways
from dentryproof.encodings.usual import SOLVER
from dentryproof.encodings.weak import MEMORY_MODELS
from dentryproof.proofs.kept import kept_kernel, kernels


def compared(kernel: str, every: int, solver: str) -> dict[str, Any]:
    """The figures of one kernel, and how many obligations got which answers."""
    asked = [o for o in obligations(kernel, 1) if len(o.scenario.threads) > 1][::every]
    times: dict[str, list[float]] = {name: [] for name in MEMORY_MODELS}
    steps: dict[str, list[int]] = {name: [] for name in MEMORY_MODELS}
    answers: Counter[tuple[str, ...]] = Counter()
    for obligation in asked:
        said = []
        for name, executions in MEMORY_MODELS.items():
            started = time.perf_counter()
            scenario = executions(obligation.scenario)
            found = Ways(scenario).find(obligation.formula, holds=False, solver=solver)
            times[name].append(time.perf_counter() - started)
            steps[name].append(len(scenario.steps))
            said.append({"unsat": "proved", "sat": "broken"}.get(found.status, found.status))
        assert said != ["proved", "broken"], obligation.clause.id
        answers[tuple(said)] += 1
    rows = [
        {
            "name": name,
            "median": f"{statistics.median(spent) * 1000:.1f}",
            "slowest": f"{max(spent):.2f}",
            "all": f"{sum(spent):.1f}",
            "ratio": f"{statistics.median(a / b for a, b in zip(spent, times['sc'], strict=True)):.2f}",
            "steps": f"{statistics.median(steps[name]):.0f}",
        }
        for name, spent in times.items()
    ]
    verdicts = [
        dict(zip(MEMORY_MODELS, said, strict=True)) | {"obligations": n}
        for said, n in sorted(answers.items())
    ]
    return {"kernel": kernel, "obligations": len(asked), "rows": rows, "verdicts": verdicts}


def main() -> None:
    """Print, for each kernel, a line for each model and one for each pair of answers that was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--solver", default=SOLVER)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    asked = [kept_kernel(options.kernel)] if options.kernel else list(kernels())
    found = [compared(kernel, options.every, options.solver) for kernel in asked]
    for one in found:
        for row in [*one["rows"], *one["verdicts"]]:
            print(one["kernel"], *row.values(), sep="\t")
    if options.json:
        options.json.parent.mkdir(exist_ok=True)
        document = {"solver": options.solver, "every": options.every, "kernels": found}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
