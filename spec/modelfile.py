"""Models as files: JSON, one an operations table, under ``spec/models/VERSION/FILESYSTEM.TABLE.json``.

The format is `spec/model.schema.json`. Guards are written once each in a list and referred to by number,
sources likewise; everything else is as in `spec/program.py`. A model file is data from a stranger: every
field is checked, nothing in it is ever executed.
"""

from __future__ import annotations

import json
from typing import Any

from ..errors import ModelError
from .contract import clauses
from .program import EVENT_KINDS, Atom, Event, Gap, Guard, Model, Program, Source
from .vfs import every_method, vfs

FORMAT = 1
_COVERAGE = ("followed", "assumed", "unfollowed")
ATOM_KINDS = frozenset({"nonnull", "stable", "free", "defined"})


VALUES = {
    "lock": ("exclusive", "shared"),
    "unlock": ("exclusive", "shared"),
    "write": ("null", "new", "other"),
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
        for name in ("object", "field", "value", "type", "note"):
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
        if not (isinstance(value, list) and len(value) == 3 and isinstance(value[1], int)):
            raise self.fail("a source is no [file, line, function]")
        return Source(str(value[0]), value[1], str(value[2]))

    def indexed(self, values: list[Any], data: Any, key: str) -> Any:
        number = self.take(data, key, int)
        if not 0 <= number < len(values):
            raise self.fail(f"field {key!r} is {number}, there are {len(values)}")
        return values[number]

    def event(self, data: Any, size: int) -> Event:
        kind = self.take(data, "kind", str)
        if kind not in EVENT_KINDS:
            raise self.fail(f"no event kind {kind!r}")
        via = data.get("via")
        if via is not None and not (isinstance(via, int) and 0 <= via < size):
            raise self.fail(f"'via' {via!r} names no event")
        text = {n: self.take(data, n, str, "") for n in ("object", "field", "value", "type", "note")}
        then = tuple(self.event(t, 0) for t in self.take(data, "then", list, []))
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
        )

    def atom(self, data: Any, size: int) -> Atom:
        kind = self.take(data, "kind", str)
        event = data.get("event")
        if kind not in ATOM_KINDS:
            raise self.fail(f"no atom kind {kind!r}")
        if (kind == "nonnull") != (isinstance(event, int) and 0 <= event < size):
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
        allowed = {
            "lock": ("exclusive", "shared"),
            "unlock": ("exclusive", "shared"),
            "write": ("null", "new", "other"),
        }
        if event.kind in allowed and event.value not in allowed[event.kind]:
            raise self.fail(f"a {event.kind} event has the value {event.value!r}")
        for then in event.then:
            self.checked(then, names, data)

    def program(self, data: Any) -> Program:
        events = self.take(data, "events", list)
        atoms = tuple(self.atom(a, len(events)) for a in self.take(data, "atoms", list))
        read = tuple(self.event(e, len(events)) for e in events)
        names: set[str] = set()
        for atom in atoms:
            self.known(atom.definition, names, data)
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
            tuple(str(a) for a in self.take(data, "assumptions", list, [])),
            self.take(data, "statements", int, 0),
            *(tuple(map(str, self.take(data, name, list, []))) for name in _COVERAGE),
        )

    def model(self) -> Model:
        d = self.data
        slots = tuple(
            (str(a), str(b))
            for a, b in (s for s in self.take(d, "slots", list) if isinstance(s, list) and len(s) == 2)
        )
        model = Model(
            self.take(d, "kernel", str),
            self.take(d, "filesystem", str),
            tuple(map(str, self.take(d, "names", list))),
            self.take(d, "table", str),
            self.indexed(self.sources, d, "at"),
            tuple(self.program(p) for p in self.take(d, "programs", list)),
            slots,
            None if d.get("private_bdi") is None else self.indexed(self.sources, d, "private_bdi"),
            tuple(sorted((str(k), str(v)) for k, v in self.take(d, "facts", dict, {}).items())),
            tuple(sorted((str(k), str(v)) for k, v in self.take(d, "files", dict, {}).items())),
            self.take(d, "reader", str),
            tuple(self.gap(g) for g in self.take(d, "gaps", list, [])),
            tuple(
                (str(f), self.indexed(self.sources, places, f))
                for places in [self.take(d, "places", dict, {})]
                for f in sorted(places)
            ),
        )
        bound = {m for c in clauses() for m in c.binds}
        for method, function in model.slots:
            if method in bound and vfs(model.kernel).callback(method) and not model.program(method):
                raise self.fail(f"the table has {function}() as {method}, and there is no program of it")
        return model


def load(text: str, name: str) -> Model:
    """The model in `text`; `name` stands in messages. ModelError says which field is wrong."""
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ModelError(f"{name}: not JSON: {error}") from None
    return _Reader(name, data).model()
