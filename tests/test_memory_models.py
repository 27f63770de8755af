"""The kernel's memory model in terms of scenarios: what may be reordered is, what may not is not.

Expected answers are from the model (linux-kernel.cat, explanation.txt in the kernel's tools/memory-model), by
reasoning that stands beside each. Under sequential consistency all programs here are proved.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from test_agreement import effort, programs, scenarios

from dentryproof.encodings import usual
from dentryproof.encodings.models import MODELS
from dentryproof.encodings.routes import Ways
from dentryproof.encodings.scenario import Scenario, ScenarioAtom, Step, Thread, Trace
from dentryproof.encodings.weak import MEMORY_MODELS, lkmm, sc
from dentryproof.proofs.explore import explore
from dentryproof.proofs.replay import replay
from dentryproof.spec.logic import parse
from dentryproof.spec.program import Guard

LATE = parse("always (use -> !once gone)")
USE = frozenset({("use", "initial")})
GONE = frozenset({("gone", "any")})
PINNED = ((("d", "p"), "initial"), (("d", "q"), "null"))


def given_that(**atoms: bool) -> Guard:
    return (tuple(atoms.items()),)


def read(name: str, cell: str = "p", **more: object) -> Step:
    return Step(name, "read", "d", cell, **more)  # type: ignore[arg-type]


def write(name: str, cell: str = "p", value: str = "null", **more: object) -> Step:
    return Step(name, "write", "d", cell, value, **more)  # type: ignore[arg-type]


def fence(name: str, value: str) -> Step:
    return Step(name, "fence", value=value)


def use(via: str, guard: Guard = ((),)) -> Step:
    return Step("use", "read", "o", "x", via=via, guard=guard, labels=USE)


def gone(guard: Guard = ((),)) -> Step:
    return Step("gone", "free", "o", guard=guard, labels=GONE)


def lock(name: str, field: str = "lock") -> Step:
    return Step(name, "lock", "d", field, "exclusive")


def unlock(name: str, field: str = "lock") -> Step:
    return Step(name, "unlock", "d", field)


def wait(name: str, domain: str = "") -> tuple[Step, Step]:
    return Step(f"{name}s", "gp-start", field=domain), Step(f"{name}e", "gp-end", field=domain)


def scenario(*threads: Iterable[Step] | Thread, atoms: Iterable[ScenarioAtom] = ()) -> Scenario:
    named = tuple(
        t if isinstance(t, Thread) else Thread(f"t{i}", tuple(t), cpu=i) for i, t in enumerate(threads)
    )
    return Scenario(named, tuple(atoms), PINNED)


def nonnull(*reads: str) -> list[ScenarioAtom]:
    return [ScenarioAtom(f"n{r}", "nonnull", r) for r in reads]


WALK = (Step("in", "enter"), read("r"), use("r"), Step("out", "leave"))
"""A walker that finds the object in p and uses it, in a read-side section."""


def passed(
    acquire: bool = False, release: bool = False, between: tuple[str, str] = ("", ""), through: bool = False
) -> Scenario:
    """`PASSED` with a store-release, a load-acquire, fences between the stores and between the loads; with
    `through`, p is read through the pointer in q."""
    stores, loads = ([fence(f"f{i}", name)] if name else [] for i, name in enumerate(between))
    seen = given_that(ns=True)
    return scenario(
        (
            read("s", "q", order="acquire" if acquire else "once"),
            *loads,
            read("r", guard=seen, via="s" if through else None),
            use("r", given_that(ns=True, nr=True)),
        ),
        (write("w"), *stores, write("a", "q", "other", order="release" if release else "once"), gone()),
        atoms=nonnull("s", "r"),
    )


def hazard(walker: str, other: str) -> Scenario:
    """`HAZARD` with a fence between store and load of each thread."""
    return scenario(
        (write("a", "q", "other"), fence("f0", walker), read("r"), use("r", given_that(nr=True))),
        (write("w"), fence("f1", other), read("s", "q"), gone(given_that(ns=False))),
        atoms=nonnull("r", "s"),
    )


def handed_on(load: str = "acquire") -> Scenario:
    """A thread reads from q, by a load of order `load`, that another is done, and stores to z to tell a
    third."""
    made = scenario(
        (read("r"), use("r", given_that(nr=True)), write("a", "q", "other", order="release")),
        (read("s", "q", order=load), write("b", "z", order="once", guard=given_that(ns=True))),
        (read("t", "z", order="acquire"), gone(given_that(nt=False))),
        atoms=nonnull("r", "s", "t"),
    )
    return replace(made, initial=(*PINNED, (("d", "z"), "initial")))


def seen_and_told(load: str, store: str = "once") -> Scenario:
    """WRC: a second thread reads that p is cleared, and tells a third by a store-release; that one looks at p
    itself. `load` is the order of the second's load, `store` that of the first's store."""
    return scenario(
        (
            read("s", "q", order="acquire"),
            read("r", guard=given_that(ns=True)),
            use("r", given_that(ns=True, nr=True)),
        ),
        (write("w", order=store), gone()),
        (read("t", order=load), write("a", "q", "other", order="release", guard=given_that(nt=False))),
        atoms=nonnull("s", "r", "t"),
    )


KEPT: dict[str, tuple[Scenario, str]] = {
    # The walker found p before it was cleared: its section began before the grace period, and ends before it.
    "a grace period": (scenario(WALK, (write("w"), *wait("g"), gone())), "full barrier"),
    # Without this, the store could be late at a walker that starts after the grace period.
    "stores before a grace period": (
        scenario(WALK, (write("w"), *wait("g"), gone())),
        "stores that come before the grace period",
    ),
    # The use is in the section: it would come after the free if it could leave that.
    "a section": (scenario(WALK, (write("w"), *wait("g"), gone())), "read-side section"),
    # call_rcu(): the grace period of the callback starts after the store, which is seen everywhere by then.
    "call_rcu()": (
        scenario(
            WALK,
            Thread("t1", (write("w"), Step("q", "defer", "o"))),
            Thread("t2", (*wait("g"), gone()), after="q"),
        ),
        "stores that come before the grace period",
    ),
    # Under the lock either p is cleared and the store was seen, or the use is over.
    "critical sections": (
        scenario(
            (lock("l0"), read("r"), use("r", given_that(nr=True)), unlock("u0")),
            (lock("l1"), write("w"), unlock("u1"), lock("l2"), gone(), unlock("u2")),
            atoms=nonnull("r"),
        ),
        "critical sections",
    ),
    "stores under a lock": (
        scenario(
            (lock("l0"), read("r"), use("r", given_that(nr=True)), unlock("u0")),
            (lock("l1"), write("w"), gone(), unlock("u1")),
            atoms=nonnull("r"),
        ),
        "under a lock",
    ),
    # MP (message passing): who sees q set sees p cleared.
    "acquire": (passed(acquire=True, release=True), "acquires"),
    "release": (passed(acquire=True, release=True), "store-release"),
    "smp_rmb()": (passed(between=("wmb", "rmb")), "across smp_rmb()"),
    "smp_wmb()": (passed(between=("wmb", "rmb")), "seen in their order across smp_wmb()"),
    # rcu_assign_pointer(), or smp_wmb() and a store, and rcu_dereference(): p is a member of what is in q.
    "publication": (passed(release=True, through=True), "store-release"),
    "publication by smp_wmb()": (passed(between=("wmb", ""), through=True), "across smp_wmb()"),
    "rcu_dereference()": (passed(release=True, through=True), "follows a pointer"),
    # SB (store buffering): a hazard pointer; one of the two sees what the other stored.
    "smp_mb()": (hazard("mb", "mb"), "smp_mb()"),
    "stores before smp_mb()": (hazard("mb", "mb"), "stores that come before smp_mb()"),
    # A user says in q that it is done; who reads that says so in z, whose reader frees: LB with one between.
    "a release after what it releases": (handed_on(), "stores what it releases"),
}


def ask(one: Scenario, solver: str = "z3") -> str:
    return Ways(one).find(LATE, holds=False, solver=solver).status


@pytest.mark.parametrize("solver", ["z3", "sat"])
@pytest.mark.parametrize("name", KEPT)
def test_what_the_model_keeps_is_kept_and_needed(name: str, solver: str) -> None:
    plain, part = KEPT[name]
    weak = lkmm(plain)
    assert ask(plain, solver) == ask(weak, solver) == "unsat"
    # What begins and what ends something must keep its order for the scenario to have a meaning.
    brackets = {s.id for s in plain.steps if s.kind not in ("read", "write", "free")}
    kept = tuple(o for o in weak.orders if part not in o.part or brackets.issuperset(o.steps))
    assert len(kept) < len(weak.orders)
    assert ask(replace(weak, orders=kept), solver) == "sat"


HAZARD = scenario(
    (write("a", "q", "other"), read("r"), use("r", given_that(nr=True))),
    (write("w"), read("s", "q"), gone(given_that(ns=False))),
    atoms=nonnull("r", "s"),
)
"""A hazard pointer without a barrier: the walker announces in q that it uses p, then looks at p; the other
clears p, then looks at q, and frees if nothing is announced. One of the two sees the other's store, if
neither store is delayed beyond the load that follows it: SB (store buffering), which the model allows
without smp_mb()."""

PASSED = scenario(
    (read("s", "q"), read("r", guard=given_that(ns=True)), use("r", given_that(ns=True, nr=True))),
    (write("w"), write("a", "q", "other"), gone()),
    atoms=nonnull("s", "r"),
)
"""Message passing without barriers: p is cleared, then q is set; who sees q set looks at p. The loads may
come the other way round, or the stores reach the reader so: MP, which the model allows."""


@pytest.mark.parametrize("solver", ["z3", "sat"])
@pytest.mark.parametrize("plain", [HAZARD, PASSED], ids=["hazard", "passed"])
def test_what_the_model_lets_be_reordered_is(plain: Scenario, solver: str) -> None:
    found = Ways(lkmm(plain)).find(LATE, holds=False, solver=solver)
    assert ask(plain, solver) == "unsat" and found.status == "sat" and found.trace is not None
    replay(lkmm(plain), found.trace)


@pytest.mark.parametrize(
    "plain",
    [
        # Message passing needs both sides, and each its own kind.
        passed(acquire=True),
        passed(release=True),
        passed(between=("wmb", "")),
        passed(between=("", "rmb")),
        passed(between=("rmb", "wmb")),
        passed(through=True),
        # Store buffering needs a full barrier on both sides.
        hazard("mb", "wmb"),
        hazard("rmb", "mb"),
        hazard("wmb", "rmb"),
        # The model has a control dependency here; scenarios have none (docs/memory-models.md).
        handed_on(load="once"),
        # Nor does it say of a plain access that it was seen, or saw.
        seen_and_told(""),
        seen_and_told("once", ""),
    ],
)
def test_half_a_barrier_is_none(plain: Scenario) -> None:
    assert ask(plain) == "unsat" and ask(lkmm(plain)) == "sat"


def test_who_sees_a_store_release_sees_what_its_thread_saw() -> None:
    """WRC+po-rel+acq: po-rel is cumulative in the model."""
    plain = seen_and_told("once")
    weak = lkmm(plain)
    assert ask(plain) == ask(weak) == "unsat"
    kept = tuple(o for o in weak.orders if "store-release of t2" not in o.part)
    assert ask(replace(weak, orders=kept)) == "sat"


def test_a_fence_that_is_not_executed_orders_nothing() -> None:
    """A fence on one branch: message passing is safe where it is executed alone."""
    made = passed(between=("wmb", "rmb"))
    reader, writer = made.threads
    atoms = (*made.atoms, ScenarioAtom("c", "free"))
    for always, status in ((True, "unsat"), (False, "sat")):
        guard = ((("c", True),), (("c", False),)) if always else ((("c", True),),)
        steps = tuple(replace(s, guard=guard) if s.kind == "fence" else s for s in writer.steps)
        some = replace(made, threads=(reader, replace(writer, steps=steps)), atoms=atoms)
        assert ask(lkmm(some)) == status


def test_a_fence_between_store_and_load_mends_the_hazard_pointer() -> None:
    """A grace period waited for is a full barrier (the model's gp is a strong fence): on both sides it is
    enough, on one side alone it is not (SB+mb+po)."""

    def fenced(plain: Scenario, *numbers: int) -> Scenario:
        threads = [
            replace(t, steps=(t.steps[0], *wait(t.name), *t.steps[1:])) if i in numbers else t
            for i, t in enumerate(plain.threads)
        ]
        return replace(plain, threads=tuple(threads))

    assert ask(lkmm(fenced(HAZARD, 0, 1))) == "unsat"
    assert ask(lkmm(fenced(HAZARD, 0))) == ask(lkmm(fenced(HAZARD, 1))) == "sat"


def test_no_thread_sees_an_older_value_after_a_newer_one() -> None:
    """CoRR: two loads of one cell, the first of which sees it cleared."""
    plain = scenario(
        (read("r"), read("r2"), use("r2", given_that(nr=False, nr2=True))),
        (write("w"), gone()),
        atoms=nonnull("r", "r2"),
    )
    weak = lkmm(plain)
    assert ask(plain) == ask(weak) == "unsat"
    without = replace(weak, orders=tuple(o for o in weak.orders if "older value" not in o.part))
    assert ask(without) == "sat"


def test_one_thread_sees_itself_in_program_order() -> None:
    alone = scenario((read("r"), gone()))
    assert lkmm(alone) is alone and sc(HAZARD) is HAZARD
    assert set(MEMORY_MODELS) == set(MODELS) == set(usual.MEMORY_MODELS)


def as_execution(plain: Scenario, weak: Scenario, trace: Trace) -> Trace:
    """A trace with nothing reordered as one of the weak scenario: every store reaches everyone at once."""
    arrivals: dict[str, list[str]] = {}
    for thread in weak.threads[len(plain.threads) :]:
        arrivals.setdefault(str(thread.after), []).extend(s.id for s in thread.steps)
    order = [s for step in trace.order for s in (step, *arrivals.get(step, ()))]
    return replace(trace, order=tuple(order))


@given(scenarios(weak=False))
@effort
def test_whatever_happens_in_order_can_happen_under_the_model(plain: Scenario) -> None:
    weak = lkmm(plain)
    for trace in list(explore(plain, 200))[::5]:
        replay(weak, as_execution(plain, weak, trace))


@given(programs(weak=False))
@settings(effort, max_examples=60)
def test_the_model_only_adds_executions(plain: Scenario) -> None:
    if ask(plain, "sat") == "sat":
        assert ask(lkmm(plain), "sat") == "sat"
