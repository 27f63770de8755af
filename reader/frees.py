"""What functions of the table destroy, at once or later, and the functions that they call for that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import TRUE
from ..spec.kernel_functions import Effect
from ..spec.program import Event
from .called import Called
from .recorder import LAST_REFERENCE
from .values import UNKNOWN_TYPE, Bool, CType, Fn, Multi, Ptr, Sym, join, untagged

if TYPE_CHECKING:
    from .execute import Executor


class Frees:
    """Executes what functions of the table free. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor

    def free(self, call: Called, effect: Effect) -> Multi | None:
        """What an argument points to, or a member of it, is freed."""
        member = effect.arguments[1] if len(effect.arguments) > 1 else ""
        for g, event in self._freed(call, effect.index(0)):
            if member:
                event = replace(event, object=f"{event.object}->{member}", type="")
            self.x.record.emit(event, g)
        return None

    def _freed(self, call: Called, index: int) -> list[tuple[int, Event]]:
        """What a call frees through argument `index`. A pointer that has lost its name is ``?``, of the
        structure type that the argument is declared to point to."""
        x = self.x
        found: list[tuple[int, Event]] = []
        declared = x.expander.type_of(call.args[index]) if index < len(call.args) else UNKNOWN_TYPE
        tag = declared.tag if declared.known and declared.depth == 1 and not declared.array else ""
        for g, v in x.alternatives.each(call.values[index]) if index < len(call.values) else []:
            v = untagged(v)
            if isinstance(v, Ptr) and not v.path.startswith(("local:", "static:", "new:")):
                found.append(
                    (
                        g,
                        Event(
                            "free",
                            v.path,
                            value="now",
                            source=x.where(call.node),
                            via=v.via,
                            type=v.otype,
                            note=call.known.name + "()",
                        ),
                    )
                )
            elif isinstance(v, Ptr) and v.path.startswith("static:") and v.otype:
                found.append(
                    (
                        g,
                        Event(
                            "free",
                            "call:" + v.path,
                            value="now",
                            source=x.where(call.node),
                            type=v.otype,
                            note=call.known.name + "()",
                        ),
                    )
                )
            elif isinstance(v, Sym) and _impossible(v.key):
                continue
            elif isinstance(v, Sym) or (
                isinstance(v, Ptr) and v.path.startswith("static:") and not v.path.startswith("static:text")
            ):
                found.append(
                    (
                        g,
                        Event(
                            "free",
                            "?",
                            value="now",
                            source=x.where(call.node),
                            type=tag,
                            note=call.known.name + "()",
                        ),
                    )
                )
        return found

    def defer(self, call: Called, effect: Effect) -> Multi | None:
        """What an argument points to is freed later."""
        for g, event in self._freed(call, effect.index(1)):
            self.x.record.emit(
                replace(event, kind="defer", value=effect.arguments[0], then=(replace(event, via=None),)), g
            )
        return None

    def call_later(self, call: Called, effect: Effect) -> Multi | None:
        """A function that is an argument is called, now or later."""
        how = effect.arguments[2] if len(effect.arguments) > 2 else "now"
        if how == "srcu":
            how = f"srcu:{self.x.text(call.args[0])}" if call.args else "srcu:?"
        self._later(
            how, call.values[effect.index(0)], call.values[effect.index(1)], call.node, call.known.name
        )
        return None

    def _later(self, how: str, functions: Multi, argument: Multi, node: tree_sitter.Node, by: str) -> None:
        """Each of `functions` is called with `argument`: ``now``, or when `how` says (see `Event.value`)."""
        x = self.x
        for g, f in x.alternatives.each(functions):
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, g)
            if not isinstance(f, Fn):
                x.calls.opaque(by, [argument], node)
            elif how == "now":
                x.calls.apply(f.name, [argument], node)
            else:
                name = f.name
                then = x.deferred(lambda name=name: x.calls.apply(name, [_rootless(argument)], node))  # type: ignore[misc]
                target = next((v for _, v in x.alternatives.each(argument) if isinstance(v, Ptr)), Ptr("?"))
                if then:
                    x.record.emit(
                        Event(
                            "defer",
                            target.path,
                            value=how,
                            source=x.where(node),
                            via=target.via,
                            then=then,
                            type=target.otype,
                            note=f"{by}({name})",
                        )
                    )
            x.record.condition = saved

    def work(self, call: Called, effect: Effect) -> Multi | None:
        """Work is queued: its function runs later."""
        x = self.x
        how = effect.arguments[1] if len(effect.arguments) > 1 else "work"
        index = effect.index(0)
        for g, v in x.alternatives.each(call.values[index]) if index < len(call.values) else []:
            if not isinstance(v, Ptr):
                continue
            member = v.field.rsplit(".", 1)[-1] if v.field else v.path.rsplit(":", 1)[-1]
            function = x.scope.work_function(member)
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, g)
            if function is None:
                x.calls.opaque(call.known.name, [[(TRUE, v)]], call.node)
            else:
                self._later(how, [(TRUE, Fn(function))], [(TRUE, v)], call.node, call.known.name)
            x.record.condition = saved
        return None

    def last(self, call: Called, effect: Effect) -> Multi | None:
        """A reference is dropped, perhaps the last; what then happens."""
        x = self.x
        if "unseen" in effect.arguments:
            self._last_unseen(call, effect)
            return None
        x.effects.accesses.touch("write", call, effect, "other")
        last = x.record.fresh(f"{call.known.name}() {LAST_REFERENCE}")
        if "free" in effect.arguments:
            how = effect.arguments[-1]
            for g, event in self._freed(call, effect.index(0)):
                if how != "free":
                    event = replace(event, kind="defer", value=how, then=(replace(event, via=None),))
                x.record.emit(event, x.bdd.conjoin(g, last))
        if "lock" in effect.arguments:
            taken = Effect("lock", effect.arguments[-1:])
            x.effects.locks.take(call, taken, "lock", "exclusive", last)
        return [(TRUE, Bool(last))]

    def _last_unseen(self, call: Called, effect: Effect) -> None:
        """The last reference to a dentry goes: it is freed at once if no lockless walk can have seen it."""
        x = self.x
        dentry: Multi = [(g, v) for g, v in x.effects.accesses.pointers(call.values, effect.index(0))]
        if effect.arguments[-1] != "unseen":
            member = effect.arguments[-1]
            places: Multi = [
                (g, v._replace(field=join(v.field, member), ctype=CType("dentry", 1)))
                for g, v in dentry
                if isinstance(v, Ptr)
            ]
            dentry = x.memory.load(places, call.node) if x.unseen.possible else []
        for g, v in dentry:
            if not isinstance(v, Ptr) or v.field or "->" not in v.path or not x.unseen.possible:
                continue
            last = x.record.fresh(f"{call.known.name}() of a dentry that no walk has seen {LAST_REFERENCE}")
            sure = x.unseen.led_to_by(v.path.rsplit("->", 1)[1].removesuffix(".[]").rsplit(".", 1)[-1])
            freed = Event("free", v.path, value="now", source=x.where(call.node), via=v.via, type="dentry")
            freed = replace(freed, note=f"{call.known.name}()")
            if not sure:
                freed = replace(freed, kind="opaque", value="external", note=call.known.name)
            x.record.emit(freed, x.bdd.conjoin(g, last))

    def kref(self, call: Called, effect: Effect) -> Multi | None:
        """A kref is dropped: its release function is called if that was the last reference."""
        x = self.x
        last = x.record.fresh(f"{call.known.name}() {LAST_REFERENCE}")
        saved = x.record.condition
        x.record.condition = x.bdd.conjoin(saved, last)
        self._later(
            "now", call.values[effect.index(1, 1)], call.values[effect.index(0)], call.node, call.known.name
        )
        x.record.condition = saved
        return [(TRUE, Bool(last))]


def _impossible(symbol: object) -> bool:
    """Whether a value only comes out of reading through NULL, an error, or a variable never set."""
    while isinstance(symbol, tuple) and symbol and symbol[0] == "at":
        symbol = symbol[1]
    return (
        isinstance(symbol, tuple)
        and bool(symbol)
        and symbol[0] in ("uninitialised", "null", "recursion", "c")
    )


def _rootless(value: Multi) -> Multi:
    return [(g, v._replace(via=None) if isinstance(v, Ptr) else v) for g, v in value]


__all__ = ["Frees"]
