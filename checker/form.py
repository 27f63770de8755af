"""Certificates and indexes as files: data from a stranger, of which every field is looked at.

What is not of the right form raises InputError, in one line with the file and the field. Nothing is executed,
and no name found in a file leads anywhere but into the folder that was named.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from ..encodings.scenario import Scenario, ScenarioAtom, Step, Thread, Trace
from ..encodings.weak import MEMORY_MODELS
from ..errors import InputError
from ..spec.program import Guard, Source

SCHEMA = "dentryproof-certificate-2"
INDEX = "index.json"
INDEX_SCHEMA = "dentryproof-certificates-1"
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,180}\.[0-9a-f]{16}\.json")
"""What a certificate may be called: a plain name, without folders."""
MOST_BYTES = 64 << 20
MOST_STEPS = 5_000
MOST_CLAUSES = 2_000_000
_DIGITS = 9

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class NamedClause:
    """A clause as the certificate lists it."""

    name: str
    literals: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NamedLemma:
    """That the edges of a circle are not all true."""

    name: str
    edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Witness:
    """What shows that the proof is not vacuous. `wanted` are predicates that hold somewhere in `trace`,
    `runs` the callbacks that it executes, `text` says it in words."""

    text: str
    wanted: tuple[str, ...]
    runs: tuple[str, ...]
    trace: Trace


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. `variables` are names by number, from 1 on; index 0 is not used."""

    kernel: str
    filesystem: str
    table: str
    clause: str
    callbacks: tuple[str, ...]
    object: str
    formula: str
    sources: tuple[tuple[str, str], ...]
    memory_model: str
    scenario: Scenario
    variables: tuple[tuple[str, ...], ...]
    clauses: tuple[NamedClause, ...]
    lemmas: tuple[NamedLemma, ...]
    proof: tuple[tuple[int, ...], ...]
    witness: Witness
    digest: str
    sealed: bool
    """Whether `digest` is that of the rest of the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One obligation in an index. Without a file, `reason` says why there is no certificate."""

    filesystem: str
    table: str
    clause: str
    verdict: str
    file: str
    sha256: str
    reason: str


@dataclass(frozen=True, slots=True)
class Index:
    """What a folder of certificates holds."""

    kernel: str
    source: str
    entries: tuple[Entry, ...]


def canonical(document: Any) -> bytes:
    """The bytes that digests are of: JSON without blanks, keys sorted, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def digest(document: dict[str, Any]) -> str:
    """The digest of a certificate: SHA-256 of all but its field `digest`."""
    return hashlib.sha256(canonical({k: v for k, v in document.items() if k != "digest"})).hexdigest()


def read(path: Path) -> tuple[Any, bytes]:
    """The document in a file, and its bytes. InputError where it is too large, or no plain JSON."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if len(data) > MOST_BYTES:
        raise InputError(f"{path}: is larger than {MOST_BYTES >> 20} MiB")
    try:
        return json.loads(
            data.decode("utf-8"),
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
            object_pairs_hook=_once,
        ), data
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8") from None
    except ValueError as error:
        raise InputError(f"{path}: is no JSON of the expected form: {error}") from None


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError("a number is too large")
    return int(text)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:20]} is no whole number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


# -- fields


