"""Accesses of functions of the table to what they are handed: reads, writes, references."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import TRUE
from ..spec.kernel_functions import Effect, KernelFunction
from ..spec.program import Event
from .called import Called
from .values import UNKNOWN_TYPE, Const, Multi, Ptr, Sym, element, head_of

if TYPE_CHECKING:
    from .execute import Executor

_SPECIFIER = re.compile(
    r"%[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|t|j|L)?([a-zA-Z%])([A-Za-z0-9]*)"
)


class Accesses:
    """Executes what functions of the table read and write. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor

    def pointers(self, values: list[Multi], index: int) -> list[tuple[int, Ptr]]:
        """The pointers to shared memory that argument `index` may be."""
        if index >= len(values):
            return []
        return [
            (g, v)
            for g, v in self.x.alternatives.each(values[index])
            if isinstance(v, Ptr) and not v.path.startswith(("local:", "static:", "new:"))
        ]

    def element(self, call: Called, index: int, onward: bool, taken: bool) -> Multi:
        """An element of the list or tree whose head argument `index` points to; with `onward`, another one of
        that to whose element it points. `taken`: it is taken out."""
        x = self.x
        found: Multi = []
        for g, v in x.alternatives.each(call.values[index]) if index < len(call.values) else []:
            if not isinstance(v, Ptr):
                continue
            if v.path.startswith(("local:", "static:")):
                of = v.path.rsplit(":", 1)[-1]
                found.append((g, Ptr(f"call:an element of {of}.{x.next()}", None, "", "", UNKNOWN_TYPE)))
                continue
            via: int | None = None
            path = v.path if onward and v.path.endswith("]") else element(v.path, v.field)
            if not v.path.startswith(("new:", "call:")):
                link = v if path == v.path else v._replace(field=head_of(v.field))
                via = x.record.emit(
                    Event(
                        "read",
                        link.path,
                        link.field or "*",
                        source=x.where(call.node),
                        via=link.via,
                        debug=x.record.debug > 0,
                        type=link.otype,
                        note=call.known.name + "()",
                    ),
                    g,
                )
                if path == v.path:
                    via = x.memory.found(link, via, g, call.node, call.known.name + "()")
                else:
                    x.memory.heads[path] = link
                if x.record.sink is not None:
                    via = None
                elif taken:
                    self._gone(path, via, g, call)
            found.append((g, Ptr(path, via, "", "", UNKNOWN_TYPE)))
        return found or x.calls.pointer(call.known.name, call.node)

    def removed(self, call: Called, effect: Effect) -> Multi | None:
        """An element, whose link an argument points to, leaves its list or tree: that in which it was found
        only if it was found by this link."""
        memory = self.x.memory
        for g, v in self.pointers(call.values, effect.index(0)):
            if not v.path.endswith("]") or v.via is None or self.x.record.sink is not None:
                continue
            if memory.links.get(v.path) == {v.field}:
                self._gone(v.path, v.via, g, call)
        return None

    def _gone(self, path: str, via: int, under: int, call: Called) -> None:
        """From now on the head does not lead to the element at `path` that the read `via` yielded."""
        x = self.x
        head = x.memory.heads.get(path)
        if head is not None:
            note = call.known.name + "()"
            event = Event("write", head.path, head.field, "removed", source=x.where(call.node), via=via)
            x.record.emit(replace(event, debug=x.record.debug > 0, type=head.otype, note=note), under)

    def touch(self, kind: str, call: Called, effect: Effect, value: str = "") -> None:
        """Record an access of that kind (``read``, ``write``) to the memory that the argument which `effect`
        names points to; `value`: what is written."""
        x = self.x
        extra = (
            effect.arguments[1]
            if len(effect.arguments) > 1
            and not effect.arguments[1].isdigit()
            and effect.arguments[1] not in ("shared", "zero", "free", "lock", "not-dead", "parent", "or-null")
            else ""
        )
        index = effect.index(0)
        for g, v in self.pointers(call.values, index):
            member = f"{v.field}.{extra}" if v.field and extra else (v.field or extra or "*")
            if "or-null" in effect.arguments:
                g = x.bdd.conjoin(g, x.truth.nonzero(v))
            x.record.emit(
                Event(
                    kind,
                    v.path,
                    member,
                    value=value,
                    source=x.where(call.node),
                    via=v.via,
                    debug=x.record.debug > 0,
                    type=v.otype,
                    note=call.known.name + "()",
                ),
                g,
            )
        if index < len(call.values) and kind in ("read", "write") and "or-null" not in effect.arguments:
            for g, w in x.alternatives.each(call.values[index]):
                if isinstance(w, Const) and w.number == 0:
                    x.record.emit(
                        Event(
                            kind,
                            "NULL",
                            "",
                            value,
                            source=x.where(call.node),
                            debug=x.record.debug > 0,
                            note=call.known.name + "()",
                        ),
                        g,
                    )

    def read(self, call: Called, effect: Effect) -> Multi | None:
        """What an argument points to is read."""
        self.touch("read", call, effect)
        return None

    def write(self, call: Called, effect: Effect) -> Multi | None:
        """What an argument points to is written; a local variable then holds something else."""
        self.touch("write", call, effect, "other")
        index = effect.index(0)
        for g, v in self.x.alternatives.each(call.values[index]) if index < len(call.values) else []:
            if isinstance(v, Ptr) and v.path.startswith("local:"):
                self._overwrite(g, v, call.node)
        return None

    def _overwrite(self, under: int, place: Ptr, node: tree_sitter.Node) -> None:
        """A variable whose address is handed to a function that writes there holds something else now."""
        x = self.x
        cells = [c for c in x.memory.cells if c[0] == place.path and c[1].startswith(place.field)]
        if not place.field and not place.ctype.array and (place.ctype.depth or not place.ctype.tag):
            cells.append((place.path, ""))
        for path, field in cells:
            written: Multi = [(TRUE, Sym(("written", x.next())))]
            x.memory.store([(under, place._replace(path=path, field=field))], written, node)

    def load(self, call: Called, effect: Effect) -> Multi | None:
        """The result is what stands at the address that an argument is."""
        if not call.values:
            return None
        since = len(self.x.record.events)
        result = self.x.memory.load(call.values[effect.index(0)], call.node)
        self.loaded(call.known, since, result)
        return result

    def store_through(self, call: Called, effect: Effect) -> Multi | None:
        """A value is stored at the address that the first argument is; an exchange yields what was there."""
        x = self.x
        if len(call.values) < 2:
            return None
        old = None
        if effect.operation != "store-through":
            since = len(x.record.events)
            old = x.memory.load(call.values[0], call.node)
            self.loaded(call.known, since, old)
        self.stored(call.known, call.values[0], call.values[effect.index(1, 1)], call.node)
        return old

    def loaded(self, known: KernelFunction, since: int, result: Multi) -> None:
        """The loads that yielded `result`, among the events from number `since` on, are ordered as `known`
        says."""
        if not known.order:
            return
        order = "acquire" if known.order == "acquire" else "once"
        own: list[object] = [v.via for _, v in result if isinstance(v, Ptr)]
        own += [v.key[2] for _, v in result if isinstance(v, Sym) and v.key[0] == "load"]
        self.x.record.mark(since, "read", lambda _: order, {i for i in own if isinstance(i, int)})

    def stored(self, known: KernelFunction, address: Multi, value: Multi, node: tree_sitter.Node) -> None:
        """Store as `known` orders it."""
        x = self.x
        since = len(x.record.events)
        x.memory.store(address, value, node)
        if known.order:
            orders = {"release": "release", "assign": "release"}
            order = orders.get(known.order, "once")
            null = "once" if known.order == "assign" else order
            x.record.mark(since, "write", lambda e: null if e.value == "null" else order)

    def reference(self, call: Called, effect: Effect) -> Multi | None:
        """A reference is taken or dropped."""
        x = self.x
        kind = effect.operation
        value = "not-dead" if "not-dead" in effect.arguments else ""
        for g, v in self.pointers(call.values, effect.index(0)):
            path = v.path
            if "parent" in effect.arguments:
                path = "parent"
            elif v.field not in ("", "d_lockref") and v.ctype.known and not v.ctype.tag:
                continue
            x.record.emit(
                Event(
                    kind,
                    path,
                    "",
                    value=value,
                    source=x.where(call.node),
                    via=v.via,
                    debug=x.record.debug > 0,
                    type=v.otype,
                    note=call.known.name + "()",
                ),
                g,
            )
        return None

    def format(self, call: Called, effect: Effect) -> Multi | None:
        """The arguments that a printf() format dereferences are read."""
        index = effect.index(0)
        if index >= len(call.args):
            return None
        text = self.x.frame.piece.string(call.args[index])
        position = index + 1
        for specifier, rest in _SPECIFIER.findall(text):
            if specifier == "%":
                continue
            touched = (specifier == "s") or (
                specifier == "p"
                and rest[:1]
                in ("d", "D", "I", "i", "U", "M", "m", "h", "E", "g", "B", "N", "b", "V", "a", "t", "C", "G")
            )
            if touched:
                member = "d_name" if specifier == "p" and rest[:1] == "d" else "*"
                self.touch(
                    "read",
                    call,
                    Effect("read", (str(position), member, "or-null")),
                )
            position += 1
        return None


__all__ = ["Accesses"]
