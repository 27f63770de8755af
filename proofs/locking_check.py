"""What Documentation/filesystems/locking.rst of a tree says of the callbacks against `spec/vfs.toml`.

A disagreement is for maintainers to read (`prove contract --linux DIR`): verdicts rest on the source, not on
its documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..reader.locking_table import Row, Section, document, sections
from ..reader.tree import Tree
from ..spec.vfs import Callback, Vfs
from .verdict import Difference, Kind

_YES = {"yes": "yes", "no": "no", "yes (ref-walk)": "ref-walk"}
_BLOCKS = {"yes": "may block", "no": "may not block", "ref-walk": "may block in ref-walk mode only"}


def check_documentation(tree: Tree, side: Vfs) -> Iterator[Difference]:
    """Where the document of a tree and `side` disagree; nothing if the tree has no such document."""
    file = document(tree)
    if file is None:
        return
    found = sections(file)
    for table in dict.fromkeys(c.of for c in side.callbacks):
        section = found.get(table)
        if section is None:
            says = "has no table that could be read"
            yield _difference(file.path, 0, table, says, "is described")
            continue
        known = {c.method: c for c in side.callbacks if c.of == table}
        for callback in known.values():
            yield from _callback(file.path, section, callback, side)
        for row in section.rows.values():
            if table == "dentry_operations" and row.method not in known:
                yield _difference(file.path, row.line, row.method, "is in the table", "this kernel has none")


def _difference(path: str, line: int, about: str, says: str, states: str) -> Difference:
    return Difference(Kind.DOCUMENTATION, (about,), (), path, line, f"{about} {says}", states)


def _callback(path: str, section: Section, callback: Callback, side: Vfs) -> Iterator[Difference]:
    method = callback.method
    row = section.rows.get(method)
    if row is None:
        yield _difference(path, section.line, method, "is not in the table", "this kernel has it")
    else:
        for says, states in _row(section, row, callback):
            yield _difference(path, row.line, method, says, states)
    if method in section.prototypes:
        types, line = section.prototypes[method]
        if [_tag(t) for t in types] != [side.roles.get(r, "") for r in callback.prototype]:
            says = f"takes ({', '.join(types)})"
            yield _difference(path, line, method, says, f"takes ({', '.join(callback.prototype)})")


def _tag(type_: str) -> str:
    match = re.search(r"\bstruct (\w+)\s*\*", type_)
    return match.group(1) if match else ""


def _row(section: Section, row: Row, callback: Callback) -> Iterator[tuple[str, str]]:
    """Pairs of what a row says and what is stated."""
    for column, lock in (("rename_lock", "rename_lock"), ("->d_lock", "d_lock")):
        told = row.cells.get(column)
        held = "yes" if lock in callback.locks else "no"
        if told is not None and told != held:
            yield f"with {lock} {_held(told)}", f"{lock} {_held(held)}"
    if "rcu-walk" in row.cells:
        told, mode = row.cells["rcu-walk"], "maybe" if callback.lockless else "no"
        if told != mode:
            yield f"in RCU mode: {told}", f"in RCU mode: {mode}"
    blocks = _blocks(section, row)
    if blocks and blocks != callback.blocks:
        yield _BLOCKS[blocks], _BLOCKS[callback.blocks]


def _held(told: str) -> str:
    return {"yes": "held", "no": "not held"}.get(told, told)


def _blocks(section: Section, row: Row) -> str:
    """Whether the method may block, as `Callback.blocks` says it; "" if the table does not tell."""
    if "may block" in row.cells:
        return _YES.get(row.cells["may block"], "")
    if "block" not in section.general.lower():
        return ""
    notes = " ".join(row.cells.values())
    if "rcu-walk" in notes and "not block" in notes:
        return "ref-walk"
    return "no" if "RCU callback" in notes else "yes"
