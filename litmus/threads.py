"""What one thread can do by itself: its traces, for given values that its reads may find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..encodings.execution import LOCKED, UNLOCKED, Event, Kind, Tag, Value
from .primitives import Form
from .syntax import Assign, Call, Constant, Evaluate, Expression, If, Operation, Register, Statement, Thread

Domains = Mapping[str, Sequence[Value]]
"""By location, the values that a read may find there."""

MOST_TRACES = 20_000
"""Traces of one thread beyond which a test is given up."""


class TooManyError(Exception):
    """The test has more candidate executions than are looked at."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One way through a thread: its events in program order, the dependencies between them (indices into
    `events`), and the registers' final values. `fault` says why it could not go on, if it could not."""

    events: tuple[Event, ...]
    addr: tuple[tuple[int, int], ...]
    data: tuple[tuple[int, int], ...]
    ctrl: tuple[tuple[int, int], ...]
    rmw: tuple[tuple[int, int], ...]
    registers: Mapping[str, Value]
    fault: str = ""


def traces(thread: Thread, domains: Domains) -> list[Trace]:
    """All traces of a thread whose reads find what `domains` allow. TooManyError."""
    found: list[Trace] = []
    script: list[int] = []
    while True:
        run = _Run(thread, domains, script)
        found.append(run.trace())
        if len(found) > MOST_TRACES:
            raise TooManyError(f"P{thread.number} has more than {MOST_TRACES} traces")
        script = [at for at, _ in run.choices]
        # The next one in lexicographic order.
        while script and script[-1] + 1 >= run.choices[len(script) - 1][1]:
            script.pop()
        if not script:
            return found
        script[-1] += 1


class _FaultError(Exception):
    pass


_NOTHING: frozenset[int] = frozenset()
_Valued = tuple[Value, frozenset[int]]
"""A value, and the reads that it comes from."""


