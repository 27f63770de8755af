"""Writes a certificate of each proof of one kernel's models, and checks every one of them.

    python bench/certificates.py [--kernel VERSION] [--json FILE]

Prints how many there are, how many check, the largest, and how long the checks took.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dentryproof.checker.check import check_file
from dentryproof.proofs.kept import kept_kernel


def main() -> int:
    """Print the figures, and write them to a file if asked to; 1 if a certificate does not check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    kernel = kept_kernel(options.kernel)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dentryproof", "--all", "--kernel", kernel, "--quiet", "--no-cache"]
        started = time.perf_counter()
        subprocess.run([*command, "--certificate", folder], check=False, stdout=subprocess.DEVNULL)
        made = time.perf_counter() - started
        found, seconds = [], []
        for path in sorted(Path(folder).glob("*.json")):
            if path.name != "index.json":
                started = time.perf_counter()
                found.append(check_file(path)[0])
                seconds.append(time.perf_counter() - started)
    wrong = [c for c in found if c.reason]
    document = {
        "kernel": kernel,
        "proved": len(found),
        "checked": len(found) - len(wrong),
        "most_clauses": max(c.clauses for c in found),
        "most_steps": max(c.proof for c in found),
        "slowest": f"{max(seconds):.2f}",
        "seconds": f"{sum(seconds):.1f}",
        "made": f"{made:.1f}",
    }
    print(*(f"{k}: {v}" for k, v in document.items()), sep="\n")
    for c in wrong:
        print(f"{c.file}: {c.reason}", file=sys.stderr)
    if options.json:
        options.json.parent.mkdir(exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
