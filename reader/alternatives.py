"""Alternatives of one value: which are possible, and few enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..bdd import FALSE
from ..spec.program import Source
from .limits import MAX_ALTERNATIVES, MAX_ELEMENTS, MAX_POINTERS, MAX_SCALARS
from .values import NULL, Bool, Const, Multi, Ptr, Sym, Value, is_error

if TYPE_CHECKING:
    from .execute import Executor


class Alternatives:
    """Joins alternatives. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor
        self.many: dict[object, Multi] = {}
        """The scalars that one stands for, by its key."""

    def each(self, value: Multi) -> list[tuple[int, Value]]:
        """The alternatives of `value` that are possible here."""
        x = self.x
        return [(g, v) for g, v in value if x.bdd.conjoin(g, x.record.condition) != FALSE]

    def merge(self, value: Multi) -> Multi:
        """Alternatives with equal values joined, impossible ones dropped, many scalars made one unknown."""
        x = self.x
        joined: dict[Value, int] = {}
        flag, under = FALSE, FALSE
        for g, v in value:
            if g == FALSE:
                continue
            if isinstance(v, Bool):
                flag = x.bdd.disjoin(flag, x.bdd.conjoin(g, v.condition))
                under = x.bdd.disjoin(under, g)
            else:
                joined[v] = x.bdd.disjoin(joined.get(v, FALSE), g)
        scalars = [v for v in joined if isinstance(v, Sym)]
        if len(scalars) > MAX_SCALARS:
            self._merge_scalars(joined, scalars)
        if len(joined) > MAX_ALTERNATIVES:
            constants = [v for v in joined if isinstance(v, Const) and v != NULL and not is_error(v)]
            self._merge_scalars(joined, constants)
        self._merge_pointers(joined)
        if under != FALSE:
            joined[Bool(x.record.widen(flag))] = under
        return [(x.record.widen(g), v) for v, g in joined.items()]

    def _merge_scalars(self, joined: dict[Value, int], scalars: Sequence[Value]) -> None:
        """One scalar for many; whether it is zero, and whether negative, is still what each of them is."""
        x = self.x
        if scalars:
            many = Sym(("many", x.next()))
            self.many[many.key] = [(joined[v], v) for v in scalars]
            rest = FALSE
            for v in scalars:
                rest = x.bdd.disjoin(rest, joined.pop(v))
            joined[many] = rest

    def _merge_pointers(self, joined: dict[Value, int]) -> None:
        """One pointer for many that were read at different times from one place. It then counts as reached
        whatever was read, which adds accesses; for an inode, whose NULL matters, that is noted as a gap."""
        x = self.x
        if len(joined) <= MAX_POINTERS:
            return
        groups: dict[Ptr, list[Ptr]] = {}
        for v in joined:
            if isinstance(v, Ptr) and v.via is not None:
                groups.setdefault(v._replace(via=None), []).append(v)
        for whole, members in groups.items():
            if len(members) > (MAX_ELEMENTS if whole.path.endswith("]") else MAX_POINTERS):
                for v in members:
                    joined[whole] = x.bdd.disjoin(joined.get(whole, FALSE), joined.pop(v))
                if whole.path in ("inode", "dir"):
                    x.record.gap(
                        f"more than {MAX_POINTERS} reads of d_inode come together",
                        Source(x.frame.file.path if x.frames else ""),
                    )


__all__ = ["Alternatives"]