@dataclass(slots=True)
class _Run:
    """One execution of a thread. `script` says which of its values each read finds, in order; later reads
    find the first."""

    thread: Thread
    domains: Domains
    script: Sequence[int]
    choices: list[tuple[int, int]] = field(default_factory=list)
    """What was chosen, of how many."""
    events: list[Event] = field(default_factory=list)
    addr: list[tuple[int, int]] = field(default_factory=list)
    data: list[tuple[int, int]] = field(default_factory=list)
    ctrl: list[tuple[int, int]] = field(default_factory=list)
    rmw: list[tuple[int, int]] = field(default_factory=list)
    registers: dict[str, _Valued] = field(default_factory=dict)
    control: frozenset[int] = _NOTHING

    def trace(self) -> Trace:
        self.registers = {name: (value, _NOTHING) for name, value in self.thread.registers.items()}
        fault = ""
        try:
            self.block(self.thread.body)
        except _FaultError as error:
            fault = str(error)
        return Trace(
            tuple(self.events),
            tuple(self.addr),
            tuple(self.data),
            tuple(self.ctrl),
            tuple(self.rmw),
            {name: value for name, (value, _) in self.registers.items()},
            fault,
        )

    def block(self, body: Sequence[Statement]) -> None:
        for statement in body:
            if isinstance(statement, Assign):
                self.registers[statement.register] = self.value(statement.value)
            elif isinstance(statement, Evaluate):
                self.value(statement.value)
            else:
                self.branch(statement)

    def branch(self, statement: If) -> None:
        value, source = self.value(statement.condition)
        outer = self.control
        self.control = outer | source
        self.block(statement.then if value != 0 else statement.otherwise)
        # What comes after the statement is executed either way.
        self.control = outer

    # ------------------------------------------------------------------------------------------- events

    def choose(self, among: int) -> int:
        at = self.script[len(self.choices)] if len(self.choices) < len(self.script) else 0
        self.choices.append((at, among))
        return at

    def add(
        self, kind: Kind, tags: tuple[Tag, ...], location: str = "", value: Value = 0, text: str = ""
    ) -> int:
        self.events.append(Event(kind, self.thread.number, frozenset(tags), location, value, text))
        made = len(self.events) - 1
        self.ctrl += [(r, made) for r in self.control]
        return made

    def fence(self, tag: Tag, text: str = "") -> None:
        self.add(Kind.FENCE, (tag,), text=text)

    def read(self, at: _Valued, tags: tuple[Tag, ...], text: str, value: Value | None = None) -> _Valued:
        """A read; of this value, if one is given."""
        location, source = self.location(at), at[1]
        if value is None:
            domain = self.domains.get(location, (0,))
            value = domain[self.choose(len(domain))]
        made = self.add(Kind.READ, tags, location, value, text)
        self.addr += [(r, made) for r in source]
        return value, frozenset((made,))

    def write(self, at: _Valued, value: _Valued, tags: tuple[Tag, ...], text: str) -> int:
        made = self.add(Kind.WRITE, tags, self.location(at), value[0], text)
        self.addr += [(r, made) for r in at[1]]
        self.data += [(r, made) for r in value[1]]
        return made

    def location(self, at: _Valued) -> str:
        if not isinstance(at[0], str):
            raise _FaultError(f"P{self.thread.number} follows {at[0]}, which is no address")
        return at[0][1:]

    # --------------------------------------------------------------------------------------- expressions

    def value(self, expression: Expression) -> _Valued:
        if isinstance(expression, Constant):
            return expression.value, _NOTHING
        if isinstance(expression, Register):
            # Like herd: a register that nothing was assigned to holds 0.
            return self.registers.get(expression.name, (0, _NOTHING))
        if isinstance(expression, Call):
            return self.call(expression)
        return self.operation(expression)

    def operation(self, expression: Operation) -> _Valued:
        meant = [self.value(e) for e in expression.operands]
        source = frozenset().union(*(s for _, s in meant))
        return operate(expression.operator, [v for v, _ in meant]), source

    def call(self, call: Call) -> _Valued:
        p = call.primitive
        given = [self.value(a) for a in call.arguments]
        text, form, tag = call.text, p.form, p.tag
        nothing: _Valued = (0, _NOTHING)
        if form is Form.FENCE:
            assert tag is not None
            self.fence(tag, text)
            return nothing
        if form is Form.LOAD:
            return self.read(given[0], (tag,) if tag else (), text)
        if form is Form.STORE:
            kept = Tag.ONCE if tag is Tag.MB else tag
            self.write(given[0], given[1], (kept,) if kept else (), text)
            if tag is Tag.MB:
                self.fence(Tag.MB, text)
            return nothing
        if form in (Form.LOCK, Form.TRYLOCK):
            return self.take(given[0], text, form is Form.TRYLOCK)
        if form is Form.UNLOCK:
            self.write(given[0], (UNLOCKED, _NOTHING), (Tag.UL,), text)
            return nothing
        if form is Form.IS_LOCKED:
            held = self.choose(2)
            value = LOCKED if held else UNLOCKED
            _, source = self.read(given[0], (Tag.RL if held else Tag.RU,), text, value)
            return int(held), source
        if form is Form.SRCU_LOCK:
            return self.read(given[0], (Tag.SRCU_LOCK,), text)
        if form is Form.SRCU_UNLOCK:
            self.write(given[0], given[1], (Tag.SRCU_UNLOCK,), text)
            return nothing
        if form is Form.SRCU_SYNC:
            self.add(Kind.SRCU, (Tag.SYNC_SRCU,), self.location(given[0]), text=text)
            return nothing
        return self.modify(call, given)

    def take(self, lock: _Valued, text: str, trial: bool) -> _Valued:
        if trial and self.choose(2):
            _, source = self.read(lock, (Tag.LF,), text, LOCKED)
            return 0, source
        r = len(self.events)
        _, source = self.read(lock, (Tag.LKR, Tag.RMW), text, UNLOCKED)
        w = self.write(lock, (LOCKED, _NOTHING), (Tag.LKW, Tag.RMW), text)
        self.rmw.append((r, w))
        return 1, source

    def modify(self, call: Call, given: list[_Valued]) -> _Valued:
        """An atomic read-modify-write operation."""
        p, text = call.primitive, call.text
        form = p.form
        address, amount = given[0], given[-1]
        if form in (Form.MODIFY, Form.RETURN, Form.FETCH):
            # The amount comes first in C, if it is there at all.
            address = given[-1]
            amount = given[0] if p.step is None else (p.step, _NOTHING)
        elif form is Form.UNLESS:
            amount = given[1]
        location = self.location(address)
        domain = self.domains.get(location, (0,))
        old = domain[self.choose(len(domain))]
        fails = (form is Form.COMPARE and old != given[1][0]) or (form is Form.UNLESS and old == given[2][0])
        if fails:
            _, source = self.read(address, (Tag.ONCE, Tag.RMW), text, old)
            return (old, source) if form is Form.COMPARE else (0, source)
        full = p.tag is Tag.MB
        if full:
            self.fence(Tag.MB, text)
        of_read = Tag.ACQUIRE if p.tag is Tag.ACQUIRE else Tag.NORETURN if form is Form.MODIFY else Tag.ONCE
        r = len(self.events)
        _, source = self.read(address, (of_read, Tag.RMW), text, old)
        new: _Valued = amount
        if form not in (Form.EXCHANGE, Form.COMPARE):
            new = (operate(p.operator, [old, amount[0]]), source | amount[1])
        w = self.write(address, new, (Tag.RELEASE if p.tag is Tag.RELEASE else Tag.ONCE, Tag.RMW), text)
        self.rmw.append((r, w))
        if full:
            self.fence(Tag.MB, text)
        if form is Form.MODIFY:
            return 0, _NOTHING
        if form is Form.UNLESS:
            return 1, source
        result = new if form is Form.RETURN else (old, source)
        if p.test:
            return operate(p.test, [result[0], 0]), result[1]
        return result


