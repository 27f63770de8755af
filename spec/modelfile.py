"""Models as files: JSON, one an operations table, under ``spec/models/VERSION/FILESYSTEM.TABLE.json``.

The format is `spec/model.schema.json`. Guards are written once each in a list and referred to by number,
sources likewise; everything else is as in `spec/program.py`. A model file is data from a stranger: every
field is checked, nothing in it is ever executed.
"""

from __future__ import annotations

import json
from typing import Any

from ..errors import ModelError, UsageError
from .contract import clauses
from .program import EVENT_KINDS, FENCES, ORDERS, Atom, Event, Gap, Guard, Model, Program, Source
from .vfs import every_method, version, vfs

FORMAT = 1
_COVERAGE = ("followed", "assumed", "unfollowed")
_EVENT_TEXTS = ("object", "field", "value", "type", "note", "order")
ATOM_KINDS = frozenset({"nonnull", "stable", "free", "defined"})
MOST_TEXT = 64 << 20
"""Characters of a model file; the largest that the reader wrote has a tenth of it."""
MOST_LINE = 1 << 31
MOST_THEN = 8
"""How deep what is deferred may defer something itself."""

VALUES = {
    "lock": ("exclusive", "shared"),
    "unlock": ("exclusive", "shared"),
    "write": ("null", "new", "other", "removed"),
    "fence": FENCES,
}
"""What an event of a kind may have as its value, where that is not free text."""


class _Writer:
    def __init__(self) -> None:
        self.guards: dict[Guard, int] = {}
        self.sources: dict[Source, int] = {}

    def guard(self, guard: Guard) -> int:
        return self.guards.setdefault(guard, len(self.guards))

    def source(self, source: Source) -> int:
        return self.sources.setdefault(source, len(self.sources))

    def event(self, e: Event) -> dict[str, Any]:
        data: dict[str, Any] = {"kind": e.kind}
        for name in _EVENT_TEXTS:
            if getattr(e, name):
                data[name] = getattr(e, name)
        if e.via is not None:
            data["via"] = e.via
        if e.debug:
            data["debug"] = True
        if e.then:
            data["then"] = [self.event(t) for t in e.then]
        data["guard"] = self.guard(e.guard)
        data["at"] = self.source(e.source)
        return data

    def atom(self, a: Atom) -> dict[str, Any]:
        data: dict[str, Any] = {"name": a.name, "kind": a.kind}
        if a.text:
            data["text"] = a.text
        if a.event is not None:
            data["event"] = a.event
        if a.key:
            data["key"] = a.key
        if a.kind == "defined":
            data["definition"] = self.guard(a.definition)
        return data

    def gap(self, gap: Gap) -> dict[str, Any]:
        return {"reason": gap.reason, "guard": self.guard(gap.guard), "at": self.source(gap.source)}

    def program(self, p: Program) -> dict[str, Any]:
        return {
            "method": p.method,
            "function": p.function,
            "mode": p.mode,
            "at": self.source(p.source),
            "statements": p.statements,
            "atoms": [self.atom(a) for a in p.atoms],
            "events": [self.event(e) for e in p.events],
            "gaps": [self.gap(g) for g in p.gaps],
            "assumptions": list(p.assumptions),
            **{name: list(names) for name in _COVERAGE if (names := getattr(p, name))},
        }


