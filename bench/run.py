"""Times whole commands, cold processes, several runs; prints median, spread and peak memory of each.

    python bench/run.py [--runs N] [--all] [--only TEXT] [--json FILE] [TREE...]

Without trees, only what runs from the models. Each command runs without the cache, and again with a cache
that a run before filled. With ``--only``, commands whose title ends so are timed, and replace their rows in
FILE. Memory is that of all processes of the command together, sampled (Linux only). The
figures are for reading, nothing asserts them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROVE = [sys.executable, "-m", "dentryproof"]
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> int:
    """Bytes of memory that a process and all below it hold; shared pages once for each."""
    total = 0
    try:
        total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(map(resident, map(int, (task / "children").read_text().split())))
    except (OSError, ValueError, IndexError):
        pass
    return total


def once(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one run of `command`, the output thrown away."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        time.sleep(0.01)
    return time.perf_counter() - started, peak / (1 << 20)


def commands(trees: list[Path], everything: bool) -> dict[str, list[str]]:
    """What is timed, by the title that it is printed under."""
    found = {
        "prove autofs": ["autofs"],
        "prove autofs --kernel 5.0.1": ["autofs", "--kernel", "5.0.1"],
        "prove ceph": ["ceph"],
        "prove --all": ["--all"],
    }
    for tree in trees:
        for name in ("autofs", "pidfs", "ceph", "nfs", "fuse", "gfs2", "ext4", "btrfs"):
            if (tree / "fs" / name).exists() or (tree / "fs" / f"{name}.c").exists():
                found[f"prove --linux {tree.name} {name}"] = ["--linux", str(tree), name]
        found[f"prove --linux {tree.name} --list"] = ["--linux", str(tree), "--list"]
        if everything:
            found[f"prove --linux {tree.name} --all"] = ["--linux", str(tree), "--all"]
    return found


def show(title: str, command: list[str], runs: int) -> dict[str, str]:
    """Run `command` so many times, print a line and return its figures."""
    figures = [once(command) for _ in range(runs)]
    seconds = [s for s, _ in figures]
    print(
        f"{title:60} {statistics.median(seconds):9.2f} {min(seconds):7.2f} {max(seconds):7.2f} "
        f"{max(m for _, m in figures):8.0f}",
        flush=True,
    )
    return {
        "median": f"{statistics.median(seconds):.2f}",
        "spread": f"{min(seconds):.2f}\u2013{max(seconds):.2f}",
        "memory": f"{max(m for _, m in figures):.0f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--all", action="store_true", help="whole trees as well")
    parser.add_argument("--only", default="", metavar="TEXT", help="only commands whose title ends so")
    parser.add_argument("trees", nargs="*", type=Path)
    options = parser.parse_args()
    print(f"{'command':60} {'median s':>9} {'min':>7} {'max':>7} {'peak MB':>8}")
    for title, arguments in {"prove --version": ["--version"], "prove overlap": ["overlap"]}.items():
        if title.endswith(options.only):
            show(title, [*PROVE, *arguments], options.runs)
    rows = []
    for title, arguments in commands(options.trees, options.all).items():
        if not title.endswith(options.only):
            continue
        with tempfile.TemporaryDirectory() as cache:
            once([*PROVE, *arguments, "--cache-dir", cache])
            cold = show(title, [*PROVE, *arguments, "--no-cache"], options.runs)
            again = show(f"{title}, again", [*PROVE, *arguments, "--cache-dir", cache], options.runs)
            rows.append({"command": title, **cold, "again": again["median"]})
    if options.json and options.only and options.json.exists():
        timed = {row["command"]: row for row in rows}
        kept = json.loads(options.json.read_text(encoding="utf-8"))["rows"]
        rows = [timed.pop(row["command"], row) for row in kept] + list(timed.values())
    if options.json:
        document = {
            "runs": options.runs,
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
            "command": "bench/run.py",
            "rows": rows,
        }
        options.json.parent.mkdir(exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
