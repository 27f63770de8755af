"""Every route to a verdict, explorer and interpreter agree on random small scenarios, programs and formulas.

DENTRYPROOF_AGREEMENT says how many programs are drawn (300 unless it is set). A route that joins
`usual.SOLVERS` is asked with the others.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dentryproof.encodings.routes import Ways
from dentryproof.encodings.scenario import Scenario, ScenarioAtom, Step, Thread, Trace
from dentryproof.encodings.solver import decode, solve
from dentryproof.encodings.temporal import holds
from dentryproof.encodings.trace import Encoding
from dentryproof.encodings.usual import KNOWN_SOLVERS, SAT, SOLVERS, TRANSITIVE
from dentryproof.encodings.weak import lkmm, sc
from dentryproof.proofs.explore import explore
from dentryproof.proofs.replay import evaluate, replay
from dentryproof.spec.logic import BINARY, UNARY, Formula, parse
from dentryproof.spec.program import FENCES, ORDERS, TRUE, Guard

LIMIT = 1500
"""Traces explored at most; beyond that only the solver's own answers are checked."""
STEPS, THREAD_STEPS, WEAK_STEPS = 9, 4, 6
"""Steps of a scenario and of a thread at most (a chunk that does not fit is dropped), and of a scenario whose
threads are then let go of their order."""

