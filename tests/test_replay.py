"""Traces that break one rule each, and what the interpreter says of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dentryproof.encodings.scenario import Scenario, ScenarioAtom, Step, Thread, Trace
from dentryproof.errors import InternalError
from dentryproof.proofs.explore import explore
from dentryproof.proofs.replay import Hold, evaluate, replay
from dentryproof.spec.logic import parse

IF_P = ((("p", True),),)


def scenario(*threads: Thread, atoms: tuple[ScenarioAtom, ...] = (), **initial: str) -> Scenario:
    return Scenario(threads, atoms, tuple((("dentry", f), v) for f, v in initial.items()))


def trace(
    order: str, atoms: dict[str, bool] | None = None, values: dict[str, str] | None = None, **initial: str
) -> Trace:
    return Trace(
        tuple(order.split()),
        tuple((atoms or {}).items()),
        tuple((("dentry", f), v) for f, v in initial.items()),
        tuple((values or {}).items()),
    )


def s(name: str, kind: str = "call", field: str = "", value: str = "", **rest: object) -> Step:
    return replace(Step(name, kind, "dentry", field, value), **rest)  # type: ignore[arg-type]


PLAIN = scenario(Thread("x", (s("a"), s("b"))), Thread("y", (s("c"),), after="a"))
READ = scenario(
    Thread("x", (s("r", "read", "m"), s("a", guard=IF_P, via="r"))),
    Thread("y", (s("w", "write", "m", "null"),)),
    atoms=(ScenarioAtom("p", "nonnull", "r"),),
)
LOCKS = scenario(
    Thread("x", (s("l", "lock", "k", "exclusive"), s("u", "unlock", "k"))),
    Thread("y", (s("L", "lock", "k", "shared"),)),
)
GRACE = scenario(
    Thread("x", (s("in", "enter"), s("out", "leave"))), Thread("y", (s("gs", "gp-start"), s("ge", "gp-end")))
)
STABLE = scenario(
    Thread("x", (s("a"),)), atoms=(ScenarioAtom("p", "stable", key="K"), ScenarioAtom("q", "stable", key="K"))
)
DEFINED = scenario(
    Thread("x", (s("a"),)), atoms=(ScenarioAtom("p", "free"), ScenarioAtom("q", "defined", definition=IF_P))
)
YES, NO = {"p": True}, {"p": False}

GOOD = [
    (PLAIN, trace("a b c")),
    (PLAIN, trace("a c b")),
    (READ, trace("r a w", YES, {"r": "initial"}, m="initial")),
    (READ, trace("w r", NO, {"r": "null"}, m="initial")),
    (READ, trace("r w", NO, {"r": "null"}, m="null")),
    (LOCKS, trace("l u L")),
    (GRACE, trace("in gs out ge")),
    (GRACE, trace("gs in ge out")),
    (GRACE, trace("gs ge in out")),
    (STABLE, trace("a", {"p": True, "q": True})),
]


@pytest.mark.parametrize(("case", "good"), GOOD, ids=[" ".join(t.order) for _, t in GOOD])
def test_trace_replays(case: Scenario, good: Trace) -> None:
    positions = replay(case, good)
    assert [p.step.id for p in positions] == list(good.order)
    assert [p.number for p in positions] == list(range(len(good.order)))


BAD = [
    (PLAIN, trace("a c"), "step b: is missing"),
    (PLAIN, trace("a b"), "step c: is missing"),
    (PLAIN, trace("b a c"), "step a: is taken out of program order"),
    (PLAIN, trace("c a b"), "step c: is taken although its thread has not started"),
    (PLAIN, trace("a a b c"), "step a: is taken twice"),
    (PLAIN, trace("a b c d"), "step d: is no step of the scenario"),
    (PLAIN, trace("a b c", YES), "does not give each atom of the scenario one value"),
    (PLAIN, trace("a b c", values={"a": "null"}), "step a: is a read without a value, or has a value"),
    (READ, trace("r w", YES, {"r": "initial"}, m="initial"), "step a: is missing"),
    (READ, trace("r a w", NO, {"r": "initial"}, m="initial"), "step a: is taken although"),
    (READ, trace("r w", NO, {"r": "initial"}, m="initial"), "atom p is not what read r yields"),
    (READ, trace("w r a", YES, {"r": "initial"}, m="initial"), "r: yields initial, but the cell holds null"),
    (READ, trace("r w", NO, {"r": "null"}), "step r: reads dentry->m, which has no initial value"),
    (READ, trace("r w", NO, m="null"), "step r: yields None"),
    (READ, trace("r w", NO, {"r": "null"}, m="other"), "dentry->m is 'other' at first"),
    (READ, trace("r w", NO, {"r": "null", "z": "null"}, m="null"), "step z: is given a value"),
    (
        replace(READ, initial=((("dentry", "m"), "initial"),)),
        trace("r w", NO, {"r": "null"}, m="null"),
        "dentry->m is not initial at first",
    ),
    (LOCKS, trace("l L u"), "step L: takes dentry->k, held exclusive by x"),
    (LOCKS, trace("L l u"), "step l: takes dentry->k, held shared by y"),
    (GRACE, trace("in gs ge out"), "step ge: ends a grace period while x is in the section entered at in"),
    (scenario(Thread("x", (s("in", "enter"),))), trace("in"), "enters a read-side section that x never"),
    (DEFINED, trace("a", {"p": True, "q": False}), "atom q is not what it is defined to be"),
    (STABLE, trace("a", {"p": True, "q": False}), "stable atoms p and q differ"),
]


@pytest.mark.parametrize(("case", "bad", "message"), BAD, ids=[m for _, _, m in BAD])
def test_broken_trace_is_caught(case: Scenario, bad: Trace, message: str) -> None:
    with pytest.raises(InternalError, match="replay: ") as caught:
        replay(case, bad)
    assert message in str(caught.value)


def test_positions_tell_what_is_pinned() -> None:
    """At the step that goes wrong a reader wants both sides: locks, sections, grace periods under way."""
    case = scenario(
        Thread("x", (s("in", "enter"), s("l", "lock", "refcount", "shared"), s("out", "leave"))),
        Thread("y", (s("gs", "gp-start"), s("ge", "gp-end"))),
    )
    _, _, locked, left, ended = replay(case, trace("in gs l out ge"))
    assert locked.holds == (Hold("x", "dentry", "refcount", "shared"),)
    assert locked.sections == (("x", ""),) and locked.waiting == (("y", ""),)
    assert left.sections == () and ended.waiting == ()


def test_reach_decides_what_a_label_says() -> None:
    """The label holds only if the step acts on the scenario's object."""
    use = s("a", via="r", labels=frozenset({("hit", "initial"), ("null", "null"), ("there", "any")}))
    case = scenario(Thread("x", (s("r", "read", "m"), use)))
    for value, said in (("initial", "hit"), ("null", "null")):
        good = trace("r a", values={"r": value}, m=value)
        assert replay(case, good)[1].reach == value
        held = {n for n in ("hit", "null", "there") if evaluate(parse(f"eventually {n}"), case, good)}
        assert held == {said, "there"}


