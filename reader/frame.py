"""One activation of a function in abstract execution, and its parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

import tree_sitter

from ..bdd import TRUE
from .guards import Cleanup
from .parse import Parsed
from .source import SourceFile
from .types import declared, type_tag
from .values import CType, Multi


@dataclass
class Frame:
    """One activation of a function."""

    file: SourceFile
    piece: Parsed
    name: str
    env: dict[str, Multi] = field(default_factory=dict)
    types: dict[str, CType] = field(default_factory=dict)
    returned: Multi = field(default_factory=list)
    gotos: dict[str, int] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    continues: list[int] = field(default_factory=list)
    line: int = 0
    serial: int = 0
    under: int = TRUE
    """The caller's condition, within its own activation, at the call."""
    kept: dict[str, Multi] = field(default_factory=dict)
    scopes: list[dict[str, tuple[CType | None, Multi | None]]] = field(default_factory=list)
    cleanups: list[Cleanup] = field(default_factory=list)


def parameters(piece: Parsed, function: tree_sitter.Node) -> list[tuple[str, CType]]:
    """The parameters of a function definition: names and types."""
    declarator = function.child_by_field_name("declarator")
    while declarator is not None and declarator.type != "function_declarator":
        declarator = declarator.child_by_field_name("declarator")
    names = declarator.child_by_field_name("parameters") if declarator is not None else None
    found = []
    for child in names.named_children if names is not None else ():
        if child.type == "parameter_declaration":
            inner = child.child_by_field_name("declarator")
            tag = type_tag(piece, child.child_by_field_name("type"))
            if inner is not None:
                found.append(declared(piece, inner, tag))
    return found


__all__ = ["Frame", "parameters"]
