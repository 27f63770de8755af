"""`prove litmus`: tests written here with the answer and its reason, two oracles that know nothing of the
search, the kernel's own tests where a tree is there, and bad input.

DENTRYPROOF_TREES names a folder of kernel trees, DENTRYPROOF_LITMUS one of litmus tests (paulmckrcu/litmus).
"""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import permutations, product
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dentryproof.commands.main import main
from dentryproof.encodings.execution import Execution, Kind, Tag
from dentryproof.encodings.models import AXIOMS, LKMM, MODELS, SC, MemoryModel, broken
from dentryproof.encodings.relations import Relation
from dentryproof.errors import InputError
from dentryproof.litmus import search as searching
from dentryproof.litmus.answer import Answer, Verdict, answer
from dentryproof.litmus.read import LARGEST, read, stated
from dentryproof.litmus.suite import Agreement, Outcome, compare, find, outcome
from dentryproof.litmus.syntax import Of, Stated, Test, UnsupportedError
from dentryproof.litmus.values import possible_traces

NEVER, SOMETIMES, ALWAYS = Verdict.NEVER, Verdict.SOMETIMES, Verdict.ALWAYS


def litmus(bodies: Sequence[str], condition: str, initial: str = "", heading: str = "") -> str:
    """A test whose threads have these bodies; every lower-case name that starts with a letter of `shared` and
    is used as ``*name`` or handed to a primitive is a parameter of each thread."""
    parameters = ", ".join(f"int *{v}" for v in ("a", "b", "c", "p", "lock", "dom"))
    threads = "\n".join(f"P{i}({parameters})\n{{\n{body}\n}}\n" for i, body in enumerate(bodies))
    return f"C made-up\n{heading}\n{{\n{initial}\n}}\n\n{threads}\n{condition}\n"


def ask(bodies: Sequence[str], condition: str, initial: str = "", model: MemoryModel | None = None) -> Answer:
    return answer(read(litmus(bodies, condition, initial), "made-up"), model or MODELS["lkmm"])


# ------------------------------------------------------------------------- answers, and why

MESSAGE = "exists (1:r0=1 /\\ 1:r1=0)"
BOTH_MISS = "exists (0:r0=0 /\\ 1:r0=0)"
BOTH_SEE = "exists (0:r0=1 /\\ 1:r0=1)"


def message(between_writes: str, between_reads: str) -> list[str]:
    return [
        f"WRITE_ONCE(*a, 1);\n{between_writes}\nWRITE_ONCE(*b, 1);",
        f"int r0 = READ_ONCE(*b);\n{between_reads}\nint r1 = READ_ONCE(*a);",
    ]


def buffers(between: str, other: str | None = None) -> list[str]:
    return [
        f"WRITE_ONCE(*a, 1);\n{between}\nint r0 = READ_ONCE(*b);",
        f"WRITE_ONCE(*b, 1);\n{between if other is None else other}\nint r0 = READ_ONCE(*a);",
    ]


