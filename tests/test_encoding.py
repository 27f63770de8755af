"""Hand-written scenarios with what must come out of them, and why, beside each."""

from __future__ import annotations

import pytest

from dentryproof.encodings.scenario import Scenario, ScenarioAtom, Step, Thread
from dentryproof.encodings.solver import Outcome, decode, solve
from dentryproof.encodings.temporal import holds
from dentryproof.encodings.trace import Encoding
from dentryproof.errors import InternalError, UsageError
from dentryproof.proofs.explore import explore
from dentryproof.proofs.replay import evaluate, replay
from dentryproof.spec.logic import parse
from dentryproof.spec.program import Guard

SAFE = parse("always (access -> !once free)")
P, NOT_P = ((("p", True),),), ((("p", False),),)


def s(
    name: str,
    kind: str = "call",
    lock: str = "",
    value: str = "",
    *,
    guard: Guard = ((),),
    via: str | None = None,
    callback: str = "",
    label: str = "",
    reach: str = "any",
) -> Step:
    """A step on the dentry; `lock` is its field, be it lock, member or domain."""
    labels = frozenset({(label, reach)}) if label else frozenset()
    return Step(name, kind, "dentry", lock, value, guard=guard, via=via, callback=callback, labels=labels)


def two(
    left: list[Step],
    right: list[Step],
    *more: Thread,
    atoms: tuple[ScenarioAtom, ...] = (),
    pinned: dict[str, str] | None = None,
) -> Scenario:
    initial = tuple((("dentry", field), value) for field, value in (pinned or {}).items())
    return Scenario((Thread("walk", tuple(left)), Thread("kill", tuple(right)), *more), atoms, initial)


def refute(scenario: Scenario, text: str = "always (access -> !once free)", solver: str = "z3") -> Outcome:
    """Look for a trace that breaks the formula; whatever is found must replay and break it."""
    encoding, formula = Encoding(scenario, titles={"d_manage": "autofs_d_manage()"}), parse(text)
    outcome = solve(
        encoding.constraints(), encoding.terms.no(holds(encoding, formula)), encoding.env, solver=solver
    )
    if outcome.model is not None:
        trace = decode(encoding, outcome.model)
        replay(scenario, trace)
        assert not evaluate(formula, scenario, trace)
    return outcome


ACCESS, FREE = s("a", label="access"), s("f", label="free")
DELAYED = Thread("rcu", (s("gs", "gp-start"), s("ge", "gp-end"), FREE), after="d")
SECTION = [s("in", "enter"), ACCESS, s("out", "leave")]
NONNULL = (ScenarioAtom("p", "nonnull", "r"),)
FREE_ATOM = (ScenarioAtom("p", "free"),)

