"""The clauses of the contract (`spec/contract.toml`)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from .logic import Formula, parse
from .vfs import Range


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause: what holds, as a temporal formula, whom it binds, in which kernels, and its source."""

    id: str
    statement: str
    formula: Formula
    binds: tuple[str, ...]
    kernels: Range
    source: str


@cache
def clauses() -> tuple[Clause, ...]:
    """All clauses, in the contract's order; SpecificationError where a formula cannot be read."""
    text = resources.files("dentryproof.spec").joinpath("contract.toml").read_text(encoding="utf-8")
    return tuple(
        Clause(
            c["id"],
            c["statement"],
            parse(c["formula"]),
            tuple(c["binds"]),
            Range(c.get("since", ""), c.get("until", "")),
            c["source"],
        )
        for c in tomllib.loads(text)["clause"]
    )


def clause(name: str) -> Clause:
    """The clause whose id is `name`; KeyError if there is none."""
    return {c.id: c for c in clauses()}[name]