CASES: dict[str, tuple[list[str], str, str, Verdict]] = {
    # Nothing orders two accesses to different locations but what follows.
    "message": (message("", ""), MESSAGE, "", SOMETIMES),
    "message-writes-only": (message("smp_wmb();", ""), MESSAGE, "", SOMETIMES),
    "message-reads-only": (message("", "smp_rmb();"), MESSAGE, "", SOMETIMES),
    "message-fences": (message("smp_wmb();", "smp_rmb();"), MESSAGE, "", NEVER),
    "message-compiler-barriers": (message("barrier();", "barrier();"), MESSAGE, "", SOMETIMES),
    "message-wrong-fences": (message("smp_rmb();", "smp_wmb();"), MESSAGE, "", SOMETIMES),
    "message-full": (message("smp_mb();", "smp_mb();"), MESSAGE, "", NEVER),
    "message-grace-periods": (
        message("synchronize_rcu();", "synchronize_rcu_expedited();"),
        MESSAGE,
        "",
        NEVER,
    ),
    # An unlock is ordered with a later lock of the same thread, which orders what is around them both.
    "message-relock": (
        message("spin_lock(lock); spin_unlock(lock); spin_lock(lock); spin_unlock(lock);", "smp_rmb();"),
        MESSAGE,
        "",
        NEVER,
    ),
    "message-critical-section": (
        message("spin_lock(lock); spin_unlock(lock);", "smp_rmb();"),
        MESSAGE,
        "",
        SOMETIMES,
    ),
    "release-acquire": (
        [
            "WRITE_ONCE(*a, 1); smp_store_release(b, 1);",
            "int r0 = smp_load_acquire(b); int r1 = READ_ONCE(*a);",
        ],
        MESSAGE,
        "",
        NEVER,
    ),
    "release-once": (
        ["WRITE_ONCE(*a, 1); smp_store_release(b, 1);", "int r0 = READ_ONCE(*b); int r1 = READ_ONCE(*a);"],
        MESSAGE,
        "",
        SOMETIMES,
    ),
    # The address comes from the first read.
    "publication": (
        [
            "WRITE_ONCE(*a, 1); rcu_assign_pointer(*p, a);",
            "int *r0 = rcu_dereference(*p); int r1 = READ_ONCE(*r0);",
        ],
        "exists (1:r0=a /\\ 1:r1=0)",
        "p=c;",
        NEVER,
    ),
    "publication-no-release": (
        ["WRITE_ONCE(*a, 1); WRITE_ONCE(*p, a);", "int *r0 = rcu_dereference(*p); int r1 = READ_ONCE(*r0);"],
        "exists (1:r0=a /\\ 1:r1=0)",
        "p=c;",
        SOMETIMES,
    ),
    # Store buffering needs a full fence on both sides, of any kind.
    "buffers": (buffers(""), BOTH_MISS, "", SOMETIMES),
    "buffers-one-side": (buffers("smp_mb();", ""), BOTH_MISS, "", SOMETIMES),
    "buffers-full": (buffers("smp_mb();"), BOTH_MISS, "", NEVER),
    "buffers-weak": (buffers("smp_wmb(); smp_rmb();"), BOTH_MISS, "", SOMETIMES),
    "buffers-xchg": (buffers("int r5 = xchg(c, 1);"), BOTH_MISS, "", NEVER),
    "buffers-xchg-relaxed": (buffers("int r5 = xchg_relaxed(c, 1);"), BOTH_MISS, "", SOMETIMES),
    "buffers-atomic": (buffers("atomic_inc(c);"), BOTH_MISS, "", SOMETIMES),
    "buffers-after-atomic": (buffers("atomic_inc(c); smp_mb__after_atomic();"), BOTH_MISS, "", NEVER),
    "buffers-before-atomic": (buffers("smp_mb__before_atomic(); atomic_dec(c);"), BOTH_MISS, "", NEVER),
    "buffers-return": (buffers("int r5 = atomic_add_return(3, c);"), BOTH_MISS, "", NEVER),
    # A cmpxchg() that fails orders nothing.
    "buffers-cmpxchg-fails": (buffers("int r5 = cmpxchg(c, 7, 8);"), BOTH_MISS, "", SOMETIMES),
    "buffers-unless": (buffers("int r5 = atomic_add_unless(c, 1, 0);"), BOTH_MISS, "", SOMETIMES),
    "buffers-after-spinlock": (
        buffers("spin_lock(lock); smp_mb__after_spinlock(); spin_unlock(lock);"),
        BOTH_MISS,
        "",
        NEVER,
    ),
    "buffers-store-mb": (
        ["smp_store_mb(*a, 1); int r0 = READ_ONCE(*b);", "smp_store_mb(*b, 1); int r0 = READ_ONCE(*a);"],
        BOTH_MISS,
        "",
        NEVER,
    ),
    "buffers-after-srcu": (
        buffers("int r6 = srcu_read_lock(dom); srcu_read_unlock(dom, r6); smp_mb__after_srcu_read_unlock();"),
        BOTH_MISS,
        "",
        NEVER,
    ),
    # Load buffering: dependencies to writes are kept.
    "loads": (
        ["int r0 = READ_ONCE(*a); WRITE_ONCE(*b, 1);", "int r0 = READ_ONCE(*b); WRITE_ONCE(*a, 1);"],
        BOTH_SEE,
        "",
        SOMETIMES,
    ),
    "loads-data": (
        ["int r0 = READ_ONCE(*a); WRITE_ONCE(*b, r0);", "int r0 = READ_ONCE(*b); WRITE_ONCE(*a, r0);"],
        BOTH_SEE,
        "",
        NEVER,
    ),
    "loads-control": (
        [
            "int r0 = READ_ONCE(*a); if (r0 == 1) WRITE_ONCE(*b, 1);",
            "int r0 = READ_ONCE(*b); if (r0) WRITE_ONCE(*a, 1);",
        ],
        BOTH_SEE,
        "",
        NEVER,
    ),
    "loads-control-ends": (
        [
            "int r0 = READ_ONCE(*a); if (r0) smp_rmb(); WRITE_ONCE(*b, 1);",
            "int r0 = READ_ONCE(*b); WRITE_ONCE(*a, r0);",
        ],
        BOTH_SEE,
        "",
        SOMETIMES,
    ),
    # A dependency through a plain variable of the thread's own is one.
    "loads-carried": (
        [
            "int r0 = READ_ONCE(*a); *c = r0; WRITE_ONCE(*b, *c);",
            "int r0 = smp_load_acquire(b); WRITE_ONCE(*a, r0);",
        ],
        BOTH_SEE,
        "",
        NEVER,
    ),
    # A register that is set in one branch of two carries none: what was read justifies itself.
    "loads-hidden": (
        [
            "int r0 = READ_ONCE(*a); int r1 = 0; if (r0 == 1) r1 = 1; WRITE_ONCE(*b, r1);",
            "int r0 = READ_ONCE(*b); WRITE_ONCE(*a, r0);",
        ],
        BOTH_SEE,
        "",
        SOMETIMES,
    ),
    # The same through plain writes, and the value in no branch that anything else leads to.
    "from-nowhere": (
        ["int r0 = READ_ONCE(*a); if (r0 == 42) *b = 7;", "int r0 = READ_ONCE(*b); if (r0 == 7) *a = 42;"],
        "exists (0:r0=42)",
        "",
        SOMETIMES,
    ),
    # One location: coherence.
    "read-read": (
        ["WRITE_ONCE(*a, 1);", "int r0 = READ_ONCE(*a); int r1 = READ_ONCE(*a);"],
        MESSAGE,
        "",
        NEVER,
    ),
    "write-read": (["WRITE_ONCE(*a, 1); int r0 = READ_ONCE(*a);"], "exists (0:r0=0)", "", NEVER),
    "own-write": (["WRITE_ONCE(*a, 1); int r0 = READ_ONCE(*a);"], "forall (0:r0=1)", "", ALWAYS),
    "final": (["WRITE_ONCE(*a, 1);", "WRITE_ONCE(*a, 2);"], "exists (a=1)", "", SOMETIMES),
    "final-neither": (["WRITE_ONCE(*a, 1);", "WRITE_ONCE(*a, 2);"], "~exists (a=0)", "", NEVER),
    # Atomicity.
    "counter": (["atomic_inc(c);", "atomic_inc(c);"], "exists (c=1)", "", NEVER),
    "counter-always": (["atomic_inc(c);", "atomic_inc(c);", "atomic_add(2, c);"], "exists (c=4)", "", ALWAYS),
    "counter-plain": (["int r = READ_ONCE(*c); WRITE_ONCE(*c, r + 1);"] * 2, "exists (c=1)", "", SOMETIMES),
    "one-winner": (
        ["int r0 = cmpxchg(c, 0, 1);", "int r0 = cmpxchg(c, 0, 1);"],
        "exists (0:r0=0 /\\ 1:r0=0)",
        "",
        NEVER,
    ),
    "last-reference": (
        ["int r0 = atomic_dec_and_test(c);", "int r0 = atomic_dec_and_test(c);"],
        "exists (~(0:r0=0) /\\ ~(1:r0=0))",
        "c=2;",
        NEVER,
    ),
    "negative": (["int r0 = atomic_add_negative(-3, c);"], "exists (0:r0=1)", "c=2;", ALWAYS),
    # Locks exclude each other; trylock may fail; is_locked sees the holder.
    "exclusion": (
        [
            "spin_lock(lock); WRITE_ONCE(*a, 1); WRITE_ONCE(*a, 0); spin_unlock(lock);",
            "spin_lock(lock); int r0 = READ_ONCE(*a); spin_unlock(lock);",
        ],
        "exists (1:r0=1)",
        "",
        NEVER,
    ),
    "trylock": (
        [
            "int r0 = spin_trylock(lock); if (r0) spin_unlock(lock);",
            "int r0 = spin_trylock(lock); if (r0) spin_unlock(lock);",
        ],
        "exists (0:r0=0 /\\ 1:r0=0)",
        "",
        NEVER,
    ),
    "trylock-one": (
        ["int r0 = spin_trylock(lock); if (r0) spin_unlock(lock);", "spin_lock(lock); spin_unlock(lock);"],
        "exists (0:r0=0)",
        "",
        SOMETIMES,
    ),
    "is-locked": (
        ["spin_lock(lock); int r0 = spin_is_locked(lock); spin_unlock(lock); int r1 = spin_is_locked(lock);"],
        "forall (0:r0=1 /\\ 0:r1=0)",
        "",
        ALWAYS,
    ),
    # A filter keeps the executions that it names and no others.
    "filter": (message("", ""), "filter (1:r0=1)\nexists (1:r1=0)", "", SOMETIMES),
    "filter-all": (
        ["int r0 = READ_ONCE(*a);", "WRITE_ONCE(*a, 1);"],
        "filter (0:r0=1)\nexists (0:r0=1)",
        "",
        ALWAYS,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_answers_that_were_reasoned_out(name: str) -> None:
    bodies, condition, initial, expected = CASES[name]
    found = ask(bodies, condition, initial)
    assert (found.verdict, found.reason, found.deadlock) == (expected, "", False)
    assert (found.witness is None) == (expected is NEVER)


UPDATER = "WRITE_ONCE(*a, 1); synchronize_rcu(); WRITE_ONCE(*b, 1);"
READER = "rcu_read_lock(); int r0 = READ_ONCE(*b); int r1 = READ_ONCE(*a); rcu_read_unlock();"
OUTER = (
    "int r5 = srcu_read_lock(dom); int r0 = READ_ONCE(*b); int r1 = READ_ONCE(*a); srcu_read_unlock(dom, r5);"
)


@pytest.mark.parametrize(
    ("reader", "wait", "expected"),
    [
        (READER, "synchronize_rcu();", NEVER),
        # A full fence orders the writes, and nothing the reads.
        (READER, "smp_mb();", SOMETIMES),
        (READER, "synchronize_srcu(dom);", SOMETIMES),
        (OUTER, "synchronize_srcu(dom);", NEVER),
        (OUTER, "synchronize_srcu(c);", SOMETIMES),
        (OUTER, "synchronize_rcu();", SOMETIMES),
        # Sections nest: the inner end is not the section's.
        (READER.replace("int r1", "rcu_read_lock(); rcu_read_unlock(); int r1"), "synchronize_rcu();", NEVER),
        # It began before the first of two sections was entered: what comes in the second sees it all.
        (READER.replace("int r1", "rcu_read_unlock(); rcu_read_lock(); int r1"), "synchronize_rcu();", NEVER),
        # A section that is over before the first read orders nothing.
        (
            "rcu_read_lock(); rcu_read_unlock(); int r0 = READ_ONCE(*b); int r1 = READ_ONCE(*a);",
            "synchronize_rcu();",
            SOMETIMES,
        ),
    ],
)
def test_a_grace_period_waits_for_the_readers_of_its_domain(
    reader: str, wait: str, expected: Verdict
) -> None:
    """The reader sees what comes after the wait and not what came before."""
    found = ask([reader, f"WRITE_ONCE(*a, 1); {wait} WRITE_ONCE(*b, 1);"], "exists (0:r0=1 /\\ 0:r1=0)")
    assert found.verdict is expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("RG"), min_size=2, max_size=7))
