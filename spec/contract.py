"""The clauses of the contract (`spec/contract.toml`)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from .logic import Formula, parse
from .vfs import Range, ranged


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels that a clause holds for: a range, but for some within it."""

    range: Range
    but: tuple[Range, ...] = ()

    def holds(self, kernel: str) -> bool:
        """Whether the clause holds for `kernel`."""
        return self.range.holds(kernel) and not any(r.holds(kernel) for r in self.but)

    def __str__(self) -> str:
        return ", but not ".join(map(str, (self.range, *self.but)))


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause: what holds, as a temporal formula, whom it binds, in which kernels, and its source. `rests`
    are the sequences of the VFS side whose steps its proofs lean on."""

    id: str
    statement: str
    formula: Formula
    binds: tuple[str, ...]
    kernels: Kernels
    source: str
    rests: tuple[str, ...] = ()


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
            Kernels(
                Range(c.get("since", ""), c.get("until", "")),
                tuple(ranged(t)[0] for t in c.get("but", ())),
            ),
            c["source"],
            tuple(c.get("rests", ())),
        )
        for c in tomllib.loads(text)["clause"]
    )


def clause(name: str) -> Clause:
    """The clause whose id is `name`; KeyError if there is none."""
    return {c.id: c for c in clauses()}[name]
