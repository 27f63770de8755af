"""Changes to callback programs that may mend a violation: each one place of the source, in every program that
comes to it.

Each change has a switch, a configuration atom of its own. `switched` makes a model in which all of them can
be on or off, so that one scenario stands for every set of them; `changed` makes the model in which a set of
them is made. Both come from the same transformation. No solver here, no clause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ..spec.program import FALSE, TRUE, Atom, Cube, Event, Guard, Model, Program, Source
from .obligation import cell_of, last_put

Kind = Literal["delay", "move", "once", "test", "drop", "lock", "bail"]
Place = tuple[int, int]
"""An event: the program's index in the model, and its own in the program."""
Literals = tuple[tuple[str, bool], ...]
REDUCED = ("d_revalidate", "d_manage", "permission", "get_link", "get_acl", "get_inode_acl")
"""The methods that may answer -ECHILD in RCU mode: the walk comes again with references."""
LAST = "the moved code drops the last reference"


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    delay   the frees at `places` wait for a grace period: call_rcu(), kfree_rcu()
    move    the frees at `places` go to ->free_inode(), the stores at `others` with them
    once    the reads at `places` are not made; what they yield is what the one before, in `others`, yielded
    test    nothing is reached through what the reads at `places` yielded if that is NULL
    drop    the stores at `places` are not made
    lock    `lock` is held from the first to the last of `places` in each program
    bail    the method returns where it would come to `places`
    """

    kind: Kind
    text: str
    source: Source
    places: tuple[Place, ...]
    others: tuple[Place, ...] = ()
    lock: tuple[str, str, str] = ("", "", "")
    """Object, member and structure type of the object."""

    def switch(self, number: int) -> str:
        """The name of the atom that says the change is made."""
        return f"repair:{number}"


@dataclass(eq=False)
class _Node:
    """An event that knows what it is reached through, and which event of the program it was."""

    event: Event
    via: _Node | None
    origin: int


@dataclass(eq=False)
class _Text:
    """A program that is being changed: nodes in program order, and atoms with the node that each reads."""

    program: Program
    nodes: list[_Node] = field(default_factory=list)
    atoms: list[tuple[Atom, _Node | None]] = field(default_factory=list)
    fresh: int = 0

    @classmethod
    def of(cls, program: Program) -> _Text:
        text = cls(program)
        for index, event in enumerate(program.events):
            text.nodes.append(_Node(event, None, index))
        for node in text.nodes:
            if node.event.via is not None:
                node.via = text.nodes[node.event.via]
        text.atoms = [(a, None if a.event is None else text.nodes[a.event]) for a in program.atoms]
        return text

    def built(self) -> Program:
        at = {id(n): i for i, n in enumerate(self.nodes)}
        events = tuple(replace(n.event, via=None if n.via is None else at[id(n.via)]) for n in self.nodes)
        atoms = tuple(replace(a, event=None if n is None else at[id(n)]) for a, n in self.atoms)
        return replace(self.program, events=events, atoms=atoms)

    def came_from(self, origins: Iterable[int]) -> list[_Node]:
        wanted = set(origins)
        return [n for n in self.nodes if n.origin in wanted]

    def insert(
        self,
        event: Event,
        via: _Node | None,
        *,
        before: _Node | None = None,
        after: _Node | None = None,
        origin: int = -1,
    ) -> _Node:
        node = _Node(event, via, origin)
        if before is not None:
            self.nodes.insert(self.nodes.index(before), node)
        elif after is not None:
            self.nodes.insert(self.nodes.index(after) + 1, node)
        else:
            self.nodes.append(node)
        return node

    def name(self, hint: str) -> str:
        self.fresh += 1
        return f"{hint}{self.fresh}"

    def atom(self, atom: Atom, node: _Node | None = None, before: str = "") -> str:
        """Add an atom, at the end or before the one called `before`."""
        index = next((i for i, (a, _) in enumerate(self.atoms) if a.name == before), len(self.atoms))
        self.atoms.insert(index, (atom, node))
        return atom.name

    def nonnull(self, node: _Node) -> str:
        """An atom that says what `node` read is not NULL."""
        return self.atom(Atom(self.name("repair-n"), "nonnull", f"{_path(node.event)} is not NULL"), node)

    def below(self, read: _Node) -> list[_Node]:
        """What is reached through what `read` yielded, in program order."""
        found: list[_Node] = []
        for node in self.nodes:
            if node.via is read or node.via in found:
                found.append(node)
        return found


def _path(event: Event) -> str:
    return f"{event.object}->{event.field}" if event.field else event.object


def conjoin(guard: Guard, literals: Literals) -> Guard:
    """`guard` and all of `literals`; cubes that contradict themselves go."""
    found: list[Cube] = []
    for cube in guard:
        merged = dict(cube)
        if all(merged.setdefault(n, p) == p for n, p in literals):
            found.append(tuple(sorted(merged.items())))
    return tuple(found)


def implies(guard: Guard, other: Guard) -> bool:
    """Whether each cube of `guard` contains one of `other`: then `other` holds wherever `guard` does."""
    return all(any(set(c) <= set(cube) for c in other) for cube in guard)


# -- the changes ---------------------------------------------------------------------------------------


def switched(model: Model, changes: Mapping[int, Change]) -> Model:
    """The model in which each change is made if its switch is on."""
    order: tuple[Kind, ...] = ("delay", "move", "drop", "once", "test", "lock", "bail")
    texts = [_Text.of(p) for p in model.programs]
    added: dict[str, _Text] = {}
    facts = list(model.facts)
    for number, change in sorted(changes.items(), key=lambda c: order.index(c[1].kind)):
        switch = change.switch(number)
        own: dict[int, list[int]] = {}
        for at, event in change.places:
            own.setdefault(at, []).append(event)
        others: dict[int, list[int]] = {}
        for at, event in change.others:
            others.setdefault(at, []).append(event)
        for index, events in own.items():
            text = texts[index]
            if change.kind == "delay":
                _delay(text, switch, events)
            elif change.kind == "move":
                target = _home(model, texts, added, text.program, facts)
                _move(text, target, switch, events, others.get(index, []))
            elif change.kind == "drop":
                for node in text.came_from(events):
                    node.event = replace(node.event, guard=conjoin(node.event.guard, ((switch, False),)))
            elif change.kind == "once":
                _once(text, switch, events, others.get(index, []))
            elif change.kind == "test":
                _test(text, switch, events)
            elif change.kind == "lock":
                _lock(text, switch, events, change.lock)
            else:
                _bail(text, switch, events)
    switches = tuple(Atom(c.switch(n), "stable", c.text, key=c.switch(n)) for n, c in changes.items())
    programs = []
    for text in [*texts, *added.values()]:
        program = text.built()
        used = {n for e in _every(program.events) for cube in e.guard for n, _ in cube}
        used |= {n for a in program.atoms for cube in a.definition for n, _ in cube}
        mine = tuple(a for a in switches if a.name in used)
        programs.append(replace(program, atoms=(*mine, *program.atoms)))
    return replace(model, programs=tuple(programs), facts=tuple(facts))


def _every(events: Iterable[Event]) -> Iterator[Event]:
    for event in events:
        yield event
        yield from _every(event.then)


def _delay(text: _Text, switch: str, events: list[int]) -> None:
    for node in text.came_from(events):
        now, event = conjoin(node.event.guard, ((switch, False),)), node.event
        later = conjoin(event.guard, ((switch, True),))
        if event.kind == "free":
            queued = replace(
                event, kind="defer", value="rcu", field="", guard=later, then=(replace(event, via=None),)
            )
        else:
            queued = replace(event, value="rcu", guard=later)
        text.insert(queued, node.via, after=node, origin=node.origin)
        node.event = replace(event, guard=now)


def _home(
    model: Model, texts: list[_Text], added: dict[str, _Text], program: Program, facts: list[tuple[str, str]]
) -> _Text:
    """The ->free_inode() that goes with `program`; a new one where there is none."""
    for text in texts:
        if text.program.method == "free_inode":
            return text
    if "free_inode" not in added:
        function = "free_inode"
        added["free_inode"] = _Text.of(
            Program("free_inode", function, "", replace(program.source, function=function), ())
        )
        tables = [
            n.partition("@")[2]
            for n, f in model.facts
            if n.startswith(f"{program.method}@") and f == program.function
        ]
        facts += [(f"free_inode@{table}", function) for table in tables]
    return added["free_inode"]


def _move(text: _Text, target: _Text, switch: str, events: list[int], stores: list[int]) -> None:
    for node in text.came_from(stores):
        node.event = replace(node.event, guard=conjoin(node.event.guard, ((switch, False),)))
    for node in text.came_from(events):
        event, chain = node.event, []
        via = node.via
        while via is not None:
            chain.append(via)
            via = via.via
        literals: list[tuple[str, bool]] = [(switch, True)]
        through: _Node | None = None
        # Before all that is there already: it frees the inode itself.
        at = next((i for i, n in enumerate(target.nodes) if n.origin >= 0), len(target.nodes))
        steps = [(n.event.object, n.event.field, n.event.type) for n in reversed(chain)]
        if not steps and (cell := cell_of(event.object)) is not None:
            steps = [(*cell, "")]
        for object_, member, type_ in steps:
            read = Event(
                "read", object_, member, guard=(tuple(sorted(literals)),), source=event.source, type=type_
            )
            made = _Node(read, through, -1)
            target.nodes.insert(at, made)
            at, through = at + 1, made
            literals.append((target.nonnull(made), True))
        reads = {id(n) for n in chain}
        known = {a.name for a, n in text.atoms if n is not None and id(n) in reads}
        if last_put(text.program, text.program.events[node.origin]):
            literals.append(
                (
                    target.atom(
                        Atom(
                            target.name("repair-f"),
                            "free",
                            LAST.replace("the moved code", event.note) if event.note else LAST,
                        )
                    ),
                    True,
                )
            )
        elif any(n not in known for cube in event.guard for n, _ in cube):
            literals.append(
                (target.atom(Atom(target.name("repair-f"), "free", "what it was freed under")), True)
            )
        moved = replace(event, guard=(tuple(sorted(literals)),))
        target.nodes.insert(at, _Node(moved, through, -1))
        node.event = replace(event, guard=conjoin(event.guard, ((switch, False),)))


def _once(text: _Text, switch: str, events: list[int], first: list[int]) -> None:
    source = next(iter(text.came_from(first)), None)
    if source is None:
        return
    for read in text.came_from(events):
        copies: dict[int, _Node] = {id(read): source}
        _either(text, read, source, switch)
        read_guard = read.event.guard
        for node in text.below(read):
            assert node.via is not None
            event = node.event
            copy = text.insert(
                replace(event, guard=conjoin(event.guard, ((switch, True),))),
                copies[id(node.via)],
                after=node,
                origin=node.origin,
            )
            copies[id(node)] = copy
            node.event = replace(event, guard=conjoin(event.guard, ((switch, False),)))
            _either(text, node, copy, switch)
        read.event = replace(read.event, guard=conjoin(read_guard, ((switch, False),)))


def _either(text: _Text, node: _Node, other: _Node, switch: str) -> None:
    """Atoms about what `node` read are about what `other` read if the switch is on."""
    for atom in [a for a, n in text.atoms if n is node and a.kind == "nonnull"]:
        own = text.atom(replace(atom, name=text.name("repair-n")), node, before=atom.name)
        its = text.atom(replace(atom, name=text.name("repair-n")), other, before=atom.name)
        definition = (((own, True), (switch, False)), ((its, True), (switch, True)))
        index = next(i for i, (a, _) in enumerate(text.atoms) if a.name == atom.name)
        text.atoms[index] = (
            Atom(atom.name, "defined", atom.text, definition=tuple(tuple(sorted(c)) for c in definition)),
            None,
        )


def _test(text: _Text, switch: str, events: list[int]) -> None:
    for read in text.came_from(events):
        below = text.below(read)
        tests = {a.name for a, n in text.atoms if n is read}
        if below:
            name = text.nonnull(read)
            for node in below:
                guard = node.event.guard
                tested = (
                    *conjoin(guard, ((switch, False),)),
                    *conjoin(guard, ((name, True), (switch, True))),
                )
                node.event = replace(node.event, guard=tested)
        for node in text.nodes:
            if node.event.object == "NULL":
                guard = tuple(
                    cube
                    for c in node.event.guard
                    for cube in (
                        conjoin((c,), ((switch, False),)) if any((t, False) in c for t in tests) else (c,)
                    )
                )
                node.event = replace(node.event, guard=guard)


def _lock(text: _Text, switch: str, events: list[int], lock: tuple[str, str, str]) -> None:
    nodes = text.came_from(events)
    object_, member, type_ = lock
    taken = Event(
        "lock", object_, member, "exclusive", (((switch, True),),), nodes[0].event.source, type=type_
    )
    text.insert(taken, None, before=nodes[0])
    text.insert(replace(taken, kind="unlock", source=nodes[-1].event.source), None, after=nodes[-1])


def _bail(text: _Text, switch: str, events: list[int]) -> None:
    for node in text.came_from(events):
        left = conjoin(node.event.guard, ((switch, True),))
        if not left:
            continue
        name = text.atom(Atom(text.name("repair-b"), "defined", "it returned -ECHILD", definition=left))
        start = text.nodes.index(node)
        for later in text.nodes[start:]:
            later.event = replace(later.event, guard=conjoin(later.event.guard, ((name, False),)))
        text.insert(
            Event("return", guard=(((name, True),),), source=node.event.source, note="returns -ECHILD"),
            None,
            before=node,
        )


# -- a set of them -------------------------------------------------------------------------------------


def changed(model: Model, changes: Mapping[int, Change], made: Iterable[int]) -> Model:
    """The model in which the changes `made` are made and the others are not: no switch is left in it."""
    chosen = {n: changes[n] for n in made}
    found = switched(model, chosen)
    truths = {c.switch(n): True for n, c in chosen.items()}
    return replace(found, programs=tuple(_decided(p, truths) for p in found.programs))


def _decided(program: Program, truths: Mapping[str, bool]) -> Program:
    """`program` with these atoms decided, and without what can no longer happen."""
    known = dict(truths)
    atoms: list[Atom] = []
    for atom in program.atoms:
        if atom.name in known:
            continue
        if atom.kind == "defined":
            definition = _simplified(atom.definition, known)
            if definition in (TRUE, FALSE):
                known[atom.name] = definition == TRUE
                continue
            atom = replace(atom, definition=definition)
        atoms.append(atom)
    guarded = [
        replace(e, guard=_simplified(e.guard, known), then=_then(e.then, known)) for e in program.events
    ]
    kept: dict[int, int] = {}
    for index, event in enumerate(guarded):
        if event.guard != FALSE and (event.via is None or event.via in kept):
            kept[index] = len(kept)
    events = tuple(
        replace(guarded[i], via=None if (via := guarded[i].via) is None else kept[via]) for i in kept
    )
    found = []
    for atom in atoms:
        if atom.event is not None and atom.event not in kept:
            # What is not read is not read as anything: the atom is false.
            atom = Atom(atom.name, "defined", atom.text, definition=FALSE)
        elif atom.event is not None:
            atom = replace(atom, event=kept[atom.event])
        found.append(atom)
    gaps = tuple(replace(g, guard=_simplified(g.guard, known)) for g in program.gaps)
    return replace(program, events=events, atoms=tuple(found), gaps=gaps)


def _then(events: tuple[Event, ...], known: Mapping[str, bool]) -> tuple[Event, ...]:
    return tuple(replace(e, guard=_simplified(e.guard, known), then=_then(e.then, known)) for e in events)


def _simplified(guard: Guard, known: Mapping[str, bool]) -> Guard:
    found: dict[Cube, None] = {}
    for cube in guard:
        if all(known.get(n, p) == p for n, p in cube):
            rest = tuple((n, p) for n, p in cube if n not in known)
            if not rest:
                return TRUE
            found[rest] = None
    return tuple(found)
