"""What `spec/kernel_functions.toml` says that a function does and returns, executed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import FALSE, TRUE
from ..spec.kernel_functions import Effect, KernelFunction
from ..spec.program import Event
from .accesses import Accesses
from .called import Called
from .configuration import configured
from .frees import Frees
from .locks import Locks
from .values import NATURAL, NULL, UNKNOWN_TYPE, Bool, Const, CType, Fn, Multi, Ptr, Sym

if TYPE_CHECKING:
    from .execute import Executor

_Handler = Callable[[Called, Effect], Multi | None]


class Effects:
    """Executes calls of functions of the table. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor
        self.accesses = Accesses(executor)
        self.frees = Frees(executor)
        self.locks = Locks(executor)
        self._handlers: dict[str, _Handler] = {
            "value": self._value,
            "errptr": self._error_pointer,
            "load": self.accesses.load,
            "store-through": self.accesses.store_through,
            "exchange-through": self.accesses.store_through,
            "exchange": self.accesses.store_through,
            "cmpxchg": self.accesses.store_through,
            "read": self.accesses.read,
            "write": self.accesses.write,
            "removed": self.accesses.removed,
            "free": self.frees.free,
            "defer": self.frees.defer,
            "call": self.frees.call_later,
            "work": self.frees.work,
            "last": self.frees.last,
            "kref": self.frees.kref,
            "block": self.locks.block,
            "block-gfp": self.locks.block,
            "lock": self.locks.lock,
            "unlock": self.locks.lock,
            "trylock": self.locks.trylock,
            "enter": self.locks.section,
            "leave": self.locks.section,
            "wait": self.locks.section,
            "get": self.accesses.reference,
            "put": self.accesses.reference,
            "returns": self._returns,
            "error": self._error,
            "nonnull": self._nonnull,
            "noreturn": self._noreturn,
            "teardown": self._teardown,
            "format": self.accesses.format,
            "fence": self._fence,
        }

    def call(self, known: KernelFunction, args: list[tree_sitter.Node], node: tree_sitter.Node) -> Multi:
        """Execute a call of `known` whose arguments are still to be evaluated, those that it evaluates."""
        x = self.x
        x.assumed[known.name] = None
        debug = known.has("debug")
        x.record.debug += debug
        try:
            first = known.effects[0].operation
            if first == "container":
                places = known.effects[0].arguments
                return self._container(
                    [args[int(places[0])], args[int(places[1])], args[int(places[2])]]
                    if places and len(args) > 2
                    else args
                )
            if first == "store" and len(args) >= 2:
                value = x.expressions.value(args[1])
                self.accesses.stored(known, x.places.of(args[0]), value, node)
                return value
            if first in ("exchange", "cmpxchg") and known.name == "rcu_replace_pointer" and len(args) >= 2:
                old = x.expressions.value(args[0])
                self.accesses.stored(known, x.places.of(args[0]), x.expressions.value(args[1]), node)
                return old
            if known.effects[0] == Effect("returns", ("config",)) and args:
                return [(TRUE, Bool(configured(x.record, f"defined({x.text(args[0])})")))]
            since = len(x.record.events)
            values = [self._argument(known, i, a) for i, a in enumerate(args)]
            result = self.apply(known, values, args, node)
            if known.order and first == "value":
                self.accesses.loaded(known, since, result)
            return result
        finally:
            x.record.debug -= debug

    def _argument(self, known: KernelFunction, index: int, node: tree_sitter.Node) -> Multi:
        x = self.x
        if node.type in ("type_descriptor", "struct_specifier"):
            return [(TRUE, Const(None, x.text(node)))]
        if any(
            e.operation in ("call", "kref") and e.index(0 if e.operation == "call" else 1) == index
            for e in known.effects
        ):
            name = x.text(node).lstrip("&")
            if re.fullmatch(r"\w+", name) and name not in x.frame.env:
                return [(TRUE, Fn(name))]
        return x.expressions.value(node)

    def apply(
        self, known: KernelFunction, values: list[Multi], args: list[tree_sitter.Node], node: tree_sitter.Node
    ) -> Multi:
        """Execute a call of `known` with evaluated arguments; `args`: their expressions, if at hand."""
        x = self.x
        x.assumed[known.name] = None
        if known.assumption:
            x.record.assumptions[known.assumption] = None
        call = Called(known, values, args, node)
        result: Multi | None = None
        for effect in known.effects:
            handler = self._handlers.get(effect.operation)
            if handler is not None:
                outcome = handler(call, effect)
                result = outcome if outcome is not None else result
        if result is None:
            result = [(TRUE, Sym((known.name, x.next())))]
        return result

    # -- what is returned --------------------------------------------------------------------------

    def _value(self, call: Called, effect: Effect) -> Multi | None:
        index = effect.index(0)
        if index < len(call.values) or len(effect.arguments) < 2:
            return call.values[index] if index < len(call.values) else None
        return [(TRUE, Const(None, effect.arguments[1]))]

    def _error_pointer(self, call: Called, effect: Effect) -> Multi | None:
        return self.x.truth.error_pointer(call.values[effect.index(0)]) if call.values else None

    def _returns(self, call: Called, effect: Effect) -> Multi | None:
        x = self.x
        kind = effect.arguments[0]
        if kind == "bool":
            return [(TRUE, Bool(x.record.fresh(x.text(call.node) if not x.frame.line else call.known.name)))]
        if kind == "new":
            got = x.record.fresh(f"{call.known.name}() succeeds")
            return [
                (got, Ptr(f"new:{x.where(call.node).line}.{x.next()}", None, "", "", UNKNOWN_TYPE)),
                (x.bdd.negate(got), NULL),
            ]
        if kind == "must-new":
            return [(TRUE, Ptr(f"new:{x.where(call.node).line}.{x.next()}", None, "", "", UNKNOWN_TYPE))]
        if kind == "static":
            return [(TRUE, Ptr(f"static:{call.known.name}", None, "", "", UNKNOWN_TYPE))]
        if kind == "page":
            return [(TRUE, Ptr(f"page:{call.known.name}.{x.next()}", None, "", "", UNKNOWN_TYPE))]
        if kind == "pointer":
            return x.calls.pointer(call.known.name, call.node)
        if kind in ("element", "next"):
            taken = "removed" in effect.arguments
            return self.accesses.element(call, effect.index(1), kind == "next", taken)
        if kind == "parent":
            return [(TRUE, Ptr("parent", None, "", "dentry", CType("dentry")))]
        if kind == "natural":
            return [(TRUE, Sym((NATURAL, call.known.name, x.next())))]
        return [(TRUE, Sym((call.known.name, x.next())))] if kind in ("scalar", "error") else None

    def _error(self, call: Called, effect: Effect) -> Multi | None:
        x = self.x
        result = FALSE
        text = f"IS_ERR({x.text(call.args[0]) if call.args else '?'})"
        for g, v in x.alternatives.each(call.values[0]) if call.values else []:
            bad = x.truth.negative(v, text)
            if "null" in effect.arguments:
                bad = x.bdd.disjoin(bad, x.bdd.negate(x.truth.nonzero(v)))
            result = x.bdd.disjoin(result, x.bdd.conjoin(g, bad))
        return [(TRUE, Bool(result))]

    def _container(self, args: list[tree_sitter.Node]) -> Multi:
        x = self.x
        if len(args) < 3:
            return []
        tag = x.text(args[1]).replace("struct ", "").strip()
        tag = re.sub(r"\W", "", tag)
        if tag in x.frame.types:
            tag = x.frame.types[tag].tag
        member = x.text(args[2])
        result: Multi = []
        for g, v in x.alternatives.each(x.expressions.value(args[0])):
            if not isinstance(v, Ptr):
                result.append((g, v))
            elif v.path.endswith("]") and not v.field:
                x.memory.links.setdefault(v.path, set()).add(member)
                result.append((g, v._replace(ctype=CType(tag), otype=tag)))
            elif v.field == member or v.field.endswith("." + member):
                field = v.field[: -len(member)].rstrip(".")
                result.append((g, v._replace(field=field, ctype=CType(tag), otype=v.otype if field else tag)))
            else:
                result.append((g, v._replace(field="", ctype=CType(tag), otype=tag)))
        return result

    # -- what is known afterwards ------------------------------------------------------------------

    def _nonnull(self, call: Called, effect: Effect) -> Multi | None:
        x = self.x
        x.exits += 1
        x.ends += 1
        x.record.condition = x.bdd.without(
            x.record.condition, x.truth.of(call.values[0]) if call.values else FALSE
        )
        return None

    def _noreturn(self, call: Called, effect: Effect) -> Multi | None:
        x = self.x
        x.exits += 1
        x.ends += 1
        x.record.condition = FALSE
        return [(TRUE, Const(0))]

    def _fence(self, call: Called, effect: Effect) -> Multi | None:
        x = self.x
        if x.record.sink is None:
            note = call.known.name + "()"
            x.record.emit(Event("fence", value=effect.arguments[0], source=x.where(call.node), note=note))
        return None

    def _teardown(self, call: Called, effect: Effect) -> Multi | None:
        x = self.x
        x.record.emit(
            Event("call", "sb", effect.arguments[0], source=x.where(call.node), note=call.known.name + "()")
        )
        return None


__all__ = ["Effects"]
