"""Scenarios from the VFS side and callback programs: which threads, which of their events, on which object.

A scenario is about one object, the *target*, which one victim (a dentry, an inode or a superblock) leads
to. Whatever role the victim plays for a method (the directory that d_hash() is handed is some dentry, and
may be the one that dies), it is renamed to the victim's own name before threads are put side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..encodings.scenario import Scenario, ScenarioAtom, Step, Thread
from ..encodings.weak import ACROSS
from ..spec.program import TRUE, Atom, Event, Guard, Program, Source
from ..spec.vfs import Vfs, VfsStep

FOUND = {"dentry": ("dentry", "hashed"), "inode": ("dentry", "d_inode"), "super": ("sb", "reachable")}
"""What a walker reads to find a victim of each kind: it is set to NULL before the victim is torn down."""

ROOT = {"dentry": "dentry", "inode": "inode", "super": "sb"}
"""The name of the victim of each kind."""

PARENT_ROLE = {"parent": "dentry", "dir": "inode", "dentry": "child", "inode": "child-inode"}
"""Roles renamed where the victim is the directory that a method is handed."""

SELF_ROLE: dict[str, str] = {}

Label = tuple[str, str]
Labeller = Callable[[Event, str], Iterable[Label]]
"""From an event (its object renamed) and the method it belongs to, to the labels of its step."""


def root(path: str) -> str:
    """The VFS root of an access path."""
    return path.split("->", 1)[0].split(".", 1)[0]


def renamed(path: str, roles: Mapping[str, str]) -> str:
    """`path` with its root renamed."""
    first = root(path)
    return roles.get(first, first) + path[len(first) :]


@dataclass(frozen=True)
class Part:
    """A callback program spliced into a sequence: the program, the renaming of its roles, and which of its
    events matter (indices); those that they depend on are added."""

    program: Program
    roles: Mapping[str, str]
    wanted: Callable[[Event], bool]
    labels: Labeller
    method: str = ""


@dataclass
class _Threads:
    """What is being put together."""

    threads: list[Thread] = field(default_factory=list)
    atoms: dict[str, ScenarioAtom] = field(default_factory=dict)
    live_cells: frozenset[tuple[str, str]] = frozenset()


class Builder:
    """Builds one scenario for one kernel. `live` are the cells whose reads matter: those that some thread
    of the scenario overwrites, and those through which the target is reached."""

    def __init__(self, vfs: Vfs, live: Iterable[tuple[str, str]] = ()) -> None:
        self.vfs = vfs
        self.live = frozenset(live)
        self.threads: list[Thread] = []
        self.atoms: dict[str, ScenarioAtom] = {}

    def scenario(self, initial: Iterable[tuple[tuple[str, str], str]] = ()) -> Scenario:
        """The scenario, without locks that only one thread takes (they exclude nobody) and fences that
        nothing stands before, or after, that they order."""
        threads = [_fences_between(t) for t in _shared_locks_only(_named_apart(self.threads))]
        used = {name for t in threads for s in t.steps for cube in s.guard for name, _ in cube}
        for atom in reversed(self.atoms.values()):
            if atom.name in used:
                used |= {name for cube in atom.definition for name, _ in cube}
        present = {s.id for t in threads for s in t.steps}
        atoms = [
            a if a.step is None or a.step in present else replace(a, kind="free", step=None)
            for n, a in self.atoms.items()
            if n in used
        ]
        return Scenario(tuple(threads), tuple(atoms), tuple(initial))

    # -- threads -----------------------------------------------------------------------------------

    def run(
        self,
        sequence: str,
        cpu: int,
        parts: Mapping[str, list[Part]],
        *,
        name: str = "",
        victim: str = "",
        features: frozenset[str] = frozenset(),
        labels: Callable[[VfsStep], Iterable[Label]] = lambda _: (),
        found: bool = True,
        keep: Callable[[VfsStep], bool] = lambda _: True,
    ) -> None:
        """Add the thread of a VFS sequence, with callback programs in place of its calls.

        parts     programs by method ("*" for any call of a walk)
        features  the conditional steps that happen
        found     whether the callbacks are only called if what the thread reads first is not NULL
        keep      which of the sequence's own steps matter
        """
        title = name or self.vfs.sequence(sequence).title
        steps: list[Step] = []
        extra: list[Thread] = []
        self._sequence(sequence, steps, extra, cpu, parts, title, victim, features, labels, found, keep)
        self.threads.append(Thread(title, tuple(steps), cpu))
        self.threads.extend(extra)

    def _sequence(
        self,
        sequence: str,
        steps: list[Step],
        extra: list[Thread],
        cpu: int,
        parts: Mapping[str, list[Part]],
        title: str,
        victim: str,
        features: frozenset[str],
        labels: Callable[[VfsStep], Iterable[Label]],
        found: bool,
        keep: Callable[[VfsStep], bool],
    ) -> None:
        for step in self.vfs.sequence(sequence).steps:
            if step.feature and step.feature not in features:
                continue
            if step.verb == "call":
                for part in parts.get(step.object, []):
                    self._splice(part, steps, extra, cpu, parts, title, victim, features, labels, found, keep)
                continue
            if not keep(step):
                continue
            finder = next(
                (s for s in steps if s.kind == "read" and (s.object, s.field) == FOUND.get(victim)), None
            )
            through = finder.id if finder is not None and step.object == ROOT.get(victim) else None
            for built in self._own(step, f"{cpu}.{len(steps)}", labels(step), through):
                steps.append(built)
                if step.verb == "defer":
                    extra.append(self._delayed_own(step, built, cpu, len(extra), parts, labels))

    def _own(self, step: VfsStep, ident: str, labels: Iterable[Label], via: str | None) -> Iterator[Step]:
        source = Source("", 0, step.function)
        kind = {"get": "lock", "put": "unlock", "defer": "defer"}.get(step.verb, step.verb)
        if step.verb == "gp":
            yield Step(f"{ident}s", "gp-start", source=source, note="a grace period starts: " + step.note)
            yield Step(f"{ident}e", "gp-end", source=source, note="the grace period ends")
            return
        member = "refcount" if step.verb in ("get", "put") else step.field
        value = step.value
        if step.verb == "get":
            value = "shared"
        elif step.verb == "lock" and not value:
            value = "exclusive"
        yield Step(
            f"{ident}",
            kind,
            step.object,
            member,
            value,
            via=via if kind == "read" else None,
            source=source,
            note=step.note,
            labels=frozenset(labels),
        )

    def _delayed_own(
        self,
        step: VfsStep,
        cause: Step,
        cpu: int,
        number: int,
        parts: Mapping[str, list[Part]],
        labels: Callable[[VfsStep], Iterable[Label]],
    ) -> Thread:
        ident = f"{cpu}d{number}"
        freed = VfsStep("free", step.object, function=step.function, note=f"frees the {step.object} itself")
        steps = [
            Step(f"{ident}.s", "gp-start", note="a grace period starts"),
            Step(f"{ident}.e", "gp-end", note="the grace period ends"),
        ]
        for part in parts.get(f"free_{step.object}", []):
            self._splice(
                part, steps, [], cpu, parts, "", "", frozenset(), labels, False, lambda _: True, ident
            )
        steps.append(
            Step(
                f"{ident}.f",
                "free",
                step.object,
                source=Source("", 0, freed.function),
                note=freed.note,
                labels=frozenset(labels(freed)),
            )
        )
        return Thread(f"after the grace period ({step.object})", tuple(steps), cpu, cause.id)

    # -- programs ----------------------------------------------------------------------------------

    def _splice(
        self,
        part: Part,
        steps: list[Step],
        extra: list[Thread],
        cpu: int,
        parts: Mapping[str, list[Part]],
        title: str,
        victim: str,
        features: frozenset[str],
        labels: Callable[[VfsStep], Iterable[Label]],
        found: bool,
        keep: Callable[[VfsStep], bool],
        ident: str = "",
    ) -> None:
        program = part.program
        prefix = f"{ident or cpu}.{len(steps)}"
        finder = (
            next((s for s in steps if s.kind == "read" and (s.object, s.field) == FOUND.get(victim)), None)
            if found
            else None
        )
        base: Guard = TRUE
        if finder is not None:
            name = f"{finder.id}?"
            self.atoms[name] = ScenarioAtom(name, "nonnull", finder.id, text="the walk finds it")
            base = (((name, True),),)
        kept = _dependencies(
            program,
            {
                i
                for i, e in enumerate(program.events)
                if part.wanted(_with_roles(e, part.roles)) or e.kind in ("call", "fence")
            },
            self.live,
            part.roles,
        )
        names: dict[str, str] = {}
        for atom in program.atoms:
            names[atom.name] = self._atom(atom, prefix, program, kept, part.roles, names)
        steps.append(
            Step(
                f"{prefix}:entry",
                "call",
                source=program.source,
                callback=part.method,
                guard=base,
                note=f"calls ->{program.method}()",
                labels=frozenset(part.labels(Event("entry"), part.method)),
            )
        )
        for index in sorted(kept):
            event = _with_roles(program.events[index], part.roles)
            step_id = f"{prefix}:{index}"
            guard = _conjoin(base, _renamed_guard(event.guard, names))
            if event.kind == "call" and event.object == "sb":
                self._sequence(
                    "generic-shutdown", steps, extra, cpu, parts, title, victim, features, labels, False, keep
                )
                continue
            if event.kind in ("block", "opaque", "return", "call"):
                step = Step(
                    step_id,
                    "call",
                    event.object,
                    event.field,
                    "",
                    guard,
                    None,
                    part.method,
                    event.source,
                    event.debug,
                    event.note,
                    frozenset(part.labels(event, part.method)),
                )
                steps.append(step)
                continue
            if event.kind == "wait":
                steps.append(
                    Step(
                        f"{step_id}s",
                        "gp-start",
                        "",
                        event.field,
                        "",
                        guard,
                        None,
                        part.method,
                        event.source,
                        note="waits for a grace period",
                    )
                )
                steps.append(
                    Step(
                        f"{step_id}e",
                        "gp-end",
                        "",
                        event.field,
                        "",
                        guard,
                        None,
                        part.method,
                        event.source,
                        note="the grace period ends",
                    )
                )
                continue
            via = (
                f"{prefix}:{event.via}"
                if event.via is not None
                and event.via in kept
                and self._followed(program, event.via, part.roles)
                else None
            )
            if via is None and finder is not None and event.object == ROOT.get(victim):
                via = finder.id
            value = event.value
            if event.kind == "write" and value == "removed":
                value, via = "other", None
            told = frozenset(part.labels(event, part.method))
            kind = {"get": "call", "put": "call", "alloc": "call"}.get(event.kind, event.kind)
            if told and kind in ("enter", "leave"):
                kind = "call"
            step = Step(
                step_id,
                kind,
                event.object,
                event.field,
                value,
                guard,
                via,
                part.method,
                event.source,
                event.debug,
                event.note,
                frozenset(part.labels(event, part.method)),
                order=event.order if kind == event.kind else "",
            )
            steps.append(step)
            if event.kind == "defer":
                extra.append(self._delayed(part, event, step, names, base, cpu, len(extra), extra))

    def _followed(self, program: Program, index: int, roles: Mapping[str, str]) -> bool:
        read = _with_roles(program.events[index], roles)
        return (read.object, read.field) in self.live

    def _delayed(
        self,
        part: Part,
        event: Event,
        cause: Step,
        names: Mapping[str, str],
        base: Guard,
        cpu: int,
        number: int,
        extra: list[Thread],
    ) -> Thread:
        """The thread that runs what was deferred: after a grace period, or just later (a work item)."""
        ident = f"{cause.id}d{number}"
        steps: list[Step] = []
        how, _, domain = event.value.partition(":")
        if how in ("rcu", "srcu"):
            member = f"srcu:{domain}" if how == "srcu" else ""
            steps.append(Step(f"{ident}.s", "gp-start", "", member, note="a grace period starts"))
            steps.append(Step(f"{ident}.e", "gp-end", "", member, note="the grace period ends"))
        title = {"rcu": "RCU callback", "srcu": "SRCU callback", "work": "work item"}.get(how, how)
        later: list[Thread] = []
        for index, then in enumerate(event.then):
            then = _with_roles(then, part.roles)
            kind = {
                "get": "call",
                "put": "call",
                "alloc": "call",
                "opaque": "call",
                "block": "call",
                "return": "call",
                "wait": "call",
            }.get(then.kind, then.kind)
            if kind in ("lock", "unlock", "enter", "leave", "read", "fence") or (
                kind == "call" and not list(part.labels(then, part.method))
            ):
                continue
            step = Step(
                f"{ident}.{index}",
                kind,
                then.object,
                then.field,
                then.value,
                _conjoin(base, _renamed_guard(then.guard, names)),
                None,
                part.method,
                then.source,
                then.debug,
                then.note,
                frozenset(part.labels(then, part.method)),
                order=then.order if kind == then.kind else "",
            )
            steps.append(step)
            if then.kind == "defer":
                later.append(self._delayed(part, then, step, names, base, cpu, index, later))
        extra.extend(later)
        return Thread(f"{title} queued by {cause.source.function}()", tuple(steps), cpu, cause.id)

    def _atom(
        self,
        atom: Atom,
        prefix: str,
        program: Program,
        kept: set[int],
        roles: Mapping[str, str],
        names: Mapping[str, str],
    ) -> str:
        if atom.kind == "stable":
            name = f"stable:{atom.key}"
            self.atoms[name] = ScenarioAtom(name, "stable", None, atom.key, atom.text)
            return name
        name = f"{prefix}:{atom.name}"
        if atom.kind == "defined":
            self.atoms[name] = ScenarioAtom(
                name, "defined", text=atom.text, definition=_renamed_guard(atom.definition, names)
            )
        elif atom.kind == "nonnull" and atom.event in kept and self._followed(program, atom.event, roles):
            self.atoms[name] = ScenarioAtom(name, "nonnull", f"{prefix}:{atom.event}", text=atom.text)
        else:
            self.atoms[name] = ScenarioAtom(name, "free", text=atom.text)
        return name


def _dependencies(
    program: Program, wanted: set[int], live: frozenset[tuple[str, str]], roles: Mapping[str, str]
) -> set[int]:
    """`wanted` with every event that one of them is reached through, or whose outcome its guard tests."""
    atoms: dict[str, frozenset[int]] = {}
    for atom in program.atoms:
        inner = [atoms[n] for cube in atom.definition for n, _ in cube if n in atoms]
        own = frozenset() if atom.event is None else frozenset({atom.event})
        atoms[atom.name] = own.union(*inner)
    kept: set[int] = set()
    todo = list(wanted)
    while todo:
        index = todo.pop()
        if index in kept:
            continue
        kept.add(index)
        event = program.events[index]
        needs = sorted({i for cube in event.guard for name, _ in cube for i in atoms.get(name, ())})
        if event.via is not None:
            needs.append(event.via)
        for need in needs:
            read = _with_roles(program.events[need], roles)
            if (read.object, read.field) in live:
                todo.append(need)
    return kept


def _with_roles(event: Event, roles: Mapping[str, str]) -> Event:
    return replace(event, object=renamed(event.object, roles)) if roles and event.object else event


def _renamed_guard(guard: Guard, names: Mapping[str, str]) -> Guard:
    return tuple(tuple((names.get(n, n), p) for n, p in cube) for cube in guard)


def _conjoin(a: Guard, b: Guard) -> Guard:
    if a == TRUE:
        return b
    return tuple((*x, *y) for x in a for y in b)


def _named_apart(threads: list[Thread]) -> list[Thread]:
    seen: dict[str, int] = {}
    apart = []
    for thread in threads:
        seen[thread.name] = seen.get(thread.name, 0) + 1
        number = seen[thread.name]
        apart.append(replace(thread, name=f"{thread.name} #{number}") if number > 1 else thread)
    return apart


def _fences_between(thread: Thread) -> Thread:
    """`thread` without fences that have nothing on one side that they order; of several with nothing between,
    executed under one guard, one is left."""
    kept: list[Step] = []
    for i, step in enumerate(thread.steps):
        if step.kind != "fence":
            kept.append(step)
            continue
        before = [s for s in kept if _ordered(step, s) or (s.kind, s.value) == ("fence", step.value)]
        again = bool(before) and before[-1].kind == "fence" and before[-1].guard == step.guard
        if before and not again and any(_ordered(step, s) for s in thread.steps[i:]):
            kept.append(step)
    return replace(thread, steps=tuple(kept))


def _ordered(fence: Step, step: Step) -> bool:
    return step.kind in ACROSS[fence.value] and (step.kind != "call" or bool(step.labels))


def _shared_locks_only(threads: list[Thread]) -> list[Thread]:
    takers: dict[tuple[str, str], set[str]] = {}
    for thread in threads:
        for step in thread.steps:
            if step.kind in ("lock", "unlock"):
                takers.setdefault((step.object, step.field), set()).add(thread.name)
    single = {lock for lock, who in takers.items() if len(who) < 2}
    return [
        replace(
            t,
            steps=tuple(
                s
                for s in t.steps
                if s.labels or s.kind not in ("lock", "unlock") or (s.object, s.field) not in single
            ),
        )
        for t in threads
    ]
