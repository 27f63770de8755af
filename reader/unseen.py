"""Which members of a filesystem's structures lead to a dentry that no lockless walk can have seen.

Such a dentry is freed at once when its last reference goes (`undelayed` in spec/vfs.toml). Where one comes
from the table of kernel functions says (``unseen``). From there it is followed through the text of the
filesystem's own functions: assignments, initialisers, arguments, results, each function's callers told apart,
up to where it is stored in a member; members are one for all objects, and the order of statements counts for
nothing. What is read from a member and stored in another is not followed: in a filesystem that gets such
dentries at all, any other member may lead to one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import tree_sitter

from ..spec.kernel_functions import KernelFunction
from .parse import Parsed
from .pieces import pieces
from .source import Definition, SourceFile
from .tree import Scope

_Label = tuple[str, str, int]
"""What a place may hold: ``("unseen", "", 0)``; ``("value", F, I)``, what function F's argument I is; or
``("unless", F, I)``, an unseen dentry unless that argument is true."""
_UNSEEN: _Label = ("unseen", "", 0)
_Place = tuple[str, str, str]
"""``("member", "", NAME)``; ``("var", FUNCTION, NAME)`` with "" for a variable of a file; ``("out", FUNCTION,
NAME)``, where a parameter points to; ``("result", FUNCTION, "")``."""
_STORES = frozenset({"store", "exchange", "store-through", "exchange-through", "cmpxchg"})
_INSIDE = frozenset({"parenthesized_expression", "cast_expression", "subscript_expression"})


@dataclass
class _Function:
    """One function of the filesystem: its parameters, variables, and what its text stores and calls."""

    key: str
    file: SourceFile
    parameters: list[str]
    variables: set[str]
    stores: list[tuple[tree_sitter.Node, tree_sitter.Node]] = field(default_factory=list)
    named: list[tuple[str, tree_sitter.Node]] = field(default_factory=list)
    results: list[tree_sitter.Node] = field(default_factory=list)
    calls: list[tree_sitter.Node] = field(default_factory=list)


class Unseen:
    """The unseen dentries of the filesystem that `scope` is, by `functions`, the kernel's."""

    def __init__(self, scope: Scope, functions: dict[str, KernelFunction]) -> None:
        self.scope = scope
        self.functions = functions
        self._held: dict[_Place, set[_Label]] = {}
        self._functions: dict[str, list[_Function]] = {}
        self._pieces: dict[str, Parsed] = {}
        self._names: dict[str, str] = {}
        self._given: set[tuple[str, int]] = set()
        self._false: set[tuple[str, int]] = set()
        self._called: set[str] = set()
        self._changed = False

    @cached_property
    def possible(self) -> bool:
        """Whether the filesystem gets such dentries at all."""
        return bool(self._texts(self._sources)) and self._followed[0]

    def led_to_by(self, member: str) -> bool:
        """Whether a pointer in a structure's `member` leads to one."""
        return self.possible and member in self.members

    @cached_property
    def _sources(self) -> set[str]:
        return {n for n, f in self.functions.items() if f.has("unseen")}

    @cached_property
    def members(self) -> frozenset[str]:
        """The members that one is stored in."""
        return self._followed[1]

    @cached_property
    def _followed(self) -> tuple[bool, frozenset[str]]:
        """Whether a source yields an unseen dentry, and the members that one is stored in."""
        names = set(self._sources)
        self._changed = True
        while self._changed:
            self._changed = False
            for file, definition in self._texts(names):
                self._loaded(file, definition)
            for function in [f for several in self._functions.values() for f in several]:
                self._pass(function)
            for (_, key, _), labels in list(self._held.items()):
                if key and any(kind != "value" for kind, _, _ in labels):
                    names.add(self._names[key])
        yielded = (
            label
            for several in self._functions.values()
            for function in several
            for call in function.calls
            if self._called_with(function, call)[0] in self._sources
            for label in self._yielded(function, call)
        )
        return any(map(self._unseen, yielded)), frozenset(
            name
            for (kind, _, name), labels in self._held.items()
            if kind == "member" and any(map(self._unseen, labels))
        )

    def _texts(self, names: set[str]) -> list[tuple[SourceFile, Definition]]:
        """The filesystem's own functions that call one of `names`."""
        if not names:
            return []
        called = re.compile(rf"\b(?:{'|'.join(sorted(names))})\s*\(")
        return [
            (f, d)
            for f in self.scope.own
            if called.search(f.code)
            for ds in f.definitions.values()
            for d in ds
            if d.kind == "function" and called.search(f.code, d.start, d.end)
        ]

    def _loaded(self, file: SourceFile, definition: Definition) -> list[_Function]:
        key = f"{file.path}:{definition.start}"
        if key not in self._functions:
            self._functions[key] = list(self._read(file, definition))
            self._changed = True
        return self._functions[key]

    # -- reading the text --------------------------------------------------------------------------

    def _read(self, file: SourceFile, definition: Definition) -> Iterator[_Function]:
        for number, (_, piece) in enumerate(pieces(file, definition).ways):
            node = next((c for c in piece.root.named_children if c.type == "function_definition"), None)
            if node is None:
                continue
            found = _Function(f"{file.path}:{definition.start}:{number}", file, [], set())
            self._pieces[found.key] = piece
            self._names[found.key] = definition.name
            declarator = node.child_by_field_name("declarator")
            parameters = declarator.child_by_field_name("parameters") if declarator is not None else None
            for inner in parameters.named_children if parameters is not None else ():
                if inner.type == "parameter_declaration":
                    found.parameters.append(self._declared(found, inner.child_by_field_name("declarator")))
            found.variables |= set(found.parameters)
            for inner in _below(node.child_by_field_name("body")):
                self._note(found, inner)
            yield found

    def _note(self, function: _Function, node: tree_sitter.Node) -> None:
        if node.type == "assignment_expression":
            left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
            if left is not None and right is not None:
                function.stores.append((left, right))
        elif node.type == "declaration":
            for inner in node.children_by_field_name("declarator"):
                name = self._declared(function, inner)
                function.variables.add(name)
                value = inner.child_by_field_name("value") if inner.type == "init_declarator" else None
                if value is not None:
                    function.named.append((name, value))
        elif node.type == "initializer_pair":
            names = [c for c in node.children_by_field_name("designator") if c.type == "field_designator"]
            value = node.child_by_field_name("value")
            if names and value is not None:
                function.named.append((self._text(function, names[-1]), value))
        elif node.type == "return_statement" and node.named_children:
            function.results.append(node.named_children[0])
        elif node.type == "call_expression":
            function.calls.append(node)

    def _text(self, function: _Function, node: tree_sitter.Node) -> str:
        return self._pieces[function.key].string(node)

    def _declared(self, function: _Function, node: tree_sitter.Node | None) -> str:
        while node is not None and node.type != "identifier":
            inner = node.child_by_field_name("declarator")
            node = inner if inner is not None else next(iter(node.named_children), None)
        return self._text(function, node) if node is not None else ""

    # -- following ---------------------------------------------------------------------------------

    def _pass(self, function: _Function) -> None:
        for left, right in function.stores:
            self._store(self._places(function, left), self._labels(function, right))
        for name, value in function.named:
            place = ("member", "", name[1:]) if name.startswith(".") else ("var", function.key, name)
            self._store([place], self._labels(function, value))
        for value in function.results:
            self._store([("result", function.key, "")], self._labels(function, value))
        for call in function.calls:
            self._call(function, call)

    def _store(self, places: list[_Place], labels: set[_Label]) -> None:
        for place in places:
            held = self._held.setdefault(place, set())
            if not labels <= held:
                held |= labels
                self._changed = True

    def _call(self, function: _Function, node: tree_sitter.Node) -> None:
        name, args = self._called_with(function, node)
        known = self.functions.get(name)
        for effect in known.effects if known is not None else ():
            if effect.operation in _STORES and len(args) > effect.index(1, 1):
                places = self._places(function, args[effect.index(0)])
                self._store(places, self._labels(function, args[effect.index(1, 1)]))
        handed = any(kind != "value" for a in args for kind, _, _ in self._labels(function, a))
        for callee in list(self._callees(function, node, name, handed)):
            self._called.add(callee.key)
            for number, (parameter, arg) in enumerate(zip(callee.parameters, args, strict=False)):
                at = (callee.key, number)
                if at not in self._given and any(map(self._unseen, self._labels(function, arg))):
                    self._given.add(at)
                    self._changed = True
                truth = self._truth(function, arg)
                if at not in self._false and (
                    truth is False
                    or truth is None
                    or (not isinstance(truth, bool) and self._may_be_false(function.key, truth))
                ):
                    self._false.add(at)
                    self._changed = True
                labels = self._told(function, callee, args, ("out", callee.key, parameter))
                if labels:
                    self._store(self._pointed_to(function, arg), labels)

    def _callees(
        self, function: _Function, node: tree_sitter.Node, name: str, handed: bool = False
    ) -> Iterator[_Function]:
        """The filesystem's functions that a call may run: those read so far; all if it is `handed` an
        unseen dentry."""
        target = node.child_by_field_name("function")
        found = (
            [d for f, n in self.scope.assigned(name) for d in self.scope.find(n, "function", f)]
            if target is not None and target.type == "field_expression"
            else self.scope.find(name, "function", function.file)
        )
        for file, definition in found:
            key = f"{file.path}:{definition.start}"
            if key in self._functions or (handed and self.scope.owns(file)):
                yield from self._loaded(file, definition)

    def _called_with(self, function: _Function, node: tree_sitter.Node) -> tuple[str, list[tree_sitter.Node]]:
        target, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        args = [c for c in arguments.named_children if c.type != "comment"] if arguments is not None else []
        if target is not None and target.type == "field_expression":
            target = target.child_by_field_name("field")
        return (self._text(function, target) if target is not None else ""), args

    def _told(
        self, function: _Function, callee: _Function, args: list[tree_sitter.Node], place: _Place
    ) -> set[_Label]:
        """What `place` of `callee` holds after this call of it, in the caller's words."""
        found: set[_Label] = set()
        for kind, whose, number in self._held.get(place, ()):
            if whose != callee.key or number >= len(args):
                found.add((kind, whose, number))
            elif kind == "value":
                found |= self._labels(function, args[number])
            else:
                found |= self._unless(function, args[number])
        return found

    def _unless(self, function: _Function, node: tree_sitter.Node) -> set[_Label]:
        """An unseen dentry unless `node` is true."""
        truth = self._truth(function, node)
        if truth is True:
            return set()
        return {_UNSEEN if truth is None or truth is False else ("unless", function.key, truth)}

    def _truth(self, function: _Function, node: tree_sitter.Node) -> bool | int | None:
        """Whether an expression is true; the number of the parameter whose truth it has; None: untold."""
        if node.type == "parenthesized_expression" and node.named_children:
            return self._truth(function, node.named_children[0])
        text = self._text(function, node)
        if node.type in ("true", "false", "null") or text in ("true", "false", "NULL"):
            return text == "true"
        if node.type == "number_literal":
            return text != "0"
        if node.type == "conditional_expression":
            chosen = node.child_by_field_name("consequence")
            other = node.child_by_field_name("alternative")
            condition = node.child_by_field_name("condition")
            if chosen is not None and other is not None and condition is not None:
                ways = self._truth(function, chosen), self._truth(function, other)
                if ways == (True, False):
                    return self._truth(function, condition)
                return ways[0] if ways[0] is ways[1] else None
        if node.type == "identifier":
            if text in function.parameters:
                return function.parameters.index(text)
            if text not in function.variables and self.scope.find(text, "function", function.file):
                return True
        return None

    # -- expressions -------------------------------------------------------------------------------

    def _labels(self, function: _Function, node: tree_sitter.Node) -> set[_Label]:
        """What an expression may yield."""
        if node.type == "call_expression":
            return self._yielded(function, node)
        if node.type == "conditional_expression":
            both = [node.child_by_field_name(n) for n in ("consequence", "alternative")]
            if both[0] is None:
                both[0] = node.child_by_field_name("condition")
            return {label for n in both if n is not None for label in self._labels(function, n)}
        if node.type in ("comma_expression", "assignment_expression"):
            right = node.child_by_field_name("right")
            return self._labels(function, right) if right is not None else set()
        if node.type in ("compound_literal_expression", "initializer_list"):
            inner = [c for c in node.named_children if c.type not in ("initializer_pair", "type_descriptor")]
            return {label for n in inner for label in self._labels(function, n)}
        found: set[_Label] = set()
        for place in self._places(function, node, reading=True):
            if place[0] == "member":
                continue
            found |= self._held.get(place, set())
            kind, whose, name = place
            if kind == "var" and whose and name in function.parameters:
                found.add(("value", whose, function.parameters.index(name)))
        return found

    def _yielded(self, function: _Function, node: tree_sitter.Node) -> set[_Label]:
        name, args = self._called_with(function, node)
        callees = list(self._callees(function, node, name))
        found: set[_Label] = set()
        for callee in callees:
            found |= self._told(function, callee, args, ("result", callee.key, ""))
        if callees:
            return found
        known = self.functions.get(name)
        for effect in known.effects if known is not None else ():
            if effect.operation == "value" and effect.index(0) < len(args):
                found |= self._labels(function, args[effect.index(0)])
            elif effect.operation == "unseen":
                number = effect.index(0, -1)
                found |= self._unless(function, args[number]) if 0 <= number < len(args) else {_UNSEEN}
        if known is None and self.scope.macro(name, function.file):
            for arg in args:
                found |= self._labels(function, arg)
        return found

    def _places(self, function: _Function, node: tree_sitter.Node, reading: bool = False) -> list[_Place]:
        """The places that an expression stands for."""
        through = False
        while True:
            inner = next(iter(node.named_children), None)
            if node.type == "cast_expression":
                inner = node.child_by_field_name("value")
            if node.type == "pointer_expression" and inner is not None:
                through |= self._text(function, node).startswith("*")
            elif node.type not in _INSIDE or inner is None:
                break
            node = inner
        if node.type == "field_expression":
            member = node.child_by_field_name("field")
            return [("member", "", self._text(function, member))] if member is not None else []
        if node.type != "identifier":
            return []
        name = self._text(function, node)
        whose = function.key if name in function.variables else ""
        out: _Place = ("out", whose, name)
        if reading:
            return [("var", whose, name), out]
        return [out if through and name in function.parameters else ("var", whose, name)]

    def _pointed_to(self, function: _Function, node: tree_sitter.Node) -> list[_Place]:
        """Where a call stores that writes through this argument."""
        places = self._places(function, node)
        if self._text(function, node).startswith("&"):
            return places
        return [("out", w, n) if k == "var" and n in function.parameters else (k, w, n) for k, w, n in places]

    # -- over all callers --------------------------------------------------------------------------

    def _unseen(self, label: _Label) -> bool:
        kind, whose, number = label
        if kind == "value":
            return (whose, number) in self._given
        return kind == "unseen" or self._may_be_false(whose, number)

    def _may_be_false(self, whose: str, number: int) -> bool:
        return whose not in self._called or (whose, number) in self._false


def _below(node: tree_sitter.Node | None) -> Iterator[tree_sitter.Node]:
    todo = [node] if node is not None else []
    while todo:
        current = todo.pop()
        yield current
        todo.extend(current.named_children)
