"""Litmus tests as data: programs, initial state, condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..encodings.execution import Value
from .primitives import Primitive


class UnsupportedError(Exception):
    """The test uses something that is not modelled; its text says what."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, or the address of a location."""

    value: Value


@dataclass(frozen=True, slots=True)
class Register:
    """A local variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator of C on one, two or (``?:``) three operands."""

    operator: str
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A primitive on its arguments. What it accesses is given by its address."""

    primitive: Primitive
    arguments: tuple[Expression, ...]
    text: str = ""


Expression = Constant | Register | Operation | Call


@dataclass(frozen=True, slots=True)
class Assign:
    """A local variable gets a value."""

    register: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Evaluate:
    """An expression for what it does."""

    value: Expression


@dataclass(frozen=True, slots=True)
class If:
    condition: Expression
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


Statement = Assign | Evaluate | If


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread: its statements, and the registers that the initial state sets."""

    number: int
    body: tuple[Statement, ...]
    registers: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Of:
    """In a condition: the final value of a location, or of a thread's register."""

    name: str
    thread: int | None = None


@dataclass(frozen=True, slots=True)
class Equal:
    left: Of
    right: Of | Constant


@dataclass(frozen=True, slots=True)
class Not:
    of: Condition


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Condition, ...]


Condition = Equal | Not | And | Or
TRUE = And(())


@dataclass(frozen=True, slots=True)
class Stated:
    """What a test says of itself: its ``Result:`` line."""

    verdict: str
    race: bool = False


@dataclass(frozen=True, slots=True)
class Test:
    """A litmus test."""

    name: str
    threads: tuple[Thread, ...]
    initial: Mapping[str, Value]
    condition: Condition
    quantifier: str
    """``exists``, ``~exists`` or ``forall``."""
    filter: Condition = TRUE
    stated: Stated | None = None

    __test__ = False  # no test of pytest's
