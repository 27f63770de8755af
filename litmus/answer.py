"""One litmus test, answered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from ..encodings.execution import Execution
from ..encodings.models import MemoryModel
from .search import OutOfTimeError, Search, TooManyError
from .syntax import And, Condition, Not, Test


class Verdict(StrEnum):
    """Whether the executions that the model allows meet the test's condition."""

    NEVER = "Never"
    SOMETIMES = "Sometimes"
    ALWAYS = "Always"
    UNKNOWN = "unknown"
    """It could not be decided; the reason says why."""
    UNSUPPORTED = "unsupported"
    """The test uses what is not modelled; the reason says what."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of a test.

    `witness` is an execution that meets the condition. `deadlock`: the model allows no execution at all.
    `flags` are what the model says of executions that it allows (``data-race``, misuse).
    """

    verdict: Verdict
    flags: frozenset[str] = frozenset()
    deadlock: bool = False
    witness: Execution | None = None
    reason: str = ""

    @property
    def race(self) -> bool:
        return "data-race" in self.flags


def answer(test: Test, model: MemoryModel, seconds: float = 60.0) -> Answer:
    """What `model` says of the test; unknown after `seconds`. UnsupportedError."""
    try:
        return _answer(test, model, time.monotonic() + seconds)
    except OutOfTimeError:
        return Answer(Verdict.UNKNOWN, reason=f"not decided in {seconds:g} s")
    except TooManyError as error:
        return Answer(Verdict.UNKNOWN, reason=str(error))


def _answer(test: Test, model: MemoryModel, deadline: float) -> Answer:
    search = Search(test, model, deadline)

    def first(condition: Condition) -> Execution | None:
        for execution, _ in search.executions(And((condition, test.filter))):
            return execution
        return None

    witness = first(test.condition)
    other = first(Not(test.condition))
    flags: set[str] = set()
    if witness is None and other is None:
        return Answer(Verdict.NEVER, deadlock=True)
    for execution, judge in search.executions(test.filter):
        flags |= judge.flags(execution.rf, execution.co)
        if "data-race" in flags or not search.plain:
            break
    verdict = Verdict.SOMETIMES if witness and other else Verdict.ALWAYS if witness else Verdict.NEVER
    return Answer(verdict, frozenset(flags), False, witness)
