"""Operations tables of a file: initialised structures of function pointers, and what they name.

An initialiser is taken apart at its commas and braces, whatever it is of: one structure, an array of them, at
the top level or inside a function, written out or made by a macro. What stands under one member in several
places (the elements of an array, the branches of an ``#ifdef``) are alternatives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..spec.program import Source
from .mask import closing
from .source import Macro, SourceFile
from .tree import Scope

_ATTRIBUTES = r"(?:__\w+\s*(?:\([^()]*\))?\s*)*"
_MARKS = {"d": b"dentry_operations", "t": b"file_system_type"}
_INITIALISED = {
    mark: re.compile(rb"struct\s+" + word + rb"\s+\w+\s*(?:\[[^\]]*\])?[^;={(]*=")
    for mark, word in _MARKS.items()
}
_ENTRY = re.compile(
    r"\s*(?:\[[^\]]*\]\s*=?\s*)?(?:\.\s*(\w+(?:\s*\.\s*\w+)*)\s*=|(\w+)\s*:(?!:))\s*(.*)$", re.S
)
_CAST = re.compile(
    r"^\(\s*(?:const\s+)?(?:struct\s+)?\w[\w\s]*(?:\*|\(\s*\*\s*\))[^&]*\)\s*&?\s*(\w+)$", re.S
)
_NAME = re.compile(r"(?<![\w.>])([A-Za-z_]\w*)\b(?!\s*\()")
_NO_FUNCTIONS = frozenset({"NULL", "void", "sizeof", "true", "false"})

Macros = Callable[[str], Iterable[Macro]]
"""The ``#define``s of a name."""


@dataclass(frozen=True)
class Table:
    """An initialised operations structure: its slots as (member, function), in source order.

    lines    of the slots, in the same order
    inside   the function that it is a local variable of; empty at the top level
    hidden   whether other files cannot name it (``static``)
    problem  what in its initialiser could not be told, with file and line; empty if nothing
    start    where its declaration starts in the file
    """

    name: str
    ctype: str
    file: SourceFile
    line: int
    slots: tuple[tuple[str, str], ...]
    condition: tuple[str, ...]
    lines: tuple[int, ...] = ()
    inside: str = ""
    hidden: bool = True
    problem: str = ""
    start: int = 0

    def functions(self, member: str) -> tuple[str, ...]:
        """The functions stored in `member` (several in an array of tables)."""
        return tuple(dict.fromkeys(f for m, f in self.slots if m == member))

    def line_of(self, function: str) -> int:
        """Where the table names `function`: its own line if it does not."""
        return next(
            (n for (_, f), n in zip(self.slots, self.lines, strict=False) if f == function), self.line
        )


def marks(raw: bytes | bytearray, size: int | None = None) -> str:
    """What a C file may initialise: ``d`` for a ``struct dentry_operations``, ``t`` for a ``struct
    file_system_type``, both or neither; errs by too many."""
    end = len(raw) if size is None else size
    found = "".join(m for m, word in _MARKS.items() if raw.find(word, 0, end) >= 0)
    return "".join(m for m in found if _INITIALISED[m].search(raw, 0, end))


def places(scope: Scope, table: Table) -> tuple[tuple[str, Source], ...]:
    """Where the functions of `table` are defined, by name; those that are found."""
    found: dict[str, Source] = {}
    for function in dict(sorted((f, m) for m, f in table.slots)):
        for file, definition in scope.find(function, "function", table.file)[:1]:
            found[function] = Source(file.path, file.line(definition.start), function)
    return tuple(found.items())


def no_macros(_: str) -> tuple[Macro, ...]:
    """No ``#define`` of any name."""
    return ()


def tables(
    file: SourceFile, ctype: str, macros: Macros = no_macros, makers: Iterable[str] = ()
) -> tuple[Table, ...]:
    """The tables of structure type `ctype` that `file` initialises. `macros` are those that it can use,
    `makers` the names of those that initialise a structure of the type."""
    found: dict[tuple[str, str], Table] = {}
    for one in (*_written(file, ctype, macros), *_assigned(file, ctype), *_made(file, ctype, macros, makers)):
        key = (one.name, one.inside)
        found[key] = _joined(found[key], one) if key in found else one
    return tuple(sorted(found.values(), key=lambda t: t.line))


def makers(file: SourceFile, ctype: str) -> tuple[str, ...]:
    """The macros that `file` defines to initialise a structure of type `ctype`."""
    found = []
    for match in _declarations(file.code, ctype):
        start = _directive(file.code, match.start())
        name = re.compile(r"\s*#\s*define\s+(\w+)\s*\(").match(file.code, start) if start >= 0 else None
        if name:
            found.append(name.group(1))
    return tuple(found)


