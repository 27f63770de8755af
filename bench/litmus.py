"""Litmus tests answered, counted by folder and compared with what they say of themselves.

    python bench/litmus.py [--json FILE] [--timeout SECONDS] NAME=FOLDER...

Each folder is searched for *.litmus, and counted as NAME and the folders below it. Both memory models answer,
one test after the other in one process. Nothing asserts the figures.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dentryproof.encodings.models import MODELS
from dentryproof.litmus.suite import Agreement, Outcome, Summary, find, outcome


def row(name: str, model: str, outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    """What the tests of one folder come to."""
    found = Summary.of(outcomes)
    pairs = Counter(
        f"{o.stated.verdict} -> {o.answer.verdict}"
        for o in outcomes
        if o.stated and o.agreement in (Agreement.AGREES, Agreement.FORGIVEN, Agreement.DIFFERS)
    )
    return {
        "folder": name,
        "memory_model": model,
        "tests": len(outcomes),
        "agreement": dict(sorted(found.agreement.items())),
        "verdicts": dict(sorted(found.verdicts.items())),
        "stated": dict(sorted(pairs.items())),
        "differs": sorted(o.path.stem for o in outcomes if o.agreement is Agreement.DIFFERS)
        if model == "lkmm"
        else [],
        "reasons": dict(sorted(found.reasons.items())),
        "seconds": round(seconds, 2),
        "median_ms": round(1000 * statistics.median(o.seconds for o in outcomes), 2),
        "slowest_ms": round(1000 * max(o.seconds for o in outcomes), 1),
    }


def main() -> None:
    """Print a line a folder and model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    options = parser.parse_args()
    rows = []
    for model in MODELS.values():
        for argument in options.folders:
            name, _, folder = argument.partition("=")
            by_folder: dict[str, list[Path]] = {}
            for path, _named in find([Path(folder)]):
                below = path.parent.relative_to(folder).as_posix()
                by_folder.setdefault(name if below == "." else f"{name}/{below}", []).append(path)
            for at, paths in sorted(by_folder.items()):
                started = time.process_time()
                outcomes = [outcome(p, False, model, options.timeout) for p in paths]
                rows.append(row(at, model.name, outcomes, time.process_time() - started))
                counts = ", ".join(f"{n} {a}" for a, n in rows[-1]["agreement"].items())
                print(f"{model.name}\t{at}\t{len(paths)} tests\t{counts}\t{rows[-1]['seconds']} s")
    if options.json:
        machine = f"{platform.machine()}, Python {platform.python_version()}, processor time of one process"
        document = {"command": "bench/litmus.py", "machine": machine, "rows": rows}
        options.json.parent.mkdir(exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
