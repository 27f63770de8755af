"""Members of C structures, looked up where a filesystem's sources would find them."""

from __future__ import annotations

import re

import tree_sitter

from .parse import Parsed, parse
from .source import SourceFile
from .tree import Scope
from .values import UNKNOWN_TYPE, CType

_SCALARS = frozenset({"primitive_type", "sized_type_specifier", "enum_specifier"})
_POINTER_TYPEDEFS: frozenset[str] = frozenset()


class Types:
    """Memoised member types for one filesystem's scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._members: dict[str, dict[str, CType] | None] = {}

    def member(self, tag: str, path: str, user: SourceFile) -> CType:
        """The type of member `path` (``a`` or ``a.b``) of ``struct tag``; unknown where it is not found."""
        current = CType(tag)
        for name in path.split("."):
            if name == "[]":
                current = current._replace(array=False)
                continue
            members = self._struct(current.tag, user) if current.tag else None
            if not members or name not in members:
                return UNKNOWN_TYPE
            current = members[name]
        return current

    def _struct(self, tag: str, user: SourceFile) -> dict[str, CType] | None:
        if tag not in self._members:
            self._members[tag] = None
            found = self.scope.find(tag, "type", user)
            if found:
                members: dict[str, CType] = {}
                for file, definition in found:
                    piece = parse(
                        self._expanded(file, file.text[definition.start : definition.end]) + ";",
                        definition.start,
                    )
                    self._collect(piece, piece.root, members, top=True)
                self._members[tag] = members
        return self._members[tag]

    def _expanded(self, file: SourceFile, text: str) -> str:
        """The structure's text with macros that stand for whole members put in."""

        def body(match: re.Match[str]) -> str:
            macros = self.scope.macro(match.group(1), file)
            return macros[0][1].body + ";" if macros and macros[0][1].params is None else match.group()

        return re.sub(r"^\s*([A-Z][A-Z0-9_]+)\s*;", body, text, flags=re.M)

    def _collect(
        self, piece: Parsed, node: tree_sitter.Node, members: dict[str, CType], top: bool = False
    ) -> None:
        for child in node.children:
            if child.type == "field_declaration":
                self._field(piece, child, members)
            elif child.type in ("struct_specifier", "union_specifier") and not top:
                continue
            else:
                self._collect(piece, child, members)

    def _field(self, piece: Parsed, node: tree_sitter.Node, members: dict[str, CType]) -> None:
        kind = node.child_by_field_name("type")
        declarators = node.children_by_field_name("declarator")
        tag = type_tag(piece, kind)
        if not declarators and kind is not None and kind.type in ("struct_specifier", "union_specifier"):
            body = kind.child_by_field_name("body")
            if body is not None:
                self._collect(piece, body, members)
            return
        inline: dict[str, CType] | None = None
        body = kind.child_by_field_name("body") if kind is not None else None
        if body is not None and not tag:
            inline = {}
            self._collect(piece, body, inline)
        for declarator in declarators:
            name, ctype = declared(piece, declarator, tag)
            if not name:
                continue
            if inline is not None:
                tag_here = f"<{piece.offset + node.start_byte}:{name}>"
                self._members[tag_here] = inline
                ctype = ctype._replace(tag=tag_here)
            members[name] = ctype


def type_tag(piece: Parsed, node: tree_sitter.Node | None) -> str:
    """The structure tag that a type node names, or ""."""
    if node is not None and node.type in ("struct_specifier", "union_specifier"):
        name = node.child_by_field_name("name")
        return piece.string(name) if name is not None else ""
    return ""


def declared(piece: Parsed, node: tree_sitter.Node, tag: str) -> tuple[str, CType]:
    """The name that a declarator declares and its type, given the structure tag of its base type."""
    depth, array = 0, False
    current: tree_sitter.Node | None = node
    while current is not None:
        if current.type in ("identifier", "field_identifier", "type_identifier"):
            return piece.string(current), CType(tag, depth, array)
        if current.type in ("pointer_declarator", "abstract_pointer_declarator"):
            depth += 1
        elif current.type == "array_declarator":
            array = True
        elif current.type == "function_declarator":
            depth, tag = 1, ""
        following = current.child_by_field_name("declarator")
        if following is None:
            following = next(
                (c for c in current.named_children if c.type.endswith(("declarator", "identifier"))), None
            )
        current = following
    return "", CType(tag, depth, array)
