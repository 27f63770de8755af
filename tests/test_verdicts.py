"""Verdicts on real kernels against what was established by reading their source.

`tests/expected/VERSION.tsv` has a row for each filesystem, table and clause: the verdict and the reason, with
the file and line that was read: for kernels of which the repository keeps models all verdicts, for others
bugs on record and what was read besides. Models are checked everywhere; trees where DENTRYPROOF_TREES names a
folder that holds them. `tests/expected/disagreements.tsv` lists where the tool is known to say something
else, and why: each such row must still disagree.
"""

from __future__ import annotations

import csv
import json
import os
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from dentryproof.proofs.engine import kernels, overlap_answer, run
from dentryproof.proofs.request import Request
from dentryproof.proofs.verdict import Overlap, clause_verdicts
from dentryproof.reader.tree import Tree
from dentryproof.report.json import dump, report_document, schema
from dentryproof.spec.vfs import version

EXPECTED = Path(__file__).parent / "expected"


def _table(path: Path) -> list[dict[str, str]]:
    text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


DISAGREEMENTS = {
    (row["kernel"], row["filesystem"], row["table"], row["clause"]): row["reason"]
    for row in _table(EXPECTED / "disagreements.tsv")
}
ROWS = [
    (path.stem, row["filesystem"], row["table"], row["clause"], row["verdict"])
    for path in sorted(EXPECTED.glob("[0-9]*.tsv"))
    for row in _table(path)
]


def _same(kernel: str, other: str) -> bool:
    return version(other)[: len(version(kernel))] == version(kernel)


def _cases(kept: bool = False) -> list[object]:
    """The rows, or those of kernels of which models are kept."""
    found = []
    for kernel, filesystem, table, clause, verdict in ROWS:
        if kept and not any(_same(kernel, k) for k in kernels()):
            continue
        why = DISAGREEMENTS.get((kernel, filesystem, table, clause))
        marks = [pytest.mark.xfail(strict=True, reason=why)] if why else []
        name = f"{kernel}-{filesystem}-{table}-{clause}"
        found.append(pytest.param(kernel, filesystem, table, clause, verdict, marks=marks, id=name))
    return found


@cache
def _trees() -> dict[str, Path]:
    folder = os.environ.get("DENTRYPROOF_TREES")
    found = {}
    for path in sorted(Path(folder).iterdir()) if folder else ():
        if (path / "Makefile").is_file():
            found[Tree(path).version] = path
    return found


@cache
def _decided(kernel: str, tree: Path | None) -> dict[tuple[str, str, str], str]:
    """Clause verdicts of everything, or of a kernel without models only of the filesystems that have rows."""
    everything = kernel in kernels()
    named = () if everything else tuple(sorted({row[1] for row in ROWS if _same(row[0], kernel)}))
    report = run(
        Request(
            filesystems=named,
            everything=everything,
            linux=tree,
            kernel=None if tree else kernel,
            jobs=os.cpu_count() or 1,
        )
    )
    return {
        (v.filesystem, v.table, v.clause): v.verdict.value + (" (debug build only)" if v.debug_only else "")
        for v in clause_verdicts(report.results)
    }


def test_every_disagreement_is_about_a_row() -> None:
    assert DISAGREEMENTS.keys() <= {row[:4] for row in ROWS}


@pytest.mark.parametrize(("kernel", "filesystem", "table", "clause", "verdict"), _cases(kept=True))
def test_models(kernel: str, filesystem: str, table: str, clause: str, verdict: str) -> None:
    full = next(k for k in kernels() if _same(kernel, k))
    assert _decided(full, None)[(filesystem, table, clause)] == verdict


@pytest.mark.parametrize(("kernel", "filesystem", "table", "clause", "verdict"), _cases())
def test_trees(kernel: str, filesystem: str, table: str, clause: str, verdict: str) -> None:
    full, tree = next(((v, p) for v, p in _trees().items() if _same(kernel, v)), (kernel, None))
    if tree is None:
        pytest.skip(
            f"no tree of kernel {kernel}: see tests/get-trees, and name a folder in DENTRYPROOF_TREES"
        )
    assert _decided(full, tree)[(filesystem, table, clause)] == verdict


@pytest.mark.parametrize("kernel", kernels())
def test_models_and_tree_say_the_same(kernel: str) -> None:
    """A model that is stale, or a reader that reads otherwise now, shows here."""
    tree = _trees().get(kernel)
    if tree is None:
        pytest.skip(f"no tree of kernel {kernel}")
    assert _decided(kernel, None) == _decided(kernel, tree)


@pytest.mark.parametrize("filesystem", ["autofs", "ceph"])
def test_reports_are_what_the_schema_says(filesystem: str) -> None:
    for kernel in kernels():
        report = run(Request(filesystems=(filesystem,), kernel=kernel))
        jsonschema.validate(json.loads(dump(report_document(report))), schema())


@pytest.mark.parametrize("kernel", ["5.0.1", "6.1", "6.12", "6.14"])
def test_teardown_overlaps_only_the_lockless_methods(kernel: str) -> None:
    """The mail: d_prune() and d_release() overlap only lockless d_hash, d_compare, d_revalidate, d_manage."""
    answer = overlap_answer(Request(kernel=kernel))
    for teardown in ("d_prune", "d_release"):
        others = {
            p.left if p.right == teardown else p.right
            for p in answer.pairs
            if teardown in (p.left, p.right) and p.overlap is not Overlap.NEVER
        }
        assert others == {"d_hash", "d_compare", "d_revalidate", "d_manage"}
