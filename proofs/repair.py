"""Repairs: for each violation the smallest set of changes under which the clause is proved.

Every change that may help has a switch in one model (`changes.py`). The solver says for which settings a
trace still breaks the clause, and the smallest set that none of its answers rules out is tried next. A set is
a repair only if the program with these changes made goes through the ordinary proofs: the clause is proved
for these callbacks and this object, nothing that was proved is lost, what is freed and what is read still is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..encodings.smallest import Smallest
from ..encodings.switches import Switchboard
from ..encodings.weak import MEMORY_MODELS
from ..spec.contract import Clause, clauses
from ..spec.program import Model
from ..spec.vfs import Vfs
from .candidates import candidates
from .changes import Change, changed, switched
from .decide import Decisions
from .obligation import Obligation
from .obligations import questions
from .verdict import Edit, Key, Repair, Result, Verdict

if TYPE_CHECKING:
    from .rewrite import Rewriter

MOST = 3
"""Changes in one repair."""
PROOFS = 16
"""Sets that are proved again before the search is given up."""
SECONDS = 60.0
"""What the search for one repair may take."""
_BAD = (Verdict.VIOLATED, Verdict.UNKNOWN)
_LIST = (
    "delay the free, move it to ->free_inode(), read once, test for NULL, drop the store, take a lock, "
    "return -ECHILD in RCU mode"
)


@dataclass(frozen=True, slots=True)
class _Proved:
    """One question of a model, and its answer."""

    clause: str
    question: Obligation | Result
    result: Result


@dataclass(frozen=True, slots=True)
class Found:
    """A repair, and the changes that it is made of (none if there is none)."""

    repair: Repair
    changes: tuple[Change, ...] = ()


class Repairs:
    """Repairs of one model's violations. `decisions` also decides the changed models."""

    def __init__(
        self,
        model: Model,
        vfs: Vfs,
        decisions: Decisions,
        rewrite: Rewriter | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.model, self.vfs, self.decisions, self.seconds = model, vfs, decisions, seconds
        self.rewrite = rewrite
        self.before: list[_Proved] = []
        self._deadline, self._open = 0.0, ""
        self._found: dict[Key, Found] = {}

    def prepare(self) -> Iterator[None]:
        """Answer every question of the model as it is; a step after each."""
        self.before = []
        for clause in clauses():
            for proved in self._decided(self.model, clause):
                self.before.append(proved)
                yield

    def extend(self, seconds: float) -> None:
        """From now on, so many seconds are left."""
        self._deadline = time.monotonic() + seconds

    def of(self, result: Result) -> Found:
        """The repair of a violated result: one for all results with its key. After `prepare`."""
        if result.key not in self._found:
            self._found[result.key] = self._search(result)
        return self._found[result.key]

    # -- the search

    def _search(self, result: Result) -> Found:
        self.extend(self.seconds)
        violated = [
            p.question
            for p in self.before
            if p.clause == result.clause
            and _about(result, p.result)
            and p.result.verdict is Verdict.VIOLATED
            and isinstance(p.question, Obligation)
        ]
        found = candidates(self.model, self.vfs, violated)
        if not found:
            return _none(f"none of the changes that are tried ({_LIST}) bears on it")
        changes = dict(enumerate(found))
        with ExitStack() as stack:
            switches = [c.switch(n) for n, c in changes.items()]
            allowed = MEMORY_MODELS[self.decisions.memory_model]
            boards = [
                _Board(stack.enter_context(Switchboard(allowed(o.scenario), o.formula, switches)), o)
                for o in self._goals(switched(self.model, changes), result)
            ]
            smallest = stack.enter_context(Smallest({n: 1000 + n for n in changes}))
            return self._smallest(result, changes, boards, smallest)

    def _smallest(
        self, result: Result, changes: dict[int, Change], boards: list[_Board], smallest: Smallest
    ) -> Found:
        why, tried, self._open = "", 0, ""
        more = True
        while more and (chosen := smallest.next()) is not None and len(chosen) <= MOST:
            if time.monotonic() > self._deadline or tried == PROOFS:
                return _none(f"the search was given up after {tried} sets of changes were proved again", why)
            core = self._counterexample(boards, chosen, changes)
            if core is not None:
                more = smallest.demand(*core)
                continue
            tried += 1
            broken = self._vacuous(boards, chosen, changes) or self._reproved(result, chosen, changes)
            made = tuple(changes[n] for n in sorted(chosen))
            patched = self.rewrite(self.model, made) if self.rewrite is not None and not broken else None
            if patched is not None:
                broken = self.compared(result, patched.model)
            if not broken:
                edits = tuple(
                    Edit(c.kind, c.text, c.source.file, c.source.line, c.source.function) for c in made
                )
                return Found(Repair(edits, patched.diff if patched is not None else ""), made)
            told = "; ".join(changes[n].text for n in sorted(chosen))
            why = why or f"{told}: {broken}"
            more = smallest.exclude(chosen)
        several = f"none of {len(changes)} changes, and no {MOST} of them together, mends it"
        reason = several if len(changes) > 1 else f"what might mend it does not: {changes[0].text}"
        return _none(reason, "; ".join(filter(None, (why, self._open))))

    def _goals(self, model: Model, result: Result) -> Iterator[Obligation]:
        """The obligations that are to hold: of the violated callbacks and object, wherever the free went."""
        for question in questions(model, _clause(result.clause), self.vfs):
            if isinstance(question, Obligation) and not question.doubt and _about(result, question):
                yield question

    def _counterexample(
        self, boards: list[_Board], chosen: frozenset[int], changes: dict[int, Change]
    ) -> tuple[list[int], list[int]] | None:
        """What a set must have that mends it, as for `Smallest.demand`: one change that is not in a largest
        set, larger than `chosen`, with which the clause is still broken. None if it is not with `chosen`.

        Taking back a store may break what relies on it, and what is read once goes past the test of a later
        read: about sets that differ there, nothing is said.
        """
        name = {n: c.switch(n) for n, c in changes.items()}
        numbers = {s: n for n, s in name.items()}
        fixed = {
            n for n, c in changes.items() if c.kind in ("drop", "once") or (c.kind == "move" and c.others)
        }
        for board in boards:
            on, off = {name[n] for n in chosen}, {name[n] for n in changes if n not in chosen}
            outcome, _ = board.switchboard.breaks(on, off, self._left)
            if outcome.status == "unsat":
                continue
            if outcome.status == "unknown":
                self._open = f"whether some of them do is open: {outcome.reason}"
                return [n for n in changes if n not in chosen], list(chosen)
            off = {name[n] for n in fixed if n not in chosen}
            largest = frozenset(on)
            for n in changes:
                if name[n] not in largest and n not in fixed:
                    outcome, found = board.switchboard.breaks(largest | {name[n]}, off, self._left)
                    largest = found if outcome.status == "sat" else largest
            kept = {numbers[s] for s in largest}
            some = [n for n in changes if n not in kept and (n not in fixed or n not in chosen)]
            return some, [n for n in fixed if n in chosen]
        return None

    @property
    def _left(self) -> float:
        return max(0.001, self._deadline - time.monotonic())

    # -- what a repair must be

    def _vacuous(self, boards: list[_Board], chosen: frozenset[int], changes: dict[int, Change]) -> str:
        """Why the clause would hold for want of anything to break it; "" if there still is."""
        kinds = {changes[n].kind for n in chosen}
        on = [changes[n].switch(n) for n in chosen]
        off = [c.switch(n) for n, c in changes.items() if n not in chosen]
        wanted = []
        if kinds & {"delay", "move"}:
            wanted.append(("destroyed(o)", "what it delays is then never freed"))
        if not kinds & {"bail", "drop"}:
            wanted += [
                (label, "what it keeps apart from is then never reached")
                for label in ("access(o)", "null_access(o)")
            ]
        for label, said in wanted:
            bearing = [b.switchboard for b in boards if _bears(b.obligation, label)]
            freed = label == "destroyed(o)"  # an access that is right reaches the object, or nothing
            if bearing and not any(b.happens(label, on, off, self._left, reached=freed) for b in bearing):
                return said
        return ""

    def _reproved(self, result: Result, chosen: frozenset[int], changes: dict[int, Change]) -> str:
        """Why the changed program is no repair; "" if all that is wanted of it is proved."""
        return self.compared(result, changed(self.model, changes, chosen))

    def compared(self, result: Result, model: Model) -> str:
        """Why `model` does not mend `result`; "" if it does.

        It does if the clause is proved for the callbacks and the object of `result`, and no other clause or
        obligation is worse than in the model as it was.
        """
        before = [p.result for p in self.before]
        first = _clause(result.clause)
        proved = False
        for clause in (first, *(c for c in clauses() if c.id != first.id)):
            was = [r for r in before if r.clause == clause.id]
            after: list[Result] = []
            for p in self._decided(model, clause):
                if time.monotonic() > self._deadline:
                    return "its proof takes too long"
                after.append(p.result)
                if clause.id == first.id and _about(result, p.result):
                    if p.result.verdict in _BAD:
                        return _said(p.result)
                    proved = proved or p.result.verdict is Verdict.PROVED
            worse = _worse(was, after)
            if worse is not None:
                return _said(worse)
            if clause.id == first.id:
                methods = {c.partition("[")[0] for c in result.callbacks}
                unsure = next(
                    (r for r in after if r.verdict is Verdict.UNKNOWN and methods.issuperset(r.callbacks)),
                    None,
                )
                if unsure is not None:
                    return _said(unsure)
                if not proved and not any(r.verdict is Verdict.PROVED for r in after):
                    return f"{clause.id} has nothing left to prove"
        return ""

    # -- proofs

    def _decided(self, model: Model, clause: Clause) -> Iterator[_Proved]:
        for question in questions(model, clause, self.vfs):
            if isinstance(question, Obligation):
                decision = self.decisions.decide(question)
                decision.ways.forget()
                yield _Proved(clause.id, question, decision.result)
            else:
                yield _Proved(clause.id, question, question)


@dataclass(frozen=True, slots=True)
class _Board:
    switchboard: Switchboard
    obligation: Obligation


def _bears(obligation: Obligation, label: str) -> bool:
    return any(text == label for s in obligation.scenario.steps for text, _ in s.labels)


def _clause(name: str) -> Clause:
    return next(c for c in clauses() if c.id == name)


def _about(result: Result, other: Obligation | Result) -> bool:
    """Whether `other` is about the same walker and object: what is freed may be freed by another method."""
    if other.object != result.object or len(other.callbacks) != len(result.callbacks):
        return False
    return other.callbacks[-1:] == result.callbacks[-1:]


def _worse(before: Sequence[Result], after: Sequence[Result]) -> Result | None:
    """A result of `after` that `before` has none like: violated or unknown where it was not."""
    for bad in ((Verdict.VIOLATED,), _BAD):
        had = Counter(r.key for r in before if r.verdict in bad)
        for r in after:
            if r.verdict in bad:
                had[r.key] -= 1
                if had[r.key] < 0:
                    return r
    return None


def _said(result: Result) -> str:
    about = " against ".join(result.callbacks)
    on = f" on {result.object}" if result.object else ""
    why = f" ({result.reason})" if result.verdict is Verdict.UNKNOWN and result.reason else ""
    return f"{result.clause} is then {result.verdict.value} for {about or 'all callbacks'}{on}{why}"


def _none(reason: str, why: str = "") -> Found:
    return Found(Repair(reason=f"{reason} ({why})" if why else reason))