class _Field:
    """A value of a document and the way to it, so that messages can say where it stands."""

    def __init__(self, value: Any, way: str) -> None:
        self.value, self.way = value, way

    def fail(self, wanted: str) -> InputError:
        return InputError(f"{self.way} is not {wanted}")

    def table(self, allowed: str) -> dict[str, _Field]:
        names = allowed.split()
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        for name in self.value:
            if name not in names and f"{name}?" not in names:
                raise InputError(f"{self.way} has an unknown field {name[:40]!r}")
        for name in names:
            if not name.endswith("?") and name not in self.value:
                raise InputError(f"{self.way} has no field {name!r}")
        return {k: _Field(v, f"{self.way}.{k}") for k, v in self.value.items()}

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.fail("a string")
        return self.value

    def truth(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.fail("true or false")
        return self.value

    def number(self, least: int = -(10**_DIGITS)) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < least:
            raise self.fail("a whole number in range")
        return self.value

    def list(self, item: Callable[[_Field], Item], most: int = MOST_CLAUSES) -> tuple[Item, ...]:
        if not isinstance(self.value, list):
            raise self.fail("a list")
        if len(self.value) > most:
            raise InputError(f"{self.way} has more than {most} entries")
        return tuple(item(_Field(v, f"{self.way}[{i}]")) for i, v in enumerate(self.value))

    def pair(self) -> tuple[_Field, _Field]:
        if not isinstance(self.value, list) or len(self.value) != 2:
            raise self.fail("a pair")
        return _Field(self.value[0], f"{self.way}[0]"), _Field(self.value[1], f"{self.way}[1]")


def _texts(field: _Field) -> tuple[str, ...]:
    return field.list(_Field.text)


def _two(field: _Field) -> tuple[str, str]:
    a, b = field.pair()
    return a.text(), b.text()


def _guard(field: _Field) -> Guard:
    def literal(item: _Field) -> tuple[str, bool]:
        name, positive = item.pair()
        return name.text(), positive.truth()

    return field.list(lambda cube: cube.list(literal))


def _step(field: _Field) -> Step:
    t = field.table("id kind object? field? value? guard? via? callback? source? debug? note? labels? order?")
    source = Source()
    if "source" in t:
        s = t["source"].table("file? line? function?")
        source = Source(
            s["file"].text() if "file" in s else "",
            s["line"].number(0) if "line" in s else 0,
            s["function"].text() if "function" in s else "",
        )

    def text(name: str) -> str:
        return t[name].text() if name in t else ""

    return Step(
        t["id"].text(),
        t["kind"].text(),
        text("object"),
        text("field"),
        text("value"),
        _guard(t["guard"]) if "guard" in t else ((),),
        t["via"].text() if "via" in t else None,
        text("callback"),
        source,
        t["debug"].truth() if "debug" in t else False,
        text("note"),
        frozenset(t["labels"].list(_two)) if "labels" in t else frozenset(),
        order=text("order"),
    )


def _thread(field: _Field) -> Thread:
    t = field.table("name cpu steps after?")
    after = t["after"].text() if "after" in t else None
    return Thread(t["name"].text(), t["steps"].list(_step, MOST_STEPS), t["cpu"].number(0), after)


def _atom(field: _Field) -> ScenarioAtom:
    t = field.table("name kind step? key? text? definition?")
    return ScenarioAtom(
        t["name"].text(),
        t["kind"].text(),
        t["step"].text() if "step" in t else None,
        t["key"].text() if "key" in t else "",
        t["text"].text() if "text" in t else "",
        _guard(t["definition"]) if "definition" in t else (),
    )


def _cell(field: _Field) -> tuple[tuple[str, str], str]:
    t = field.table("object field value")
    return (t["object"].text(), t["field"].text()), t["value"].text()


def _scenario(field: _Field) -> Scenario:
    t = field.table("threads atoms initial")
    found = Scenario(t["threads"].list(_thread), t["atoms"].list(_atom), t["initial"].list(_cell))
    if len(found.steps) > MOST_STEPS:
        raise InputError(f"{field.way} has more than {MOST_STEPS} steps")
    return found


def _clause(field: _Field) -> NamedClause:
    t = field.table("name literals")
    return NamedClause(t["name"].text(), t["literals"].list(_Field.number))


def _lemma(field: _Field) -> NamedLemma:
    t = field.table("name edges")
    return NamedLemma(t["name"].text(), t["edges"].list(_two))


def _witness(field: _Field) -> Witness:
    t = field.table("text wanted runs trace")
    r = t["trace"].table("order atoms initial values")

    def choice(item: _Field) -> tuple[str, bool]:
        name, truth = item.pair()
        return name.text(), truth.truth()

    trace = Trace(
        _texts(r["order"]), r["atoms"].list(choice), r["initial"].list(_cell), r["values"].list(_two)
    )
    return Witness(t["text"].text(), _texts(t["wanted"]), _texts(t["runs"]), trace)


def _memory_model(field: _Field) -> str:
    if (name := field.text()) not in MEMORY_MODELS:
        known = ", ".join(MEMORY_MODELS)
        raise InputError(f"{field.way}: {name[:20]!r} is no memory model that is known ({known})")
    return name


def certificate(document: Any, name: str) -> Certificate:
    """The certificate in a document. InputError, with the field, where it is of the wrong form."""
    try:
        return _certificate(document, name)
    except RecursionError:
        raise InputError(f"{name}: is nested too deeply") from None


def _certificate(document: Any, name: str) -> Certificate:
    whole = _Field(document, name)
    t = whole.table(
        "schema tool kernel obligation sources memory_model scenario witness constraints variables clauses "
        "lemmas proof digest"
    )
    if t["schema"].value != SCHEMA:
        raise InputError(f"{name}: is no certificate that this version can read ({SCHEMA})")
    tool = t["tool"].table("name version")
    tool["name"].text(), tool["version"].text()
    o = t["obligation"].table(
        "filesystem table clause statement formula callbacks functions object assumptions bound reason"
    )
    for field in ("statement", "bound", "reason"):
        o[field].text()
    _texts(o["functions"]), _texts(o["assumptions"])
    t["constraints"].list(_two)
    return Certificate(
        t["kernel"].text(),
        o["filesystem"].text(),
        o["table"].text(),
        o["clause"].text(),
        _texts(o["callbacks"]),
        o["object"].text(),
        o["formula"].text(),
        t["sources"].list(_two),
        _memory_model(t["memory_model"]),
        _scenario(t["scenario"]),
        ((), *t["variables"].list(_texts)),
        t["clauses"].list(_clause),
        t["lemmas"].list(_lemma),
        t["proof"].list(lambda step: step.list(_Field.number)),
        _witness(t["witness"]),
        t["digest"].text(),
        t["digest"].text() == digest(document),
    )


def _entry(field: _Field) -> Entry:
    t = field.table("filesystem table clause callbacks object verdict file sha256 reason")
    _texts(t["callbacks"]), t["object"].text()
    found = Entry(*(t[f.name].text() for f in fields(Entry)))
    if found.file and not FILE_NAME.fullmatch(found.file):
        raise InputError(f"{t['file'].way}: {found.file[:80]!r} is no name of a certificate")
    return found


def index(folder: Path) -> Index:
    """The index of a folder of certificates."""
    path = folder / INDEX
    document, _ = read(path)
    try:
        t = _Field(document, str(path)).table("schema tool kernel source obligations")
        if t["schema"].value != INDEX_SCHEMA:
            raise InputError(f"{path}: is no index that this version can read ({INDEX_SCHEMA})")
        return Index(t["kernel"].text(), t["source"].text(), t["obligations"].list(_entry))
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply") from None
