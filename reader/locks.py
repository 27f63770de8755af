"""Locks, read-side sections, and calls that may sleep, of functions of the table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import FALSE, TRUE
from ..spec.kernel_functions import Effect, KernelFunction
from ..spec.program import Event
from .called import Called
from .values import Bool, Const, Multi, Ptr, key

if TYPE_CHECKING:
    from .execute import Executor

_SLEEPING = re.compile(r"GFP_(KERNEL|NOFS|NOIO|USER|HIGHUSER|TEMPORARY)|__GFP_DIRECT_RECLAIM|__GFP_RECLAIM")
_ATOMIC = re.compile(r"GFP_(ATOMIC|NOWAIT)")


class Locks:
    """Executes what functions of the table lock and wait for. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor

    def lock(self, call: Called, effect: Effect) -> Multi | None:
        """A lock is taken or dropped."""
        shared = "shared" if "shared" in effect.arguments else "exclusive"
        self.take(call, effect, effect.operation, shared, TRUE)
        return None

    def trylock(self, call: Called, effect: Effect) -> Multi | None:
        """A lock is taken, or is not had."""
        x = self.x
        got = x.record.fresh(f"{call.known.name}() succeeds")
        self.take(call, effect, "lock", "exclusive", got)
        if "zero" in effect.arguments:
            return [(got, Const(0)), (x.bdd.negate(got), Const(None, "-EINTR"))]
        return [(TRUE, Bool(got))]

    def take(self, call: Called, effect: Effect, kind: str, value: str, under: int) -> None:
        """Take or drop (`kind`) the lock that `effect` names, under a condition; `value`: ``exclusive`` or
        ``shared``."""
        x = self.x
        index = effect.index(0)
        extra = next((a for a in effect.arguments[1:] if a not in ("shared", "zero")), "")
        for g, v in x.alternatives.each(call.values[index]) if index < len(call.values) else []:
            if isinstance(v, Ptr) and not v.path.startswith("local:"):
                member = f"{v.field}.{extra}" if v.field and extra else (v.field or extra)
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
                    x.bdd.conjoin(g, under),
                )

    def holding(
        self, known: KernelFunction, effect: Effect, values: list[Multi], node: tree_sitter.Node, under: int
    ) -> None:
        """Take or drop the lock whose holder is argument `effect.index(0)`; a holder on the stack is named by
        its variable."""
        x = self.x
        x.assumed[known.name] = None
        index = effect.index(0)
        for g, v in x.alternatives.each(values[index]) if index < len(values) else []:
            if not isinstance(v, Ptr):
                continue
            local = v.path.startswith("local:")
            x.record.emit(
                Event(
                    "lock" if effect.operation == "hold" else "unlock",
                    "holder:" + v.path.split(":", 2)[2] if local else v.path,
                    v.field,
                    value="exclusive",
                    source=x.where(node),
                    via=v.via,
                    type=v.otype,
                    note=known.name + "()",
                ),
                x.bdd.conjoin(g, under),
            )

    def section(self, call: Called, effect: Effect) -> Multi | None:
        """A read-side section begins or ends, or a grace period is waited for."""
        x = self.x
        domain = ""
        if effect.arguments:
            domain = f"srcu:{x.text(call.args[0])}" if call.args else "srcu:?"
        x.record.emit(
            Event(effect.operation, "", domain, source=x.where(call.node), note=call.known.name + "()")
        )
        return None

    def block(self, call: Called, effect: Effect) -> Multi | None:
        """The call may sleep, whatever it is handed or for some arguments."""
        x = self.x
        condition = TRUE
        note = f"{call.known.name}() may sleep"
        if effect.operation == "block" and effect.arguments:
            condition = FALSE
            for g, v in x.alternatives.each(call.values[effect.index(0)]):
                if not (isinstance(v, Const) and v.number == 0):
                    condition = x.bdd.disjoin(condition, g)
        if effect.operation == "block-gfp":
            index = effect.index(0)
            condition = FALSE if index < len(call.values) else TRUE
            for g, v in x.alternatives.each(call.values[index]) if index < len(call.values) else []:
                flags = str(key(v))
                if not _ATOMIC.search(flags) or _SLEEPING.search(flags):
                    condition = x.bdd.disjoin(condition, g)
                    shown = v.name if isinstance(v, Const) else "these flags"
                    note = f"{call.known.name}({shown}) may sleep"
        if x.bdd.conjoin(condition, x.record.condition) != FALSE:
            x.record.emit(
                Event("block", "", source=x.where(call.node), debug=x.record.debug > 0, note=note), condition
            )
        return None


__all__ = ["Locks"]
