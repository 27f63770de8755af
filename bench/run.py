"""Times whole commands, cold processes, several runs; prints median, spread and peak memory of each.

    python bench/run.py [--runs N] [TREE...]

Without trees, only what runs from the models. The figures are for reading, nothing asserts them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

PROVE = [sys.executable, "-m", "dentryproof"]


def once(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one run of `command`, the output thrown away."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("trees", nargs="*", type=Path)
    options = parser.parse_args()
    commands = {
        "prove --version": ["--version"],
        "prove autofs": ["autofs"],
        "prove autofs --kernel 5.0.1": ["autofs", "--kernel", "5.0.1"],
        "prove ceph": ["ceph"],
        "prove overlap": ["overlap"],
    }
    for tree in options.trees:
        for name in ("autofs", "pidfs", "ceph", "nfs"):
            if (tree / "fs" / name).exists() or (tree / "fs" / f"{name}.c").exists():
                commands[f"prove --linux {tree.name} {name}"] = ["--linux", str(tree), name]
    print(f"{'command':50} {'median s':>9} {'min':>7} {'max':>7} {'peak MB':>8}")
    for title, arguments in commands.items():
        once([*PROVE, *arguments])
        runs = [once([*PROVE, *arguments]) for _ in range(options.runs)]
        seconds = [s for s, _ in runs]
        print(
            f"{title:50} {statistics.median(seconds):9.2f} {min(seconds):7.2f} {max(seconds):7.2f} "
            f"{max(m for _, m in runs):8.0f}"
        )


if __name__ == "__main__":
    main()
