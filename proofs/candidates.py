"""Which changes of the list may mend a violation: told from the labelled steps of its scenario."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..encodings.scenario import Step
from ..spec.program import Event, Model, Program, Source
from ..spec.vfs import Vfs
from .changes import REDUCED, Change, Place, implies
from .obligation import Obligation, cell_of
from .scenarios import root

_INDEX = re.compile(r"[^:]*:(\d+)")
_SPOTS = 4
"""In so many places at most a method is made to return early for one violation; else at its beginning."""
_NOT_LOCKED = frozenset({"lock", "unlock", "block", "wait", "call", "return"})
_RELEASES = frozenset({"free", "defer", "put"})
QUEUES = {"kfree": "kfree_rcu()", "kvfree": "kvfree_rcu()"}


@dataclass(frozen=True, slots=True)
class _Spot:
    """A labelled step of a scenario, and the event that it is of."""

    step: Step
    place: Place
    event: Event
    labels: frozenset[str]


def candidates(model: Model, vfs: Vfs, violated: Sequence[Obligation]) -> list[Change]:
    """The changes to try for these violated obligations of one clause, those first that are preferred among
    equally many."""
    found: dict[tuple[object, ...], Change] = {}
    for obligation in violated:
        made = _Candidates(model, vfs, obligation)
        for change in made.all():
            found.setdefault((change.kind, change.places, change.lock), change)
    order = ("move", "delay", "once", "test", "drop", "lock", "bail")
    return sorted(found.values(), key=lambda c: order.index(c.kind))


class _Candidates:
    def __init__(self, model: Model, vfs: Vfs, obligation: Obligation) -> None:
        self.model, self.vfs, self.obligation = model, vfs, obligation
        self.files = any(e.source.file for p in model.programs for e in p.events)
        self.spots = [s for s in map(self._spot, obligation.scenario.steps) if s is not None]
        self.steps = {s.id: s for s in obligation.scenario.steps}
        self.cleared = {
            (s.object, s.field)
            for s in obligation.scenario.steps
            if s.kind == "write" and (s.value == "null" or not s.callback)
        }

    def all(self) -> Iterator[Change]:
        destroyed = [s for s in self.spots if "destroyed(o)" in s.labels]
        touched = [s for s in self.spots if s.labels & {"access(o)", "null_access(o)"}]
        if self.obligation.clause.id.startswith("rcu-delay"):
            for spot in destroyed:
                if spot.step.kind == "free":
                    yield from self._move(spot)
                    yield from self._delay(spot)
        if touched:
            yield from self._once(touched)
            yield from self._test(touched)
        stored = [s for s in self.spots if s.labels & {"stores(d_revalidate)", "stores(d_prune)"}]
        clears = [s for s in destroyed if s.step.kind == "write"]
        for spot in [*stored, *clears]:
            yield self._drop(spot)
        if touched:
            yield from self._locks(touched, destroyed)
        early = [s for s in self.spots if "blocks" in s.labels]
        yield from self._bail([*touched, *early, *(s for s in stored if s.step.callback == "d_revalidate")])

    # -- where steps come from

    def _spot(self, step: Step) -> _Spot | None:
        """What a step is of, if it is of the filesystem's own source."""
        number = _INDEX.match(step.id)
        if not step.callback or number is None or step.id.endswith(":entry"):
            return None
        index = int(number.group(1))
        for at, program in enumerate(self.model.programs):
            if program.method != step.callback or index >= len(program.events):
                continue
            if program.function not in self.obligation.functions or program.mode == "ref":
                continue
            event = program.events[index]
            same = event.source == step.source or event.kind == "defer"
            if same and self._own(event.source):
                return _Spot(step, (at, index), event, frozenset(text for text, _ in step.labels))
        return None

    def _own(self, source: Source) -> bool:
        """Whether this is source at all, and not what the VFS does; a model by hand may name no files."""
        return bool(source.file) or not self.files

    def _like(self, spot: _Spot, *kinds: str) -> tuple[Place, ...]:
        """All events that come from the same place of the source."""
        here, own = spot.event.source, self.model.programs[spot.place[0]]
        if not here.line or (_shared(here) and spot.event.kind == "read"):
            return (spot.place,)
        return tuple(
            (at, index)
            for at, program in enumerate(self.model.programs)
            for index, event in enumerate(program.events)
            if event.source == here
            and event.kind in kinds
            and event.field == spot.event.field
            and event.note == spot.event.note
            and (not _shared(here) or (program.method, program.function) == (own.method, own.function))
        )

    # -- kinds of change

    def _sleeps(self, places: Iterable[Place]) -> bool:
        """Whether what frees there may sleep, which an RCU callback must not."""
        for at, index in places:
            events = self.model.programs[at].events
            if events[index].note.removesuffix("()") in QUEUES:
                continue
            if any(e.kind == "block" and e.source == events[index].source for e in events):
                return True
        return False

    def _delay(self, spot: _Spot) -> Iterator[Change]:
        places = self._like(spot, spot.event.kind)
        queued = spot.event.kind == "defer"
        if queued and spot.event.value == "rcu":
            return
        if self._sleeps(places) and not queued:
            return
        by = (spot.step.note or spot.event.note or "at once").removesuffix("()")
        way = QUEUES.get(by, "call_rcu()") if spot.step.note and spot.event.type else "call_rcu()"
        how = f"{way} instead of {by}()" if by != "at once" else way
        if queued:
            work = spot.event.value == "work"
            how = "queue_rcu_work(), not a plain work item," if work else "call_rcu(), not SRCU alone,"
        yield Change(
            "delay",
            f"free {spot.step.object} with {how} in {self._in(spot.place[0], spot.event.source)}",
            spot.event.source,
            places,
        )

    def _move(self, spot: _Spot) -> Iterator[Change]:
        if (
            spot.step.callback != "evict_inode"
            or spot.event.kind != "free"
            or self.vfs.callback("free_inode") is None
        ):
            return
        own = self.model.program("free_inode")
        if len(own) > 1 or (not own and self.model.program("destroy_inode")):
            return
        if own and self._tables("evict_inode") - self._tables("free_inode"):
            return  # some superblock has the one and not the other
        places = tuple(
            (at, i) for at, i in self._like(spot, "free") if self.model.programs[at].method == "evict_inode"
        )
        if self._sleeps(places):
            return
        stores = tuple(
            (at, i)
            for at in dict.fromkeys(at for at, _ in places)
            for i, e in enumerate(self.model.programs[at].events)
            if e.kind == "write"
            and e.value == "null"
            and (e.object, e.field)
            in {cell_of(self.model.programs[a].events[j].object) for a, j in places if a == at}
        )
        by = spot.event.note or "the free"
        along = sorted({self._event(p).source.line for p in stores})
        where = self._in(spot.place[0], spot.event.source)
        text = f"move {by} of {spot.event.object} from {where} to ->free_inode()"
        if along:
            text += f", without the store of NULL that goes with it (line {', '.join(map(str, along))})"
        yield Change("move", text, spot.event.source, places, stores)

    def _tables(self, method: str) -> set[str]:
        """The superblock operations tables that have the method."""
        return {n.partition("@")[2] for n, _ in self.model.facts if n.startswith(f"{method}@")}

    def _drop(self, spot: _Spot) -> Change:
        cell = "->".join(filter(None, (spot.step.object, spot.step.field)))
        return Change(
            "drop",
            f"drop the store to {cell} in {self._in(spot.place[0], spot.event.source)}",
            spot.event.source,
            self._like(spot, "write"),
        )

    def _once(self, touched: list[_Spot]) -> Iterator[Change]:
        """One change a cell: every later read of it yields what the first one did."""
        for cell in sorted(self.cleared):
            reads = [s for s in self.spots if s.step.kind == "read" and (s.step.object, s.step.field) == cell]
            for at in dict.fromkeys(s.place[0] for s in reads):
                walker = self.model.programs[at]
                own = {(s.event.object, s.event.field) for s in reads if s.place[0] == at}
                for object_, field in sorted(own):
                    places: list[Place] = []
                    first: list[Place] = []
                    for number, program in enumerate(self.model.programs):
                        if (program.method, program.function) == (walker.method, walker.function):
                            one, later = _reads(program, object_, field)
                            places += [(number, i) for i in later]
                            first += [(number, one)] if later else []
                    if any(n == at for n, _ in places):
                        start = self._event(next(p for p in first if p[0] == at))
                        again = {i for n, i in places if n == at}
                        uses = [e.source for e in walker.events if e.via in again]
                        told = _listed(uses or [self._event(p).source for p in places if p[0] == at])
                        where = self._in(at, start.source)
                        text = f"read {object_}->{field} once in {where}, and use that value in {told} too"
                        yield Change("once", text, start.source, tuple(places), tuple(first))

    def _test(self, touched: list[_Spot]) -> Iterator[Change]:
        tested: dict[str, None] = {}
        for spot in touched:
            if spot.event.object == "NULL":
                tested |= {
                    s.id: None
                    for s in self.steps.values()
                    if s.kind == "read" and (s.object, s.field) in self.cleared
                }
            via = spot.step.via
            while via is not None:
                tested[via] = None
                via = self.steps[via].via
        for ident in tested:
            read = self.steps[ident]
            found = self._spot(read)
            if found is None or (read.object, read.field) not in self.cleared:
                continue
            cell = f"{found.event.object}->{found.event.field}"
            where = self._in(found.place[0], read.source)
            text = f"test {cell}, as read in {where}, for NULL before it is followed"
            yield Change("test", text, read.source, self._like(found, "read"))

    def _bail(self, touched: list[_Spot]) -> Iterator[Change]:
        by_walker: dict[tuple[str, str], list[_Spot]] = {}
        for spot in touched:
            program = self.model.programs[spot.place[0]]
            if program.mode == "rcu" and program.method in REDUCED:
                by_walker.setdefault((program.method, program.function), []).append(spot)
        for (method, function), spots in by_walker.items():
            programs = [
                n
                for n, p in enumerate(self.model.programs)
                if (p.method, p.function, p.mode) == (method, function, "rcu")
            ]
            lines = sorted({s.event.source for s in spots}, key=lambda s: (s.file, s.line))
            skipped = [
                e
                for at, first in {s.place[0]: min(t.place[1] for t in spots) for s in spots}.items()
                for e in self.model.programs[at].events[first:]
            ]
            # To return late, before something is freed or dropped, would leak it.
            if len(lines) <= _SPOTS and not any(e.kind in _RELEASES for e in skipped):
                places = tuple(dict.fromkeys(s.place for s in spots))
                told = f"return -ECHILD in RCU mode in {function}() before {_listed(lines)}"
                if all(s.function == function for s in lines):
                    told = f"return -ECHILD in RCU mode before {_listed(lines)}"
                yield Change("bail", told, spots[0].event.source, places)
            start = replace(self.model.programs[programs[0]].source, function=function)
            text = f"return -ECHILD in RCU mode at the beginning of {_at(start)}"
            first = tuple((n, 0) for n in programs if self.model.programs[n].events)
            yield Change("bail", text, start, first)

    # -- locks

    def _locks(self, touched: list[_Spot], destroyed: list[_Spot]) -> Iterator[Change]:
        readers = {s.place[0] for s in touched}
        writers = {s.place[0] for s in destroyed}
        for object_, member, type_ in self._known_locks(readers | writers):
            sides: list[list[Place]] = []
            for at in sorted(readers | writers):
                mine = [s for s in (touched if at in readers else destroyed) if s.place[0] == at]
                side = self._side(at, mine, (object_, member), at in readers)
                if side is None:
                    break
                sides.append(side)
            else:
                places = [p for side in sides for p in side]
                if not places:
                    continue
                told = "; and in ".join(
                    _region([self._event(p).source for p in side]) for side in sides if side
                )
                start = self._event(places[0]).source
                yield Change(
                    "lock",
                    f"take {object_}->{member} in {told}",
                    start,
                    tuple(places),
                    lock=(object_, member, type_),
                )

    def _known_locks(self, programs: Iterable[int]) -> list[tuple[str, str, str]]:
        """The spin locks that may be meant: the victim's own, and those that the methods take already."""
        roots = {root(s.step.object) for s in self.spots if s.labels}
        found: dict[tuple[str, str, str], None] = {}
        if self.obligation.clause.id in ("rcu-delay-dentry", "null-inode") and "parent" not in roots:
            found["dentry", "d_lock", "dentry"] = None
        if self.obligation.clause.id == "rcu-delay-inode":
            found["inode", "i_lock", "inode"] = None
        target = self.obligation.object
        for at in programs:
            events = self.model.programs[at].events
            for e in events:
                below = e.object == target or e.object.startswith(target + "->")
                sleeps = any(b.kind == "block" and b.source == e.source for b in events)
                if (e.kind, e.value) == ("lock", "exclusive") and not (below or sleeps or "[" in e.object):
                    found[e.object, e.field, e.type] = None
        return list(found)

    def _side(self, at: int, spots: list[_Spot], lock: tuple[str, str], reader: bool) -> list[Place] | None:
        """The first and last event of what is to be locked in one program; none if it holds the lock already;
        None if it cannot be taken there: something may sleep, or another lock is taken, in between."""
        program = self.model.programs[at]
        callback = self.vfs.callback(program.method)
        if any(s.step.object != s.event.object for s in spots):
            return None  # the victim goes by another name here
        if callback is not None and callback.locks:
            return [] if lock == ("dentry", "d_lock") and "d_lock" in callback.locks else None
        if program.method == "d_compare" and lock[1] == "d_lock":
            return None  # __d_lookup() calls it with that lock held
        indices = {s.place[1] for s in spots}
        if reader:
            for spot in spots:
                via = spot.event.via
                while via is not None:
                    read = program.events[via]
                    if (read.object, read.field) in self.cleared:
                        indices.add(via)
                    via = read.via
        else:
            cells = {cell_of(s.step.object) for s in spots} | {(s.step.object, s.step.field) for s in spots}
            stores = {
                i for i, e in enumerate(program.events) if e.kind == "write" and (e.object, e.field) in cells
            }
            if stores:  # what is freed once the pointer is gone may be freed without the lock
                indices = stores | {i for i in indices if i < max(stores)}
        first, last = min(indices), max(indices)
        between = program.events[first : last + 1]
        own = [e for e in program.events[:first] if (e.object, e.field) == lock]
        if own and own[-1].kind == "lock":
            return [] if not any((e.object, e.field) == lock for e in between) else None
        held = [e for e in program.events[:first] if e.kind in ("lock", "unlock")]
        if held and held[-1].kind == "lock":
            return None
        sources = {e.source for e in between}
        if any(e.kind in _NOT_LOCKED or (e.kind == "opaque" and not e.object) for e in between):
            return None
        if any(e.kind == "block" and e.source in sources for e in program.events):
            return None
        return [(at, first), (at, last)]

    def _in(self, program: int, source: Source) -> str:
        """A place within a method: which method, where it is that of an accessor."""
        function = self.model.programs[program].function
        return f"{function}() (by {_at(source)})" if _shared(source) else _at(source)

    def _event(self, place: Place) -> Event:
        return self.model.programs[place[0]].events[place[1]]


def _shared(source: Source) -> bool:
    """Whether the place is in a header: an accessor, whose line is that of many reads."""
    return source.file.endswith(".h")


def _reads(program: Program, object_: str, field: str) -> tuple[int, list[int]]:
    """The first read of a cell, and those after it that are made only if it is."""
    reads = [
        i for i, e in enumerate(program.events) if (e.kind, e.object, e.field) == ("read", object_, field)
    ]
    if not reads:
        return -1, []
    one = reads[0]
    return one, [i for i in reads[1:] if implies(program.events[i].guard, program.events[one].guard)]


def _at(source: Source) -> str:
    return f"{source.function}() ({source.file}:{source.line})" if source.file else f"{source.function}()"


def _listed(sources: Iterable[Source]) -> str:
    return ", ".join(dict.fromkeys(map(_at, sources)))


def _region(sources: list[Source]) -> str:
    first, last = sources[0], sources[-1]
    if first == last or not first.file:
        return _at(first)
    if (first.file, first.function) == (last.file, last.function):
        return f"{first.function}() ({first.file}:{first.line} to {last.line})"
    return f"{_at(first)} to {_at(last)}"
