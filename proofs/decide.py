"""From an obligation to a verdict: solve, replay, tell."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ..encodings.routes import Found, Ways
from ..encodings.scenario import Scenario, Trace
from ..encodings.usual import MEMORY_MODEL, SOLVER
from ..encodings.weak import MEMORY_MODELS
from ..errors import InternalError
from ..spec.logic import Formula, parse
from .obligation import IMPRECISE, LOOPS, Obligation
from .replay import Position, evaluate, replay
from .tell import fix, summary, trace_steps, witness_steps
from .verdict import Result, TraceStep, Verdict
from .witness import absent, present

_SENSITIVE = frozenset({"balanced-locks", "no-double-free", "null-inode", "prune-keeps-locks"})
"""Clauses that a forgotten path condition could make look broken."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The trace that puts a clause to the test, replayed, and the predicates that hold somewhere in it."""

    trace: Trace
    wanted: tuple[str, ...]
    text: str
    steps: tuple[TraceStep, ...]


@dataclass(frozen=True)
class Decision:
    """A verdict, what the solver said, and for a proof its witness; `gap` says what the witness lacks.

    `ways` are of the executions that the memory model allows of the obligation's scenario."""

    obligation: Obligation
    ways: Ways
    found: Found
    result: Result
    memory_model: str = MEMORY_MODEL
    witness: Shown | None = None
    gap: str = ""


def decide(
    obligation: Obligation,
    solver: str = SOLVER,
    memory_model: str = MEMORY_MODEL,
    timeout: float | None = None,
) -> Decision:
    """The verdict on one obligation. InternalError if a trace does not replay or breaks no clause.

    Every execution with nothing reordered is one under any memory model: what such a one breaks is told by
    it.
    """
    started = time.monotonic()
    ways = Ways(MEMORY_MODELS[memory_model](obligation.scenario), titles(obligation))
    found = ways.find(obligation.formula, holds=False, solver=solver, timeout=timeout)
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
    decision = Decision(obligation, ways, found, result, memory_model)
    if found.status == "unknown":
        reason = f"{solver} gave up: {found.reason}"
        decision = replace(decision, result=replace(result, reason=reason))
    elif found.status == "sat":
        plain = found
        if ways.scenario is not obligation.scenario:
            plain = Ways(obligation.scenario).find(
                obligation.formula, holds=False, solver=solver, timeout=timeout
            )
        if plain.status == "sat":
            told = _violated(*_simplest(obligation, plain, solver, timeout), result)
        else:
            told = _reordered(replace(obligation, scenario=ways.scenario), found, plain, result)
        decision = replace(decision, result=told)
    else:
        decision = _proved(decision, solver, timeout)
    return replace(decision, result=replace(decision.result, seconds=time.monotonic() - started))


def titles(obligation: Obligation) -> dict[str, str]:
    """Words for the callbacks of an obligation: the functions that they are."""
    functions = obligation.functions[-len(obligation.callbacks) :]
    return dict(zip(obligation.callbacks, (f"{f}()" for f in functions), strict=False))


@dataclass
class Decisions:
    """Verdicts of one run: an obligation that differs from an earlier one only in the table it is asked for
    (methods that tables of one filesystem share) is not decided again."""

    solver: str = SOLVER
    memory_model: str = MEMORY_MODEL
    timeout: float | None = None
    _known: dict[tuple[object, ...], Decision] = field(default_factory=dict)

    def decide(self, obligation: Obligation) -> Decision:
        """The decision on one obligation; see `decide`."""
        key = (
            obligation.clause.id,
            obligation.callbacks,
            obligation.object,
            obligation.scenario,
            obligation.functions,
            obligation.assumptions,
            obligation.debug,
            obligation.doubt,
            obligation.fix,
            obligation.summary,
        )
        if key not in self._known:
            self._known[key] = decide(obligation, self.solver, self.memory_model, self.timeout)
        known, model = self._known[key], obligation.model
        result = replace(known.result, filesystem=model.filesystem, table=model.table)
        return replace(known, obligation=obligation, result=result)


ACCESSES = frozenset({("access(o)", "initial"), ("null_access(o)", "null")})
MOST_TRIED = 8
"""How many accesses are tried, first to last, before the trace that was found anyway is told."""


def _simplest(
    obligation: Obligation, found: Found, solver: str, timeout: float | None
) -> tuple[Obligation, Found]:
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
        ways = Ways(narrowed.scenario)
        less = ways.find(narrowed.formula, holds=False, solver=solver, timeout=timeout)
        if less.status == "sat":
            return narrowed, less
    return obligation, found


