"""C functions as graphs of steps, for the path analysis in `reader/paths.py`: what they are made of.

A step evaluates an expression, branches on one, binds the variable of a list iterator, or returns. What the
analysis cannot use (arithmetic, strings, casts) is `OTHER`; calls and assignments in it are kept as `Mixed`.
`reader/graph.py` builds them from C.
"""

from __future__ import annotations

from typing import NamedTuple

from .source import SourceFile

NEGATIVE, ZERO, POSITIVE = 1, 2, 4
ANY = NEGATIVE | ZERO | POSITIVE


class Const(NamedTuple):
    """A constant: its possible signs, and for a flag its name."""

    sign: int
    name: str = ""


class Var(NamedTuple):
    name: str


class Member(NamedTuple):
    """``base->field`` or ``base.field``."""

    base: Expr
    field: str


class Address(NamedTuple):
    of: Expr


class Deref(NamedTuple):
    of: Expr


class Call(NamedTuple):
    """A call of a function or macro by name, or through a member (`name` is ""). `at`: offset in the file."""

    name: str
    through: Expr | None
    args: tuple[Expr, ...]
    at: int


class Assign(NamedTuple):
    """``to OP= value``; `operator` is "" for a plain assignment."""

    to: Expr
    operator: str
    value: Expr
    at: int


class Forget(NamedTuple):
    """The address of a local variable is handed to a call, which may change it."""

    name: str


class Not(NamedTuple):
    of: Expr


class Both(NamedTuple):
    left: Expr
    right: Expr


class Either(NamedTuple):
    left: Expr
    right: Expr


class Choice(NamedTuple):
    condition: Expr
    then: Expr
    otherwise: Expr


class Binary(NamedTuple):
    """Any other operator of two operands, comparisons and the comma included."""

    operator: str
    left: Expr
    right: Expr


class Unary(NamedTuple):
    operator: str
    of: Expr


class Mixed(NamedTuple):
    """An expression of unknown value, for what its parts do."""

    parts: tuple[Expr, ...] = ()


Expr = (
    Const
    | Var
    | Member
    | Address
    | Deref
    | Call
    | Assign
    | Forget
    | Not
    | Both
    | Either
    | Choice
    | Binary
    | Unary
    | Mixed
)
OTHER = Mixed()


class Node(NamedTuple):
    """A step. kind: ``do`` (then `then`), ``if`` (`then` / `otherwise`), ``any`` (goes both ways), ``bind``
    (an iteration of a list macro: `then` is the body, `otherwise` what follows), ``return``, ``end``."""

    kind: str
    expr: Expr = OTHER
    then: int = -1
    otherwise: int = -1


class Graph(NamedTuple):
    """A function: its parameters in order, the structure tag and pointer depth of its variables, its nodes.
    `problems` are the offsets in the file of what did not parse."""

    name: str
    file: SourceFile
    start: int
    parameters: tuple[str, ...]
    types: dict[str, tuple[str, int]]
    nodes: list[Node]
    entry: int
    problems: tuple[int, ...]
    live: list[frozenset[str]]
    """For each node, the variables that it or something after it may read."""
    through: list[frozenset[str]]
    """For each node, the variables whose value before it is read after it, or again in it."""


def idle(expr: Expr) -> bool:
    """Whether evaluating `expr` does nothing."""
    if isinstance(expr, Call | Assign | Forget):
        return False
    if isinstance(expr, Const | Var):
        return True
    if isinstance(expr, Mixed):
        return all(map(idle, expr.parts))
    return all(idle(part) for part in expr if not isinstance(part, str | int))


def strip(nodes: list[Node], uses: list[Use], live: list[frozenset[str]]) -> None:
    """Take assignments of values that nobody reads out of the graph, and conditions that tell nothing."""
    for number, node in enumerate(nodes):
        expr = node.expr
        if isinstance(expr, Assign) and isinstance(expr.to, Var) and node.kind == "do":
            after = live[node.then]
            if expr.to.name not in after:
                nodes[number] = node._replace(expr=OTHER if idle(expr.value) else expr.value)
                uses[number] = use(nodes[number].expr)
        elif node.kind == "if" and expr == OTHER:
            nodes[number] = node._replace(kind="any")


def shortened(nodes: list[Node], entry: int) -> int:
    """Lead every edge past nodes that do nothing; the entry then."""
    leads = list(range(len(nodes)))

    def end(number: int) -> int:
        passed = []
        while True:
            number = leads[number]
            node = nodes[number]
            idle = (node.kind == "do" and node.expr == OTHER) or (
                node.kind == "any" and node.then == node.otherwise
            )
            if not idle or number in passed:
                break
            passed.append(number)
            number = node.then
        for each in passed:
            leads[each] = number
        return number

    changed = True
    while changed:
        changed = False
        for number, node in enumerate(nodes):
            then = end(node.then) if node.then >= 0 else -1
            otherwise = end(node.otherwise) if node.otherwise >= 0 else -1
            if (then, otherwise) != (node.then, node.otherwise):
                nodes[number] = node._replace(then=then, otherwise=otherwise)
                changed = True
    return end(entry)


class Use(NamedTuple):
    """What a node's expression does with variables: reads, sets whatever happens; whether it calls twice."""

    reads: frozenset[str]
    writes: frozenset[str]
    twice: bool


def use(expr: Expr) -> Use:
    """What `expr` does with variables."""
    reads, writes, calls = set[str](), set[str](), list[Call]()
    _variables(expr, reads, writes, calls)
    return Use(frozenset(reads), frozenset(writes), len(calls) > 1)


def liveness(nodes: list[Node], uses: list[Use]) -> tuple[list[frozenset[str]], list[frozenset[str]]]:
    """`Graph.live` and `Graph.through`."""
    users: list[list[int]] = [[] for _ in nodes]
    for number, node in enumerate(nodes):
        if node.then >= 0:
            users[node.then].append(number)
        if node.otherwise >= 0:
            users[node.otherwise].append(number)
    nothing = frozenset[str]()
    live = [u.reads for u in uses]
    through = [nothing for _ in nodes]
    todo = list(range(len(nodes)))
    while todo:
        number = todo.pop()
        node, own = nodes[number], uses[number]
        after = live[node.then] if node.then >= 0 else nothing
        if node.otherwise >= 0:
            after = after | live[node.otherwise]
        kept = after - own.writes if own.writes else after
        through[number] = kept | own.reads if own.twice else kept
        now = kept | own.reads
        if now != live[number]:
            live[number] = now
            todo += users[number]
    return live, through


def _variables(expr: Expr, reads: set[str], writes: set[str], calls: list[Call]) -> None:
    """Collect the variables that `expr` reads, those that it sets whatever happens, and its calls."""
    if isinstance(expr, Var):
        reads.add(expr.name)
    elif isinstance(expr, Assign):
        _variables(expr.value, reads, writes, calls)
        if isinstance(expr.to, Var) and not expr.operator:
            if expr.to.name not in reads:
                writes.add(expr.to.name)
        else:
            _variables(expr.to, reads, writes, calls)
    elif isinstance(expr, Call):
        reads.add(expr.name)
        calls.append(expr)
        for part in (*expr.args, *(() if expr.through is None else (expr.through,))):
            _variables(part, reads, writes, calls)
    elif isinstance(expr, Both | Either | Choice):
        for part in expr:
            _variables(part, reads, set(), calls)
    elif isinstance(expr, Mixed):
        for part in expr.parts:
            _variables(part, reads, writes, calls)
    elif not isinstance(expr, Const | Forget):
        for item in expr:
            if not isinstance(item, str | int):
                _variables(item, reads, writes, calls)