Draw = st.DrawFn
odd = ("read", "write", "call", "lock", "unlock", "leave", "enter", "gp-start", "gp-end", "fence")
themes = {
    "locks": ("locked",) * 9,
    "grace": ("section", "period") * 5,
    "values": ("read", "write") * 5,
    "barriers": ("read", "write", "fence") * 4,
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
        case "fence":
            return [(kind, "", draw(st.sampled_from(FENCES)))]
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
def scenarios(draw: Draw, weak: bool = True) -> Scenario:
    """Two or three threads, the later ones sometimes deferred; guards, via and labels anywhere. With
    `weak`, some are let go of their order."""
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
    found = Scenario(dressed, tuple(atoms), tuple((("dentry", f), v) for f, v in pinned))
    return lkmm(found) if weak and len(steps) <= WEAK_STEPS and draw(st.booleans()) else found


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
    order = draw(st.sampled_from(ORDERS.get(step.kind, ("",))))
    return replace(step, guard=guard, via=via, labels=labels, order=order)


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
    if outcome.status == "unsat" and outcome.minimal:
        assert solve(outcome.core, goal, encoding.env).status == "unsat"
        for left_out in outcome.core:
            rest = [c for c in outcome.core if c is not left_out]
            assert solve(rest, goal, encoding.env).status == "sat"


# -- programs as they are: walkers, a teardown, what it puts off -----------------------------------------

PROGRAMS = int(os.environ.get("DENTRYPROOF_AGREEMENT", "300"))
ROUTES = (
    "z3",
    *(name for name in SOLVERS if name not in KNOWN_SOLVERS and (name != SAT or find_spec("pysat"))),
)
"""Those asked about each program: clocks under one solver, and each route that has no solver of its own."""
MOST_TRACES, MOST_STEPS, CLOSED_STEPS = 1500, 11, 16
LATE = parse("!eventually (use & once free)")
"""No use after the free: the shape of the rcu-delay clauses."""
LOST = parse("!eventually null")
"""No use through NULL: the shape of null-inode."""
COUNTED: Counter[str] = Counter()

DENTRY, DATA = "dentry", "d_fsdata"


@st.composite
def walkers(draw: Draw, name: str) -> tuple[list[Step], list[ScenarioAtom]]:
    """One lockless walker: a section of RCU or SRCU, or a counted reference, or neither, around a read of the
    pointer and uses of what it leads to, perhaps under a lock and after a NULL test."""
    around = draw(st.sampled_from(("rcu", "rcu", "srcu", "counted", "none")))
    locked, tested = draw(st.booleans()), draw(st.booleans())
    read = Step(f"{name}r", "read", DENTRY, DATA)
    guard: Guard = (((f"n{name}", True),),) if tested else TRUE
    labels = frozenset({("use", "initial"), ("null", "null")})
    uses = [
        Step(f"{name}u{i}", "read", f"{DENTRY}->{DATA}", "flags", guard=guard, via=read.id, labels=labels)
        for i in range(draw(st.integers(1, 2)))
    ]
    inside = [read, *uses]
    if locked:
        inside = [Step(f"{name}l", "lock", DENTRY, "d_lock", "exclusive"), *inside]
        inside.insert(draw(st.integers(2, len(inside))), Step(f"{name}k", "unlock", DENTRY, "d_lock"))
    match around:
        case "rcu" | "srcu":
            domain = "" if around == "rcu" else "toy"
            inside = [
                Step(f"{name}e", "enter", field=domain),
                *inside,
                Step(f"{name}x", "leave", field=domain),
            ]
        case "counted":
            inside = [
                Step(f"{name}g", "lock", DENTRY, "refcount", "shared"),
                *inside,
                Step(f"{name}p", "unlock", DENTRY, "refcount"),
            ]
    return inside, [ScenarioAtom(f"n{name}", "nonnull", read.id)] if tested else []


@st.composite
def programs(draw: Draw, weak: bool = True) -> Scenario:
    """Up to three walkers against one teardown, which may mark the lockref dead, clear the pointer, hold a
    lock, wait for a grace period, and free at once, later by RCU or SRCU, or later twice over."""
    threads, atoms = [], []
    for name in "abc"[: draw(st.sampled_from((1, 1, 2, 2, 3)))]:
        steps, tests = draw(walkers(name))
        threads.append(Thread(name, tuple(steps)))
        atoms += tests
    free = Step("free", "free", f"{DENTRY}->{DATA}", via="td", labels=frozenset({("free", "initial")}))
    own = [Step("td", "read", DENTRY, DATA)]
    if draw(st.booleans()):
        own.append(Step("tw", "write", DENTRY, DATA, "null"))
    if draw(st.booleans()):
        own = [
            Step("tl", "lock", DENTRY, "d_lock", "exclusive"),
            *own,
            Step("tk", "unlock", DENTRY, "d_lock"),
        ]
    if draw(st.booleans()):
        own.insert(0, Step("dead", "lock", DENTRY, "refcount", "exclusive"))
    guard: Guard = TRUE
    match draw(st.sampled_from(("all", "atom", "nonnull", "derived"))):
        case "atom":
            atoms.append(ScenarioAtom("f", draw(st.sampled_from(("free", "stable"))), key="K"))
            guard = ((("f", draw(st.booleans())),),)
        case "nonnull":
            atoms.append(ScenarioAtom("nt", "nonnull", "td"))
            guard = ((("nt", True),),)
        case "derived" if atoms:
            atoms.append(ScenarioAtom("v", "defined", definition=draw(guards(atoms))))
            guard = ((("v", True),),)
    domain = draw(st.sampled_from(("", "", "toy")))
    gone = draw(st.sampled_from(("now", "later", "later", "waits", "twice")))
    match gone:
        case "now":
            own.append(replace(free, guard=guard))
        case "waits":
            own += [Step("ts", "gp-start", field=domain), Step("te", "gp-end", field=domain)]
            own.append(replace(free, guard=guard))
        case _:
            own.append(Step("tq", "defer", DENTRY, DATA, guard=guard))
    threads.append(Thread("t", tuple(own)))
    if gone in ("later", "twice"):
        head = [Step("ls", "gp-start", field=domain), Step("le", "gp-end", field=domain)]
        last = [Step("lq", "defer", DENTRY, DATA)] if gone == "twice" else [free]
        threads.append(Thread("later", (*head, *last), after="tq"))
    if gone == "twice":
        threads.append(Thread("last", (free,), after="lq"))
    pinned = draw(st.sampled_from(((), (((DENTRY, DATA), "initial"),))))
    found = Scenario(tuple(threads), tuple(atoms), pinned)
    return draw(st.sampled_from((sc, lkmm)))(found) if weak else found


@given(programs(), st.one_of(st.just(LATE), st.just(LOST), formulas()))
@settings(effort, max_examples=PROGRAMS)
def test_every_route_agrees_on_programs(scenario: Scenario, formula: Formula) -> None:
    # The explorer may spend for ever on orders that end in deadlock: larger programs are the routes' alone.
    small = len(scenario.steps) <= (MOST_STEPS if scenario.threads[0].ordered else WEAK_STEPS)
    traces = list(explore(scenario, MOST_TRACES)) if small else []
    complete = small and len(traces) < MOST_TRACES
    broken = any(not evaluate(formula, scenario, t) for t in traces)
    for trace in traces[:: max(1, len(traces) // 20)]:
        replay(scenario, trace)
    ways, said = Ways(scenario), {}
    for name in ROUTES:
        if name == TRANSITIVE and len(scenario.steps) > CLOSED_STEPS:
            continue
        found = ways.find(formula, holds=False, solver=name)
        said[name] = found.status
        if found.trace is not None:
            replay(scenario, found.trace)
            assert not evaluate(formula, scenario, found.trace), name
    assert len(set(said.values())) == 1, said
    if broken or complete:
        assert set(said.values()) == {"sat" if broken else "unsat"}
    COUNTED["programs"] += 1
    COUNTED["decided by the explorer as well"] += broken or complete
    COUNTED["broken"] += "sat" in said.values()
    COUNTED["traces"] += len(traces)
    COUNTED["with several walkers"] += sum(t.name in ("a", "b", "c") for t in scenario.threads) > 1
    for what, kind in (("locks", "lock"), ("grace periods", "gp-start"), ("deferred calls", "defer")):
        COUNTED[f"with {what}"] += any(s.kind == kind for s in scenario.steps)
    COUNTED["under lkmm"] += not scenario.threads[0].ordered
    COUNTED["with references"] += any(s.field == "refcount" for s in scenario.steps)
    COUNTED["with SRCU"] += any(s.field == "toy" for s in scenario.steps)
    COUNTED["with guards"] += any(s.guard != TRUE for s in scenario.steps)


def test_the_programs_were_of_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    if not COUNTED:
        pytest.skip("no programs were drawn")
    with capsys.disabled():
        print(f"\nagreement of {', '.join(ROUTES)}: " + ", ".join(f"{n} {w}" for w, n in COUNTED.items()))
    assert COUNTED["programs"] >= PROGRAMS // 2
    for what, number in COUNTED.items():
        assert number > COUNTED["programs"] // 20, what
    assert COUNTED["broken"] < COUNTED["programs"]
