"""Repairs as unified diffs, where the edit is local: kfree() of a structure that the filesystem defines
becomes kfree_rcu(), and the structure gets the ``struct rcu_head`` that this needs; a store goes.

A diff is shown only if the patched source, read anew, proves what the repair says (`repair.py`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import tree_sitter

from ..reader.extract import models
from ..reader.parse import Parsed, parse_function
from ..reader.source import Definition, SourceFile
from ..reader.tree import Tree
from ..reader.units import Unit, unit_at
from ..spec.program import Event, Model, Program, Source
from ..spec.vfs import version
from .changes import Change
from .work import UnitName

CONTEXT = 3
_IGNORES_NULL = (5, 12)
"""From here on kfree_rcu() ignores NULL (12edff045bc6), as kfree() always did."""
_RCU_HEAD = re.compile(r"\bstruct\s+rcu_head\s+(\w+)\s*;")
_FLEXIBLE = re.compile(r"\[\s*0?\s*\]\s*(?:__\w+\s*(?:\([^)]*\))?\s*)*;\s*$")


@dataclass(frozen=True, slots=True)
class _Edit:
    """The characters [start, end) of a file, and what stands there instead."""

    path: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Patched:
    """A unified diff, and the model of the same table that the patched source comes to."""

    diff: str
    model: Model


@dataclass
class Rewriter:
    """Writes diffs for one unit of a tree."""

    tree: Tree
    name: UnitName
    kernel: str
    _read: dict[tuple[tuple[str, str], ...], tuple[Model, ...]] = field(default_factory=dict)

    def __call__(self, model: Model, changes: Sequence[Change]) -> Patched | None:
        """The diff that makes these changes; None where it is no local edit of the filesystem's own files."""
        if self.name.module is not None:
            return None
        unit = unit_at(self.tree.afresh(), self.name.folder, self.name.own)
        edits: list[_Edit] = []
        for change in changes:
            made = _edits(unit, model, change)
            if made is None:
                return None
            edits += [e for e in made if e not in edits]
        files = {f.path: f for f in unit.files}
        texts = {
            p: _applied(files[p].text, [e for e in edits if e.path == p]) for p in {e.path for e in edits}
        }
        diff = "".join(_diff(p, files[p].text, texts[p]) for p in sorted(texts))
        found = next((m for m in self._models(texts) if m.table == model.table), None)
        return Patched(diff, found) if found is not None else None

    def _models(self, texts: dict[str, str]) -> tuple[Model, ...]:
        key = tuple(sorted(texts.items()))
        if key not in self._read:
            tree = self.tree.overlaid(texts)
            self._read[key] = models(tree, unit_at(tree, self.name.folder, self.name.own), self.kernel)
        return self._read[key]


