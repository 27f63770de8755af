"""How the encodings grow: made-up scenarios with more and more events, walkers, objects.

    python bench/scaling.py [--limit SECONDS] [--runs N] [--most SIZE] [--json FILE]

Each scenario has walkers that find objects and use them in a read-side section, and a teardown that unhashes
each object and frees it after a grace period (proved) or at once (broken), under the kernel's memory model.
Three encodings decide it: order variables with cycle lemmas as they are needed, with all of transitivity from
the start, and clocks in difference logic. An encoding that takes longer than the limit is asked of no larger
size. The growth is the slope of a line through the logarithms of size and median time, from sizes whose
median is at least 5 ms. Nothing asserts the figures; that encodings agree is asserted.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dentryproof.encodings.routes import Ways
from dentryproof.encodings.scenario import Scenario, ScenarioAtom, Step, Thread
from dentryproof.encodings.usual import SAT, TRANSITIVE
from dentryproof.encodings.weak import lkmm
from dentryproof.spec.logic import Formula, parse

NAMES = {
    SAT: "order variables, lemmas as needed",
    TRANSITIVE: "order variables, transitive",
    "z3": "clocks, difference logic (z3)",
}
SERIES = {
    "events": (20, 40, 60, 80, 120, 160, 200, 300, 400),
    "walkers": (1, 2, 4, 8, 16),
    "objects": (1, 2, 4, 8, 16),
}
LEAST = 0.005
"""Seconds; what is faster is mostly what does not grow."""


def made(events: int, walkers: int, objects: int, delayed: bool) -> tuple[Scenario, Formula]:
    """A scenario with about so many events, and that none of its objects is used after it was freed."""
    threads, atoms, clauses = [], [], []
    around = 2 * walkers + walkers * objects + 5 * objects
    uses = max(1, (events - around) // (walkers * objects))
    for w in range(walkers):
        steps = [Step(f"w{w}.in", "enter")]
        for o in range(objects):
            found = f"w{w}.{o}"
            steps.append(Step(found, "read", "dentry", f"p{o}"))
            atoms.append(ScenarioAtom(f"{found}?", "nonnull", found))
            label = frozenset({(f"use{o}", "initial")})
            steps += [
                Step(
                    f"{found}.{i}",
                    "read",
                    f"o{o}",
                    f"m{i}",
                    guard=(((f"{found}?", True),),),
                    via=found,
                    labels=label,
                )
                for i in range(uses)
            ]
        threads.append(Thread(f"walker {w}", (*steps, Step(f"w{w}.out", "leave")), w))
    teardown, later = [], []
    for o in range(objects):
        free = Step(f"free{o}", "free", f"o{o}", labels=frozenset({(f"gone{o}", "any")}))
        teardown.append(Step(f"unhash{o}", "write", "dentry", f"p{o}", "null"))
        if delayed:
            teardown.append(Step(f"queue{o}", "defer", f"o{o}"))
            wait = Step(f"s{o}", "gp-start"), Step(f"e{o}", "gp-end")
            later.append(Thread(f"callback {o}", (*wait, free), walkers, f"queue{o}"))
        else:
            teardown.append(free)
        clauses.append(parse(f"always (use{o} -> !once gone{o})"))
    threads.append(Thread("teardown", tuple(teardown), walkers))
    scenario = lkmm(Scenario((*threads, *later), tuple(atoms)))
    return scenario, clauses[0] if len(clauses) == 1 else Formula("and", tuple(clauses))


def sizes(series: str, size: int) -> tuple[int, int, int]:
    """Events, walkers and objects of one size of a series."""
    if series == "events":
        return size, 1, 1
    return (20 * size, size, 1) if series == "walkers" else (20 * size, 1, size)


def measured(series: str, delayed: bool, limit: float, runs: int, most: int) -> Iterator[dict[str, Any]]:
    """One row a size and encoding."""
    slow: set[str] = set()
    for size in (s for s in SERIES[series] if s <= most):
        scenario, formula = made(*sizes(series, size), delayed)
        said = set()
        for solver in (s for s in NAMES if s not in slow):
            times = []
            for _ in range(runs):
                started = time.perf_counter()
                found = Ways(scenario).find(formula, holds=False, solver=solver, timeout=limit)
                times.append(time.perf_counter() - started)
                if found.status == "unknown" or times[-1] > limit:
                    break
            said.add(found.status)
            if found.status == "unknown" or times[-1] > limit:
                slow.add(solver)
                continue
            yield {
                "series": series,
                "answer": "proved" if delayed else "broken",
                "solver": solver,
                "size": size,
                "steps": len(scenario.steps),
                "median": round(statistics.median(times), 5),
                "least": round(min(times), 5),
                "most": round(max(times), 5),
            }
        assert len(said - {"unknown"}) == 1 or said == {"unknown"}, (series, size, said)


def growth(rows: list[dict[str, Any]]) -> float | None:
    """The exponent e of time = size to the e, fitted; None from fewer than three sizes."""
    points = [(math.log(r["size"]), math.log(r["median"])) for r in rows if r["median"] >= LEAST]
    return (
        round(statistics.linear_regression(*zip(*points, strict=True)).slope, 2) if len(points) > 2 else None
    )


def main() -> None:
    """Print a line for each curve: its exponent, and its last point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--most", type=int, default=400)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [
        row
        for series in SERIES
        for delayed in (True, False)
        for row in measured(series, delayed, options.limit, options.runs, options.most)
    ]
    curves = []
    for series in SERIES:
        for answer in ("proved", "broken"):
            for solver, name in NAMES.items():
                own = [r for r in rows if (r["series"], r["answer"], r["solver"]) == (series, answer, solver)]
                if own:
                    last = own[-1]
                    curves.append(
                        {
                            "series": series,
                            "answer": answer,
                            "solver": solver,
                            "name": name,
                            "growth": growth(own),
                            "largest": last["size"],
                            "seconds": last["median"],
                            "points": [[r["size"], r["median"]] for r in own],
                        }
                    )
                    print(series, answer, name, growth(own), last["size"], last["median"], sep="\t")
    if options.json:
        document = {"limit": options.limit, "runs": options.runs, "curves": curves, "rows": rows}
        options.json.parent.mkdir(exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