def test_a_ring_is_forbidden_exactly_when_no_readers_outnumber_the_grace_periods(ring: list[str]) -> None:
    """Each thread sees the write of the one before. A grace period spans at least one section."""
    bodies = []
    names = [f"x{i}" for i in range(len(ring))]
    for i, kind in enumerate(ring):
        mine, following = names[i], names[(i + 1) % len(ring)]
        r, w = f"int r0 = READ_ONCE(*{mine});", f"WRITE_ONCE(*{following}, 1);"
        body = (
            f"rcu_read_lock(); {r} {w} rcu_read_unlock();" if kind == "R" else f"{r} synchronize_rcu(); {w}"
        )
        bodies.append(f"P{i}(int *{mine}, int *{following}) {{ {body} }}")
    all_see = " /\\ ".join(f"{i}:r0=1" for i in range(len(ring)))
    text = "C ring\n{ }\n" + "\n".join(bodies) + f"\nexists ({all_see})\n"
    forbidden = ring.count("G") >= ring.count("R")
    for model in MODELS.values():
        found = answer(read(text, "ring"), model)
        if model.name == "lkmm":
            assert (found.verdict is NEVER) == forbidden
        else:
            assert found.verdict is NEVER  # the first of these reads in any order sees nothing yet


RACES = {
    "unordered": (["*a = 1;", "int r0 = *a;"], True),
    "marked-writer": (["WRITE_ONCE(*a, 1);", "int r0 = *a;"], True),
    "both-marked": (["WRITE_ONCE(*a, 1);", "int r0 = READ_ONCE(*a);"], False),
    "two-readers": (["int r0 = *a;", "int r0 = *a;"], False),
    "locked": (["spin_lock(lock); *a = 1; spin_unlock(lock);"] * 2, False),
    "other-lock": (
        ["spin_lock(lock); *a = 1; spin_unlock(lock);", "spin_lock(c); *a = 2; spin_unlock(c);"],
        True,
    ),
    "handed-over": (
        ["*a = 1; smp_store_release(b, 1);", "int r0 = smp_load_acquire(b); if (r0) *a = 2;"],
        False,
    ),
    "not-handed-over": (
        ["*a = 1; smp_store_release(b, 1);", "int r0 = READ_ONCE(*b); if (r0) *a = 2;"],
        True,
    ),
    "after-grace-period": (
        [
            "rcu_read_lock(); int r0 = READ_ONCE(*b); if (r0 == 0) *a = 1; rcu_read_unlock();",
            "WRITE_ONCE(*b, 1); synchronize_rcu(); *a = 2;",
        ],
        False,
    ),
    "no-grace-period": (
        [
            "rcu_read_lock(); int r0 = READ_ONCE(*b); if (r0 == 0) *a = 1; rcu_read_unlock();",
            "WRITE_ONCE(*b, 1); smp_mb(); *a = 2;",
        ],
        True,
    ),
}


