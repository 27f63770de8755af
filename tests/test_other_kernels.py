"""Signatures and rules of kernels that no tree is kept of: small filesystems, held to one version each."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from dentryproof.proofs.engine import run
from dentryproof.proofs.request import Request
from dentryproof.proofs.verdict import clause_verdicts

TREE = Path(__file__).parent / "fixtures" / "kernels"
_EXPECTED = re.compile(
    r"^ \* (\d+\.\d+) ([a-z]+(?:-[a-z]+)+): (proved|violated|unknown|not-applicable), ", re.M
)


def expected() -> list[tuple[str, str, str, str]]:
    """Filesystem, kernel, clause and verdict, as each fixture's first comment states them."""
    return [
        (path.parent.name, *stated)
        for path in sorted((TREE / "fs").glob("*/*.c"))
        for stated in _EXPECTED.findall(path.read_text(encoding="utf-8").partition("*/")[0])
    ]


@cache
def decided(filesystem: str, kernel: str) -> dict[str, str]:
    """The verdict on each clause of one fixture under the rules of a kernel."""
    report = run(Request(filesystems=(filesystem,), linux=TREE, kernel=kernel))
    return {v.clause: v.verdict.value for v in clause_verdicts(report.results)}


def test_every_fixture_states_a_verdict() -> None:
    assert {e[0] for e in expected()} == {p.name for p in (TREE / "fs").iterdir()}


@pytest.mark.parametrize(("filesystem", "kernel", "clause", "verdict"), expected())
def test_verdict(filesystem: str, kernel: str, clause: str, verdict: str) -> None:
    assert decided(filesystem, kernel)[clause] == verdict
