"""Lemmas by walking their circles, and the proof by checkers that are no solvers.

The proof is DRUP: each step must follow by unit propagation from the clauses, the lemmas and the steps before
it, and the last is the empty clause. dratify checks it; where drup (extracted from code that is verified in
Why3) is installed, it must agree on all that is small enough for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from ..encodings.scenario import Scenario
from .form import NamedLemma

Clause = tuple[int, ...]
VERIFIED = 500
"""Clauses that drup is given at most: its time grows with their square."""


class Wrong(Exception):
    """It does not check; the argument says why, in one line."""


def lemma_clause(lemma: NamedLemma, scenario: Scenario, numbers: Mapping[tuple[str, ...], int]) -> Clause:
    """The clause that a lemma stands for, once its circle was walked. `numbers` are the variables by name."""
    thread = {s.id: t for t in scenario.threads for s in t.steps}
    place = {s.id: i for i, s in enumerate(scenario.steps)}
    if not lemma.edges:
        raise Wrong(f"lemma {lemma.name} is no circle: it has no edge")
    found = []
    for i, (a, b) in enumerate(lemma.edges):
        after, _ = lemma.edges[(i + 1) % len(lemma.edges)]
        for step in (a, b, after):
            if step not in place:
                raise Wrong(f"lemma {lemma.name} is no circle: there is no step {step!r}")
        if a == b or (thread[a] is thread[b] and thread[a].ordered):
            raise Wrong(f"lemma {lemma.name} is no circle: {a} and {b} are steps of one thread")
        led = thread[b] is thread[after] and thread[b].ordered and place[b] <= place[after]
        if b != after and not led:
            raise Wrong(f"lemma {lemma.name} is no circle: program order does not lead from {b} to {after}")
        forward = place[a] < place[b]
        name = ("before", a, b) if forward else ("before", b, a)
        if name not in numbers:
            raise Wrong(f"lemma {lemma.name} speaks of {' '.join(name)}, of which no clause speaks")
        found.append(-numbers[name] if forward else numbers[name])
    return tuple(found)


def check_proof(clauses: Sequence[Clause], proof: Sequence[Clause], variables: int) -> None:
    """Raise Wrong unless `proof` refutes `clauses`, which speak of variables 1 to `variables`."""
    for i, step in enumerate(proof, 1):
        if any(not 1 <= abs(x) <= variables for x in step):
            raise Wrong(f"step {i} of the proof speaks of a variable that there is not")
    if () in clauses:
        return  # there is nothing to prove
    if not proof or proof[-1] != ():
        raise Wrong("the proof does not end in the empty clause")
    from dratify import check_proof as check
    from dratify import parse_dimacs

    text = "".join(" ".join(map(str, (*c, 0))) + "\n" for c in clauses)
    formula = parse_dimacs(f"p cnf {variables} {len(clauses)}\n{text}")
    steps = "".join(" ".join(map(str, (*s, 0))) + "\n" for s in proof)
    result = check(formula, steps, check_rat=False, engine="python")
    if not (result.ok and result.reached_empty):
        raise Wrong("the proof does not follow by unit propagation (dratify)")
    if len(clauses) <= VERIFIED and find_spec("drup") is not None:
        import drup

        verified = drup.check_proof([list(c) for c in clauses], [list(s) for s in proof])
        if verified.outcome != drup.Outcome.VALID:
            raise Wrong("the proof does not follow by unit propagation (drup)")
