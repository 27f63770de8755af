"""Time to verdict side by side: this tool and what else people have, on the same obligations and machine.

    python bench/peers.py [--kernel VERSION] [--runs N] [--every N] [--linux TREE] [--json FILE] [NAME...]

The obligations are those of the filesystems named (autofs, ceph, nfs if none is), of their models, with
nothing reordered. Each way is timed as it is used, start-up counted:

this tool    one ``prove`` for all of them, without the cache: read the models, decide, replay, find witnesses
spin         the model written, ``spin -a``, the compiler, the search, for each obligation
z3           the script written, the program z3, for each obligation
cvc5         the same script asked of a cvc5 that runs already (its package has no program): no start-up
coccinelle   ``spatch`` with `rcu_free.cocci` over the filesystems' folders of a tree (``--linux``). It proves
             nothing
parse        ``--linux``: tree-sitter over every file that the models were read from: what reading costs at
             least; beside it ``prove --linux`` for the same filesystems

Ways take turns, a run after the other. All that decide must agree: figures of ways that disagree mean
nothing. Ways that are asked of every obligation get each distinct one once; ``prove`` decides all it has.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solvers import obligations
from spin import timed

from dentryproof.encodings.routes import Ways
from dentryproof.encodings.second import Cvc5, installed
from dentryproof.encodings.smtlib import script
from dentryproof.proofs.decide import decide
from dentryproof.proofs.kept import kept, kept_kernel, kept_text
from dentryproof.proofs.obligation import Obligation
from dentryproof.proofs.verdict import Verdict
from dentryproof.spec.modelfile import load

PROVE = [sys.executable, "-m", "dentryproof"]
RULE = Path(__file__).with_name("rcu_free.cocci")


@dataclass
class Timed:
    """Seconds that one way took: in all, of each run; and for one obligation, of all runs."""

    name: str
    totals: list[float] = field(default_factory=list)
    each: list[float] = field(default_factory=list)
    note: str = ""


def whole(command: list[str]) -> float:
    """Seconds of a whole process. CalledProcessError unless it ends as `prove` does."""
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 1, 3):
        raise subprocess.CalledProcessError(done.returncode, command)
    return time.perf_counter() - started


def one_by_one(
    way: Timed, ask: Callable[[Obligation], bool], asked: Iterable[tuple[Obligation, bool]]
) -> None:
    """Ask a way of each obligation, and compare what it says with what holds."""
    total = 0.0
    for obligation, broken in asked:
        started = time.perf_counter()
        said = ask(obligation)
        way.each.append(time.perf_counter() - started)
        total += way.each[-1]
        assert said == broken, (way.name, obligation.clause.id, obligation.callbacks)
    way.totals.append(total)


def script_of(obligation: Obligation) -> str:
    """The obligation as an SMT-LIB script, with nothing reordered."""
    ways = Ways(obligation.scenario)
    goal = ways.goal(obligation.formula, (), False)
    return script(ways.encoding.constraints(), goal, status="unknown", comments=(), source="bench").text


def folders(models: Iterable[Any], tree: Path) -> list[str]:
    """The folders, or files, of the tree that the tables of the models stand in."""
    found = {Path(m.source.file).parent if "/" in m.source.file else Path(m.source.file) for m in models}
    return sorted(str(tree / f) for f in found)


def parsed(tree: Path, files: Iterable[str]) -> None:
    """Parse every file with tree-sitter."""
    import tree_sitter
    import tree_sitter_c

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_c.language()))
    for name in files:
        parser.parse((tree / name).read_bytes())


def main() -> None:
    """Print a line a way: seconds in all (median, least, most), for one obligation, and against this tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--linux", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("filesystems", nargs="*", default=["autofs", "ceph", "nfs"])
    options = parser.parse_args()
    kernel, names = kept_kernel(options.kernel), list(options.filesystems)
    models = [load(kept_text(m.name), m.name) for m in kept(kernel, names)]
    mine = {m.table for m in models}
    distinct = [o for o in obligations(kernel, 1) if o.model.table in mine][:: options.every]
    asked = [(o, decide(o, memory_model="sc").result.verdict is Verdict.VIOLATED) for o in distinct]
    asked = [(o, broken) for o, broken in asked if not o.doubt]
    named = ("this tool", "spin", "z3", "cvc5", "coccinelle", "parse", "this tool, from source")
    ways = {name: Timed(name) for name in named}
    z3 = shutil.which("z3", path=str(Path(sys.executable).parent)) or shutil.which("z3")
    files = sorted({path for m in models for path, _ in m.files})
    cvc5 = Cvc5()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)

        def by_z3(obligation: Obligation) -> bool:
            path = folder / "obligation.smt2"
            path.write_text(script_of(obligation), encoding="utf-8")
            said = subprocess.run([str(z3), str(path)], capture_output=True, text=True, check=False).stdout
            return said.split()[0] == "sat"

        for _ in range(options.runs):
            kept_models = [*PROVE, *names, "--kernel", kernel, "--no-cache", "--jobs", "1"]
            ways["this tool"].totals.append(whole([*kept_models, "--memory-model", "sc"]))
            if shutil.which("spin"):
                one_by_one(ways["spin"], lambda o: timed(o, folder).broken, asked)
            if z3 is not None:
                one_by_one(ways["z3"], by_z3, asked)
            if installed():
                one_by_one(ways["cvc5"], lambda o: cvc5.ask(script_of(o)).status == "sat", asked)
            if options.linux is not None:
                places = folders(models, options.linux)
                if shutil.which("spatch"):
                    rule = ["spatch", "--very-quiet", "--sp-file", str(RULE), "--dir"]
                    ways["coccinelle"].totals.append(sum(whole([*rule, p]) for p in places))
                started = time.perf_counter()
                parsed(options.linux, files)
                ways["parse"].totals.append(time.perf_counter() - started)
                source = [*PROVE, "--linux", str(options.linux), *names, "--no-cache", "--jobs", "1"]
                ways["this tool, from source"].totals.append(whole(source))
    cvc5.end()
    first = statistics.median(ways["this tool"].totals)
    rows = []
    for way in ways.values():
        if not way.totals:
            continue
        total = statistics.median(way.totals)
        each = way.each or [total / len(asked)]
        rows.append(
            {
                "name": way.name,
                "total": f"{total:.2f}",
                "least": f"{min(way.totals):.2f}",
                "most": f"{max(way.totals):.2f}",
                "median": f"{statistics.median(each) * 1000:.1f}",
                "ratio": f"{total / first:.1f}",
            }
        )
        print(*rows[-1].values(), sep="\t")
    if options.json:
        document = {
            "kernel": kernel,
            "filesystems": names,
            "obligations": len(asked),
            "runs": options.runs,
            "machine": f"{platform.machine()}, Python {platform.python_version()}",
            "rows": rows,
        }
        options.json.parent.mkdir(exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
