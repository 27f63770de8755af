"""Which locks are held, and what has happened to an object, on every path of a C function.

The VFS's own files are read with this (`reader/vfs_side.py`), not filesystems. Paths are followed one by one
as far as they differ in what is tracked: locks, marks (what happened to an object, in order), cells (a few
members of a few structures), and local variables as far as they point to tracked objects, carry tracked
flags or have a known sign. Equal states at one step are one state, so that loops end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from .pathstate import (
    FLAGS,
    NEW,
    NO,
    NULL,
    START,
    TABLES,
    UNKNOWN,
    WALK,
    YES,
    State,
    Tracked,
    Value,
    leads,
    owner_of,
)
from .steps import (
    ANY,
    NEGATIVE,
    POSITIVE,
    ZERO,
    Address,
    Assign,
    Binary,
    Both,
    Call,
    Choice,
    Const,
    Deref,
    Either,
    Expr,
    Forget,
    Graph,
    Member,
    Mixed,
    Not,
    Unary,
    Var,
)

MOST_STATES = 6_000
"""So many states of one activation of a function are looked at before it counts as not followed."""

MOST_IN_ALL = 200_000
"""So many states are looked at in all; kernels have some 20 000."""

DEEPEST = 1
"""So many parents above a dentry are followed: the next one dies as this one does."""


_FLAGS = {"d_flags": 0, "flags": FLAGS["LOOKUP_RCU"], "f_mode": 0}
"""Members that hold flags, with those flags that they hold before anybody has set them (any value)."""

Outcomes = list[tuple[State, Value]]


class Words(Protocol):
    """What the words of the code mean: see `reader/vfs_words.py`."""

    def call(self, paths: Paths, call: Call, state: State) -> Outcomes | None:
        """The outcomes of a call that has a meaning of its own; None if it has none."""

    def stored(self, paths: Paths, target: Member, object_: str, value: Value, state: State) -> State:
        """The state after a member of a tracked object was set."""

    def counted(
        self, paths: Paths, operator: str, count: Member, state: State
    ) -> tuple[list[State], list[State]]:
        """The states in which ``count OPERATOR 0`` of a reference count is true, and those in which not."""

    def iterated(self, paths: Paths, call: Expr, name: str, object_: str, state: State) -> State:
        """The state in which a list iterator has bound its variable to `object_`."""

    def called(self, paths: Paths, method: str, call: Call, args: list[Value], state: State) -> Outcomes:
        """The outcomes of a call of a method of an operations table."""


class TooMany(Exception):
    """A function has more states than are looked at."""


@dataclass
class Frame:
    """The activation that is being looked at."""

    graph: Graph
    kept: frozenset[str] = frozenset()
    """Objects that callers will look at again."""
    at: int = 0


@dataclass
class Paths:
    """Runs functions. `find` gives the graphs of a function that is to be followed (one for each definition),
    by name and the state in which it is called; `methods` are the members of operations tables whose calls
    matter."""

    find: Callable[[str, State], tuple[Graph, ...]]
    words: Words
    methods: frozenset[str]
    tracked: Tracked
    frames: list[Frame] = field(default_factory=list)
    states: int = 0
    results: dict[tuple[object, ...], Outcomes] = field(default_factory=dict)
    active: dict[tuple[object, ...], bool] = field(default_factory=dict)
    problems: dict[tuple[str, int, str], None] = field(default_factory=dict)

    # -- functions ---------------------------------------------------------------------------------

    def root(self, graph: Graph) -> None:
        """Run a function that is called with nothing held, by who hands in no flag of a walk."""
        state, args = START, []
        for name in graph.parameters:
            tag, depth = graph.types.get(name, ("", 0))
            tracked = depth == 1 and tag in self.tracked.objects
            args.append(
                Value(name, POSITIVE) if tracked else Value("", ANY & ~NEGATIVE) if depth else UNKNOWN
            )
            if tag == "nameidata" and "flags" in self.tracked.cells:
                state = state.with_cell(name, "flags", Value(off=FLAGS["LOOKUP_RCU"]))
        self.run(graph, args, state)

    def run(self, graph: Graph, args: list[Value], state: State) -> Outcomes:
        """Every way in which a function returns: the state (of no variables) and its value.

        What is known of objects that the function is not handed stays as it is, and what only it could know
        of is forgotten.
        """
        mine, others = state.parted(owner_of(v.object) for v in args if v.object)
        kept = frozenset[str]()
        if self.frames:
            frame = self.frames[-1]
            live = frame.graph.through[frame.at]
            kept = frame.kept | {owner_of(v.object) for name, v in state.env if name in live and v.object}
        return [(s.joined(others), value) for s, value in self._summary(graph, args, mine, kept)]

    def _summary(self, graph: Graph, args: list[Value], state: State, kept: frozenset[str]) -> Outcomes:
        handed = state.reached(owner_of(v.object) for v in args if v.object)
        kept = frozenset(o for o in kept if leads(o, handed))
        key = (graph.file.path, graph.start, tuple(args), state.locks, state.cells, state.marks, kept)
        if key in self.active:
            self.active[key] = True
            return self.results.get(key, [])
        if key in self.results:
            return self.results[key]
        if graph.problems:
            self.problem(graph, graph.problems[0], f"{graph.name}() does not parse")
        self.active[key] = False
        self.results[key] = []
        while True:
            found = self._activate(graph, args, state, kept)
            again = self.active[key] and len(found) > len(self.results[key])
            self.results[key] = found
            if not again:
                break
        del self.active[key]
        return found

    def problem(self, graph: Graph, at: int, text: str) -> None:
        """Remember what could not be followed, and where."""
        self.problems[graph.file.path, graph.file.line(at), text] = None

    def _activate(self, graph: Graph, args: list[Value], state: State, kept: frozenset[str]) -> Outcomes:
        entry = State(frozenset(), state.locks, state.cells, state.marks)
        for name, value in zip(graph.parameters, args, strict=False):
            entry = self._bind(graph, name, value, entry)
        for name, (tag, depth) in graph.types.items():
            if depth == 0 and tag in self.tracked.objects and name not in graph.parameters:
                object_ = "nd" if tag == "nameidata" else f"{graph.name}:{name}"
                entry = entry.with_var(name, Value(object_, POSITIVE))
        self.frames.append(Frame(graph, kept))
        try:
            found = self._walk(graph, entry)
        except TooMany:
            self.problem(graph, graph.start, f"{graph.name}() has too many paths to follow")
            found = [(state, UNKNOWN)]
        finally:
            self.frames.pop()
        return found

    def _walk(self, graph: Graph, entry: State) -> Outcomes:
        found: dict[tuple[State, Value], None] = {}
        frame = self.frames[-1]
        seen: set[tuple[int, State]] = set()
        todo = [(graph.entry, entry)]
        while todo:
            here = todo.pop()
            if here in seen:
                continue
            at, state = here
            live = graph.live[at]
            dead = [item for item in state.env if item[0] not in live]
            if dead:
                state = State(state.env.difference(dead), *state[1:])
                if any(value.object for _, value in dead):
                    state = state.remembering(frame.kept)
                here = (at, state)
                if here in seen:
                    continue
            seen.add(here)
            frame.at = at
            self.states += 1
            if len(seen) > MOST_STATES or self.states > MOST_IN_ALL:
                raise TooMany
            node = graph.nodes[at]
            if node.kind == "do":
                todo += [(node.then, s) for s, _ in self.eval(node.expr, state)]
            elif node.kind == "if":
                yes, no = self.truth(node.expr, state)
                todo += [(node.then, s) for s in yes]
                todo += [(node.otherwise, s) for s in no]
            elif node.kind == "any":
                todo += [(node.then, state), (node.otherwise, state)]
            elif node.kind == "bind":
                todo += [(node.then, s) for s in self._iterate(node.expr, state)]
                todo.append((node.otherwise, state))
            else:
                ended = self.eval(node.expr, state) if node.kind == "return" else [(state, UNKNOWN)]
                for s, value in ended:
                    found[self._left(s, value), value._replace(test=None)] = None
        return list(found)

    def _bind(self, graph: Graph, name: str, value: Value, state: State) -> State:
        tag, depth = graph.types.get(name, ("", 0))
        kind = depth == 1 and tag in self.tracked.objects
        if kind and value.object in ("", NEW) and value.sign & POSITIVE:
            object_ = f"{value.object}{graph.name}:{name}"
            state, value = state.fresh(object_), Value(object_, value.sign)
        return state.with_var(name, value)

    def _left(self, state: State, value: Value) -> State:
        """What remains of a state when its function returns: what callers can know of."""
        state = State(frozenset({("", value)}), state.locks - state.guards, state.cells, state.marks)
        return state.remembering(self.frames[-1].kept)._replace(env=frozenset())

    def bind(self, name: str, state: State) -> State:
        """The state in which a variable that may point anywhere has an object of its own."""
        object_ = f"{self.frames[-1].graph.name}:{name}"
        return state.fresh(object_).with_var(name, Value(object_, state.var(name).sign))

    def _iterate(self, expr: Expr, state: State) -> Iterator[State]:
        """One iteration of a list macro: its first argument becomes some element."""
        parts = list(_flat(expr))
        name = parts[0].name if parts and isinstance(parts[0], Var) else ""
        if not name:
            yield state
            return
        object_ = f"{self.frames[-1].graph.name}:{name}"
        tag, depth = self.frames[-1].graph.types.get(name, ("", 0))
        state = state.with_var(name, UNKNOWN).fresh(object_)
        if depth == 1 and tag in self.tracked.objects:
            state = state.with_var(name, Value(object_, POSITIVE))
            for part in parts[1:]:
                state = self.words.iterated(self, part, name, object_, state)
        yield state

    # -- conditions --------------------------------------------------------------------------------

    def truth(self, expr: Expr, state: State) -> tuple[list[State], list[State]]:
        """The states in which `expr` is true, and those in which it is not."""
        if isinstance(expr, Not):
            yes, no = self.truth(expr.of, state)
            return no, yes
        if isinstance(expr, Both | Either):
            first, second = self.truth(expr.left, state)
            if isinstance(expr, Either):
                first, second = second, first
            both = [self.truth(expr.right, s) for s in first]
            yes, no = [s for y, _ in both for s in y], [s for _, n in both for s in n]
            return (yes, second + no) if isinstance(expr, Both) else (second + yes, no)
        if isinstance(expr, Binary) and expr.operator in _COMPARISONS:
            return self._compare(expr, state)
        if isinstance(expr, Member) and expr.field == "count":
            return self.words.counted(self, "!=", expr, state)
        yes, no = [], []
        for s, value in self.eval(expr, state):
            if value.sign & (POSITIVE | NEGATIVE):
                yes.append(self._learn(expr, value, True, s))
            if value.sign & ZERO:
                no.append(self._learn(expr, value, False, s))
        return yes, no

    def _learn(self, expr: Expr, value: Value, truth: bool, state: State) -> State:
        """What a test that could have gone either way tells."""
        if not value.sign & ZERO or value.sign == ZERO:
            return state
        if value.test is not None and value.test[1] in self.tracked.cells:
            object_, member, flag = value.test
            held = state.cell(object_, member) or Value(off=0)
            state = state.with_cell(object_, member, _known(held, flag, truth))
        if isinstance(expr, Binary) and expr.operator == "&" and isinstance(expr.left, Var):
            flag = self._flag(expr.right)
            if flag:
                state = state.with_var(expr.left.name, _known(state.var(expr.left.name), flag, truth))
        if isinstance(expr, Assign):
            expr = expr.to
        if isinstance(expr, Var):
            signs = value.sign & ~ZERO if truth else ZERO
            state = state.with_var(expr.name, value._replace(sign=signs))
        return state

    def _flag(self, expr: Expr) -> int:
        return FLAGS.get(expr.name, 0) & self.tracked.flags if isinstance(expr, Const) else 0

    def _compare(self, expr: Binary, state: State) -> tuple[list[State], list[State]]:
        if isinstance(expr.left, Member) and expr.left.field == "count" and expr.right == Const(ZERO):
            return self.words.counted(self, expr.operator, expr.left, state)
        yes, no = [], []
        for s, left in self.eval(expr.left, state):
            for t, right in self.eval(expr.right, s):
                if expr.operator in ("==", "!="):
                    equal, differ = self._equal(left, right, t, expr)
                    yes += equal if expr.operator == "==" else differ
                    no += differ if expr.operator == "==" else equal
                    continue
                can, cannot = _ordered(expr.operator, left.sign, right.sign)
                sure = right.sign == ZERO
                yes += [self._narrowed(expr.left, left, can, t) if sure else t] if can else []
                no += [self._narrowed(expr.left, left, cannot, t) if sure else t] if cannot else []
        return yes, no

    def _narrowed(self, expr: Expr, value: Value, signs: int, state: State) -> State:
        if isinstance(expr, Var) and value.sign != signs:
            return state.with_var(expr.name, value._replace(sign=signs))
        return state

    def _equal(
        self, left: Value, right: Value, state: State, expr: Binary
    ) -> tuple[list[State], list[State]]:
        """States in which two values are equal, and those in which they differ."""
        for one, other, place in ((left, right, expr.left), (right, left, expr.right)):
            if other.sign == ZERO and not other.object:
                equal = [self._narrowed(place, one, ZERO, state)] if one.sign & ZERO else []
                rest = one.sign & ~ZERO
                return equal, [self._narrowed(place, one, rest, state)] if rest else []
        if not left.sign & right.sign:
            return [], [state]
        if left.object and left.object == right.object:
            return [state], []
        for parent, child in ((left.object, right.object), (right.object, left.object)):
            if child and parent == child + "^":  # only the root of a tree is its own parent
                apart = {(child, "d_lock"), (parent, "d_lock")} <= state.locks  # nobody takes one lock twice
                root = NO if apart else state.cell(child, "root")
                equal = [] if root == NO else [state.with_cell(child, "root", YES).unified(child, parent)]
                return equal, [] if root == YES else [state.with_cell(child, "root", NO)]
        return [state], [state]

    # -- expressions -------------------------------------------------------------------------------

    def eval(self, expr: Expr, state: State) -> Outcomes:
        """The outcomes of evaluating `expr`."""
        return _EVALUATE[type(expr)](self, expr, state)

    def values(self, exprs: Iterable[Expr], state: State) -> list[tuple[State, list[Value]]]:
        """The outcomes of evaluating several expressions, one after the other."""
        found: list[tuple[State, list[Value]]] = [(state, [])]
        for expr in exprs:
            found = [(t, [*values, v]) for s, values in found for t, v in self.eval(expr, s)]
        return found

    def _const(self, expr: Const, state: State) -> Outcomes:
        flag = self._flag(expr)
        return [(state, Value("", expr.sign, flag, self.tracked.flags & ~flag))]

    def _var(self, expr: Var, state: State) -> Outcomes:
        return [(state, state.var(expr.name))]

    def _member(self, expr: Member, state: State) -> Outcomes:
        if expr.field in self.methods and self._table(expr.base, expr.field):
            sign = POSITIVE if expr.field.startswith("d_") else ANY
            return [(s, Value("@" + expr.field, sign)) for s, _ in self.eval(expr.base, state)]
        found: Outcomes = []
        for s, base in self.eval(expr.base, state):
            found += self._load(base.object, expr.field, s)
        return found

    def _table(self, base: Expr, member: str) -> bool:
        """Whether `base` is a table of methods, or the inode that keeps one of them itself."""
        if isinstance(base, Var):
            tag = self.frames[-1].graph.types.get(base.name, ("", 0))[0]
            return tag in TABLES or (tag == "inode" and member == "free_inode")
        return isinstance(base, Member) and base.field in ("d_op", "i_op", "s_op")

    def _load(self, object_: str, member: str, state: State) -> Outcomes:
        if not object_ or object_[0] in "@&":
            return [(state, UNKNOWN)]
        if member == "d_parent" and "root" in self.tracked.cells:
            if object_.count("^") >= DEEPEST:
                return []
            root = state.cell(object_, "root") == YES
            return [(state, Value(object_ if root else object_ + "^", POSITIVE))]
        if member == "d_inode" and member in self.tracked.cells:
            held = state.cell(object_, "d_inode")
            if held is not None:
                return [(state, held)]
            some = Value(object_ + ">", POSITIVE)
            if (
                some.object,
                "i_lock",
            ) in state.locks:  # whoever has read it and taken its lock finds it there
                return [(state.with_cell(object_, "d_inode", some), some)]
            return [(state.with_cell(object_, "d_inode", v), v) for v in (NULL, some)]
        if member in _FLAGS and member in self.tracked.cells:
            held = state.cell(object_, member)
            return [(state, held if held is not None else Value(off=WALK & ~_FLAGS[member]))]
        return [(state, UNKNOWN)]

    def _address(self, expr: Address, state: State) -> Outcomes:
        members: list[str] = []
        inner = expr.of
        while isinstance(inner, Member):
            members.append(inner.field)
            inner = inner.base
        if not members:
            return [(s, v._replace(sign=POSITIVE)) for s, v in self.eval(inner, state)]
        path = ".".join(reversed(members))
        return [
            (s, Value(f"&{v.object}&{path}" if v.object else "", POSITIVE))
            for s, v in self.eval(inner, state)
        ]

    def _deref(self, expr: Deref, state: State) -> Outcomes:
        return [(s, UNKNOWN) for s, _ in self.eval(expr.of, state)]

    def _assign(self, expr: Assign, state: State) -> Outcomes:
        found: Outcomes = []
        pointer = isinstance(expr.to, Var) and self.frames[-1].graph.types.get(expr.to.name, ("", 0))[1] > 0
        for s, value in self.eval(expr.value, state):
            if pointer and isinstance(expr.value, Member):
                value = value._replace(sign=value.sign & ~NEGATIVE)  # no error is kept in memory
            if expr.operator:
                for t, old in self.eval(expr.to, s):
                    found += self._store(expr.to, self._combined(expr.operator, old, value), t)
            else:
                found += self._store(expr.to, value, s)
        return found

    def _store(self, to: Expr, value: Value, state: State) -> Outcomes:
        if isinstance(to, Var):
            state = self._bind(self.frames[-1].graph, to.name, value, state)
            return [(state, state.var(to.name))]
        if isinstance(to, Member):
            return [
                (self.words.stored(self, to, base.object, value, s), value)
                for s, base in self.base(to, state)
            ]
        if isinstance(to, Deref | Address):
            return [(s, value) for s, _ in self.eval(to.of, state)]
        return [(state, value)]

    def base(self, member: Member, state: State) -> Outcomes:
        """The object whose member (or member's member) `member` is."""
        inner = member.base
        while isinstance(inner, Member) and inner.field not in ("d_parent", "d_inode"):
            inner = inner.base
        return self.eval(inner, state)

    def _forget(self, expr: Forget, state: State) -> Outcomes:
        tag, depth = self.frames[-1].graph.types.get(expr.name, ("", 0))
        if depth == 0 and tag in self.tracked.objects:
            return [(state, UNKNOWN)]
        inside = expr.name + "."
        env = frozenset((n, v) for n, v in state.env if n != expr.name and not n.startswith(inside))
        return [(state._replace(env=env), UNKNOWN)]

    def _logic(self, expr: Expr, state: State) -> Outcomes:
        yes, no = self.truth(expr, state)
        return [(s, YES) for s in yes] + [(s, NO) for s in no]

    def _choice(self, expr: Choice, state: State) -> Outcomes:
        yes, no = self.truth(expr.condition, state)
        found = [o for s in yes for o in self.eval(expr.then, s)]
        return found + [o for s in no for o in self.eval(expr.otherwise, s)]

    def _binary(self, expr: Binary, state: State) -> Outcomes:
        if expr.operator in _COMPARISONS:
            return self._logic(expr, state)
        found: Outcomes = []
        for s, left in self.eval(expr.left, state):
            for t, right in self.eval(expr.right, s):
                value = right if expr.operator == "," else self._combined(expr.operator, left, right)
                if isinstance(expr.right, Const) and expr.right.name.startswith("DCACHE_OP_"):
                    value = YES  # the dentry has the method
                if expr.operator == "&" and value.sign != ZERO and isinstance(expr.left, Member):
                    value = self._tested(expr.left, self._flag(expr.right), value, t)
                found.append((t, value))
        return found

    def _combined(self, operator: str, left: Value, right: Value) -> Value:
        """The value of ``left OP right`` for the operators that flags are handled with."""
        every = self.tracked.flags
        if operator == "|":
            some = not left.sign & ZERO or not right.sign & ZERO
            return Value("", POSITIVE if some else ANY, left.on | right.on, left.off & right.off)
        if operator == "&":
            on, off = left.on & right.on, left.off | right.off
            mask = (
                right.on if right.on | right.off == every else left.on if left.on | left.off == every else 0
            )
            if left.sign == ZERO or right.sign == ZERO or (mask and mask & off == mask):
                return Value("", ZERO, 0, every | WALK)
            return Value("", POSITIVE if on else ZERO | POSITIVE, on, off)
        return UNKNOWN

    def _tested(self, member: Member, flag: int, value: Value, state: State) -> Value:
        if flag and value.sign & ZERO and member.field in _FLAGS:
            for _, base in self.eval(member.base, state):
                if base.object and base.object[0] not in "@&":
                    return value._replace(test=(base.object, member.field, flag))
        return value

    def _unary(self, expr: Unary, state: State) -> Outcomes:
        found: Outcomes = []
        for s, value in self.eval(expr.of, state):
            known = expr.operator == "~" and (value.on | value.off) == self.tracked.flags
            found.append((s, Value("", ANY, value.off, value.on) if known else UNKNOWN))
        return found

    def _mixed(self, expr: Mixed, state: State) -> Outcomes:
        return [(s, UNKNOWN) for s, _ in self.values(expr.parts, state)]

    def _call(self, expr: Call, state: State) -> Outcomes:
        if expr.through is not None or state.var(expr.name).object.startswith("@"):
            return self._method(expr, state)
        meant = self.words.call(self, expr, state)
        if meant is not None:
            return meant
        graphs = self.find(expr.name, state) if expr.name not in self.frames[-1].graph.types else ()
        found: Outcomes = []
        for s, args in self._arguments(expr, state):
            if not graphs:
                found.append((self._walked(expr, s), UNKNOWN))
            for t, value in (outcome for g in graphs for outcome in self.run(g, args, s)):
                found.append((s._replace(locks=t.locks, cells=t.cells, marks=t.marks), value))
        return list(dict.fromkeys(found))

    def _walked(self, call: Call, state: State) -> State:
        """After a call that is not followed: a walk that it did for its caller is over, with references."""
        types = self.frames[-1].graph.types
        for arg in call.args if "flags" in self.tracked.cells else ():
            inner = arg.of if isinstance(arg, Address) else arg
            name = inner.name if isinstance(inner, Var) else ""
            object_ = state.var(name).object if types.get(name, ("", 0))[0] == "nameidata" else ""
            if object_ and state.cell(object_, "flags") is None:
                state = state.with_cell(object_, "flags", Value(off=FLAGS["LOOKUP_RCU"]))
        return state

    def _arguments(self, call: Call, state: State) -> list[tuple[State, list[Value]]]:
        """The arguments' values; a variable that points to who knows what gets an object of its own first."""
        graph = self.frames[-1].graph
        for arg in call.args:
            if isinstance(arg, Var) and not state.var(arg.name).object:
                state = self._bind(graph, arg.name, state.var(arg.name), state)
        return self.values(call.args, state)

    def _method(self, expr: Call, state: State) -> Outcomes:
        through = expr.through if expr.through is not None else Var(expr.name)
        found: Outcomes = []
        for s, target in self.eval(through, state):
            for t, args in self._arguments(expr, s):
                name = target.object[1:] if target.object.startswith("@") else ""
                found += self.words.called(self, name, expr, args, t) if name else [(t, UNKNOWN)]
        return found


def _flat(expr: Expr) -> Iterator[Expr]:
    """The parts of a comma expression."""
    if isinstance(expr, Binary) and expr.operator == ",":
        yield from _flat(expr.left)
        yield from _flat(expr.right)
    elif isinstance(expr, Mixed):
        for part in expr.parts:
            yield from _flat(part)
    else:
        yield expr


def _known(value: Value, flag: int, truth: bool) -> Value:
    """`value` with a flag known to be on, or off."""
    return value._replace(
        on=value.on | flag if truth else value.on & ~flag,
        off=value.off & ~flag if truth else value.off | flag,
    )


_COMPARISONS = frozenset({"==", "!=", "<", ">", "<=", ">="})
_SIGNS = {NEGATIVE: -1, ZERO: 0, POSITIVE: 1}


def _ordered(operator: str, left: int, right: int) -> tuple[int, int]:
    """The signs of the left side with which ``left OP right`` can be true, and with which it can be false."""
    can = cannot = 0
    for a, x in _SIGNS.items():
        for b, y in _SIGNS.items():
            if not (left & a and right & b):
                continue
            same = x == y != 0  # two numbers of one sign: either order
            less, equal, more = x < y or same, x == y, x > y or same
            holds = {"<": less, ">": more, "<=": less or equal, ">=": more or equal}[operator]
            fails = {"<": more or equal, ">": less or equal, "<=": more, ">=": less}[operator]
            can |= a if holds else 0
            cannot |= a if fails else 0
    return can, cannot


_EVALUATE: dict[type, Callable[..., Outcomes]] = {
    Const: Paths._const,
    Var: Paths._var,
    Member: Paths._member,
    Address: Paths._address,
    Deref: Paths._deref,
    Call: Paths._call,
    Assign: Paths._assign,
    Forget: Paths._forget,
    Not: Paths._logic,
    Both: Paths._logic,
    Either: Paths._logic,
    Choice: Paths._choice,
    Binary: Paths._binary,
    Unary: Paths._unary,
    Mixed: Paths._mixed,
}