@pytest.mark.parametrize("name", RACES)
def test_data_races(name: str) -> None:
    bodies, races = RACES[name]
    assert ask(bodies, "exists (a=0)").race == races


@pytest.mark.parametrize(
    ("body", "flag"),
    [
        ("rcu_read_lock();", "unmatched-rcu-lock"),
        ("rcu_read_unlock();", "unmatched-rcu-unlock"),
        ("int r0 = srcu_read_lock(dom);", "unmatched-srcu-lock"),
        ("srcu_read_unlock(dom, 0);", "unmatched-srcu-unlock"),
        ("spin_unlock(lock);", "unmatched-unlock"),
        ("spin_lock(lock); spin_unlock(lock); WRITE_ONCE(*lock, 0);", "mixed-lock-accesses"),
        ("rcu_read_lock(); synchronize_srcu(dom); rcu_read_unlock();", "invalid-sleep"),
        (
            "int r0 = srcu_read_lock(dom); srcu_read_unlock(dom, r0); srcu_read_unlock(dom, r0);",
            "multiple-srcu-matches",
        ),
        ("int r0 = srcu_read_lock(dom); srcu_read_unlock(dom, r0 + 1);", "srcu-bad-value-match"),
        ("*a = 1; WRITE_ONCE(*a, 2);", "mixed-accesses"),
    ],
)
def test_misuse_is_flagged(body: str, flag: str) -> None:
    assert flag in ask([body], "exists (a=0)").flags


def test_misuse_in_some_executions_alone_is_flagged_too() -> None:
    for body, flag in (
        ("int r0 = READ_ONCE(*b); if (r0) rcu_read_lock();", "unmatched-rcu-lock"),
        ("int r0 = READ_ONCE(*b); if (r0) spin_unlock(lock);", "unmatched-unlock"),
        ("int r0 = READ_ONCE(*b); if (r0) r0 = srcu_read_lock(dom);", "unmatched-srcu-lock"),
    ):
        assert ask(["WRITE_ONCE(*b, 1);", body], "exists (1:r0=0)").flags == {flag}


def test_deadlock_is_no_answer_of_the_condition() -> None:
    for bodies in (
        ["spin_lock(lock); spin_lock(lock);"],
        ["rcu_read_lock(); synchronize_rcu(); rcu_read_unlock();"],
    ):
        found = ask(bodies, "exists (a=0)")
        assert found.deadlock and found.verdict is NEVER


# ----------------------------------------------------------------- what each axiom is there for

NEEDED: dict[str, tuple[list[str], str]] = {
    "happens-before": (message("smp_wmb();", "smp_rmb();"), MESSAGE),
    "propagation": (buffers("smp_mb();"), BOTH_MISS),
    "rcu": ([READER, UPDATER], "exists (0:r0=1 /\\ 0:r1=0)"),
    "plain-coherence": (
        ["*a = 1; smp_store_release(b, 1);", "int r0 = smp_load_acquire(b); int r1 = *a;"],
        MESSAGE,
    ),
}


@pytest.mark.parametrize("axiom", NEEDED)
def test_without_an_axiom_an_answer_turns(axiom: str) -> None:
    """Coherence and atomicity are those that `test_models.py` leaves out: the search itself keeps them."""
    bodies, condition = NEEDED[axiom]
    found = ask(bodies, condition)
    assert found.verdict is NEVER and found.refused is not None and found.refused[1].axiom == axiom
    without = LKMM(axioms=[a for a in AXIOMS if a != axiom])
    assert ask(bodies, condition, model=without).verdict is SOMETIMES


