"""A proof shows what it forbids nothing of: its witness; and an impossible scenario proves nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from dentryproof.encodings.scenario import Scenario, ScenarioAtom, Step, Thread
from dentryproof.proofs.decide import Decision, decide
from dentryproof.proofs.kept import kept, kept_kernel, kept_text
from dentryproof.proofs.obligation import Obligation
from dentryproof.proofs.obligations import questions
from dentryproof.proofs.verdict import Verdict
from dentryproof.proofs.witness import SITUATIONS
from dentryproof.spec.contract import clause, clauses
from dentryproof.spec.modelfile import load
from dentryproof.spec.program import Guard
from dentryproof.spec.vfs import vfs

SOLVERS = pytest.mark.parametrize("solver", ["z3", "sat"])
ACCESS, FREED = frozenset({("access(o)", "any")}), frozenset({("destroyed(o)", "any")})
P: Guard = ((("p", True),),)
NOT_P: Guard = ((("p", False),),)


@cache
def obligations(filesystem: str, kernel: str, name: str) -> tuple[Obligation, ...]:
    version = kept_kernel(kernel)
    models = [load(kept_text(m.name), m.name) for m in kept(version, (filesystem,))]
    found = [q for m in models for q in questions(m, clause(name), vfs(version))]
    return tuple(q for q in found if isinstance(q, Obligation))


def toy(walker: list[Step], killer: list[Step], *atoms: ScenarioAtom) -> Obligation:
    """A walker's method d_hash against a teardown's d_release, with the clause rcu-delay-dentry."""
    entries = [Step(f"{n}:entry", "call", callback=n) for n in ("d_hash", "d_release")]
    threads = (
        Thread("walk", (entries[0], *walker)),
        Thread("kill", (entries[1], *killer), cpu=1),
    )
    some = obligations("autofs", "5.0.1", "rcu-delay-dentry")[0]
    return replace(
        some, callbacks=("d_release", "d_hash"), functions=("r", "h"), scenario=Scenario(threads, atoms)
    )


def steps(decision: Decision) -> list[str]:
    """The ids of the witness's steps, in order."""
    assert decision.witness is not None
    return list(decision.witness.trace.order)


def test_every_clause_says_what_puts_it_to_the_test() -> None:
    """By predicates, some of which its formula speaks of."""
    assert SITUATIONS.keys() == {c.id for c in clauses()}
    for c in clauses():
        situation = SITUATIONS[c.id]
        named = {predicate for (predicate, _, _), _ in (*situation.wanted, *situation.forbidden)}
        assert any(predicate in str(c.formula) for predicate in named), c.id


@SOLVERS
def test_an_order_that_is_kept_is_shown(solver: str) -> None:
    """The walker finds the object in a cell that is cleared before the grace period starts."""
    found = (
        Step("e", "enter"),
        Step("x", "read", "dentry", "x"),
        Step("d_hash:entry", "call", callback="d_hash", guard=P),
        Step("a", "read", "o", "y", via="x", guard=P, callback="d_hash", labels=ACCESS),
        Step("l", "leave"),
    )
    killer = (
        Step("d_release:entry", "call", callback="d_release"),
        Step("w", "write", "dentry", "x", "null"),
        Step("s", "gp-start"),
        Step("g", "gp-end"),
        Step("f", "free", "o", labels=FREED),
    )
    plain = toy([], [])
    scenario = Scenario(
        (Thread("walk", found), Thread("kill", killer, cpu=1)), (ScenarioAtom("p", "nonnull", "x"),)
    )
    decision = decide(replace(plain, scenario=scenario), solver)
    assert decision.result.verdict is Verdict.PROVED and not decision.gap
    order = steps(decision)
    assert set(order) == {s.id for s in scenario.steps} and order.index("a") < order.index("f")
    assert [s.event for s in decision.result.witness_trace].count("free") == 1
    assert decision.result.witness.startswith("a trace in which the clause is put to the test: ")


@SOLVERS
def test_a_section_that_is_never_left_proves_nothing(solver: str) -> None:
    """No trace has the walker in it, so that no trace breaks the clause."""
    decision = decide(
        toy(
            [Step("e", "enter"), Step("a", "read", "dentry", "x", labels=ACCESS)],
            [Step("f", "free", labels=FREED)],
        ),
        solver,
    )
    assert decision.result.verdict is Verdict.UNKNOWN and decision.witness is None
    assert decision.result.reason.startswith("nothing is shown: the callbacks never run in it")
    assert "the read-side section of walk is left" in decision.result.reason


@SOLVERS
def test_what_excludes_each_other_is_named_as_the_reason(solver: str) -> None:
    decision = decide(
        toy(
            [Step("a", "read", "dentry", "x", guard=P, labels=ACCESS)],
            [Step("f", "free", guard=NOT_P, labels=FREED)],
            ScenarioAtom("p", "free", text="the option is set"),
        ),
        solver,
    )
    assert decision.result.verdict is Verdict.PROVED
    assert decision.result.reason.startswith("holds because no trace has all of access(o), destroyed(o): ")
    assert decision.gap and {"d_hash:entry", "d_release:entry"} <= set(steps(decision))
    assert decision.result.witness_trace


@SOLVERS
def test_nothing_to_free_is_said_with_the_numbers(solver: str) -> None:
    decision = decide(toy([Step("a", "read", "dentry", "x", labels=ACCESS)], []), solver)
    assert decision.result.verdict is Verdict.PROVED
    wanted = "the teardown destroys nothing that the walker reaches (1 access, 0 frees compared)"
    assert wanted in decision.result.witness and wanted in decision.result.reason


@pytest.mark.parametrize("filesystem", ["vboxsf", "coda"])
def test_what_free_inode_frees_is_proved_by_the_grace_period_before_it(filesystem: str) -> None:
    """destroy_inode() of fs/inode.c runs ->free_inode() from an RCU callback. Without that callback in the
    scenario, the clause would hold whatever the walker does."""
    asked = [o for o in obligations(filesystem, "6.12", "rcu-delay-inode") if o.callbacks[0] == "free_inode"]
    assert asked
    for obligation in asked:
        decision = decide(obligation)
        by_id = {s.id: s for s in obligation.scenario.steps}
        order = [by_id[s] for s in steps(decision)]
        kinds = [s.kind for s in order]
        freed = next(i for i, s in enumerate(order) if ("destroyed(o)", "initial") in s.labels)
        read = next(i for i, s in enumerate(order) if ("access(o)", "initial") in s.labels)
        assert decision.result.verdict is Verdict.PROVED and read < freed
        assert "gp-end" in kinds[:freed] and order[freed].source.file
        assert any("grace period" in text for text in decision.result.core)


def test_a_proof_without_a_core_does_not_claim_that_nothing_can_break_it() -> None:
    """cvc5 gives none."""
    pytest.importorskip("cvc5")
    obligation = next(o for o in obligations("vboxsf", "6.12", "rcu-delay-inode"))
    result = decide(obligation, "cvc5").result
    assert result.verdict is Verdict.PROVED
    assert result.reason == "cvc5 finds no trace that breaks it, and does not say why"


@SOLVERS
def test_every_proof_has_a_witness_trace(solver: str) -> None:
    seen = 0
    for name in (c.id for c in clauses()):
        for obligation in obligations("autofs", "6.12", name):
            decision = decide(obligation, solver)
            if decision.result.verdict is Verdict.PROVED:
                seen += 1
                entries = {s.id for s in obligation.scenario.steps if s.id.endswith(":entry")}
                assert entries and entries <= set(steps(decision)) and decision.result.witness_trace
    assert seen > 5