def dump(model: Model) -> str:
    """The text of a model file."""
    writer = _Writer()
    data: dict[str, Any] = {
        "format": FORMAT,
        "kernel": model.kernel,
        "reader": model.reader,
        "filesystem": model.filesystem,
        "names": list(model.names),
        "table": model.table,
        "at": writer.source(model.source),
        "slots": [list(s) for s in model.slots],
        **({"places": {f: writer.source(s) for f, s in model.places}} if model.places else {}),
        "files": dict(model.files),
        "facts": dict(model.facts),
        "private_bdi": None if model.private_bdi is None else writer.source(model.private_bdi),
        "programs": [writer.program(p) for p in model.programs],
        "gaps": [writer.gap(g) for g in model.gaps],
    }
    data["guards"] = [
        [" ".join(name if positive else "!" + name for name, positive in cube) for cube in guard]
        for guard in writer.guards
    ]
    data["sources"] = [[s.file, s.line, s.function] for s in writer.sources]
    lines = []
    for name, value in data.items():
        if isinstance(value, list) and value and name in ("guards", "sources", "programs"):
            inner = ",\n".join(_program_text(v) if name == "programs" else json.dumps(v) for v in value)
            lines.append(f'"{name}": [\n{inner}\n]')
        else:
            lines.append(f'"{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _program_text(program: dict[str, Any]) -> str:
    head = {k: v for k, v in program.items() if k not in ("atoms", "events")}
    parts = [json.dumps(head)[:-1]]
    for name in ("atoms", "events"):
        inner = ",\n".join("  " + json.dumps(v) for v in program[name])
        parts.append(f'"{name}": [\n{inner}\n ]' if inner else f'"{name}": []')
    return ", ".join(parts) + "}"


class _Reader:
    def __init__(self, name: str, data: Any) -> None:
        self.name = name
        if not isinstance(data, dict):
            raise ModelError(f"{name}: not a model (no JSON object)")
        if data.get("format") != FORMAT:
            raise ModelError(f"{name}: model format {data.get('format')!r}, this version reads {FORMAT}")
        self.data = data
        self.guards = [self.cubes(g) for g in self.take(data, "guards", list)]
        self.sources = [self.position(s) for s in self.take(data, "sources", list)]

    def fail(self, what: str) -> ModelError:
        return ModelError(f"{self.name}: {what}")

    def take(self, data: Any, key: str, kind: type, default: Any = None) -> Any:
        value = data.get(key, default) if isinstance(data, dict) else None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.fail(f"field {key!r} is missing or no {kind.__name__}")
        return value

    def cubes(self, value: Any) -> Guard:
        try:
            return tuple(
                tuple((w.removeprefix("!"), not w.startswith("!")) for w in cube.split()) for cube in value
            )
        except (TypeError, AttributeError):
            raise self.fail("a guard is no list of texts such as 'n0 !f1'") from None

    def position(self, value: Any) -> Source:
        match value:
            case [str(file), int(line), str(function)] if line is not True and 0 <= line < MOST_LINE:
                return Source(file, line, function)
        raise self.fail("a source is no [file, line, function]")

    def texts(self, data: Any, key: str, default: Any = None) -> tuple[str, ...]:
        values = self.take(data, key, list, default)
        if not all(isinstance(v, str) for v in values):
            raise self.fail(f"field {key!r} is no list of texts")
        return tuple(values)

    def pairs(self, data: Any, key: str) -> tuple[tuple[str, str], ...]:
        values = self.take(data, key, dict, {})
        if not all(isinstance(v, str) for v in values.values()):
            raise self.fail(f"a value in field {key!r} is no text")
        return tuple(sorted(values.items()))

    def indexed(self, values: list[Any], data: Any, key: str) -> Any:
        number = self.take(data, key, int)
        if not 0 <= number < len(values):
            raise self.fail(f"field {key!r} is {number}, there are {len(values)}")
        return values[number]

    def event(self, data: Any, before: list[Any], deep: int = 0) -> Event:
        kind = self.take(data, "kind", str)
        if kind not in EVENT_KINDS:
            raise self.fail(f"no event kind {kind!r}")
        if deep > MOST_THEN:
            raise self.fail(f"more than {MOST_THEN} events deferred by one another")
        via = data.get("via")
        if via is not None:
            named = isinstance(via, int) and via is not True and 0 <= via < len(before)
            if not named or before[via].get("kind") != "read":
                raise self.fail(f"'via' {via!r} names no read before it")
        if data.get("debug", False) not in (True, False):
            raise self.fail("field 'debug' is neither true nor false")
        text = {n: self.take(data, n, str, "") for n in _EVENT_TEXTS}
        then = tuple(self.event(t, [], deep + 1) for t in self.take(data, "then", list, []))
        return Event(
            kind,
            text["object"],
            text["field"],
            text["value"],
            self.indexed(self.guards, data, "guard"),
            self.indexed(self.sources, data, "at"),
            via,
            then,
            data.get("debug") is True,
            text["type"],
            text["note"],
            text["order"],
        )

    def atom(self, data: Any, events: list[Any]) -> Atom:
        kind = self.take(data, "kind", str)
        event = data.get("event")
        if kind not in ATOM_KINDS:
            raise self.fail(f"no atom kind {kind!r}")
        read = (
            isinstance(event, int)
            and event is not True
            and 0 <= event < len(events)
            and isinstance(events[event], dict)
            and events[event].get("kind") == "read"
        )
        if (kind == "nonnull") != read or (kind != "nonnull" and event is not None):
            raise self.fail(f"atom {data.get('name')!r} of kind {kind} has event {event!r}")
        definition = self.indexed(self.guards, data, "definition") if kind == "defined" else ()
        return Atom(
            self.take(data, "name", str),
            kind,
            self.take(data, "text", str, ""),
            event,
            self.take(data, "key", str, ""),
            definition,
        )

    def gap(self, data: Any) -> Gap:
        return Gap(
            self.take(data, "reason", str),
            self.indexed(self.sources, data, "at"),
            self.indexed(self.guards, data, "guard"),
        )

    def known(self, guard: Guard, names: set[str], data: Any) -> None:
        for cube in guard:
            for name, _ in cube:
                if name not in names:
                    raise self.fail(
                        f"a guard speaks of atom {name!r}, which {data.get('method')!r} does not have by then"
                    )

    def checked(self, event: Event, names: set[str], data: Any) -> None:
        """The guards of an event and of what it defers, and the values that its kind allows."""
        self.known(event.guard, names, data)
        if event.kind in VALUES and event.value not in VALUES[event.kind]:
            raise self.fail(f"a {event.kind} event has the value {event.value!r}")
        if event.order not in ORDERS.get(event.kind, ("",)):
            raise self.fail(f"a {event.kind} event has the order {event.order!r}")
        for then in event.then:
            self.checked(then, names, data)

    def program(self, data: Any) -> Program:
        events = self.take(data, "events", list)
        read = tuple(self.event(e, events[:i]) for i, e in enumerate(events))
        atoms = tuple(self.atom(a, events) for a in self.take(data, "atoms", list))
        names: set[str] = set()
        for atom in atoms:
            self.known(atom.definition, names, data)
            if atom.name in names or not atom.name or set(atom.name) & set("! \t\n"):
                raise self.fail(f"atom {atom.name!r} has no name of its own")
            names.add(atom.name)
        for event in read:
            self.checked(event, names, data)
        method, mode = self.take(data, "method", str), self.take(data, "mode", str)
        if method not in every_method():
            raise self.fail(f"no method {method!r}")
        if mode not in ("rcu", "ref", ""):
            raise self.fail(f"no mode {mode!r}: rcu, ref or nothing")
        return Program(
            self.take(data, "method", str),
            self.take(data, "function", str),
            self.take(data, "mode", str),
            self.indexed(self.sources, data, "at"),
            read,
            atoms,
            tuple(self.gap(g) for g in self.take(data, "gaps", list, [])),
            self.texts(data, "assumptions", []),
            self.take(data, "statements", int, 0),
            *(self.texts(data, name, []) for name in _COVERAGE),
        )

    def slot(self, value: Any) -> tuple[str, str]:
        match value:
            case [str(method), str(function)]:
                return method, function
        raise self.fail("a slot is no [method, function]")

    def model(self) -> Model:
        d = self.data
        slots = tuple(self.slot(s) for s in self.take(d, "slots", list))
        model = Model(
            self.take(d, "kernel", str),
            self.take(d, "filesystem", str),
            self.texts(d, "names"),
            self.take(d, "table", str),
            self.indexed(self.sources, d, "at"),
            tuple(self.program(p) for p in self.take(d, "programs", list)),
            slots,
            None if d.get("private_bdi") is None else self.indexed(self.sources, d, "private_bdi"),
            self.pairs(d, "facts"),
            self.pairs(d, "files"),
            self.take(d, "reader", str),
            tuple(self.gap(g) for g in self.take(d, "gaps", list, [])),
            tuple(
                (str(f), self.indexed(self.sources, places, f))
                for places in [self.take(d, "places", dict, {})]
                for f in sorted(places)
            ),
        )
        try:
            version(model.kernel)
        except UsageError as error:
            raise self.fail(f"field 'kernel': {error}") from None
        bound = {m for c in clauses() for m in c.binds}
        for method, function in model.slots:
            if method in bound and vfs(model.kernel).callback(method) and not model.program(method):
                raise self.fail(f"the table has {function}() as {method}, and there is no program of it")
        return model


def load(text: str, name: str) -> Model:
    """The model in `text`; `name` stands in messages. ModelError says which field is wrong."""
    if len(text) > MOST_TEXT:
        raise ModelError(f"{name}: more than {MOST_TEXT >> 20} Mi characters")
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:  # a number of too many digits is no JSONDecodeError
        raise ModelError(f"{name}: not JSON: {error}") from None
    return _Reader(name, data).model()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [n for n, _ in pairs]
        raise ValueError(f"the name {next(n for n in names if names.count(n) > 1)!r} twice in one object")
    return found
