"""What a mutant is: a change to the source that somebody might make, and what became of it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..proofs.verdict import Verdict


class Expected(enum.Enum):
    """Whether a mutant matters, by a rule over the source's text that asks neither reader nor prover."""

    MATTERS = "matters"
    HARMLESS = "harmless"
    UNDECIDED = "undecided"


class Outcome(enum.Enum):
    """What became of a mutant."""

    KILLED = "killed"
    """Some obligation is violated that was not."""
    UNKNOWN = "unknown"
    """Nothing more is violated, but something is unknown that was not."""
    MASKED = "masked"
    """Nothing turned, and no clause that the operator aims at is proved or not applicable for any table:
    there is no proof that the change could have broken."""
    EQUIVALENT = "equivalent"
    """Nothing turned, and the rule says that the change is harmless."""
    SURVIVED = "survived"
    """Nothing turned, and nobody has said why."""
    EXPLAINED = "explained"
    """Nothing turned, and somebody who read the source said why not."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The characters [start, end) of a file, and what takes their place."""

    path: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    operator    the name of the operator that makes it
    file, line  where, and the function that it is in (or the table)
    change      what is changed, in a few words
    expected    whether it matters; `why` says by what
    number      tells apart the mutants of one operator in one function, from 1
    aims        the clauses that it can break, where they are fewer than the operator's
    """

    operator: str
    file: str
    line: int
    function: str
    change: str
    edits: tuple[Edit, ...]
    expected: Expected
    why: str
    number: int = 1
    aims: tuple[str, ...] = ()

    def overlay(self, texts: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """The changed files as (path, text); `texts` has them as they were."""
        changed: dict[str, str] = {}
        for edit in sorted(self.edits, key=lambda e: -e.start):
            text = changed.get(edit.path, texts[edit.path])
            old = text[edit.start : edit.end]
            lines = "\n" * max(0, old.count("\n") - edit.text.count("\n"))
            changed[edit.path] = text[: edit.start] + edit.text + lines + text[edit.end :]
        return tuple(sorted(changed.items()))


Place = tuple[str, str, str, str, int]
"""What a mutant is told by from tree to tree: filesystem, operator, file, function, number."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A clause of a table whose verdict turned, or which has more violated or unknown obligations."""

    table: str
    clause: str
    before: Verdict
    after: Verdict
    about: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one mutant of one filesystem. `reason`: of an explained one why it survived, of an
    unknown one what stood in the way."""

    filesystem: str
    mutant: Mutant
    outcome: Outcome
    turns: tuple[Turn, ...] = ()
    reason: str = ""

    @property
    def place(self) -> Place:
        """What it is told by."""
        m = self.mutant
        return self.filesystem, m.operator, m.file, m.function, m.number

    @property
    def unexpected(self) -> bool:
        """Whether it was killed though the rule says that it is harmless: either is wrong."""
        return self.outcome is Outcome.KILLED and self.mutant.expected is Expected.HARMLESS


@dataclass(frozen=True, slots=True)
class Mutation:
    """The answer to `prove mutate`. `findings` is empty where only places were asked for.

    stale   places that an explanation was given for and where no mutant survived
    """

    kernel: str
    tree: str
    places: tuple[tuple[str, Mutant], ...]
    findings: tuple[Finding, ...]
    stale: tuple[Place, ...] = ()
    seconds: float = 0.0

    @property
    def survivors(self) -> tuple[Finding, ...]:
        """Those that nothing noticed and nobody explained."""
        return tuple(f for f in self.findings if f.outcome is Outcome.SURVIVED)

    @property
    def status(self) -> int:
        """The exit status: 1 if there is a survivor that nobody explained."""
        return 1 if self.survivors else 0


def count(findings: Iterable[Finding]) -> dict[Outcome, int]:
    """How many there are of each outcome, those that did not occur too."""
    found = list(findings)
    return {o: sum(f.outcome is o for f in found) for o in Outcome}
