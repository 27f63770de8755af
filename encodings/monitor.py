"""A temporal formula as a monitor: bits, updated at each step of a trace, that tell at its end if it held.

Past operators are told from the position before (Havelund and Roșu, "Synthesizing Monitors for Safety
Properties", TACAS 2002). A future operator that the formula asks of the first position is a bit that stays
once it has turned. One inside a temporal operator is guessed at each position and the guess checked at the
next, a tableau along the trace; a trace whose guesses fail is none (`Monitor.failed`, `Monitor.open`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..errors import InternalError
from ..spec.logic import Formula

TRUE = Formula("true")
FALSE = Formula("not", (TRUE,))
MOST_STATES = 2_000
"""States of a monitor that are looked at for whether steps without predicates matter to it."""


@dataclass(frozen=True)
class Monitor:
    """Bits and how they change. Expressions are formulas without temporal operators, over these.

    predicates  names of the predicates' values at the step, by their text without spaces
    bits        name and first value
    meaning     by bit, the formula that it stands for
    guesses     names of bits whose next value is arbitrary; chosen before the updates
    updates     bits and their new values, in the order in which they change
    holds       whether the formula held, at the end
    failed      a bit that tells that a guess was wrong; "" where nothing is guessed
    open        bits and the values that they must have at the end
    """

    predicates: Mapping[str, str]
    bits: tuple[tuple[str, bool], ...]
    meaning: Mapping[str, str]
    guesses: tuple[str, ...]
    updates: tuple[tuple[str, Formula], ...]
    holds: Formula
    failed: str = ""
    open: tuple[tuple[str, bool], ...] = ()

    def after(self, state: Mapping[str, bool], predicates: Iterable[str]) -> dict[str, bool]:
        """The bits after a step at which `predicates` (their texts) hold. Not for a monitor that guesses."""
        held = set(predicates)
        values = {**state, **{name: text in held for text, name in self.predicates.items()}}
        for bit, value in self.updates:
            values[bit] = truth(value, values)
        return {bit: values[bit] for bit, _ in self.bits}

    def ignores_silence(self, steps: Iterable[frozenset[str]]) -> bool:
        """Whether a step at which no predicate holds never changes a bit, whatever came before. `steps` are
        the sets of predicates that hold at steps."""
        if self.guesses:
            return False
        names = [bit for bit, _ in self.bits]
        todo, alphabet = [dict(self.bits)], set(steps) | {frozenset[str]()}
        seen = {tuple(todo[0][n] for n in names)}
        while todo:
            state = todo.pop()
            for held in alphabet:
                then = self.after(state, held)
                if not held and then != state:
                    return False
                key = tuple(then[n] for n in names)
                if key not in seen:
                    seen.add(key)
                    todo.append(then)
            if len(seen) > MOST_STATES:
                return False
        return True


def truth(expression: Formula, values: Mapping[str, bool]) -> bool:
    """The value of an expression without temporal operators."""
    match expression.op:
        case "true":
            return True
        case "pred":
            return values[expression.name]
        case "not":
            return not truth(expression.args[0], values)
        case "and":
            return all(truth(a, values) for a in expression.args)
        case "or":
            return any(truth(a, values) for a in expression.args)
        case "implies":
            return not truth(expression.args[0], values) or truth(expression.args[1], values)
        case _:
            raise InternalError(f"monitor: {expression.op} is no operator of expressions")


def monitor(formula: Formula, prefix: str = "m") -> Monitor:
    """The monitor of `formula`. Its bits are named `prefix` and a number, predicates `prefix`p and a number.

    InternalError for an operator that does not exist."""
    maker = _Maker(prefix)
    holds = maker.at_start(formula)
    updates = [*maker.early, *reversed(maker.late)]
    if maker.first:
        updates.append((maker.first, FALSE))
    return Monitor(
        maker.predicates,
        tuple(maker.bits.items()),
        maker.meaning,
        tuple(maker.guesses),
        tuple(updates),
        holds,
        maker.failed,
        tuple(maker.open),
    )


@dataclass
class _Maker:
    """What is being put together. `late` are updates in the order in which their formulas close: those of the
    outer ones, which speak of the inner ones' last value, come first in the monitor."""

    prefix: str
    predicates: dict[str, str] = field(default_factory=dict)
    bits: dict[str, bool] = field(default_factory=dict)
    meaning: dict[str, str] = field(default_factory=dict)
    guesses: list[str] = field(default_factory=list)
    early: list[tuple[str, Formula]] = field(default_factory=list)
    late: list[tuple[str, Formula]] = field(default_factory=list)
    open: list[tuple[str, bool]] = field(default_factory=list)
    first: str = ""
    failed: str = ""
    known: dict[Formula, Formula] = field(default_factory=dict)

    def bit(self, value: bool, meaning: str) -> Formula:
        name = f"{self.prefix}{len(self.bits)}"
        self.bits[name] = value
        self.meaning[name] = meaning
        return Formula("pred", name=name)

    # -- at the first position

    def at_start(self, f: Formula) -> Formula:
        """Whether `f` holds of the trace, told at its end."""
        if f.op in ("not", "and", "or", "implies"):
            return Formula(f.op, tuple(map(self.at_start, f.args)))
        match f.op:
            case "true":
                return f
            case "always":
                inner = self.now(f.args[0])
                kept = self.bit(True, f"{f}, until now")
                self.early.append((kept.name, _and(kept, inner)))
                return kept
            case "eventually":
                inner = self.now(f.args[0])
                seen = self.bit(False, f"{f}, already")
                self.early.append((seen.name, _or(seen, inner)))
                return seen
            case "until":
                before, goal = map(self.now, f.args)
                kept = self.bit(True, f"{f.args[0]}, until now")
                seen = self.bit(False, f"{f}, already")
                self.early += [(seen.name, _or(seen, _and(kept, goal))), (kept.name, _and(kept, before))]
                return seen
            case _:
                value = self.now(f)
                told = self.bit(f.op == "historically", f"{f}, at the first step")
                first = self.at_first()
                self.early.append((told.name, _or(_and(first, value), _and(_not(first), told))))
                return told

    def at_first(self) -> Formula:
        if not self.first:
            self.first = self.bit(True, "no step was taken").name
        return Formula("pred", name=self.first)

    # -- at the position that a step is

    def now(self, f: Formula) -> Formula:
        """Whether `f` holds at the position of the step, told while it is taken."""
        found = self.known.get(f)
        if found is None:
            found = self.known[f] = self.made(f)
        return found

    def made(self, f: Formula) -> Formula:
        if f.op == "pred":
            text = "".join(str(f).split())
            name = self.predicates.setdefault(text, f"{self.prefix}p{len(self.predicates)}")
            return Formula("pred", name=name)
        if f.op == "true":
            return f
        args = tuple(map(self.now, f.args))
        match f.op:
            case "not" | "and" | "or" | "implies":
                return Formula(f.op, args)
            case "once":
                bit = self.bit(False, str(f))
                self.early.append((bit.name, _or(bit, args[0])))
                return bit
            case "historically":
                bit = self.bit(True, str(f))
                self.early.append((bit.name, _and(bit, args[0])))
                return bit
            case "since":
                bit = self.bit(False, str(f))
                self.early.append((bit.name, _or(args[1], _and(args[0], bit))))
                return bit
            case "previously":
                bit = self.bit(False, str(f))
                self.late.append((bit.name, args[0]))
                return bit
            case "next" | "eventually" | "always" | "until":
                return self.guessed(f, args)
            case _:
                raise InternalError(f"temporal formula: unknown operator {f.op!r}")

    def guessed(self, f: Formula, args: tuple[Formula, ...]) -> Formula:
        """A future operator: `ahead` is the guess for the next position, `said` the one for this."""
        last = f.op == "always"
        said = self.bit(last, f"{f}, as guessed at the step before")
        ahead = self.bit(last, f"{f}, as guessed for the next step")
        if not self.failed:
            self.failed = self.bit(False, "a guess was wrong").name
        match f.op:
            case "next":
                value, checked = ahead, args[0]
            case "eventually":
                value = checked = _or(args[0], ahead)
            case "always":
                value = checked = _and(args[0], ahead)
            case _:
                value = checked = _or(args[1], _and(args[0], ahead))
        failed = Formula("pred", name=self.failed)
        differs = _or(_and(said, _not(checked)), _and(_not(said), checked))
        self.early.append((failed.name, _or(failed, _and(_not(self.at_first()), differs))))
        self.guesses.append(ahead.name)
        self.late.append((said.name, ahead))
        self.open.append((said.name, last))
        return value


def _not(a: Formula) -> Formula:
    return Formula("not", (a,))


def _and(a: Formula, b: Formula) -> Formula:
    return Formula("and", (a, b))


def _or(a: Formula, b: Formula) -> Formula:
    return Formula("or", (a, b))
