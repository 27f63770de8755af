"""From an obligation to a verdict: solve, replay, tell."""

from __future__ import annotations

import time
from dataclasses import replace

from pysmt.environment import Environment

from ..encodings.solver import Outcome, decode, solve
from ..encodings.temporal import holds
from ..encodings.trace import Encoding
from ..errors import InternalError
from ..spec.logic import Formula, parse
from .obligation import IMPRECISE, LOOPS, Obligation
from .replay import Position, evaluate, replay
from .tell import fix, summary, trace_steps
from .verdict import Result, Verdict

_SENSITIVE = frozenset({"balanced-locks", "no-double-free", "null-inode", "prune-keeps-locks"})
"""Clauses that a forgotten path condition could make look broken."""


def decide(obligation: Obligation, solver: str = "z3", timeout: float | None = None) -> Result:
    """The verdict on one obligation. InternalError if a trace does not replay or breaks no clause."""
    started = time.monotonic()
    env = Environment()
    titles = dict(
        zip(
            obligation.callbacks,
            (f"{f}()" for f in obligation.functions[-len(obligation.callbacks) :]),
            strict=False,
        )
    )
    encoding = Encoding(obligation.scenario, env, titles=titles)
    goal = env.formula_manager.Not(holds(encoding, obligation.formula))
    outcome = solve(encoding.constraints(), goal, env, solver=solver, timeout=timeout)
    result = Result(
        obligation.model.filesystem,
        obligation.model.table,
        obligation.clause.id,
        obligation.callbacks,
        obligation.object,
        Verdict.UNKNOWN,
        bound=_bound(obligation),
        assumptions=obligation.assumptions,
    )
    if outcome.status == "unknown":
        result = replace(result, reason=f"{solver} gave up: {outcome.reason}")
    elif outcome.status == "sat":
        result = _violated(*_simplest(obligation, encoding, outcome, solver, timeout), result)
    else:
        result = _proved(obligation, encoding, outcome, result, solver, timeout)
    return replace(result, seconds=time.monotonic() - started)


class Decisions:
    """Verdicts of one run: an obligation that differs from an earlier one only in the table it is asked for
    (methods that tables of one filesystem share) is not decided again."""

    def __init__(self, solver: str = "z3", timeout: float | None = None) -> None:
        self.solver, self.timeout = solver, timeout
        self._known: dict[tuple[object, ...], Result] = {}

    def decide(self, obligation: Obligation) -> Result:
        """The verdict on one obligation; see `decide`."""
        key = (
            obligation.clause.id,
            obligation.callbacks,
            obligation.object,
            obligation.scenario,
            obligation.functions,
            obligation.assumptions,
            obligation.debug,
            obligation.doubt,
            obligation.witness,
            obligation.fix,
            obligation.summary,
        )
        if key not in self._known:
            self._known[key] = decide(obligation, self.solver, self.timeout)
        model = obligation.model
        return replace(self._known[key], filesystem=model.filesystem, table=model.table)


ACCESSES = frozenset({("access(o)", "initial"), ("null_access(o)", "null")})
MOST_TRIED = 8
"""How many accesses are tried, first to last, before the trace that was found anyway is told."""


def _simplest(
    obligation: Obligation, encoding: Encoding, outcome: Outcome, solver: str, timeout: float | None
) -> tuple[Obligation, Encoding, Outcome]:
    """The obligation for the first access in program order that can come too late, with its trace."""
    accesses = [s.id for s in obligation.scenario.steps if ACCESSES & s.labels]
    for only in accesses[:MOST_TRIED] if len(accesses) > 1 else []:
        threads = tuple(
            replace(
                t,
                steps=tuple(s if s.id == only else replace(s, labels=s.labels - ACCESSES) for s in t.steps),
            )
            for t in obligation.scenario.threads
        )
        narrowed = replace(obligation, scenario=replace(obligation.scenario, threads=threads))
        smaller = Encoding(narrowed.scenario, Environment())
        goal = smaller.env.formula_manager.Not(holds(smaller, narrowed.formula))
        found = solve(smaller.constraints(), goal, smaller.env, solver=solver, timeout=timeout)
        if found.status == "sat":
            return narrowed, smaller, found
    return obligation, encoding, outcome


