"""List iterators in abstract execution: macros such as ``list_for_each_entry()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import TRUE
from ..spec.program import Event
from .parse import comma_separated
from .values import UNKNOWN_TYPE, CType, Multi, Ptr, Sym, element, head_of

if TYPE_CHECKING:
    from .execute import Executor


class Iterators:
    """Executes the heads of list iterators. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor

    def iterates(self, macro: str) -> bool:
        """Whether the table knows a loop macro as an iterator, and the filesystem has none of that name."""
        x = self.x
        known = x.functions.get(macro)
        own = any(x.scope.owns(f) for f, _ in x.expander.defined(macro))
        return known is not None and known.has("iterate") and not own

    def _cursors(self, macro: str) -> tuple[int, int, list[int]]:
        """Which argument of an iterator is set to the element, which one is the head, and which are set to
        anything. Where the tree's definition has a parameter called head, that is it: before 3.9 hash
        lists took one more cursor."""
        x = self.x
        numbers = [int(a) for a in x.functions[macro].effects[0].arguments]
        position, head, cursors = numbers[0], numbers[1], numbers[2:]
        for _, defined in x.expander.defined(macro)[:1]:
            names = [p.removesuffix("...") for p in defined.params or ()]
            if "head" in names:
                head = names.index("head")
                cursors = [*cursors, *range(position + 1, head)]
        return position, head, cursors

    def iterate(self, macro: str, condition: tree_sitter.Node) -> int:
        """One step of a list iterator macro; the condition under which there is an element."""
        x = self.x
        inner = condition.named_children[0] if condition.named_children else condition
        args = comma_separated(inner)
        position, head, cursors = self._cursors(macro)
        more = x.record.fresh(f"{macro}: another element")
        if head >= len(args) or position >= len(args):
            return more
        found: Multi = []
        for g, v in x.alternatives.each(x.expressions.value(args[head])):
            if isinstance(v, Ptr) and v.path.startswith(("local:", "static:")):
                found.append(
                    (
                        g,
                        Ptr(
                            f"call:an element of {v.path.rsplit(':', 1)[-1]}.{x.next()}",
                            None,
                            "",
                            "",
                            UNKNOWN_TYPE,
                        ),
                    )
                )
            elif isinstance(v, Ptr):
                start = v._replace(field=head_of(v.field)) if not v.path.endswith("]") else v
                via: int | None = x.record.emit(
                    Event(
                        "read",
                        start.path,
                        start.field or "*",
                        source=x.where(condition),
                        via=start.via,
                        debug=x.record.debug > 0,
                        type=start.otype,
                        note=macro + "()",
                    ),
                    g,
                )
                x.memory.heads[element(v.path, v.field)] = start
                via = None if x.record.sink is not None else via
                found.append((g, Ptr(element(v.path, v.field), via, "", "", UNKNOWN_TYPE)))
        if found and head + 1 < len(args):
            for v in (v for _, v in found if isinstance(v, Ptr)):
                x.memory.links.setdefault(v.path, set()).add(x.text(args[head + 1]).strip())
        for number in cursors:
            if number < len(args) and args[number].type == "identifier":
                x.memory.assign(x.text(args[number]), [(TRUE, Sym(("next", x.next())))])
        if found and args[position].type == "identifier":
            name = x.text(args[position])
            ctype = x.frame.types.get(name, UNKNOWN_TYPE)
            typed: Multi = [
                (
                    g,
                    v._replace(otype=ctype.tag, ctype=CType(ctype.tag))
                    if isinstance(v, Ptr) and ctype.tag
                    else v,
                )
                for g, v in found
            ]
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, more)
            x.memory.assign(name, typed)
            x.record.condition = saved
        return more


__all__ = ["Iterators"]