CASES = [
    ("nothing orders access and free", two([ACCESS], [FREE]), "sat"),
    ("a section orders nothing by itself", two(SECTION, [FREE]), "sat"),
    (
        "free waits for the section, but the access after it is too late",
        two([*SECTION, s("b", label="access")], [s("d", "defer")], DELAYED),
        "sat",
    ),
    (
        "the section may begin after the grace period began, so the object must be unreachable by then",
        two(SECTION, [s("d", "defer")], DELAYED),
        "sat",
    ),
    (
        "as before, but what is found is cleared before the free is queued",
        two(
            [
                s("in", "enter"),
                s("r", "read", "m"),
                s("a", via="r", label="access", reach="initial"),
                s("out", "leave"),
            ],
            [s("w", "write", "m", "null"), s("d", "defer")],
            DELAYED,
        ),
        "unsat",
    ),
    (
        "cleared, but freed without a grace period",
        two(
            [
                s("in", "enter"),
                s("r", "read", "m"),
                s("a", via="r", label="access", reach="initial"),
                s("out", "leave"),
            ],
            [s("w", "write", "m", "null"), FREE],
        ),
        "sat",
    ),
    (
        "a grace period of another domain is none",
        two(
            [
                s("in", "enter", "x"),
                s("r", "read", "m"),
                s("a", via="r", label="access", reach="initial"),
                s("out", "leave", "x"),
            ],
            [s("w", "write", "m", "null"), s("d", "defer")],
            DELAYED,
        ),
        "sat",
    ),
    (
        "the access is after the inner section but inside the outer one",
        two(
            [
                s("in", "enter"),
                s("r", "read", "m"),
                s("in2", "enter"),
                s("out2", "leave"),
                s("a", via="r", label="access", reach="initial"),
                s("out", "leave"),
            ],
            [s("w", "write", "m", "null"), s("d", "defer")],
            DELAYED,
        ),
        "unsat",
    ),
    (
        "the callback leaves the section on the path that accesses",
        two(
            [
                s("in", "enter"),
                s("r", "read", "m"),
                s("x", "leave", guard=P),
                s("a", via="r", label="access", reach="initial", guard=P),
                s("out", "leave", guard=NOT_P),
            ],
            [s("w", "write", "m", "null"), s("d", "defer")],
            DELAYED,
            atoms=FREE_ATOM,
        ),
        "sat",
    ),
    (
        "the callback leaves the section on the path that does not access",
        two(
            [
                s("in", "enter"),
                s("r", "read", "m"),
                s("x", "leave", guard=NOT_P),
                s("a", via="r", label="access", reach="initial", guard=P),
                s("out", "leave", guard=P),
            ],
            [s("w", "write", "m", "null"), s("d", "defer")],
            DELAYED,
            atoms=FREE_ATOM,
        ),
        "unsat",
    ),
    (
        "one lock around both, and the test under it",
        two(
            [
                s("l", "lock", "d_lock", "exclusive"),
                s("r", "read", "m"),
                s("a", via="r", label="access", reach="initial"),
                s("u", "unlock", "d_lock"),
            ],
            [
                s("L", "lock", "d_lock", "exclusive"),
                s("w", "write", "m", "null"),
                FREE,
                s("U", "unlock", "d_lock"),
            ],
        ),
        "unsat",
    ),
    (
        "the pointer is read before the lock is taken",
        two(
            [
                s("r", "read", "m"),
                s("l", "lock", "d_lock", "exclusive"),
                s("a", via="r", label="access", reach="initial"),
                s("u", "unlock", "d_lock"),
            ],
            [
                s("L", "lock", "d_lock", "exclusive"),
                s("w", "write", "m", "null"),
                FREE,
                s("U", "unlock", "d_lock"),
            ],
        ),
        "sat",
    ),
    (
        "shared holds do not exclude each other",
        two(
            [
                s("l", "lock", "sem", "shared"),
                s("r", "read", "m"),
                s("a", via="r", label="access", reach="initial"),
                s("u", "unlock", "sem"),
            ],
            [s("L", "lock", "sem", "shared"), s("w", "write", "m", "null"), FREE, s("U", "unlock", "sem")],
        ),
        "sat",
    ),
    (
        "a reference that is held keeps the lockref from being marked dead",
        two(
            [s("get", "lock", "refcount", "shared"), ACCESS, s("put", "unlock", "refcount")],
            [s("dead", "lock", "refcount", "exclusive"), FREE],
        ),
        "unsat",
    ),
    (
        "the reference is dropped before the access",
        two(
            [s("get", "lock", "refcount", "shared"), s("put", "unlock", "refcount"), ACCESS],
            [s("dead", "lock", "refcount", "exclusive"), FREE],
        ),
        "sat",
    ),
    (
        "a lock that is only sometimes taken does not protect",
        two(
            [s("l", "lock", "x", "exclusive", guard=P), ACCESS, s("u", "unlock", "x", guard=P)],
            [s("L", "lock", "x", "exclusive"), FREE],
            atoms=FREE_ATOM,
        ),
        "sat",
    ),
    (
        "a thread does not exclude itself, be it that it upgrades its lock",
        two(
            [s("l", "lock", "x", "shared"), s("L", "lock", "x", "exclusive"), ACCESS, s("u", "unlock", "x")],
            [FREE],
        ),
        "sat",
    ),
    (
        "an unlock ends every hold of the lock that its thread has",
        two(
            [s("l", "lock", "x", "shared"), s("L", "lock", "x", "exclusive"), s("u", "unlock", "x"), ACCESS],
            [s("M", "lock", "x", "exclusive"), FREE],
        ),
        "sat",
    ),
    (
        "what is reached through a read that is not executed is not executed",
        two([s("r", "read", "m", guard=()), s("a", via="r", label="access")], [FREE]),
        "unsat",
    ),
    (
        "both sides test one mount option, one of them for its absence",
        two(
            [s("a", label="access", guard=((("p", True),),))],
            [s("f", label="free", guard=((("q", False),),))],
            atoms=(ScenarioAtom("p", "stable", key="CONFIG_X"), ScenarioAtom("q", "stable", key="CONFIG_X")),
        ),
        "unsat",
    ),
    (
        "the same with two options",
        two(
            [s("a", label="access", guard=((("p", True),),))],
            [s("f", label="free", guard=((("q", False),),))],
            atoms=(ScenarioAtom("p", "stable", key="CONFIG_X"), ScenarioAtom("q", "stable", key="CONFIG_Y")),
        ),
        "sat",
    ),
    (
        "one path condition, named on one side and negated there on the other",
        two(
            [s("a", label="access", guard=((("q", True),),))],
            [s("f", label="free", guard=NOT_P)],
            atoms=(*FREE_ATOM, ScenarioAtom("q", "defined", definition=P)),
        ),
        "unsat",
    ),
    (
        "the deferred thread never starts",
        two([ACCESS], [s("d", guard=())], Thread("rcu", (FREE,), after="d")),
        "unsat",
    ),
    (
        "the deferred thread starts after its cause, which is after the access",
        two([ACCESS, s("d")], [], Thread("rcu", (FREE,), after="d")),
        "unsat",
    ),
]