def _bound(obligation: Obligation) -> str:
    steps = len(obligation.scenario.steps)
    return (
        f"{steps} steps in {len(obligation.scenario.threads)} threads, each taken at most once: "
        f"every execution of the scenario is a trace of at most {steps} steps; {LOOPS}"
    )


def broken(obligation: Obligation, scenario: Scenario, trace: Trace | None) -> list[Position]:
    """The positions of a trace of `scenario`, the obligation's under some memory model, that a solver found.
    InternalError if it does not replay or breaks nothing."""
    if trace is None:
        raise InternalError("the solver says satisfiable and gives no model")
    positions = replay(scenario, trace)
    if evaluate(obligation.formula, scenario, trace):
        raise InternalError(
            f"{obligation.clause.id} on {obligation.model.table}: the trace found does not break the clause"
        )
    return positions


def _violated(obligation: Obligation, found: Found, result: Result) -> Result:
    positions = broken(obligation, obligation.scenario, found.trace)
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


def _reordered(obligation: Obligation, found: Found, plain: Found, result: Result) -> Result:
    """What is to be said of a trace under a memory model where none without reordering breaks the clause."""
    if plain.status == "unknown":
        return replace(result, reason=f"whether it takes reordering to break it is open: {plain.reason}")
    told = _violated(obligation, found, result)
    return replace(told, reason=f"{told.reason}; {REORDERED}", summary=f"{told.summary}; {REORDERED}")


REORDERED = "only where steps are reordered, as the kernel's memory model lets them be"


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


def _proved(decision: Decision, solver: str, timeout: float | None) -> Decision:
    """A proof, with what it holds by and its witness; unknown where nothing of the scenario can happen."""
    obligation, found, result = decision.obligation, decision.found, decision.result
    clause, scenario = obligation.clause.id, obligation.scenario
    wanted, lacking = present(clause, scenario), absent(clause, scenario)
    shown = _show(decision, wanted, lacking, solver, timeout)
    gap = ""
    if wanted and isinstance(shown, Found) and shown.status == "unsat":
        never = "; ".join(shown.core[:4]) or "its steps exclude each other"
        gap = f"no trace has all of {', '.join(wanted)}: {never}"
        shown = _show(decision, (), gap, solver, timeout)
    if isinstance(shown, Found):
        if shown.status == "unsat":
            never = "; ".join(shown.core[:4]) or "the rules of the scenario contradict each other"
            reason = f"nothing is shown: the callbacks never run in it ({never})"
        else:
            reason = f"nothing breaks it, but whether its callbacks can run is open: {shown.reason}"
        return replace(decision, result=replace(result, reason=reason))
    if gap:
        reason = f"holds because {gap}"
    elif found.core:
        reason = f"holds by: {'; '.join(found.core[:4])}"
    elif lacking:
        reason = f"no step of the scenario can break it: {lacking}"
    elif found.told:
        reason = "no step of the scenario can break it"
    else:
        reason = f"{solver} finds no trace that breaks it, and does not say why"
    result = replace(
        result,
        verdict=Verdict.PROVED,
        reason=reason,
        core=found.core,
        witness=shown.text,
        witness_trace=shown.steps,
    )
    return replace(decision, result=result, witness=shown, gap=gap)


def _show(
    decision: Decision, wanted: tuple[str, ...], lacking: str, solver: str, timeout: float | None
) -> Shown | Found:
    """A replayed trace, with nothing reordered, in which all callbacks of the scenario run and all that is
    `wanted` happens; or else what the solver said."""
    obligation = decision.obligation
    entries = [s.id for s in obligation.scenario.steps if s.id.endswith(":entry")]
    happens = tuple(Formula("eventually", (parse(w),)) for w in wanted)
    formula = Formula("and", (Formula("true"), *happens))
    scenario = obligation.scenario
    plain = decision.ways if decision.ways.scenario is scenario else Ways(scenario)
    found = plain.find(formula, entries, solver=solver, timeout=timeout)
    if found.status != "sat" or found.trace is None:
        return found
    positions = replay(scenario, found.trace)
    if not evaluate(formula, scenario, found.trace):
        raise InternalError(f"{obligation.clause.id} on {obligation.model.table}: the witness shows nothing")
    told = ", then ".join(_short(p) for p in [p for p in positions if p.step.labels][:8])
    text = f"a trace in which the clause is put to the test: {told}"
    if lacking:
        text = f"the callbacks run, and {lacking}" + (f"; the trace has {told}" if told else "")
    return Shown(found.trace, wanted, text, witness_steps(obligation, positions))


def _short(position: Position) -> str:
    step = position.step
    who = step.source.function or position.thread.name
    return f"{who}() {step.kind}s {step.object}" if step.object else f"{who}()"