def _bound(obligation: Obligation) -> str:
    steps = len(obligation.scenario.steps)
    return (
        f"{steps} steps in {len(obligation.scenario.threads)} threads, each taken at most once: "
        f"every execution of the scenario is a trace of at most {steps} steps; {LOOPS}"
    )


def _violated(obligation: Obligation, encoding: Encoding, outcome: Outcome, result: Result) -> Result:
    if outcome.model is None:
        raise InternalError("the solver says satisfiable and gives no model")
    trace = decode(encoding, outcome.model)
    positions = replay(obligation.scenario, trace)
    if evaluate(obligation.formula, obligation.scenario, trace):
        raise InternalError(
            f"{obligation.clause.id} on {obligation.model.table}: the trace found does not break the clause"
        )
    if obligation.doubt:
        return replace(
            result,
            reason=f"{obligation.doubt} is not followed and may break the clause "
            f"({obligation.object or obligation.callbacks[0]})",
        )
    if obligation.clause.id in _SENSITIVE and _forgotten(obligation, positions):
        return replace(
            result, reason="path conditions were forgotten on the way to what would break the clause"
        )
    text = summary(obligation, positions)
    return replace(
        result,
        verdict=Verdict.VIOLATED,
        debug_only=obligation.debug,
        reason=text,
        summary=text,
        trace=trace_steps(obligation, positions),
        fix=fix(obligation, positions),
    )


def _forgotten(obligation: Obligation, positions: list[Position]) -> bool:
    """Whether the trace may rest on a path condition that was lost: for null-inode one of a step taken, for
    clauses about what is missing (a lock not dropped) one of any step that the clause speaks of."""
    atoms = {a.name: a for a in obligation.scenario.atoms}
    if obligation.clause.id == "null-inode":
        guards = [p.step.guard for p in positions]
        return any(atoms[n].text.startswith(IMPRECISE) for g in guards for cube in g for n, _ in cube)
    todo = [n for s in obligation.scenario.steps if s.labels for cube in s.guard for n, _ in cube]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen or name not in atoms:
            continue
        seen.add(name)
        if atoms[name].text.startswith(IMPRECISE):
            return True
        todo += [n for cube in atoms[name].definition for n, _ in cube]
    return False


def _proved(
    obligation: Obligation,
    encoding: Encoding,
    outcome: Outcome,
    result: Result,
    solver: str,
    timeout: float | None,
) -> Result:
    core = tuple(dict.fromkeys(c.text for c in outcome.core))
    reason = "; ".join(core[:4]) if core else "no step of the scenario can break it"
    return replace(
        result,
        verdict=Verdict.PROVED,
        reason=f"holds by: {reason}" if core else reason,
        core=core,
        witness=_witness(obligation, encoding, solver, timeout),
    )


def _witness(obligation: Obligation, encoding: Encoding, solver: str, timeout: float | None) -> str:
    """A trace in which what the clause speaks of happens, replayed; or why there is none."""
    wanted = [w for w in obligation.witness if w]
    labels = {text for s in obligation.scenario.steps for text, _ in s.labels}
    absent = [w for w in wanted if w not in labels]
    if not wanted or absent:
        entries = [s for s in obligation.scenario.steps if s.id.endswith(":entry")]
        if not entries:
            return "no step of the table's methods is in question"
        wanted = []
    manager = encoding.env.formula_manager
    translate = [holds(encoding, Formula("eventually", (parse(w),))) for w in wanted]
    entered = [encoding.executed(s.id) for s in obligation.scenario.steps if s.id.endswith(":entry")]
    found = solve(
        encoding.constraints(),
        manager.And([*translate, *entered]),
        encoding.env,
        solver=solver,
        timeout=timeout,
    )
    if found.status != "sat" or found.model is None:
        return (
            "no trace has all of: the callbacks run, " + ", ".join(wanted)
            if found.status == "unsat"
            else "not looked for: the solver gave up"
        )
    trace = decode(encoding, found.model)
    positions = replay(obligation.scenario, trace)
    told = [p for p in positions if p.step.labels]
    return "a trace in which the clause is put to the test: " + ", then ".join(_short(p) for p in told[:8])


def _short(position: Position) -> str:
    step = position.step
    who = step.source.function or position.thread.name
    return f"{who}() {step.kind}s {step.object}" if step.object else f"{who}()"