def _joined(one: Table, other: Table) -> Table:
    """Two initialisers of one name, in branches of an ``#ifdef``: the slots of both."""
    return Table(
        one.name,
        one.ctype,
        one.file,
        one.line,
        (*one.slots, *other.slots),
        (),
        (*one.lines, *other.lines),
        one.inside,
        one.hidden and other.hidden,
        one.problem or other.problem,
        one.start,
    )


# -- where they stand ----------------------------------------------------------------------------------


def _declarations(code: str, ctype: str, tail: str = "=") -> Iterator[re.Match[str]]:
    """The declarations of variables of structure type `ctype` that `tail` follows; group 1 is the name."""
    pattern = re.compile(rf"{ctype}\s+(\w+)\s*(?:\[[^\]]*\])?[\s\\]*{_ATTRIBUTES}{tail}")
    at = code.find(ctype)
    while at >= 0:
        match = pattern.match(code, at)
        if match and re.search(r"\bstruct\s+$", code[max(0, at - 20) : at]):
            yield match
        at = code.find(ctype, at + len(ctype))


def _written(file: SourceFile, ctype: str, macros: Macros) -> Iterator[Table]:
    """Those that are initialised where they are declared."""
    for match in _declarations(file.code, ctype, r"=\s*(?={)"):
        if _directive(file.code, match.start()) < 0:
            end = _closing_brace(file.code, match.end())
            yield _table(file, ctype, match, match.end(), end, macros)


def _table(
    file: SourceFile, ctype: str, match: re.Match[str], opening: int, end: int, macros: Macros
) -> Table:
    entries = list(
        _slots(
            file.code[opening : end if end > 0 else _abandoned(file.code, opening)], opening, macros, set()
        )
    )
    line = file.line(match.start(1))
    slots = [(m, f, file.line(at)) for m, f, at in entries if m]
    if not re.search(r"\bconst\b", _before(file.code, match.start())):
        slots += _later(file, match.group(1))
    problem = ""
    if end < 0:
        problem = f"{file.path}:{line}: the initialiser of {match.group(1)} does not end"
    else:
        odd = next(((text, at) for m, text, at in entries if not m), None)
        if odd:
            what = " ".join(odd[0].split())[:40]
            problem = f"{file.path}:{file.line(odd[1])}: {what!r} in {match.group(1)} is not understood"
    around, condition = _context(file, match.start())
    return Table(
        match.group(1),
        ctype,
        file,
        line,
        tuple((m, f) for m, f, _ in slots),
        condition,
        tuple(n for _, _, n in slots),
        around,
        bool(around) or _is_static(file.code, match.start()),
        problem,
        match.start(),
    )


def _assigned(file: SourceFile, ctype: str) -> Iterator[Table]:
    """Those that are declared without an initialiser, not ``const``, and filled in by assignments."""
    for match in _declarations(file.code, ctype, ";"):
        around, condition = _context(file, match.start())
        if around or re.search(r"\b(?:const|extern)\b", _before(file.code, match.start())):
            continue
        slots = _later(file, match.group(1))
        if slots:
            yield Table(
                match.group(1),
                ctype,
                file,
                file.line(match.start(1)),
                tuple((m, f) for m, f, _ in slots),
                condition,
                tuple(n for _, _, n in slots),
                "",
                _is_static(file.code, match.start()),
                start=match.start(),
            )


def _later(file: SourceFile, name: str) -> list[tuple[str, str, int]]:
    """What assignments store in members of the variable `name`."""
    pattern = re.compile(rf"(?<![\w.>])(?<!->){name}\s*\.\s*(\w+)\s*=(?!=)\s*([^;]+);")
    return [
        (m.group(1), function, file.line(m.start()))
        for m in pattern.finditer(file.code)
        for function in _functions(m.group(2))
    ]


def _made(file: SourceFile, ctype: str, macros: Macros, makers: Iterable[str]) -> Iterator[Table]:
    """Those that a macro makes: ``DEFINE_OPS(name, ...)`` at the top level."""
    names = "|".join(map(re.escape, makers))
    for call in re.finditer(rf"^(?:static\s+)?({names})[ \t]*\(", file.code, re.M) if names else ():
        end = closing(file.code, call.end() - 1)
        for macro in macros(call.group(1)) if end > 0 else ():
            if macro.params is None or ctype not in macro.body:
                continue
            values = [a.strip() for a in file.plain[call.end() : end - 1].split(",")]
            text = expanded(macro, values)
            line = file.line(call.start())
            for made in _written(SourceFile(file.path, text.encode()), ctype, macros):
                yield Table(
                    made.name,
                    ctype,
                    file,
                    line,
                    made.slots,
                    (),
                    (line,) * len(made.slots),
                    "",
                    made.hidden,
                    made.problem,
                    call.start(),
                )
            break


