"""Encoding, explorer, interpreter and second solver agree on random small scenarios and formulas."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dentryproof.encodings.scenario import Scenario, ScenarioAtom, Step, Thread, Trace
from dentryproof.encodings.solver import decode, solve
from dentryproof.encodings.temporal import holds
from dentryproof.encodings.trace import Encoding
from dentryproof.proofs.explore import explore
from dentryproof.proofs.replay import evaluate, replay
from dentryproof.spec.logic import BINARY, UNARY, Formula
from dentryproof.spec.program import Guard

LIMIT = 1500
"""Traces explored at most; beyond that only the solver's own answers are checked."""
STEPS, THREAD_STEPS = 9, 4
"""Steps of a scenario and of a thread at most (a chunk that does not fit is dropped)."""

Draw = st.DrawFn
odd = ("read", "write", "call", "lock", "unlock", "leave", "enter", "gp-start", "gp-end")
themes = {
    "locks": ("locked",) * 9,
    "grace": ("section", "period") * 5,
    "values": ("read", "write") * 5,
    "mixed": ("locked", "section", "period", "read", "write") * 2,
}
locks, fields = st.sampled_from("kkkkkj"), st.sampled_from("mmmmmn")
modes, domains = st.sampled_from(("exclusive", "shared")), st.sampled_from(("", "", "", "", "x"))


@st.composite
def chunks(draw: Draw, theme: str, depth: int = 2) -> list[tuple[str, str, str]]:
    """A few (kind, field, value), mostly of one theme, and with brackets that match."""
    kind = draw(st.sampled_from(themes[theme] + odd))
    nests = depth > 0 and kind in ("locked", "section")
    inner = draw(st.lists(chunks(theme, depth - 1), max_size=2)) if nests else []
    inside = [event for chunk in inner for event in chunk]
    match kind:
        case "read":
            return [(kind, draw(fields), "")]
        case "write":
            return [(kind, draw(fields), draw(st.sampled_from(("null", "new", "other"))))]
        case "lock" | "locked":
            lock = draw(locks)
            return [("lock", lock, draw(modes)), *inside, *([("unlock", lock, "")] if inside else [])]
        case "unlock":
            return [(kind, draw(locks), "")]
        case "section":
            domain = draw(domains)
            return [("enter", domain, ""), *inside, ("leave", domain, "")]
        case "period":
            domain = draw(domains)
            return [("gp-start", domain, ""), ("gp-end", domain, "")]
        case "enter" | "leave" | "gp-start" | "gp-end":
            return [(kind, draw(domains), "")]
        case _:
            return [("call", "", "")]


@st.composite
def guards(draw: Draw, atoms: list[ScenarioAtom]) -> Guard:
    """Up to two cubes over `atoms`; no cube at all is the guard that is false."""
    cube = st.dictionaries(st.sampled_from([a.name for a in atoms]), st.booleans(), min_size=1, max_size=2)
    return tuple(tuple(sorted(c.items())) for c in draw(st.lists(cube, max_size=2)))


@st.composite
def scenarios(draw: Draw) -> Scenario:
    """Two or three threads, the later ones sometimes deferred; guards, via and labels anywhere."""
    threads: list[Thread] = []
    steps: list[Step] = []
    theme = draw(st.sampled_from(sorted(themes)))
    for name in ("x", "y", "z")[: draw(st.integers(2, 3))]:
        own: list[Step] = []
        for chunk in draw(st.lists(chunks(theme), min_size=1, max_size=3)):
            if len(own) + len(chunk) <= min(THREAD_STEPS, STEPS - len(steps)):
                own += [
                    Step(f"{name}{len(own) + i}", kind, "dentry", field, value)
                    for i, (kind, field, value) in enumerate(chunk)
                ]
        after = draw(st.sampled_from(steps)).id if steps and draw(st.integers(0, 2)) == 0 else None
        threads.append(Thread(name, tuple(own), after=after))
        steps += own
    reads = [s.id for s in steps if s.kind == "read"]
    atoms = [ScenarioAtom(f"n{r}", "nonnull", r) for r in reads if draw(st.booleans())]
    stable = [ScenarioAtom("c", "stable", key="K"), ScenarioAtom("d", "stable", key="K")]
    atoms += draw(st.sampled_from(([], [ScenarioAtom("f", "free")], stable)))
    derived = draw(st.booleans())
    if atoms and derived:
        atoms.append(ScenarioAtom("e", "defined", definition=draw(guards(atoms))))
    dressed = tuple(
        replace(t, steps=tuple(draw(_dress(s, steps, reads, atoms)) for s in t.steps)) for t in threads
    )
    pinned = draw(st.sampled_from(((), (), (("m", "null"),), (("m", "initial"), ("n", "initial")))))
    return Scenario(dressed, tuple(atoms), tuple((("dentry", f), v) for f, v in pinned))