@pytest.mark.parametrize(
    ("case", "number", "_why"),
    [
        (PLAIN, 2, "c comes before or after b"),
        (READ, 5, "set: r a w, r w a, w r; NULL: r w, w r"),
        (LOCKS, 1, "the shared hold never ends, so it comes last"),
        (GRACE, 5, "six interleavings but for in gs ge out"),
        (DEFINED, 2, "one truth chosen, one defined"),
        (STABLE, 2, "one key, two truths"),
        (
            scenario(
                Thread(
                    "x",
                    (
                        s("l", "lock", "k", "exclusive"),
                        s("m", "lock", "j", "exclusive"),
                        s("n", "unlock", "j"),
                        s("o", "unlock", "k"),
                    ),
                ),
                Thread(
                    "y",
                    (
                        s("L", "lock", "j", "exclusive"),
                        s("M", "lock", "k", "exclusive"),
                        s("N", "unlock", "k"),
                        s("O", "unlock", "j"),
                    ),
                ),
            ),
            4,
            "who takes both first wins; the other may take j (k) once it is dropped; all else deadlocks",
        ),
    ],
)
def test_explorer_counts(case: Scenario, number: int, _why: str) -> None:
    found = list(explore(case))
    assert len(found) == len(set(found)) == number
    for one in found:
        replay(case, one)


def test_explorer_limit() -> None:
    assert len(list(explore(GRACE, limit=3))) == 3
