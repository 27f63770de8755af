"""The propositional route against the explorer of all interleavings, and its cores and lemmas."""

from __future__ import annotations

from hypothesis import given
from test_agreement import LIMIT, effort, formulas, scenarios

from dentryproof.checker.translation import Translation
from dentryproof.encodings.sat import Question
from dentryproof.encodings.scenario import Scenario
from dentryproof.proofs.explore import explore
from dentryproof.proofs.replay import evaluate, replay
from dentryproof.spec.logic import Formula


@given(scenarios(), formulas())
@effort
def test_a_trace_is_found_iff_there_is_one(scenario: Scenario, formula: Formula) -> None:
    with Question(scenario, formula, holds=False) as question:
        found = question.answer(core=True)
    if found.trace is not None:
        replay(scenario, found.trace)
        assert not evaluate(formula, scenario, found.trace)
    traces = list(explore(scenario, LIMIT))
    broken = any(not evaluate(formula, scenario, t) for t in traces)
    if broken or len(traces) < LIMIT:
        assert found.status == ("sat" if broken else "unsat")


@given(scenarios(), formulas())
@effort
def test_the_checker_comes_to_the_same_clauses(scenario: Scenario, formula: Formula) -> None:
    with Question(scenario, formula, holds=False) as question:
        names = question.variables
        own = {c.name: {(names[abs(x)], x > 0) for x in c.literals} for c in question.clauses}
    assert len(own) == len(question.clauses)
    assert Translation(scenario, formula).clauses == own
