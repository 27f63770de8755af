"""The operators: each a named, mechanical change, found by the syntax of what the callbacks execute.

Every operator also says what it expects of its mutants, by a rule over the source's text that asks neither
the reader's execution nor the prover, and says "undecided" where that does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from . import delays, prunes, walks
from .code import Code
from .mutant import Mutant

RCU_DELAY = ("rcu-delay-dentry", "rcu-delay-inode", "rcu-delay-super")
WALK = ("no-blocking", "null-inode", "rcu-no-store", *RCU_DELAY)


@dataclass(frozen=True)
class Operator:
    """One kind of change.

    does  in a few words
    aims  the clauses that it can break, those first that are quick to decide
    """

    name: str
    does: str
    aims: tuple[str, ...]
    find: Callable[[Code], Iterator[Mutant]]


OPERATORS = tuple(
    Operator(*row)
    for row in (
        (
            "no-rcu-delay",
            "free, or call, at once instead of after a grace period",
            RCU_DELAY,
            delays.no_rcu_delay,
        ),
        ("no-bail-out", "do not give up with -ECHILD in RCU mode", WALK, walks.no_bail_out),
        ("no-null-test", "do not test whether the inode is NULL", ("null-inode",), walks.no_null_test),
        ("double-read", "read d_inode anew at every use", ("null-inode",), walks.double_read),
        ("no-lock-pair", "take no lock", (*RCU_DELAY, "rcu-no-store", "null-inode"), walks.no_lock_pair),
        (
            "free-in-prune",
            "free in ->d_prune() instead of ->d_release()",
            ("prune-frees-nothing", "rcu-delay-dentry"),
            prunes.free,
        ),
        ("unlock-in-prune", "drop and retake d_lock in ->d_prune()", ("prune-keeps-locks",), prunes.unlock),
        ("store-in-prune", "store to the dentry in ->d_prune()", ("prune-is-const",), prunes.store),
        ("block-in-hash", "allocate memory where the method may not sleep", ("no-blocking",), walks.block),
        (
            "free-to-evict",
            "do the work of ->free_inode() at once, in ->destroy_inode()",
            ("rcu-delay-inode",),
            delays.free_to_evict,
        ),
        (
            "no-hidden-grace-period",
            "do not wait for a grace period",
            RCU_DELAY,
            delays.no_hidden_grace_period,
        ),
    )
)
NAMES = tuple(o.name for o in OPERATORS)


def mutants(code: Code, names: tuple[str, ...] = NAMES) -> tuple[Mutant, ...]:
    """Every mutant of the filesystem by these operators, in the order of operators, then of the source."""
    found: list[Mutant] = []
    for operator in OPERATORS:
        if operator.name not in names:
            continue
        count: dict[tuple[str, str], int] = {}
        seen = set()
        for mutant in sorted(operator.find(code), key=lambda m: (m.file, m.line, m.edits[0].start, m.change)):
            if mutant.edits in seen:
                continue
            seen.add(mutant.edits)
            where = mutant.file, mutant.function
            count[where] = count.get(where, 0) + 1
            found.append(replace(mutant, number=count[where]))
    return tuple(found)
