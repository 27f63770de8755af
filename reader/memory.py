"""Memory in abstract execution: local variables, what is stored where, loads and stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import FALSE, TRUE
from ..spec.program import Event
from .roots import well_known
from .values import (
    NULL,
    UNKNOWN_TYPE,
    Const,
    CType,
    Fn,
    Multi,
    Ptr,
    Sym,
    Value,
    element,
    head_of,
    is_error,
    is_link,
    join,
    key,
    pointed,
    retype,
)

if TYPE_CHECKING:
    from .execute import Executor


class Memory:
    """What memory holds, by access path and member. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor
        self.cells: dict[tuple[str, str], Multi] = {}
        self.heads: dict[str, Ptr] = {}
        """Heads of lists and trees, by the paths of their elements."""
        self.links: dict[str, set[str]] = {}
        """By which of their members elements are linked, by their paths."""

    # -- whose it is -------------------------------------------------------------------------------

    def _since(self, index: int) -> int:
        """The path condition from the activation of frame `index` on; -1: from the program's start."""
        x = self.x
        condition = x.record.condition
        for frame in x.frames[index + 1 :]:
            condition = x.bdd.conjoin(frame.under, condition)
        return condition

    def owner(self, path: str) -> int:
        """The index of the frame whose local variable ``local:SERIAL:NAME`` is; -1 if none lives."""
        x = self.x
        serial = int(path.split(":", 2)[1])
        return next((i for i in range(len(x.frames) - 1, -1, -1) if x.frames[i].serial == serial), -1)

    def _possible(self, value: Multi, index: int) -> Multi:
        """The alternatives of what frame `index` (-1: no frame's) holds that are possible here."""
        x = self.x
        if len(value) < 2 or index == len(x.frames) - 1:
            return value
        here = self._since(index)
        return [(g, v) for g, v in value if x.bdd.conjoin(g, here) != FALSE]

    # -- local variables ---------------------------------------------------------------------------

    def local(self, name: str) -> str:
        """The access path of local variable `name` of the current activation."""
        return f"local:{self.x.frame.serial}:{name}"

    def address(self, name: str) -> Multi:
        """The address of a local variable."""
        ctype = self.x.frame.types.get(name, UNKNOWN_TYPE)
        return [(TRUE, Ptr(self.local(name), None, "", ctype.tag if ctype.depth == 0 else "", ctype))]

    def declare(self, name: str, ctype: CType) -> None:
        """Declare a local variable in the innermost scope."""
        frame = self.x.frame
        if frame.scopes and name not in frame.scopes[-1] and len(frame.scopes) > 1:
            frame.scopes[-1][name] = (frame.types.get(name), frame.env.get(name))
        frame.types[name] = ctype

    def assign(self, name: str, value: Multi) -> None:
        """Assign to a local variable under the current condition."""
        x = self.x
        ctype = x.frame.types.get(name, UNKNOWN_TYPE)
        here = x.record.condition
        old = [(x.bdd.without(g, here), v) for g, v in x.frame.env.get(name, [])]
        new = [(x.bdd.conjoin(g, here), retype(v, ctype)) for g, v in value]
        x.frame.env[name] = x.alternatives.merge(old + new)

    def copied(self, target: str, value: Multi) -> None:
        """What a structure holds that was initialised with another one of the function's own."""
        x = self.x
        for g, v in x.alternatives.each(value):
            if isinstance(v, Ptr) and v.path.startswith("local:") and not v.field:
                cells = [(f, held) for (path, f), held in self.cells.items() if path == v.path and f]
                for member, held in cells:
                    cell = (target, member)
                    new = [(x.bdd.conjoin(g, h), w) for h, w in held]
                    self.cells[cell] = x.alternatives.merge(self.cells.get(cell, []) + new)

    # -- loads -------------------------------------------------------------------------------------

    def load(self, address: Multi, node: tree_sitter.Node) -> Multi:
        """What stands at `address`; a read event for memory that is not the function's own."""
        x = self.x
        lost = FALSE
        result: Multi = []
        for g, place in x.alternatives.each(address):
            if isinstance(place, Ptr) and place.path.startswith("local:"):
                result += [(x.bdd.conjoin(g, h), v) for h, v in self._load_local(place)]
            elif isinstance(place, Ptr) and (place.path, place.field) in self.cells:
                stored = self._possible(self.cells[(place.path, place.field)], -1)
                stored = self._some(stored) if "[]" in place.field else stored
                result += [(x.bdd.conjoin(g, h), v) for h, v in stored]
            elif isinstance(place, Ptr):
                result.append((g, self._load_shared(place, g, node)))
            elif isinstance(place, Const) and place.number == 0:
                x.record.emit(
                    Event(
                        "read",
                        "NULL",
                        "",
                        source=x.where(node),
                        debug=x.record.debug > 0,
                        note=x.text(node),
                    ),
                    g,
                )
                result.append((g, Sym(("null", x.statements))))
            elif isinstance(place, Fn):
                result.append((g, place))
            else:
                if not is_error(place):
                    x.record.emit(
                        Event(
                            "read",
                            "?",
                            "",
                            source=x.where(node),
                            debug=x.record.debug > 0,
                            note=x.text(node),
                        ),
                        g,
                    )
                none = x.truth.no_address(place)
                lost = x.bdd.disjoin(lost, x.bdd.conjoin(g, none))
                if x.bdd.without(g, none) != FALSE:
                    result.append((g, Sym(("at", key(place), x.text(node), len(x.record.events)))))
        if lost != FALSE:
            # Neither NULL nor an errno is an address: this is an oops.
            x.exits += 1
            x.ends += 1
            x.record.condition = x.bdd.without(x.record.condition, lost)
        return x.alternatives.merge(result)

    def _load_local(self, place: Ptr) -> Multi:
        x = self.x
        name = place.path.split(":", 2)[2]
        owner = self.owner(place.path)
        if "[]" in place.field and (place.path, place.field) in self.cells:
            return self._some(self._possible(self.cells[(place.path, place.field)], owner))
        if not place.field and owner >= 0 and name in x.frames[owner].env:
            return self._possible(x.frames[owner].env[name], owner)
        stored = self.cells.get((place.path, place.field))
        if stored is not None:
            return self._possible(stored, owner)
        if place.ctype.array or (place.ctype.tag and place.ctype.depth == 0):
            return [(TRUE, place)]
        whole = self.cells.get((place.path, ""))
        if whole:
            inside: Multi = []
            for g, v in self._possible(whole, owner):
                if isinstance(v, Ptr):
                    inside.append(
                        (
                            g,
                            self._load_shared(
                                v._replace(field=join(v.field, place.field), ctype=place.ctype), g, None
                            ),
                        )
                    )
            if inside:
                return inside
        return [(TRUE, Sym(("local", place.path, place.field)))]

    def _some(self, stored: Multi) -> Multi:
        """What one element of the function's own array is: anything that was stored to any of them, or zero.
        Two loads, of whatever elements, have nothing to do with each other."""
        x = self.x
        result: Multi = []
        left = TRUE
        for g, v in stored:
            chosen = x.bdd.conjoin(x.bdd.conjoin(left, g), x.record.fresh("it is this element"))
            result.append((chosen, v))
            left = x.bdd.without(left, chosen)
        return [*result, (left, NULL)]

    def _load_shared(self, place: Ptr, under: int, node: tree_sitter.Node | None) -> Value:
        x = self.x
        if place.path.startswith("static:"):
            if is_link(place.field):
                of = f"{place.path}.{place.field}".removeprefix("static:")
                return Ptr(f"call:an element of {of}.{x.next()}", None, "", "", UNKNOWN_TYPE)
            if place.ctype.depth > 0 or not place.ctype.known:
                return Ptr(
                    f"{place.path}.{place.field}" if place.field else place.path,
                    None,
                    "",
                    "",
                    _pointee(place.ctype),
                )
            return Sym(("static", place.path, place.field))
        if place.ctype.array:
            return place
        if place.ctype.known and place.ctype.tag and place.ctype.depth == 0:
            self._copies(place, under, node)
            return place
        fixed = well_known(place)
        listed = is_link(place.field) and pointed(place.path, place.field).endswith("]")
        event = x.record.emit(
            Event(
                "read",
                place.path,
                head_of(place.field) if listed and not place.path.endswith("]") else place.field,
                source=x.where(node),
                via=place.via,
                debug=x.record.debug > 0,
                type=place.otype,
                note=x.text(node) if node is not None else "",
            ),
            under,
        )
        if fixed is not None and fixed.path == "sb":
            return fixed
        via: int | None = self.found(place, event, under, node, "") if listed else event
        if x.record.sink is not None:
            via = None
        if fixed is not None:
            return fixed._replace(via=via)
        if place.ctype.known and place.ctype.depth == 0:
            return Sym(("load", x.record.deferred, event))
        target = _pointee(place.ctype)
        return Ptr(pointed(place.path, place.field), via, "", target.tag if target.depth == 0 else "", target)

    def found(self, place: Ptr, event: int, under: int, node: tree_sitter.Node | None, note: str) -> int:
        """The read that yields an element, once `event` has read the link in `place`. Which elements can be
        found is said of the head alone: from an element it is read anew."""
        x = self.x
        if not place.path.endswith("]"):
            self.heads[element(place.path, place.field)] = place._replace(field=head_of(place.field))
            return event
        head = self.heads.get(place.path)
        if head is None:
            return event
        return x.record.emit(
            Event(
                "read",
                head.path,
                head.field or "*",
                source=x.where(node),
                via=head.via,
                debug=x.record.debug > 0,
                type=head.otype,
                note=note or (x.text(node) if node is not None else ""),
            ),
            under,
        )

    def _copies(self, place: Ptr, under: int, node: tree_sitter.Node | None) -> None:
        """A structure is read as a whole."""
        x = self.x
        event = Event(
            "read",
            place.path,
            place.field or "*",
            source=x.where(node),
            via=place.via,
            debug=x.record.debug > 0,
            type=place.otype,
            note=x.text(node) if node is not None else "",
        )
        x.record.emit(event, under)

    # -- stores ------------------------------------------------------------------------------------

    def store(self, address: Multi, value: Multi, node: tree_sitter.Node) -> None:
        """Store `value` at `address`; a write event for memory that is not the function's own."""
        x = self.x
        for g, place in x.alternatives.each(address):
            if not isinstance(place, Ptr):
                if isinstance(place, Const) and place.number == 0:
                    x.record.emit(
                        Event("write", "NULL", "", "other", source=x.where(node), note=x.text(node)), g
                    )
                elif not is_error(place):
                    x.record.emit(
                        Event("write", "?", "", "other", source=x.where(node), note=x.text(node)), g
                    )
            elif place.path.startswith("local:"):
                owner = self.owner(place.path)
                here = x.bdd.conjoin(self._since(owner), g)
                name = place.path.split(":", 2)[2]
                frame = x.frames[owner] if owner >= 0 else None
                if frame is not None and not place.field:
                    old = [(x.bdd.without(h, here), v) for h, v in frame.env.get(name, [])]
                    new = [(x.bdd.conjoin(h, here), v) for h, v in value]
                    frame.env[name] = x.alternatives.merge(old + new)
                else:
                    self._keep(place, here, value)
            elif place.path.startswith("static:"):
                here = x.bdd.conjoin(self._since(-1), g)
                known = (place.path, place.field) in self.cells
                self._keep(place, here, value, None if known else [(TRUE, self._load_shared(place, g, node))])
            else:
                for h, v in x.alternatives.each(value):
                    both = x.bdd.conjoin(g, h)
                    if both != FALSE:
                        x.record.emit(
                            Event(
                                "write",
                                place.path,
                                place.field,
                                value=_stored(v),
                                source=x.where(node),
                                via=place.via,
                                debug=x.record.debug > 0,
                                type=place.otype,
                                note=x.text(node),
                            ),
                            both,
                        )

    def _keep(self, place: Ptr, here: int, value: Multi, before: Multi | None = None) -> None:
        """What memory holds from now on, `before` if nothing was stored there; an element of an array may be
        another one than what was stored before, which then is still there."""
        x = self.x
        cell = (place.path, place.field)
        gone = FALSE if "[]" in place.field else here
        old = [(x.bdd.without(h, gone), v) for h, v in self.cells.get(cell) or before or []]
        self.cells[cell] = x.alternatives.merge(old + [(x.bdd.conjoin(h, here), v) for h, v in value])


def _pointee(ctype: CType) -> CType:
    return (
        ctype._replace(depth=ctype.depth - 1, array=False)
        if ctype.known and ctype.depth > 0
        else UNKNOWN_TYPE
    )


def _stored(value: Value) -> str:
    if isinstance(value, Const) and value.number == 0:
        return "null"
    if isinstance(value, Ptr) and value.path.startswith("new:"):
        return "new"
    return "other"


__all__ = ["Memory"]