def operate(operator: str, values: Sequence[Value]) -> Value:
    """What an operator of C yields; a fault where C does not say, or addresses are calculated with."""
    numbers = [v for v in values if isinstance(v, int)]
    if len(numbers) < len(values):
        return _of_addresses(operator, values)
    if len(values) == 1:
        (a,) = numbers
        return {"!": int(not a), "~": ~a, "-": -a, "+": a}[operator]
    a, b = numbers
    if operator in ("/", "%"):
        if b == 0:
            raise _FaultError("division by zero")
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        return quotient if operator == "/" else a - b * quotient
    if operator in ("<<", ">>") and not 0 <= b < 64:
        raise _FaultError(f"shift by {b}")
    return int(_OPERATORS[operator](a, b))


_OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "&": lambda a, b: a & b,
    "&~": lambda a, b: a & ~b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "&&": lambda a, b: a != 0 and b != 0,
    "||": lambda a, b: a != 0 or b != 0,
}


def _of_addresses(operator: str, values: Sequence[Value]) -> Value:
    """No address is 0; two are equal if they are one; nothing else is known of them."""
    if operator == "!":
        return 0
    if len(values) == 2:
        a, b = values
        if operator in ("==", "!="):
            if (isinstance(a, str) and isinstance(b, str)) or 0 in (a, b):
                return int((a == b) == (operator == "=="))
        elif operator in ("&&", "||"):
            return int(_OPERATORS[operator](int(a != 0), int(b != 0)))
        elif (operator in ("+", "-", "|", "^") and b == 0) and isinstance(a, str):
            return a
        elif operator in ("-", "^") and a == b:
            return 0
    raise _FaultError("arithmetic on addresses")


def written(found: Sequence[Trace]) -> Iterator[tuple[str, Value]]:
    """The locations and values that some trace writes."""
    for trace in found:
        for e in trace.events:
            if e.kind is Kind.WRITE:
                yield e.location, e.value
