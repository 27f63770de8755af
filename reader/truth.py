"""Tests of values: zero, negative, an error, equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..bdd import FALSE, TRUE
from .values import NULL, Bool, Const, Fn, Multi, Ptr, Sym, Value, is_error, key

if TYPE_CHECKING:
    from .execute import Executor


class Truth:
    """The path conditions that tests of values are. `facts` fixes symbolic tests: ``{key: truth}``, e.g. of
    ``flags & LOOKUP_RCU``. One instance serves one `Executor`."""

    def __init__(self, executor: Executor, facts: dict[tuple[object, ...], bool]) -> None:
        self.x = executor
        self.facts = facts
        self.errors: dict[object, Value] = {}
        """What ERR_PTR() was applied to, by the key of the result."""

    def of(self, value: Multi, text: str = "") -> int:
        """The condition under which `value` is not zero."""
        x = self.x
        result = FALSE
        for g, v in x.alternatives.each(value):
            result = x.bdd.disjoin(result, x.bdd.conjoin(g, self.nonzero(v, text)))
        return x.record.widen(result)

    def nonzero(self, value: Value, text: str = "") -> int:
        """The condition under which one alternative is not zero."""
        x = self.x
        if isinstance(value, Bool):
            return value.condition
        if isinstance(value, Fn):
            return TRUE
        if isinstance(value, Const):
            if value.number is not None:
                return TRUE if value.number else FALSE
            return TRUE if is_error(value) else x.record.atom("stable", ("const", value.name), value.name)
        if isinstance(value, Ptr):
            if ("nonzero", value.path) in self.facts and not value.field:
                return TRUE if self.facts["nonzero", value.path] else FALSE
            if value.path.startswith(("static:", "call:")) and not value.field:
                return x.record.atom("free", ("nonzero", value.path), text)
            if value.via is None or value.field:
                return TRUE
            scalar = value.ctype.known and value.ctype.depth < 0
            kind = "free" if scalar else "nonnull"
            return x.record.atom(
                kind,
                ("nonzero", value.path, value.via),
                f"{value.path} is not NULL" if kind == "nonnull" else text,
                value.via if kind == "nonnull" else None,
            )
        fact = self._masked(value.key)
        if fact is not None:
            return TRUE if fact else FALSE
        if value.key in x.alternatives.many:
            return self._either(value.key, lambda v: self.nonzero(v, text))
        if value.key in self.errors:
            error = self.errors[value.key]
            return x.bdd.disjoin(self.nonzero(error, text), self.negative(error, text))
        if value.key[0] in ("<", ">=") and len(value.key) == 3 and value.key[2] == key(NULL):
            if value.key[0] == ">=":
                return x.bdd.negate(self.nonzero(Sym(("<", *value.key[1:])), text))
            if value.key[1] in x.alternatives.many:
                return self._either(value.key[1], lambda v: self.negative(v, text))
            if value.key[1] in self.errors:
                return self.nonzero(Sym(("err", key(self.errors[value.key[1]]))), text)
        return x.record.atom("free", ("nonzero", value.key), text)

    def negative(self, value: Value, text: str = "") -> int:
        """The condition under which one alternative is negative, or an error instead of a pointer."""
        if is_error(value):
            return TRUE
        if isinstance(value, Const) and value.number is not None:
            return TRUE if value.number < 0 else FALSE
        if isinstance(value, (Const, Bool, Fn)):
            return FALSE
        if isinstance(value, Ptr) and value.via is None and not value.path.startswith("call:"):
            return FALSE
        return self.nonzero(Sym(("<", key(value), key(NULL))), text)

    def error_pointer(self, value: Multi) -> Multi:
        """ERR_PTR() of `value`: zero or negative, it is taken, where a method's locks are asked for."""
        if self.x.following.handover is None:
            return value
        result: Multi = []
        for g, v in value:
            if isinstance(v, (Ptr, Sym)) and key(v) not in self.errors:
                self.errors[("err", key(v))] = v
                v = Sym(("err", key(v)))
            result.append((g, v))
        return result

    def no_address(self, value: Value) -> int:
        """The condition under which a value is what ERR_PTR() made of something that is no constant."""
        if not isinstance(value, Sym):
            return FALSE
        if value.key in self.x.alternatives.many:
            return self._either(value.key, self.no_address)
        return TRUE if value.key in self.errors else FALSE

    def _either(self, many: object, holds: Callable[[Value], int]) -> int:
        """The condition under which that one of the scalars merged into `many` which it is, `holds`."""
        x = self.x
        result = FALSE
        for g, v in x.alternatives.many[many]:
            result = x.bdd.disjoin(result, x.bdd.conjoin(g, holds(v)))
        return x.record.widen(result)

    def _masked(self, symbol: tuple[object, ...]) -> bool | None:
        """Whether ``flags & BITS`` is not zero, where `facts` tell; flags may have had bits added."""
        if symbol in self.facts:
            return self.facts[symbol]
        if symbol[0] != "&" or len(symbol) != 3:
            return None
        for mask, subject in ((symbol[1], symbol[2]), (symbol[2], symbol[1])):
            names, added = _bits(mask), _bits(subject)
            if names is None or added is None or ("param",) in names:
                continue
            parameters = [p for p in added if p[0] == "param"]
            if names & added:
                return True
            truths = [self.facts.get(("&", n, p)) for n in names for p in parameters]
            if True in truths:
                return True
            if truths and all(t is False for t in truths):
                return False
        return None

    def equal(self, left: Multi, right: Multi, text: str = "") -> int:
        """The condition under which two values are equal."""
        x = self.x
        result = FALSE
        for ga, a in x.alternatives.each(left):
            for gb, b in x.alternatives.each(right):
                both = x.bdd.conjoin(ga, gb)
                if both != FALSE:
                    result = x.bdd.disjoin(result, x.bdd.conjoin(both, self._equal(a, b, text)))
        return x.record.widen(result)

    def _equal(self, a: Value, b: Value, text: str) -> int:
        x = self.x
        if key(a) == key(b):
            return TRUE
        for one, other in ((a, b), (b, a)):
            if (
                isinstance(one, Sym)
                and one.key[0] == "&"
                and key(other) in one.key[1:]
                and one.key in self.facts
            ):
                return self.nonzero(one, text)
        for one, other in ((a, b), (b, a)):
            if isinstance(other, Const) and other.number == 0:
                return x.bdd.negate(self.nonzero(one, text))
            if isinstance(other, Const) and other.number == 1 and isinstance(one, Bool):
                return one.condition
        if isinstance(a, Const) and isinstance(b, Const):
            if a.number is not None and b.number is not None:
                return TRUE if a.number == b.number else FALSE
            if is_error(a) or is_error(b):
                return FALSE
        for one, other in ((a, b), (b, a)):
            if is_error(other) and isinstance(one, (Bool, Fn)):
                return FALSE
            if is_error(other) and isinstance(one, Const) and one.number is not None:
                return FALSE
            if is_error(other) and isinstance(one, Ptr) and one.via is None:
                return FALSE
        first, second = sorted((str(key(a)), str(key(b))))
        return x.record.atom("free", ("equal", first, second), text)


def _bits(symbol: object) -> frozenset[tuple[object, ...]] | None:
    """The names or-ed together in a symbolic value, parameters among them; None for anything else."""
    if not isinstance(symbol, tuple):
        return None
    if symbol[0] == "|" and len(symbol) == 3:
        left, right = _bits(symbol[1]), _bits(symbol[2])
        return None if left is None or right is None else left | right
    return frozenset({symbol}) if symbol[0] in ("c", "param") else None


__all__ = ["Truth"]