# ------------------------------------------------------------------- oracles that know no search


@dataclass(frozen=True)
class Step:
    """One step of a small program: ``read``, ``write``, ``add``, ``fence``, ``enter``, ``leave``, ``wait``,
    ``lock``, ``unlock``."""

    what: str
    where: str = ""
    value: int = 0

    def c(self, register: str) -> str:
        return {
            "read": f"int {register} = READ_ONCE(*{self.where});",
            "write": f"WRITE_ONCE(*{self.where}, {self.value});",
            "add": f"int {register} = atomic_fetch_add({self.value}, {self.where});",
            "fence": "smp_mb();",
            "enter": "rcu_read_lock();",
            "leave": "rcu_read_unlock();",
            "wait": "synchronize_rcu();",
            "lock": "spin_lock(lock);",
            "unlock": "spin_unlock(lock);",
        }[self.what]


Program = tuple[tuple[Step, ...], ...]
reads_and_writes = st.builds(
    Step, st.sampled_from(["read", "write"]), st.sampled_from("ab"), st.integers(1, 2)
)
increments = st.builds(Step, st.just("add"), st.sampled_from("ab"), st.just(1))


@st.composite
def accesses(draw: st.DrawFn, most: int) -> list[Step]:
    """Reads and writes, and at most one increment: every other lets each read find one more value."""
    steps = draw(st.lists(reads_and_writes, min_size=1, max_size=most))
    if draw(st.booleans()):
        steps[draw(st.integers(0, len(steps) - 1))] = draw(increments)
    return steps


@st.composite
def threads(draw: st.DrawFn) -> tuple[Step, ...]:
    steps = draw(accesses(2))
    around = draw(st.sampled_from(["", "", "section", "wait", "lock"]))
    if around == "section":
        steps = [Step("enter"), *steps, Step("leave")]
    elif around == "lock":
        steps = [Step("lock"), *steps, Step("unlock")]
    elif around == "wait":
        steps.insert(draw(st.integers(0, len(steps))), Step("wait"))
    return tuple(steps)


programs = st.lists(threads(), min_size=2, max_size=3).map(tuple)


def as_litmus(program: Program, condition: str) -> str:
    return litmus([" ".join(s.c(f"r{i}") for i, s in enumerate(t)) for t in program], condition)


def outcomes(program: Program) -> set[tuple[tuple[str, int], ...]]:
    """What the registers can hold at the end, by running every interleaving. A grace period notes who is
    inside a section when it starts, and ends when all of them have left it."""
    found = set()
    seen = set()
    start = (tuple(0 for _ in program), (("a", 0), ("b", 0)), None, tuple(() for _ in program), ())
    front = [start]
    while front:
        state = front.pop()
        if state in seen:
            continue
        seen.add(state)
        at, memory, holder, waits, registers = state
        if all(at[t] == len(program[t]) for t in range(len(program))):
            found.add(tuple(sorted(registers)))
        for t, steps in enumerate(program):
            if at[t] == len(steps):
                continue
            step, cells, regs = steps[at[t]], dict(memory), dict(registers)
            now_holder, now_waits, moves = holder, list(waits), 1
            if step.what in ("read", "add"):
                regs[f"{t}:r{at[t]}"] = cells[step.where]
            if step.what == "write":
                cells[step.where] = step.value
            elif step.what == "add":
                cells[step.where] += step.value
            elif step.what == "lock":
                if holder is not None:
                    continue
                now_holder = t
            elif step.what == "unlock":
                now_holder = None
            elif step.what == "wait":
                inside = [u for u in range(len(program)) if u != t and _inside(program[u], at[u])]
                if not waits[t]:
                    now_waits[t], moves = ("started", *inside), 0
                elif any(u in waits[t] and u in inside for u in inside):
                    continue
                else:
                    now_waits[t] = ()
            now = list(at)
            now[t] += moves
            state = (tuple(now), tuple(cells.items()), now_holder, tuple(now_waits), tuple(regs.items()))
            front.append(state)
    return found


def _inside(steps: tuple[Step, ...], at: int) -> bool:
    done = [s.what for s in steps[:at]]
    return done.count("enter") > done.count("leave")


def verdict(program: Program, values: dict[str, int], model: MemoryModel) -> Verdict:
    condition = " /\\ ".join(f"{name}={value}" for name, value in values.items())
    found = answer(read(as_litmus(program, f"exists ({condition})"), "random"), model)
    assert not found.reason
    return found.verdict


def registers(program: Program) -> list[str]:
    return [
        f"{t}:r{i}"
        for t, steps in enumerate(program)
        for i, s in enumerate(steps)
        if s.what in ("read", "add")
    ]


@settings(max_examples=60, deadline=None)
@given(programs, st.data())
def test_sc_is_interleaving(program: Program, data: st.DataObject) -> None:
    """Any values of the registers: sc allows them exactly if some interleaving ends in them; lkmm allows what
    sc does."""
    names = registers(program)
    if not names:
        return
    reached = outcomes(program)
    values = {n: data.draw(st.integers(0, 3), label=n) for n in names}
    can = tuple(sorted(values.items())) in reached
    assert (verdict(program, values, SC()) is not NEVER) == can
    for one in sorted(reached)[:3]:
        assert verdict(program, dict(one), SC()) is not NEVER
        assert verdict(program, dict(one), LKMM()) is not NEVER


@settings(max_examples=40, deadline=None)
@given(programs, st.data())
def test_full_fences_everywhere_make_lkmm_interleave(program: Program, data: st.DataObject) -> None:
    fenced = tuple(tuple(s for step in t for s in (step, Step("fence"))) for t in program)
    names = registers(fenced)
    if not names:
        return
    values = {n: data.draw(st.integers(0, 2), label=n) for n in names}
    can = tuple(sorted(values.items())) in outcomes(fenced)
    assert (verdict(fenced, values, LKMM()) is not NEVER) == can