@pytest.mark.parametrize(("scenario", "status"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
@pytest.mark.parametrize("solver", ["z3", "cvc5"])
def test_case(scenario: Scenario, status: str, solver: str) -> None:
    if solver != "z3":
        pytest.importorskip(solver)
    assert refute(scenario, solver=solver).status == status
    assert any(not evaluate(SAFE, scenario, t) for t in explore(scenario)) == (status == "sat")


VALUES = [
    ("an unpinned cell holds the object or NULL at first", {}, [], {"initial", "null"}),
    ("a pinned one holds what it is pinned to", {"m": "null"}, [], {"null"}),
    (
        "a write before or after the read",
        {"m": "initial"},
        [s("w", "write", "m", "null")],
        {"initial", "null"},
    ),
    ("a write of new is read as other", {"m": "null"}, [s("w", "write", "m", "new")], {"null", "other"}),
    (
        "a write that is not executed is not read",
        {"m": "initial"},
        [s("w", "write", "m", "null", guard=())],
        {"initial"},
    ),
    (
        "of two writes in one thread either can be last",
        {"m": "initial"},
        [s("w", "write", "m", "null"), s("v", "write", "m", "other")],
        {"initial", "null", "other"},
    ),
    ("a write to another cell is not read", {"m": "initial"}, [s("w", "write", "k", "null")], {"initial"}),
]


@pytest.mark.parametrize(
    ("pinned", "writes", "expected"), [c[1:] for c in VALUES], ids=[c[0] for c in VALUES]
)
def test_read_yields(pinned: dict[str, str], writes: list[Step], expected: set[str]) -> None:
    encoding = Encoding(two([s("r", "read", "m")], writes, pinned=pinned))
    found = {
        value
        for value in ("initial", "null", "other")
        if solve(encoding.constraints(), encoding.yields("r", value), encoding.env).status == "sat"
    }
    assert found == expected


def test_own_write_is_read_back() -> None:
    """The thread's own write is the last one when nobody else writes."""
    encoding = Encoding(two([s("w", "write", "m", "null"), s("r", "read", "m")], []))
    assert (
        solve(encoding.constraints(), encoding.terms.no(encoding.yields("r", "null")), encoding.env).status
        == "unsat"
    )


def test_nonnull_guard_protects_against_null() -> None:
    """The use is executed only if the pointer is not NULL, so it never dereferences NULL."""
    use = s("a", via="r", guard=P, label="null-deref", reach="null")
    scenario = two([s("r", "read", "m"), use], [s("w", "write", "m", "null")], atoms=NONNULL)
    assert refute(scenario, "always !null-deref").status == "unsat"


def test_reading_twice_is_not_reading_once() -> None:
    """The first read is tested, the second is used: it can turn NULL between the two (ceph, 2019)."""
    use = s("a", via="r2", guard=P, label="null-deref", reach="null")
    scenario = two(
        [s("r", "read", "m"), s("r2", "read", "m", guard=P), use],
        [s("w", "write", "m", "null")],
        atoms=NONNULL,
    )
    assert refute(scenario, "always !null-deref").status == "sat"


def test_core_names_the_reasons_and_no_others() -> None:
    """Safe by: read in the section, cleared before the free is queued, freed after it. d_lock is idle."""
    walk = [
        s("in", "enter"),
        s("r", "read", "m", callback="d_manage"),
        s("a", via="r", callback="d_manage", label="access", reach="initial"),
        s("out", "leave"),
    ]
    kill = [
        s("L", "lock", "d_lock", "exclusive"),
        s("w", "write", "m", "null"),
        s("d", "defer", callback="d_release"),
        s("U", "unlock", "d_lock"),
    ]
    other = Thread("other", (s("l", "lock", "d_lock", "exclusive"), s("u", "unlock", "d_lock")))
    outcome = refute(two(walk, kill, DELAYED, other))
    assert outcome.minimal
    assert sorted(c.name for c in outcome.core) == [
        "gp:gs:ge:in",
        "inside:in:r",
        "order:kill",
        "order:rcu",
        "start:rcu",
        "value:r",
    ]


def test_core_prefers_words_of_the_contract() -> None:
    """Where the section alone matters, the core says who is inside it, not that the walk is in order."""
    walk = [
        s("in", "enter", label="begun"),
        s("x"),
        s("a", callback="d_manage", label="access"),
        s("out", "leave"),
    ]
    kill = [s("gs", "gp-start", label="gp"), s("ge", "gp-end"), FREE]
    outcome = refute(two(walk, kill), "always (gp -> once begun) -> always (access -> !once free)")
    assert outcome.status == "unsat"
    assert {c.text for c in outcome.core if c.name.startswith("inside")} == {
        "autofs_d_manage() runs inside the read-side section of walk"
    }
    assert "order:walk" not in {c.name for c in outcome.core}


def test_core_is_irredundant() -> None:
    """Leaving any one constraint out of a core lets the goal through."""
    encoding = Encoding(CASES[4][1])
    goal = encoding.terms.no(holds(encoding, SAFE))
    core = solve(encoding.constraints(), goal, encoding.env).core
    assert core and solve(core, goal, encoding.env).status == "unsat"
    for left_out in core:
        rest = [c for c in core if c is not left_out]
        assert solve(rest, goal, encoding.env).status == "sat", left_out.text


def test_grace_period_in_own_section_is_a_deadlock() -> None:
    """synchronize_rcu() under rcu_read_lock() never returns: no trace, by rule 4 as it stands."""
    scenario = two([s("in", "enter"), s("gs", "gp-start"), s("ge", "gp-end"), s("out", "leave")], [])
    assert refute(scenario, "!true").status == "unsat"
    assert list(explore(scenario)) == []


def test_a_section_that_is_not_left_has_no_trace() -> None:
    """Rule 4: every section that is entered is left."""
    assert refute(two([s("in", "enter")], []), "!true").status == "unsat"


def test_timeout_is_unknown_never_unsat() -> None:
    encoding = Encoding(CASES[4][1])
    goal = encoding.terms.no(holds(encoding, SAFE))
    outcome = solve(encoding.constraints(), goal, encoding.env, timeout=0.0)
    assert (outcome.status, outcome.reason) == ("unknown", "z3: out of time")


@pytest.mark.parametrize("solver", ["z3", "cvc5"])
def test_a_time_limit_that_suffices_changes_nothing(solver: str) -> None:
    pytest.importorskip(solver)
    encoding = Encoding(CASES[4][1])
    goal = encoding.terms.no(holds(encoding, SAFE))
    outcome = solve(encoding.constraints(), goal, encoding.env, solver=solver, timeout=30.0)
    assert outcome.status == "unsat" and outcome.minimal == (solver == "z3")


def test_unknown_solver_names_the_known() -> None:
    encoding = Encoding(two([ACCESS], []))
    with pytest.raises(UsageError, match="unknown solver 'z4'; known are sat, sat-transitive, z3"):
        solve(encoding.constraints(), encoding.terms.true, encoding.env, solver="z4")


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        (two([ACCESS], [ACCESS]), "two steps are named 'a'"),
        (two([s("a", via="z")], []), "step a: reached via 'z', which is no read"),
        (two([s("a", guard=P)], []), "its guard speaks of 'p', which is no atom"),
        (two([s("r", "read", "m", via="r")], []), "step r: is executed only if it is executed"),
        (two([s("w", "write", "m", "?")], []), "step w: writes '?'"),
        (two([s("l", "lock", "m")], []), "step l: locks in mode ''"),
        (two([s("a")], [], Thread("t", (), after="z")), "thread t: started by 'z', which is no step"),
        (two([s("a")], [], atoms=(ScenarioAtom("p", "nonnull", "a"),)), "atom p: 'a' is no read"),
    ],
)
def test_malformed_scenario(scenario: Scenario, message: str) -> None:
    with pytest.raises(InternalError, match=message.replace("?", r"\?")):
        Encoding(scenario)