@st.composite
def _dress(draw: Draw, step: Step, steps: list[Step], reads: list[str], atoms: list[ScenarioAtom]) -> Step:
    """`step` with a guard, a `via` among the reads listed before it, and labels."""
    guard: Guard = ((),)
    if atoms and draw(st.integers(0, 2)) == 0:
        guard = draw(guards(atoms))
    place = {s.id: i for i, s in enumerate(steps)}
    earlier = [r for r in reads if place[r] < place[step.id]]
    through = draw(st.booleans())
    via = draw(st.sampled_from(earlier)) if earlier and through else None
    reach = st.sampled_from(("any", "initial", "null"))
    labels = draw(st.frozensets(st.tuples(st.sampled_from("pqr"), reach), max_size=2))
    return replace(step, guard=guard, via=via, labels=labels)


@st.composite
def formulas(draw: Draw, depth: int = 3) -> Formula:
    """Formulas of depth three at most, every operator among them."""
    kind = draw(st.integers(0, 4)) if depth else 0
    if kind == 0:
        return draw(st.sampled_from([Formula("pred", name=n) for n in "pqr"] + [Formula("true")]))
    inner = formulas(depth - 1)
    if kind <= 2:
        return Formula(draw(st.sampled_from(("not", *UNARY))), (draw(inner),))
    op = draw(st.sampled_from(("and", "or", "implies", *BINARY)))
    return Formula(op, (draw(inner), draw(inner)))


effort = settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)


def same(one: Trace, other: Trace) -> bool:
    """Whether two traces make the same choices, in whatever order they list them."""
    return one.order == other.order and all(
        dict(getattr(one, part)) == dict(getattr(other, part)) for part in ("atoms", "initial", "values")
    )


@given(scenarios(), formulas())
@effort
def test_encoding_finds_a_counterexample_iff_there_is_one(scenario: Scenario, formula: Formula) -> None:
    traces = list(explore(scenario, LIMIT))
    encoding = Encoding(scenario)
    outcome = solve(encoding.constraints(), encoding.terms.no(holds(encoding, formula)), encoding.env)
    if outcome.model is not None:
        trace = decode(encoding, outcome.model)
        replay(scenario, trace)
        assert not evaluate(formula, scenario, trace)
    broken = any(not evaluate(formula, scenario, t) for t in traces)
    if broken or len(traces) < LIMIT:
        assert outcome.status == ("sat" if broken else "unsat")
    for trace in traces[::7]:
        replay(scenario, trace)


@given(scenarios())
@effort
def test_every_trace_is_a_model_and_every_model_a_trace(scenario: Scenario) -> None:
    """Pin the order, the atoms and the initial values of an explored trace: one model, that trace."""
    traces = list(explore(scenario, LIMIT))
    for trace in traces[:: max(1, len(traces) // 4)]:
        encoding = Encoding(scenario)
        terms = encoding.terms
        goal = terms.all(
            [
                *(encoding.before(a, b) for a, b in pairwise(trace.order)),
                *(encoding.atom(n) if v else terms.no(encoding.atom(n)) for n, v in trace.atoms),
                *(
                    encoding.initially_null(c) if v == "null" else terms.no(encoding.initially_null(c))
                    for c, v in trace.initial
                ),
            ]
        )
        outcome = solve(encoding.constraints(), goal, encoding.env)
        assert outcome.model is not None, trace
        assert same(decode(encoding, outcome.model), trace)
        replay(scenario, trace)


@given(scenarios(), formulas())
@settings(effort, max_examples=60)
def test_second_solver_agrees(scenario: Scenario, formula: Formula) -> None:
    pytest.importorskip("cvc5")
    encoding = Encoding(scenario)
    goal = encoding.terms.no(holds(encoding, formula))
    first, second = (solve(encoding.constraints(), goal, encoding.env, solver=n) for n in ("z3", "cvc5"))
    assert first.status == second.status
    if second.model is not None:
        trace = decode(encoding, second.model)
        replay(scenario, trace)
        assert not evaluate(formula, scenario, trace)


@given(scenarios(), formulas())
@settings(effort, max_examples=60)
def test_cores_are_irredundant(scenario: Scenario, formula: Formula) -> None:
    encoding = Encoding(scenario)
    goal = encoding.terms.no(holds(encoding, formula))
    outcome = solve(encoding.constraints(), goal, encoding.env)
    if outcome.status == "unsat":
        assert solve(outcome.core, goal, encoding.env).status == "unsat"
        for left_out in outcome.core:
            rest = [c for c in outcome.core if c is not left_out]
            assert solve(rest, goal, encoding.env).status == "sat"
