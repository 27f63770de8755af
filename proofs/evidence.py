"""What a decision leaves behind beside its verdict: a certificate, a script, what other solvers say.

A second opinion that differs is a defect of this tool. Everything is then saved, and the run ends.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..encodings.routes import Found, Ways
from ..encodings.sat import Question, Refutation
from ..encodings.second import SECONDS, Cvc5
from ..encodings.solver import decode
from ..encodings.usual import SAT, SOLVER
from ..errors import DisagreementError, InputError, Unsayable
from .certificate import certificate, file_stem, scenario_data, text
from .decide import Decision, broken
from .export import FORMS, smt2
from .obligation import Obligation
from .request import Exports
from .verdict import Opinion, Result, Verdict

_REMEMBERED = 2_000
"""A proof of so many clauses at most is kept for other tables that ask the same; others are found again."""


@dataclass
class Evidence:
    """Makes what was asked for, for one decision after the other. Close it: it may have a process."""

    exports: Exports
    solver: str = SOLVER
    timeout: float | None = None
    cvc5: Cvc5 = field(default_factory=Cvc5)
    _opinions: dict[int, tuple[Ways, tuple[Opinion, ...]]] = field(default_factory=dict)
    _refutations: dict[int, tuple[Ways, Refutation | str]] = field(default_factory=dict)

    def close(self) -> None:
        """End what was started."""
        self.cvc5.end()

    def of(self, decision: Decision) -> Result:
        """The decision's result with what was made for it. DisagreementError, InputError (a full disk)."""
        result = decision.result
        if self.exports.cross_check:
            result = replace(result, cross_check=self._ask_others(decision))
        for form, folder in self.exports.scripts:
            result = _exported(decision, result, form, folder)
        if self.exports.certificates is not None and result.verdict is Verdict.PROVED:
            return self._certified(decision, result)
        return result

    # -- certificates

    def _certified(self, decision: Decision, result: Result) -> Result:
        if decision.gap or decision.witness is None:
            return replace(result, uncertified=f"its witness is only stated: {decision.gap}")
        refutation = self._refutation(decision)
        if isinstance(refutation, str):
            return replace(result, uncertified=refutation)
        name = file_stem(decision.obligation, decision.memory_model) + ".json"
        document = certificate(decision, result, refutation)
        write(self.exports.certificates_folder / name, text(document))
        return replace(result, certificate=name)

    def _refutation(self, decision: Decision) -> Refutation | str:
        """The proof in clauses; or why there is none."""
        known = self._refutations.get(id(decision.ways))
        if known is not None:
            return known[1]
        found = self._refute(decision)
        if isinstance(found, str) or len(found.clauses) <= _REMEMBERED:
            self._refutations[id(decision.ways)] = decision.ways, found
        return found

    def _refute(self, decision: Decision) -> Refutation | str:
        obligation = decision.obligation
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        scenario = decision.ways.scenario
        with Question(scenario, obligation.formula, holds=False, deadline=deadline) as question:
            answer = question.answer()
            if answer.status == "unknown":
                return f"the propositional route gave up: {answer.reason}"
            if answer.status == "sat":
                other = Found("sat", trace=answer.trace)
                asked = {self.solver: Found("unsat"), "the proof in clauses": other}
                raise DisagreementError(_saved(decision, asked))
            found = question.refutation()
        if len({c.name for c in found.clauses}) < len(found.clauses):
            return "two of its clauses come to one name"
        return found

    # -- second opinions

    def _ask_others(self, decision: Decision) -> tuple[Opinion, ...]:
        known = self._opinions.get(id(decision.ways))
        if known is None:
            known = self._opinions[id(decision.ways)] = decision.ways, tuple(self._ask(decision))
        return known[1]

    def _ask(self, decision: Decision) -> Iterator[Opinion]:
        obligation, ways = decision.obligation, decision.ways
        answers = {self.solver: decision.found}
        for other in ("z3", SAT):
            if other != self.solver:
                answers[other] = ways.find(
                    obligation.formula, holds=False, solver=other, timeout=self.timeout
                )
        if self.solver != "cvc5":
            answers["cvc5"] = self._cvc5(decision)
        for name, found in answers.items():
            if found.status == "sat":
                try:
                    broken(obligation, ways.scenario, found.trace)
                except Exception as error:
                    raise DisagreementError(f"{name}: {error}; {_saved(decision, answers)}") from error
        if {"sat", "unsat"} <= {f.status for f in answers.values()}:
            raise DisagreementError(_saved(decision, answers))
        for name, found in answers.items():
            decided = found.status != "unknown"
            yield Opinion(name, found.status if decided else "", "" if decided else found.reason)

    def _cvc5(self, decision: Decision) -> Found:
        asked = smt2(decision)
        said = self.cvc5.ask(asked.text)
        if said.status == "sat":
            return Found("sat", trace=decode(decision.ways.encoding, asked.model(said.values)))
        if said.status == "unsat":
            return Found("unsat")
        return Found("unknown", said.reason)


def _exported(decision: Decision, result: Result, name: str, folder: Path) -> Result:
    """The result, with the obligation written to a file of `folder`, or why it is not."""
    form = FORMS[name]
    try:
        content = form.write(decision)
    except Unsayable as why:
        return replace(result, unexported=(*result.unexported, (name, str(why))))
    file = file_stem(decision.obligation, decision.memory_model) + form.suffix
    write(folder / file, content)
    return replace(result, exported=(*result.exported, (name, file)))


def _saved(decision: Decision, answers: dict[str, Found]) -> str:
    """Save everything for a report; what is to be said of it, with the folder."""
    folder = Path(tempfile.mkdtemp(prefix="prove-disagreement-"))
    obligation = decision.obligation
    said = ", ".join(f"{name} says {f.status}" for name, f in answers.items())
    data: dict[str, Any] = {
        "obligation": _named(obligation),
        "formula": str(obligation.formula),
        "memory_model": decision.memory_model,
        "scenario": scenario_data(obligation.scenario),
        "answers": {
            name: {"status": f.status, "reason": f.reason, "trace": _trace(f)} for name, f in answers.items()
        },
    }
    write(folder / "obligation.json", json.dumps(data, indent=1) + "\n")
    write(folder / "obligation.smt2", smt2(decision).text)
    with (
        contextlib.suppress(Exception),  # what is saved is a help, and whatever is wrong may strike here too
        Question(decision.ways.scenario, obligation.formula, holds=False) as question,
    ):
        status = question.answer().status
        clauses = [[c.name, list(c.literals)] for c in question.clauses]
        lines = {"variables": [list(v) for v in question.variables], "clauses": clauses, "status": status}
        if status == "unsat":
            lines["proof"] = [list(s) for s in question.refutation().proof]
        write(folder / "clauses.json", json.dumps(lines) + "\n")
    return f"solvers disagree on {_named(obligation)}: {said}; everything is saved in {folder}"


def _named(obligation: Obligation) -> str:
    model = obligation.model
    return f"{obligation.clause.id} of {model.table}, {' against '.join(obligation.callbacks)}"


def _trace(found: Found) -> dict[str, Any] | None:
    if found.trace is None:
        return None
    t = found.trace
    return {"order": t.order, "atoms": t.atoms, "initial": t.initial, "values": t.values}


def write(path: Path, content: str) -> None:
    """Write under a temporary name, then rename. InputError where that cannot be done."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        try:
            temporary.write_text(content, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


__all__ = ["SECONDS", "Evidence", "write"]