def every_candidate(test: Test) -> Iterator[tuple[Execution, dict[Of, int | str]]]:
    """All candidates of a test, with no pruning whatever, and their final values."""
    initial = dict(test.initial)
    for chosen in product(*possible_traces(test, initial, lambda: None)):
        structure, _, _ = searching._structure(initial, chosen)
        n, events = len(structure), structure.events
        writes = [i for i, e in enumerate(events) if e.kind is Kind.WRITE]
        reads = [i for i, e in enumerate(events) if e.kind is Kind.READ]
        sources = [
            [
                w
                for w in writes
                if (events[w].location, events[w].value) == (events[r].location, events[r].value)
            ]
            for r in reads
        ]
        orders = []
        for location in sorted({events[w].location for w in writes}):
            here = [w for w in writes if events[w].location == location]
            first = [w for w in here if Tag.INIT in events[w].tags]
            orders.append([[*first, *p] for p in permutations([w for w in here if w not in first])])
        finals: dict[Of, int | str] = {
            Of(name, t): value for t, trace in enumerate(chosen) for name, value in trace.registers.items()
        }
        for ws in product(*sources):
            rf = Relation.pairs(n, zip(ws, reads, strict=True))
            for co_lists in product(*orders):
                pairs = [(x, y) for o in co_lists for i, x in enumerate(o) for y in o[i + 1 :]]
                made = Execution(structure, rf, Relation.pairs(n, pairs))
                yield made, finals | {Of(name): value for name, value in made.final.items()}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(accesses(2).map(tuple), min_size=2, max_size=2).map(tuple),
    st.data(),
)
def test_the_search_loses_nothing(program: Program, data: st.DataObject) -> None:
    """Against all candidates, one by one."""
    names = [*registers(program), "a", "b"]
    values = {n: data.draw(st.integers(0, 2), label=n) for n in names}
    condition = " /\\ ".join(f"{n}={v}" for n, v in values.items())
    test = read(as_litmus(program, f"exists ({condition})"), "random")
    for model in MODELS.values():
        met = [
            searching.decide(test.condition, finals)
            for execution, finals in every_candidate(test)
            if not execution.faults() and broken(model, execution) is None
        ]
        expected = NEVER if not any(met) else ALWAYS if all(met) else SOMETIMES
        assert answer(test, model).verdict is expected


