"""What puts each clause to the test: without it, that the clause holds would say nothing.

A proof bears a trace, replayed, in which the callbacks run and all that is wanted here happens; where none of
something is there at all, it says so and how much was looked at. A scenario whose callbacks never run proves
nothing (`decide.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..encodings.scenario import Scenario

Count = tuple[str, str, str]
"""A predicate, and what its steps are called: one, many."""


@dataclass(frozen=True, slots=True)
class Situation:
    """When a clause is put to the test.

    wanted     what must happen in a trace for it to say something, and what it means that it never does
    forbidden  what the clause forbids, so that no trace can show it; and what it means that there is none
    """

    wanted: tuple[tuple[Count, str], ...]
    forbidden: tuple[tuple[Count, str], ...] = ()


_FREES = ("destroyed(o)", "free", "frees")
_DELAY = Situation(
    (
        (("access(o)", "access", "accesses"), "the walker reaches nothing of it"),
        (_FREES, "the teardown destroys nothing that the walker reaches"),
    )
)

SITUATIONS: dict[str, Situation] = {
    "prune-keeps-locks": Situation(
        ((("own_lock(d_prune)", "lock taken", "locks taken"), "it takes no lock of its own"),),
        ((("unlock(d_prune)", "lock dropped", "locks dropped"), "it drops no lock"),),
    ),
    "prune-frees-nothing": Situation(
        (), ((("destroys(d_prune)", "free", "frees"), "it destroys nothing that hangs off its dentry"),)
    ),
    "prune-is-const": Situation(
        (), ((("stores(d_prune)", "store", "stores"), "it stores to no member of its dentry"),)
    ),
    "dead-stays-dead": Situation(
        (
            (("pruned", "->d_prune() call", "->d_prune() calls"), "->d_prune() is not called"),
            (("counted", "reference taken", "references taken"), "nothing takes a counted reference"),
        )
    ),
    "rcu-delay-dentry": _DELAY,
    "rcu-delay-inode": _DELAY,
    "rcu-delay-super": _DELAY,
    "null-inode": Situation(
        (
            (("fetch(o)", "fetch of d_inode", "fetches of d_inode"), "it fetches d_inode nowhere"),
            (("cleared(o)", "clearing", "clearings"), "d_inode is never cleared"),
        ),
        ((("null_access(o)", "use", "uses"), "nothing that was fetched is followed"),),
    ),
    "no-blocking": Situation(
        (), ((("blocks", "blocking call", "blocking calls"), "it calls nothing that may block"),)
    ),
    "no-double-free": Situation(((_FREES, "nothing that hangs off the dentry is destroyed"),)),
    "balanced-locks": Situation(
        (
            (("acquires(o)", "lock taken", "locks taken"), "it takes no lock"),
            (("releases(o)", "lock dropped", "locks dropped"), "it drops no lock"),
            (("exit(o)", "return", "returns"), "it never returns"),
        )
    ),
    "rcu-no-store": Situation(
        (),
        ((("stores(d_revalidate)", "store", "stores"), "it stores to no member of its dentry but d_time"),),
    ),
}


def present(clause: str, scenario: Scenario) -> tuple[str, ...]:
    """The predicates that a witness of `clause` has steps of: those wanted that some step bears."""
    counts = _counts(scenario)
    return tuple(p for (p, _, _), _ in _situation(clause).wanted if counts.get(p))


def absent(clause: str, scenario: Scenario) -> str:
    """What keeps the clause from being put to the test, with numbers; "" where all that is wanted is."""
    situation, counts = _situation(clause), _counts(scenario)
    why = [text for (p, _, _), text in situation.wanted if not counts.get(p)]
    if not situation.wanted:
        why = [text for (p, _, _), text in situation.forbidden if not counts.get(p)]
    if not why:
        return ""
    numbers = []
    for (p, one, many), _ in (*situation.wanted, *situation.forbidden):
        n = counts.get(p, 0)
        numbers.append(f"{n} {one if n == 1 else many}")
    return f"{' and '.join(why)} ({', '.join(numbers)} compared)"


def _situation(clause: str) -> Situation:
    return SITUATIONS.get(clause, Situation(()))


def _counts(scenario: Scenario) -> dict[str, int]:
    found: dict[str, int] = {}
    for step in scenario.steps:
        for text in {text for text, _ in step.labels}:
            found[text] = found.get(text, 0) + 1
    return found
