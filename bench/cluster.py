"""Obligations a second: processes of this machine, and a cluster of local workers; prints and keeps medians.

    python bench/cluster.py [--runs N] [--json FILE] TREE FILESYSTEM...

Each run is a cold process without the cache. The cluster's workers have one thread each and stand ready; what
they read in earlier runs they may still have. The figures are for reading, nothing asserts them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from distributed import LocalCluster


def once(command: list[str]) -> tuple[float, int]:
    """Wall seconds of one run, and how many obligations it decided."""
    started = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    seconds = time.monotonic() - started
    if done.returncode not in (0, 1, 3):
        sys.exit(f"{' '.join(command)}: status {done.returncode}")
    return seconds, len(json.loads(done.stdout)["results"])


def measured(name: str, command: list[str], runs: int) -> dict[str, object]:
    """The medians of some runs."""
    times, counts = zip(*(once(command) for _ in range(runs)), strict=True)
    seconds = statistics.median(times)
    row = {"how": name, "seconds": round(seconds, 2), "spread": round(max(times) - min(times), 2)}
    row |= {"obligations": counts[0], "obligations_per_second": round(counts[0] / seconds, 1)}
    print(*row.values(), sep="\t", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("tree", type=Path)
    parser.add_argument("filesystems", nargs="+")
    asked = parser.parse_args()
    prove = [sys.executable, "-m", "dentryproof", "--linux", str(asked.tree), *asked.filesystems]
    prove += ["--no-cache", "--no-config", "--format", "json"]
    rows = [measured(f"{n} local processes", [*prove, "--jobs", str(n)], asked.runs) for n in (1, 2)]
    for n in (1, 2):
        with LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=":0") as cluster:
            command = [*prove, "--scheduler", cluster.scheduler_address]
            rows.append(measured(f"{n} workers of a cluster", command, asked.runs))
    if asked.json:
        about = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "filesystems": " ".join(asked.filesystems),
            "runs": asked.runs,
        }
        asked.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