@pytest.mark.parametrize("kernel", ["5.0.1", "6.12"])
def test_exported_obligations_are_answered_as_they_were_decided(
    kernel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--export litmus` writes each obligation with the condition that its clause is broken."""
    monkeypatch.setenv("DENTRYPROOF_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "exported"
    arguments = ["autofs", "--kernel", kernel, "--memory-model", "sc", "--export", "litmus", str(folder)]
    assert main([*arguments, "--quiet", "--jobs", "1"]) == (1 if kernel == "5.0.1" else 0)
    (index,) = folder.glob("*.json")
    asked = [o for o in json.loads(index.read_text())["obligations"] if o["file"]]
    for o in asked:
        found = outcome(folder / o["file"], True, SC(), 60).answer
        assert (o["verdict"], found.reason) in (("proved", ""), ("violated", "")), o["file"]
        assert (found.verdict is NEVER) == (o["verdict"] == "proved"), o["file"]
    assert len(asked) > 3


# ----------------------------------------------------------------------------- tests of others

TREES = os.environ.get("DENTRYPROOF_TREES", "")
COLLECTION = os.environ.get("DENTRYPROOF_LITMUS", "")
DIFFERENT = {
    # Their own comments say that the model answers otherwise than the author wishes.
    "C-JO-OOTA-1": "the wish is Never; the model lets a value come from nowhere",
    "C-JO-OOTA-2": "the wish is Never; the model lets a value come from nowhere",
    "C-JO-OOTA-3": "the wish is Never; the model follows no control dependency out of an if",
    "C-JO-OOTA-5": "the wish is Never; the model ignores reads whose value is not used",
    "C-JO-OOTA-6": "the wish is Never; the model lets a value come from nowhere",
    # A plain read of a location that the other thread writes, with nothing between: a race by definition.
    "C-JO-OOTA-4": "Never, as stated, but the line leaves out the data race",
    "C-JO-OOTA-7": "Never, as stated, but the line leaves out the data race",
}
"""Tests of the collection whose ``Result:`` is not what the model says, with the reason."""


@pytest.mark.parametrize("version", ["5.0.1", "6.1", "6.12"])
def test_the_kernels_own_tests_agree(version: str) -> None:
    root = Path(TREES) / f"linux-source-{version}"
    if not root.is_dir():
        root = Path(TREES) / f"linux-{version}"
    folders = [root / "tools/memory-model/litmus-tests", root / "Documentation/litmus-tests"]
    files = [f for folder in folders for f in sorted(folder.rglob("*.litmus"))] if TREES else []
    if not files:
        pytest.skip(f"no kernel tree {version}: set DENTRYPROOF_TREES")
    found = [outcome(f, True, MODELS["lkmm"], 60) for f in files]
    assert [(o.path.name, o.answer.verdict) for o in found if o.agreement is not Agreement.AGREES] == []
    assert len(found) >= 30


@pytest.mark.skipif(not COLLECTION, reason="no collection of litmus tests: set DENTRYPROOF_LITMUS")
def test_the_public_collection_agrees() -> None:
    found: list[Outcome] = [outcome(f, named, MODELS["lkmm"], 60) for f, named in find([Path(COLLECTION)])]
    differing = {o.path.stem for o in found if o.agreement is Agreement.DIFFERS}
    assert differing <= set(DIFFERENT)
    assert not [o.path.name for o in found if o.answer.verdict is Verdict.UNKNOWN]
    assert sum(o.agreement is Agreement.AGREES for o in found) > len(found) / 2


def test_comparison_is_that_of_judgelitmus() -> None:
    race = frozenset({"data-race"})
    agrees, differs, forgiven = Agreement.AGREES, Agreement.DIFFERS, Agreement.FORGIVEN
    for given_, said, expected in (
        (Answer(NEVER), None, Agreement.UNSTATED),
        (Answer(NEVER), Stated("Never"), agrees),
        (Answer(NEVER), Stated("Sometimes"), differs),
        (Answer(SOMETIMES), Stated("Maybe"), agrees),
        (Answer(NEVER, race), Stated("Never", True), agrees),
        (Answer(NEVER, race), Stated("Sometimes", True), forgiven),
        (Answer(NEVER, race), Stated("Never"), differs),
        (Answer(NEVER), Stated("Never", True), differs),
        (Answer(NEVER, deadlock=True), Stated("DEADLOCK"), agrees),
        (Answer(NEVER, deadlock=True), Stated("Never"), differs),
        (Answer(NEVER), Stated("DEADLOCK"), differs),
        (Answer(NEVER, frozenset({"unmatched-rcu-lock"})), Stated("Flag"), agrees),
        (Answer(NEVER, race), Stated("Flag"), differs),
        (Answer(Verdict.UNKNOWN), Stated("Never"), Agreement.UNDECIDED),
        (Answer(Verdict.UNSUPPORTED), Stated("Never"), Agreement.UNDECIDED),
    ):
        assert compare(given_, said) is expected, (given_, said)


def test_the_result_line() -> None:
    assert stated("C x\n(*\n * Result: Never\n *)\n") == Stated("Never")
    assert stated("C x\n(* Result: Sometimes *)\n") == Stated("Sometimes")
    assert stated("C x\n(*\n * Result: Never DATARACE\n *)\n") == Stated("Never", True)
    assert stated("C x\n(* the Result: is Never *)\n") is None


# ----------------------------------------------------------------------------------- the reader


def test_comments_and_initial_values_in_all_their_forms() -> None:
    text = """C forms
    (* (* no nesting *)
    "a string { with braces"
    Key=Value
    { (* here *) int a = 3; // there
      b=-1; atomic_t c = ATOMIC_INIT(0x10); int *p = &a; q=a; 0:r7=2; spinlock_t l; /* and here */ }
    P0(int *a, int *b, atomic_t *c, int **p, int **q, spinlock_t *l)
    {
        int r0, r1; /* of C */
        r0 = READ_ONCE(*a) + r7; // 5
        r1 = (int) atomic_read(c);
        int *r2 = READ_ONCE(*p);
        int *r3 = READ_ONCE(*q);
        r7 += 1;
        r7++;
    } locations [0:r0; a] (* before the condition *) exists ((0:r0=5 /\\ b=-1) /\\ 0:r1=16 /\\ 0:r2=a /\\
    0:r3=&a /\\ 0:r7=4 /\\ ~(0:r0=4 \\/ not (a=3)) /\\ ~b=1)
    """
    test = read(text, "forms")
    assert test.name == "forms" and test.quantifier == "exists"
    assert answer(test, MODELS["lkmm"]).verdict is ALWAYS


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("while (1) { }", "loop"),
        ("call_rcu(a, 1);", r"call_rcu\(\)"),
        ("smp_mb(1);", r"smp_mb\(\) with 1 arguments"),
        ("a->b = 1;", "an access to a field expression"),
        ("int r = READ_ONCE(*a) + READ_ONCE(*b);", "two accesses in one expression"),
        ("int r = READ_ONCE(*a) ? 1 : 2;", "conditional expression"),
        ("int r = 1; int s = READ_ONCE(r);", "local variable"),
        ("a = b;", "assignment to a parameter"),
        ("goto out;", "goto statement"),
        ("int r[2];", "array declarator"),
        ("READ_ONCE(*a;", "syntax"),
        ("int r0 = READ_ONCE(*c); WRITE_ONCE(*r0, 1);", "which is no address"),
        ("int *r0 = READ_ONCE(*p); int r1 = r0 * 2;", "arithmetic on addresses"),
    ],
)
def test_what_is_not_supported_is_named(body: str, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        answer(read(litmus([body], "exists (a=0)", "p=a;"), "odd"), MODELS["lkmm"])


def test_what_goes_wrong_where_no_execution_goes_does_not_matter() -> None:
    body = "int r0 = READ_ONCE(*c); if (r0 == 1) WRITE_ONCE(*r0, 1);"
    assert ask([body], "exists (0:r0=0)").verdict is ALWAYS


GOOD = litmus(["WRITE_ONCE(*a, 1);"], "exists (a=1)", heading="(* Result: Always *)")
BAD = {
    "empty": ("", "not a litmus test"),
    "other": ("hello world\n", "not a litmus test"),
    "binary": ("\0\1\2", "not a litmus test"),
    "no-thread": ("C x\n{ }\nexists (a=1)\n", "there is no P0"),
    "no-state": ("C x\nP0(int *a) { }\nexists (a=1)\n", "initial state"),
    "unbalanced": (GOOD.replace("WRITE_ONCE(*a, 1);\n}", "WRITE_ONCE(*a, 1);\n"), "braces do not match"),
    "unbalanced-condition": (GOOD.replace("exists (a=1)", "exists ((a=1)"), "the condition is none"),
    "no-condition": (GOOD.replace("exists (a=1)", "perhaps (a=1)"), "neither a thread nor a condition"),
    "numbering": (GOOD.replace("P0", "P0() { }\nP2"), "P2 stands where P1 should"),
    "huge": (GOOD + "(*" + "x" * LARGEST + "*)", "larger than any litmus test"),
    "deep": (GOOD.replace("a=1)", "(" * 5000 + "a=1" + ")" * 5001), "nested too deeply"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, why = BAD[name]
    file = tmp_path / f"{name}.litmus"
    file.write_text(text)
    with pytest.raises(InputError, match=why):
        outcome(file, True, MODELS["lkmm"], 1)
    assert main(["litmus", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and why in said.err
    # Among others it is counted, and the others are answered.
    (tmp_path / "good.litmus").write_text(GOOD)
    assert main(["litmus", str(tmp_path)]) == 3
    assert "malformed" in capsys.readouterr().out


def test_deep_programs_are_not_supported() -> None:
    for body in ("if (1) {" * 3000 + "}" * 3000, "int r = " + "(" * 3000 + "1" + ")" * 3000 + ";"):
        with pytest.raises(UnsupportedError, match="nested too deeply"):
            read(litmus([body], "exists (a=0)"), "deep")


# ------------------------------------------------------------------------------------ the command


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.litmus").write_text(text)


def test_exit_statuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, agrees=GOOD)
    assert main(["litmus", str(tmp_path)]) == 0
    assert "1 Always; against their own results: 1 agrees" in capsys.readouterr().out
    write(tmp_path, odd=litmus(["call_rcu(a, 1);"], "exists (a=1)"))
    assert main(["litmus", str(tmp_path)]) == 3
    assert "call_rcu()" in capsys.readouterr().out
    write(tmp_path, wrong=GOOD.replace("Always", "Never"))
    assert main(["litmus", "--quiet", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "wrong.litmus: Always (stated Never: differs)" in out and "agrees.litmus" not in out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["litmus"], "Missing argument"),
        (["litmus", "nowhere.litmus"], "no such file or folder"),
        (["litmus", "."], "no *.litmus file below this folder"),
        (["litmus", "--memory-model", "tso", "x"], "tso"),
        (["litmus", "--timeout", "0", "x"], "not a positive number"),
        (["litmus", "--picture", "x.png", "x"], "must end in .svg or .tex"),
    ],
)
def test_bad_usage_is_one_line(
    arguments: list[str],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and why in said.err


def test_a_test_that_takes_too_long_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bodies = [
        f"int r{i} = atomic_fetch_add(1, c); WRITE_ONCE(*a, r{i}); int s = READ_ONCE(*a);" for i in range(6)
    ]
    write(tmp_path, long=litmus(bodies, "exists (c=7)"))
    assert main(["litmus", "--timeout", "0.01", str(tmp_path)]) == 3
    assert "not decided in 0.01 s" in capsys.readouterr().out


def test_the_models_answer_differently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, buffers=litmus(buffers(""), BOTH_MISS))
    for model, expected in (("lkmm", "Sometimes"), ("sc", "Never")):
        assert main(["litmus", "--memory-model", model, "--format", "json", str(tmp_path)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["memory_model"], document["tests"][0]["verdict"]) == (model, expected)


def test_json_is_what_its_schema_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(resources.files("dentryproof.report").joinpath("litmus.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    write(
        tmp_path,
        agrees=GOOD,
        forbidden=litmus(buffers("smp_mb();"), BOTH_MISS),
        plain=litmus(["*a = 1;", "int r0 = *a;"], "exists (1:r0=1)"),
        odd=litmus(["call_rcu(a, 1);"], "exists (a=1)"),
    )
    assert main(["litmus", "--format", "json", str(tmp_path)]) == 3
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema)
    by_name = {Path(t["file"]).stem: t for t in document["tests"]}
    assert by_name["forbidden"]["forbidden"]["axiom"] == "propagation"
    assert by_name["plain"]["flags"] == ["data-race"] and by_name["plain"]["witness"]["rf"]


def test_a_witness_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, message=litmus(message("", ""), MESSAGE))
    assert main(["litmus", str(tmp_path / "message.litmus")]) == 0
    out = capsys.readouterr().out
    assert "an execution that meets the condition" in out
    for line in (
        "    P0               P1",
        "     a W[once] a=1    c R[once] b=1",
        "     b W[once] b=1    d R[once] a=0",
        "    rf    init a -> d, b -> c",
        "    fr    d -> a",
    ):
        assert line in out.splitlines()


@pytest.mark.parametrize("condition", ["exists (0:r0=1 /\\ 0:r1=0)", "exists (0:r0=1)"])
def test_pictures_show_every_relation(
    condition: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The forbidden execution with its cycle, and an allowed one."""
    write(tmp_path, t=litmus([READER, UPDATER], condition))
    svg, tex = tmp_path / "t.svg", tmp_path / "t.tex"
    for target in (svg, tex):
        assert main(["litmus", "--picture", str(target), str(tmp_path / "t.litmus")]) == 0
    root = xml.etree.ElementTree.fromstring(svg.read_text())
    texts = {e.text for e in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"P0", "P1", "rf", "a: F[rcu-lock]", "f: F[sync-rcu]", "grace period"} <= texts
    assert ("fr" in texts) == ("r1" in condition)
    classes = [e.get("class") for e in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert "dp-section" in classes and "dp-grace" in classes
    assert ("dp-last-box" in classes) == ("r1" in condition)
    assert "\\begin{tikzpicture}" in tex.read_text()
    capsys.readouterr()
    write(tmp_path, u=GOOD)
    assert main(["litmus", "--picture", str(svg), str(tmp_path)]) == 2
    assert "draws one test" in capsys.readouterr().err
