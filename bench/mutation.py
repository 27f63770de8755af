"""Puts results of ``prove mutate --format json`` into mutation.tsv.

    python bench/mutation.py KERNEL RESULT.json...

KERNEL is what the table calls the kernel. All rows of its filesystems that a result is about give way to what
the results say: a filesystem whose operators were run one by one needs all its results at once.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

TABLE = Path(__file__).parent / "mutation.tsv"


def main(kernel: str, *results: str) -> None:
    """Rewrite the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file, delimiter="\t")
        columns = next(lines)
        rows = {tuple(line[:3]): line[3:] for line in lines}
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for path in results:
        answer = json.loads(Path(path).read_text(encoding="utf-8"))
        for one in answer["findings"]:
            key = (kernel, one["filesystem"], one["operator"])
            found[key].update(("mutants", one["outcome"]))
    anew = {key[:2] for key in found}
    rows = {key: row for key, row in rows.items() if key[:2] not in anew}
    rows |= {key: [str(counts[c]) for c in columns[3:]] for key, counts in found.items()}
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerows([columns, *((*key, *row) for key, row in sorted(rows.items()))])


if __name__ == "__main__":
    main(*sys.argv[1:])
