"""A clause explained: what is on record about it, and a made-up filesystem that breaks it, decided here and
now."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InternalError
from ..spec.contract import Clause, clause
from ..spec.explanations import Explanation, example, explanations
from ..spec.vfs import vfs
from .decide import Decisions
from .obligations import questions
from .verdict import Result, Verdict, combine


@dataclass(frozen=True, slots=True)
class Explained:
    """A clause with its explanation; `result` is the shortest trace that breaks it in the made-up filesystem,
    `mended` what it comes to in the one that is right, `kernel` whose rules both were held to."""

    clause: Clause
    explanation: Explanation
    kernel: str
    result: Result
    mended: Verdict


def explain(name: str) -> Explained:
    """The clause whose id is `name`. InternalError if its example no longer shows what it is there for."""
    asked, told = clause(name), explanations()[name]
    model = example(told.example)
    broken = [r for r in _decided(asked, told.example) if r.verdict is Verdict.VIOLATED]
    if not broken:
        raise InternalError(f"the example {told.example} does not break {name}")
    shortest = min(broken, key=lambda r: len(r.trace))
    mended = combine([r.verdict for r in _decided(asked, told.mended)])
    return Explained(asked, told, model.kernel, shortest, mended)


def _decided(asked: Clause, name: str) -> list[Result]:
    model = example(name)
    decisions = Decisions()
    return [
        q if isinstance(q, Result) else decisions.decide(q).result
        for q in questions(model, asked, vfs(model.kernel))
    ]
