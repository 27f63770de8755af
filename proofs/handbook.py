"""Everything that tables and pictures of the contract show, for one kernel version, from `spec/` alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import UsageError
from ..spec.contract import clauses
from ..spec.lifecycle import LOCKS, TEARDOWN, Stage, besides, held, lifecycle
from ..spec.logic import Formula
from ..spec.vfs import Callback, Vfs, version, vfs
from .verdict import ContractAnswer, Overlap, OverlapAnswer

DENTRY = "dentry_operations"


@dataclass(frozen=True, slots=True)
class CallbackEntry:
    """A row of the callback table.

    held      (lock, ``yes`` | ``no`` | ``sometimes``) for each lock of `spec.lifecycle.LOCKS`
    const     the arguments that it takes as pointers to const; `kept` if a clause forbids it to write the
    dentry overlaps  the dentry callbacks that can run at the same time on the same dentry; None for a method
    of
              something else
    told      the locks that the callback table of locking.rst says are held
    """

    method: str
    of: str
    declaration: str
    purpose: str
    lockless: bool
    blocks: str
    held: tuple[tuple[str, str], ...]
    const: tuple[str, ...]
    kept: bool
    overlaps: tuple[str, ...] | None
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Handbook:
    """The contract of one kernel version; `besides` are locks that some who tear down a dentry hold as well,
    `changes` are (kernel, what changed there)."""

    answer: ContractAnswer
    callbacks: tuple[CallbackEntry, ...]
    overlap: OverlapAnswer
    stages: tuple[Stage, ...]
    besides: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]
    since: str
    until: str

    @property
    def kernel(self) -> str:
        """The kernel version."""
        return self.answer.kernel


def changes(side: Vfs, since: str = "", until: str = "") -> tuple[tuple[str, str], ...]:
    """What changed from `since` to `until`, both included; UsageError where these are no versions, or the
    wrong way round."""
    first, last = (version(v)[:2] if v else () for v in (since, until))
    if first and last and first > last:
        raise UsageError(f"--since {since} is newer than --until {until}")
    return tuple(
        (kernel, what)
        for kernel, what in side.changes
        if (not first or version(kernel)[:2] >= first) and (not last or version(kernel)[:2] <= last)
    )


def handbook(answer: ContractAnswer, overlap: OverlapAnswer, since: str = "", until: str = "") -> Handbook:
    """The tables of the kernel that `answer` and `overlap` are about."""
    side = vfs(answer.kernel)
    kept = {m for c in clauses() if c.kernels.holds(side.kernel) for m in _unwritten(c.formula)}
    entries = tuple(_entry(c, side, c.method in kept, overlap) for c in side.callbacks)
    return Handbook(
        answer,
        entries,
        overlap,
        lifecycle(side),
        besides(side.sequence(TEARDOWN)),
        changes(side, since, until),
        since,
        until,
    )


def _unwritten(formula: Formula) -> Iterator[str]:
    """The methods of which a formula says that they never store to the dentry: ``always !stores(METHOD)``."""
    inner = formula.args[0] if formula.op == "always" else formula
    if inner.op == "not" and inner.args[0].name == "stores":
        yield from inner.args[0].params


def _entry(callback: Callback, side: Vfs, kept: bool, overlap: OverlapAnswer) -> CallbackEntry:
    name = callback.method
    with_ = {
        other
        for p in overlap.pairs
        if p.overlap is Overlap.OVERLAPS and name in (p.left, p.right)
        for other in (p.right if p.left == name else p.left,)
    }
    locks = held(side, name)
    return CallbackEntry(
        name,
        callback.of,
        callback.declaration,
        callback.purpose,
        callback.lockless,
        callback.blocks,
        tuple((lock, locks[lock]) for lock in LOCKS.values()),
        tuple(dict.fromkeys(r for r in callback.prototype if r in callback.const)),
        kept,
        tuple(m for m in overlap.callbacks if m in with_) if name in overlap.callbacks else None,
        callback.locks,
    )