def _applied(text: str, edits: list[_Edit]) -> str:
    for edit in sorted(edits, key=lambda e: e.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _diff(path: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{path}", f"b/{path}", n=CONTEXT)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    """The lines of a text; only a line feed ends one."""
    found = text.split("\n")
    return [f"{line}\n" for line in found[:-1]] + ([found[-1]] if found[-1] else [])


def _edits(unit: Unit, model: Model, change: Change) -> list[_Edit] | None:
    """The edits of one change, or None."""
    file = next((f for f in unit.files if f.path == change.source.file and not f.problem), None)
    if file is None or "\r" in file.raw.decode("utf-8", "replace"):
        return None
    if change.kind == "drop":
        dropped = _dropped(file, change)
        return None if dropped is None else [dropped]
    events = [(model.programs[at], model.programs[at].events[i]) for at, i in change.places]
    kinds = {(e.kind, e.note, e.type) for _, e in events}
    if change.kind != "delay" or len(kinds) != 1:
        return None
    kind, note, tag = kinds.pop()
    if (kind, note) != ("free", "kfree()") or not tag:
        return None
    structure = _structure(unit, file, tag)
    if structure is None:
        return None
    member, added = structure
    freed = _freed(unit, file, change, tag, member, all(_never_null(p, e) for p, e in events), model.kernel)
    return None if freed is None else [freed, *added]


def _dropped(file: SourceFile, change: Change) -> _Edit | None:
    """The edit that takes a store out: an assignment without calls, alone on its line in a block."""
    for definition, piece in _functions(file, change.source):
        found = [
            n
            for n in _nodes(piece, "expression_statement")
            if file.line(piece.offset + n.start_byte) == change.source.line
        ]
        if len(found) != 1 or found[0].parent is None or found[0].parent.type != "compound_statement":
            return None
        (statement,) = found
        start, end = piece.offset + statement.start_byte, piece.offset + statement.end_byte
        line = file.text.rfind("\n", 0, start) + 1
        after = file.text.find("\n", end)
        alone = not file.text[line:start].strip() and after >= 0 and not file.text[end:after].strip()
        plain = statement.named_children[0].type == "assignment_expression" and not any(
            statement.start_byte <= c.start_byte < statement.end_byte
            for c in _nodes(piece, "call_expression")
        )
        whole = definition.start < line and after < definition.end
        return _Edit(file.path, line, after + 1, "") if alone and plain and whole else None
    return None


def _structure(unit: Unit, user: SourceFile, tag: str) -> tuple[str, list[_Edit]] | None:
    """The name of a ``struct rcu_head`` in the structure that nothing else uses, and the edit that puts it
    there if it is not."""
    found = unit.scope.find(tag, "type", user)
    if len(found) != 1:
        return None
    file, definition = found[0]
    if file.path not in unit.paths or definition.broken or definition.condition or file.problem:
        return None
    code = file.code[definition.start : definition.end]
    close = code.rfind("}")
    if close < 0 or _FLEXIBLE.search(code[:close].rstrip()):
        return None
    taken = set(re.findall(r"\w+", code))
    for name in _RCU_HEAD.findall(code):
        if not any(re.search(rf"_rcu\w*\s*\([^;]*\b{name}\b", f.code) for f in unit.files):
            return name, []
    member = next(n for n in ("rcu", "rcu_head", "free_rcu", "dentryproof_rcu") if n not in taken)
    at = definition.start + close
    line = file.text.rfind("\n", 0, at) + 1
    if file.text[line:at].strip():
        return None
    return member, [_Edit(file.path, line, line, f"\tstruct rcu_head {member};\n")]


def _freed(
    unit: Unit, file: SourceFile, change: Change, tag: str, member: str, never_null: bool, kernel: str
) -> _Edit | None:
    """The edit of the statement that frees."""
    for definition, piece in _functions(file, change.source):
        calls = [
            c for c in _calls(piece, "kfree") if file.line(piece.offset + c.start_byte) == change.source.line
        ]
        if len(calls) != 1:
            return None
        return _statement(unit, file, definition, piece, calls[0], tag, member, never_null, kernel)
    return None


def _functions(file: SourceFile, source: Source) -> Iterator[tuple[Definition, Parsed]]:
    """The definition of a function that a line stands in, parsed."""
    for definition in file.definitions.get(source.function, ()):
        first, last = file.line(definition.start), file.line(definition.end)
        if definition.kind == "function" and not definition.broken and first <= source.line <= last:
            text = file.text[definition.start : definition.end]
            yield definition, parse_function(text, definition.name, definition.start)


def _statement(
    unit: Unit,
    file: SourceFile,
    definition: Definition,
    piece: Parsed,
    call: tree_sitter.Node,
    tag: str,
    member: str,
    never_null: bool,
    kernel: str,
) -> _Edit | None:
    statement, arguments = call.parent, call.child_by_field_name("arguments")
    if statement is None or statement.type != "expression_statement" or arguments is None:
        return None
    if len(arguments.named_children) != 1:
        return None
    pointer = piece.original(arguments.named_children[0])
    if not _points_to(unit, file, definition, pointer, tag):
        return None
    start, end = piece.offset + call.start_byte, piece.offset + call.end_byte
    said = f"kfree_rcu({pointer}, {member})"
    if never_null or version(kernel)[:2] >= _IGNORES_NULL:
        return _Edit(file.path, start, end, said)
    before = file.text[file.text.rfind("\n", 0, start) + 1 : start]
    block = statement.parent
    if before.strip() or not pointer.isidentifier() or block is None or block.type != "compound_statement":
        return None
    return _Edit(file.path, start, end, f"if ({pointer})\n{before}\t{said}")


def _calls(piece: Parsed, name: str) -> Iterator[tree_sitter.Node]:
    for node in _nodes(piece, "call_expression"):
        function = node.child_by_field_name("function")
        if function is not None and piece.string(function) == name:
            yield node


def _nodes(piece: Parsed, kind: str) -> Iterator[tree_sitter.Node]:
    todo = [piece.root]
    while todo:
        node = todo.pop()
        if node.type == kind:
            yield node
        todo += node.children


def _points_to(unit: Unit, file: SourceFile, definition: Definition, pointer: str, tag: str) -> bool:
    """Whether the expression is declared to point to the structure: kfree_rcu() needs more than a void *."""
    if pointer.isidentifier():
        text = file.code[definition.start : definition.end]
        return re.search(rf"\bstruct\s+{tag}\b[^;(){{}}]*\*\s*{pointer}\b(?!\s*\()", text) is not None
    call = re.fullmatch(r"(\w+)\s*\([^()]*\)", pointer)
    if call is None:
        return False
    declared = re.compile(rf"\bstruct\s+{tag}\s*\*\s*{call.group(1)}\s*\(")
    return any(declared.search(f.code) for f in unit.files)


def _never_null(program: Program, event: Event) -> bool:
    """Whether the free is made only where the pointer was found not to be NULL; of a function that others
    than the method may call, that is not known."""
    if event.source.function != program.function:
        return False
    tests = {a.name for a in program.atoms if a.kind == "nonnull" and a.event == event.via}
    return event.via is not None and all(any((t, True) in cube for t in tests) for cube in event.guard)