def expanded(macro: Macro, values: list[str]) -> str:
    """The body of a macro with `values` put in for its parameters."""
    bound = dict(zip(macro.params or (), values, strict=False))
    body = re.sub(r"\b[A-Za-z_]\w*\b", lambda m: bound.get(m.group(), m.group()), macro.body)
    return re.sub(r"\s*##\s*", "", body)


def _directive(code: str, at: int) -> int:
    """Where the preprocessor directive starts that a position is part of, continued lines included; -1 if it
    is part of none."""
    start = code.rfind("\n", 0, at) + 1
    while start > 1 and code[start - 2] == "\\":
        start = code.rfind("\n", 0, start - 1) + 1
    return start if code[start:at].lstrip().startswith("#") else -1


def _before(code: str, at: int) -> str:
    """The words of a declaration before the position."""
    return code[max(code.rfind(c, 0, at) for c in ";}\n") + 1 : at]


def _closing_brace(code: str, opening: int) -> int:
    """Offset just after the brace that closes the one at `opening`; -1 if none does before the next
    definition in column 0."""
    depth = 0
    for match in re.compile(r"[{}]|\n(?=[A-Za-z<>=])").finditer(code, opening):
        token = match.group()
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if depth == 0:
                return match.end()
        elif re.compile(r"(?:static|struct|const|int|void|<{7}|={7}|>{7})").match(code, match.end()):
            return -1
    return -1


def _abandoned(code: str, opening: int) -> int:
    """How far an initialiser that does not end is read: to the first line that is none of its own."""
    stop = re.compile(r"\n(?![ \t]*[.{}#]|[ \t]*$)", re.M).search(code, opening)
    return stop.start() if stop else len(code)


def _context(file: SourceFile, at: int) -> tuple[str, tuple[str, ...]]:
    """The function that a position is in ("" at the top level), and the configuration it stands under."""
    for definitions in file.definitions.values():
        for d in definitions:
            if d.start <= at < d.end:
                return (d.name if d.kind == "function" else ""), d.condition
    return "", ()


def _is_static(code: str, at: int) -> bool:
    """Whether the declaration that the position stands in is ``static``."""
    return re.search(r"\bstatic\b", _before(code, at)) is not None


# -- what they name ------------------------------------------------------------------------------------


def _slots(code: str, offset: int, macros: Macros, under: set[str]) -> Iterator[tuple[str, str, int]]:
    """The (member, function, position) of an initialiser; with no member, what is not understood."""
    for text, at in _entries(code):
        entry = _ENTRY.match(text)
        place = offset + at + (len(text) - len(text.lstrip()))
        if entry:
            member = re.sub(r"\s", "", entry.group(1) or entry.group(2))
            for function in _functions(entry.group(3)):
                yield member, function, place
            continue
        word = text.strip()
        if not word or re.fullmatch(r"\[[^\]]*\]\s*=?", word):
            continue
        yield from _by_macro(word, place, macros, under)


def _by_macro(word: str, place: int, macros: Macros, under: set[str]) -> Iterator[tuple[str, str, int]]:
    """The slots that a macro among the entries stands for."""
    call = re.fullmatch(r"(\w+)\s*(?:\((.*)\))?", word, re.S)
    name = call.group(1) if call else ""
    found = (
        [m for m in macros(name) if name not in under and (m.params is None) == (call.group(2) is None)]
        if call
        else []
    )
    if not found:
        yield "", word, place
    for macro in found:
        values = [a.strip() for a in (call.group(2) or "").split(",")] if call else []
        for member, function, _ in _slots(expanded(macro, values), 0, macros, {*under, name}):
            yield member, function, place


def _entries(code: str) -> Iterator[tuple[str, int]]:
    """The pieces of an initialiser between commas and braces, each with where it starts."""
    start = depth = 0
    for match in re.compile(r"[(),{}]|^[ \t]*#(?:\\\n|[^\n])*", re.M).finditer(code):
        token = match.group()
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif depth <= 0:
            yield code[start : match.start()], start
            start = match.end()
    yield code[start:], start


def _functions(value: str) -> list[str]:
    """The functions that an initialiser's value may be: its name, without casts; both of a conditional."""
    value = value.strip()
    while value.startswith("(") and closing(value, 0) == len(value):
        value = value[1:-1].strip()
    cast = _CAST.match(value)
    if cast:
        value = cast.group(1)
    found = [value.lstrip("&").strip()] if re.fullmatch(r"&?\s*[A-Za-z_]\w*", value) else _NAME.findall(value)
    return [f for f in dict.fromkeys(found) if f not in _NO_FUNCTIONS and not f.startswith("CONFIG_")]
