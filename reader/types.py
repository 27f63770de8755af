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
_ARITHMETIC = re.compile(
    r"(?:(?:unsigned|signed|char|short|int|long|bool)\s*)+|s8|s16|s32|s64|u8|u16|u32|u64|__[lb]e(?:16|32|64)"
    r"|__[su](?:8|16|32|64)|wchar_t|unicode_t|u?int\d+_t"
)


class Types:
    """Memoised member types for one filesystem's scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._members: dict[str, dict[str, CType] | None] = {}
        self._words: dict[tuple[str, str], str] = {}

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

    def holds(self, tag: str, user: SourceFile) -> frozenset[str] | None:
        """The structures that ``struct tag`` holds by value, at any depth; None if it is not found."""
        if self._struct(tag, user) is None:
            return None
        found: set[str] = set()
        todo = [tag]
        while todo:
            for ctype in (self._struct(todo.pop(), user) or {}).values():
                if ctype.known and ctype.depth == 0 and ctype.tag and ctype.tag not in found:
                    found.add(ctype.tag)
                    todo.append(ctype.tag)
        return frozenset(t for t in found if not t.startswith("<"))

    def points_to_text(self, tag: str, member: str, user: SourceFile) -> bool:
        """Whether ``struct tag`` declares `member` as a pointer to an arithmetic type."""
        members = self._struct(tag, user) if tag else None
        ctype = members.get(member) if members else None
        return (
            ctype is not None
            and ctype.depth == 1
            and _ARITHMETIC.fullmatch(self._words.get((tag, member), "")) is not None
        )

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
                    self._collect(piece, piece.root, members, tag, top=True)
                self._members[tag] = members
        return self._members[tag]

    def _expanded(self, file: SourceFile, text: str) -> str:
        """The structure's text with macros that stand for whole members put in."""

        def body(match: re.Match[str]) -> str:
            macros = self.scope.macro(match.group(1), file)
            return macros[0][1].body + ";" if macros and macros[0][1].params is None else match.group()

        return re.sub(r"^\s*([A-Z][A-Z0-9_]+)\s*;", body, text, flags=re.M)

    def _collect(
        self, piece: Parsed, node: tree_sitter.Node, members: dict[str, CType], of: str, top: bool = False
    ) -> None:
        for child in node.children:
            if child.type == "field_declaration":
                self._field(piece, child, members, of)
            elif child.type in ("struct_specifier", "union_specifier") and not top:
                continue
            else:
                self._collect(piece, child, members, of)

    def _field(self, piece: Parsed, node: tree_sitter.Node, members: dict[str, CType], of: str) -> None:
        kind = node.child_by_field_name("type")
        declarators = node.children_by_field_name("declarator")
        tag = type_tag(piece, kind)
        if not declarators and kind is not None and kind.type in ("struct_specifier", "union_specifier"):
            body = kind.child_by_field_name("body")
            if body is not None:
                self._collect(piece, body, members, of)
            return
        inline: dict[str, CType] | None = None
        body = kind.child_by_field_name("body") if kind is not None else None
        if body is not None and not tag:
            inline = {}
            self._collect(piece, body, inline, "")
        for declarator in declarators:
            name, ctype = declared(piece, declarator, tag)
            if not name:
                continue
            if inline is not None:
                tag_here = f"<{piece.offset + node.start_byte}:{name}>"
                self._members[tag_here] = inline
                ctype = ctype._replace(tag=tag_here)
            members[name] = ctype
            if of and kind is not None:
                self._words[(of, name)] = " ".join(piece.string(kind).split())


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
