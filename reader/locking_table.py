"""The tables of Documentation/filesystems/locking.rst (``Locking`` before 5.4), as they stand in a tree.

Both forms are read: the plain one, whose columns are where tabs put them, and the RST one, whose columns are
where the lines of ``=`` put them. Nothing is interpreted here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .source import SourceFile
from .tree import Tree

DOCUMENTS = ("Documentation/filesystems/locking.rst", "Documentation/filesystems/Locking")

_PLAIN_HEADING = re.compile(r"-{3,}\s*(\w+)\s*-{3,}\s*$")
_BORDER = re.compile(r"=+(?:\s+=+)+\s*$")
_UNDERLINE = re.compile(r"=+\s*$")
_ROW = re.compile(r"(\w+)(?::|(?=\s{2})|$)(.*)$")
_PROTOTYPE = re.compile(r"\(\s*\*\s*(\w+)\s*\)\s*\(+([^;]*?)\)\s*;", re.S)
_GAP = re.compile(r"\s{2,}")


@dataclass(frozen=True)
class Row:
    """What a table says of a method: the text of each named column (what stands elsewhere is ``note``)."""

    method: str
    cells: dict[str, str]
    line: int


@dataclass(frozen=True)
class Section:
    """One table. `general` is what stands between "locking rules:" and it; `prototypes` are the types of the
    methods' arguments, with the line."""

    name: str
    general: str
    rows: dict[str, Row]
    prototypes: dict[str, tuple[tuple[str, ...], int]]
    line: int


def document(tree: Tree) -> SourceFile | None:
    """The document of a tree; None if it has none."""
    return next((f for p in DOCUMENTS if (f := tree.file(p)) is not None and not f.problem), None)


def sections(file: SourceFile) -> dict[str, Section]:
    """The sections of the document that have a table, by the name of the structure."""
    lines = [line.expandtabs(8).rstrip() for line in file.text.splitlines()]
    starts = list(_headings(lines))
    found = {}
    for (name, start), (_, end) in zip(starts, [*starts[1:], ("", len(lines))], strict=True):
        section = _section(name, start, lines[start:end])
        if section is not None and name not in found:
            found[name] = section
    return found


def _headings(lines: list[str]) -> Iterator[tuple[str, int]]:
    """(name, index of the line after the heading) of every section."""
    for number, line in enumerate(lines):
        plain = _PLAIN_HEADING.match(line)
        if plain:
            yield plain.group(1), number + 1
        elif re.fullmatch(r"\w+", line) and number + 1 < len(lines) and _UNDERLINE.match(lines[number + 1]):
            yield line, number + 2


def _section(name: str, start: int, lines: list[str]) -> Section | None:
    rules = next((i for i, line in enumerate(lines) if line.startswith("locking rules")), None)
    if rules is None:
        return None
    at = rules + 1
    general: list[str] = []
    while at < len(lines) and (not lines[at] or re.match(r"\s+all may block", lines[at], re.I)):
        general += [lines[at].strip()] if lines[at] else []
        at += 1
    bordered = at < len(lines) and _BORDER.match(lines[at])
    rows = _bordered(lines, at, start) if bordered else _plain(lines, at, start)
    found = {row.method: row for row in rows}
    prototypes = dict(_prototypes(lines[:rules], start))
    return Section(name, " ".join(general), found, prototypes, start) if found else None


def _bordered(lines: list[str], at: int, start: int) -> Iterator[Row]:
    """The rows of an RST table whose first border is line `at`."""
    columns = [m.start() for m in re.finditer("=+", lines[at])]
    borders = [i for i in range(at, len(lines)) if _BORDER.match(lines[i])][:3]
    if len(borders) < 3:
        return
    names = [
        _cut(" ".join(lines[i] for i in range(at + 1, borders[1])), columns, i) for i in range(len(columns))
    ]
    for number in range(borders[1] + 1, borders[2]):
        cells = [_cut(lines[number], columns, i) for i in range(len(columns))]
        row = _ROW.match(lines[number])
        if row and cells[0]:
            named = dict(zip(names[1:], cells[1:], strict=True))
            yield Row(row.group(1), named, start + number + 1)


def _cut(line: str, columns: list[int], index: int) -> str:
    end = columns[index + 1] if index + 1 < len(columns) else len(line)
    return line[columns[index] : end].strip()


def _plain(lines: list[str], at: int, start: int) -> Iterator[Row]:
    """The rows of a plain table whose head is line `at`."""
    if at >= len(lines):
        return
    head = [(m.group(), m.start()) for m in re.finditer(r"\S+(?: \S+)*", lines[at])]
    for number in range(at + 1, len(lines)):
        row = _ROW.match(lines[number])
        if row is None:
            return
        texts = [t for t in _GAP.split(row.group(2).strip()) if t]
        if len(texts) == len(head) > 1:
            cells = {name: text for (name, _), text in zip(head, texts, strict=True)}
        else:
            cells = _placed(row, head)
        yield Row(row.group(1), cells, start + number + 1)


def _placed(row: re.Match[str], head: list[tuple[str, int]]) -> dict[str, str]:
    """The cells of a row that leaves some out: each belongs to the column that it stands under."""
    cells: dict[str, str] = {}
    for match in re.finditer(r"\S+(?: \S+)*", row.group(2)):
        at = row.start(2) + match.start()
        name, start = min(head, key=lambda h: abs(h[1] - at))
        name = name if abs(start - at) < 8 else "note"
        cells[name] = " ".join(filter(None, (cells.get(name), match.group())))
    return cells


def _prototypes(lines: list[str], start: int) -> Iterator[tuple[str, tuple[tuple[str, ...], int]]]:
    text = "\n".join(lines)
    for match in _PROTOTYPE.finditer(text):
        types = tuple(" ".join(a.split()) for a in match.group(2).split(","))
        yield match.group(1), (types, start + text.count("\n", 0, match.start()) + 1)
