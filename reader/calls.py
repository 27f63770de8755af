"""Calls in abstract execution: whom a name or a pointer calls, and what then happens."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import FALSE, TRUE
from ..spec.program import Event
from .limits import MAX_CANDIDATES
from .macros import BODY, arguments
from .source import Definition, SourceFile
from .tracepoints import Tracepoints
from .values import NULL, UNKNOWN_TYPE, Const, CType, Fn, Multi, Ptr, Sym

if TYPE_CHECKING:
    from .execute import Executor

_TO_STRUCTURE = re.compile(r"\bstruct\s+(\w+)\s*\*\s*(?:const\s+|__\w+\s+)*\w+\s*$")
_SYMBOLIC = re.compile(r"(LOOKUP_|MAY_|GFP_|__GFP_|CONFIG_)\w+$")
_ERRNO = re.compile(r"E[A-Z0-9]{2,}$")
_HOLDING = frozenset({"hold", "drop"})
_GUARDS = ("guard(", "CLASS(", "ACQUIRE(")


class Calls:
    """What names mean and calls do. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor
        self._tracepoints = Tracepoints(executor)

    # -- names -------------------------------------------------------------------------------------

    def name(self, name: str, node: tree_sitter.Node | None = None) -> Multi:
        """The value of a name that is no local variable."""
        x = self.x
        if name == BODY:
            return x.expander.body()
        if name == "NULL":
            return [(TRUE, NULL)]
        if name in ("true", "false"):
            return [(TRUE, Const(int(name == "true")))]
        if _ERRNO.match(name) or _SYMBOLIC.match(name):
            return [(TRUE, Const(None, name))]
        if name in x.functions and not x.scope.macro(name, x.frame.file):
            return [(TRUE, Fn(name))]
        if name in ("__func__", "__FUNCTION__"):
            return [(TRUE, Ptr("static:text", None, "", "", CType("", 0)))]
        if name == "current":
            return [(TRUE, Ptr("static:current", None, "", "", UNKNOWN_TYPE))]
        value = x.expander.name(name, node)
        if value is not None:
            return value
        if name.isupper() or name[:1].isupper():
            return [(TRUE, Const(None, name))]
        if x.scope.find(name, "function", x.frame.file):
            return [(TRUE, Fn(name))]
        return [(TRUE, Ptr(f"static:{name}", None, "", "", UNKNOWN_TYPE))]

    # -- calls by name -----------------------------------------------------------------------------

    def call(self, node: tree_sitter.Node) -> Multi:
        """Evaluate a call expression."""
        x = self.x
        function = node.child_by_field_name("function")
        arguments = node.child_by_field_name("arguments")
        args = [c for c in arguments.named_children if c.type != "comment"] if arguments is not None else []
        parenthesised = False
        while (
            function is not None and function.type == "parenthesized_expression" and function.named_children
        ):
            function, parenthesised = function.named_children[0], True
        if function is None:
            return [(TRUE, Sym(("call", x.next())))]
        if function.type == "identifier":
            name = x.text(function)
            if parenthesised and args and not self._is_function(name):
                return x.expressions.value(args[0])
            if name not in x.frame.types and name not in x.frame.env:
                return self._named(name, args, node)
        if function.type == "call_expression" and x.text(function).startswith(_GUARDS):
            return x.guards.call(function, args, node)
        return self._through(function, args, node)

    def _is_function(self, name: str) -> bool:
        """Whether `name` in parentheses before an argument is a function, not the type of a cast."""
        x = self.x
        return (
            name in x.frame.types
            or name in x.frame.env
            or name in x.functions
            or bool(x.scope.find(name, "function", x.frame.file))
            or bool(x.scope.macro(name, x.frame.file))
        )

    def _named(self, name: str, args: list[tree_sitter.Node], node: tree_sitter.Node) -> Multi:
        x = self.x
        if name.startswith("trace_"):
            return self._tracepoints.call(name, args, node)
        found = x.scope.find(name, "function", x.frame.file)
        own = bool(found) and x.scope.owns(found[0][0])
        known = x.functions.get(name)
        if known is not None and not own:
            return x.effects.call(known, args, node)
        value = x.expander.builtin(name, args)
        if value is not None:
            return value
        if not own or any(f is x.frame.file for f, _ in x.expander.defined(name)):
            more = bool(found) or known is not None
            value = x.expander.call(
                name, node, (lambda: self._function(name, found, args, node)) if more else None
            )
            if value is not None:
                return value
            alias = self._alias(name, node)
            if alias:
                return self._named(alias, args, node)
        return self._function(name, found, args, node)

    def _alias(self, name: str, node: tree_sitter.Node) -> str:
        """The name that the object-like macro `name` gives another one, if it does nothing else."""
        x = self.x
        if x.scope.find(name, "function", x.frame.file):
            return ""
        choices = x.expander.choices(name, node, function=False)
        return choices[0][1].body if len(choices) == 1 and choices[0][1].body.isidentifier() else ""

    def _function(
        self,
        name: str,
        found: tuple[tuple[SourceFile, Definition], ...],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi:
        """A call of a function by its name; `found`: its definitions."""
        x = self.x
        values = [x.expressions.value(a) for a in args]
        if found and x.following.irrelevant(found, values):
            return self.pointer(name, node)
        return self._run(name, found, values, node)

    def _run(
        self,
        name: str,
        found: tuple[tuple[SourceFile, Definition], ...],
        values: list[Multi],
        node: tree_sitter.Node,
    ) -> Multi:
        """Follow function `name`, or say what it may do if that is not done; and take or drop the lock that
        the table says it takes or drops through a holder."""
        x = self.x
        known = x.functions.get(name)
        held = [e for e in known.effects if e.operation in _HOLDING] if known is not None else []
        if known is not None:
            for effect in (e for e in held if e.operation == "drop"):
                x.effects.locks.holding(known, effect, values, node, TRUE)
        if found and x.following.follows(*found[0]):
            result = x.run(name, x.frame.file, values)
        elif found and x.following.harmless(found, values):
            result = self.pointer(name, node)
        else:
            if any(x.following.hands_over(f, d) for f, d in found):
                x.record.gap(f"{name}() is not followed, and may hand a lock over", x.where(node))
            result = self.opaque(name, values, node, x.following.may_destroy(found) if found else "external")
        if known is not None:
            for effect in (e for e in held if e.operation == "hold"):
                x.effects.locks.holding(known, effect, values, node, x.bdd.negate(x.truth.of(result, name)))
        return result

    # -- calls through a pointer -------------------------------------------------------------------

    def _through(
        self, function: tree_sitter.Node, args: list[tree_sitter.Node], node: tree_sitter.Node
    ) -> Multi:
        """A call through a pointer: the functions that the filesystem stores in that member."""
        x = self.x
        values = [x.expressions.value(a) for a in args]
        target = x.expressions.value(function)
        result: Multi = []
        ends = x.ends
        for g, v in x.alternatives.each(target):
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, g)
            if isinstance(v, Fn):
                result += [(x.bdd.conjoin(g, h), w) for h, w in self.apply(v.name, values, node)]
            elif not (isinstance(v, Const) and v.number == 0):
                named = function.child_by_field_name("field") if function.type == "field_expression" else None
                member = x.text(named) if named is not None else ""
                result += [(x.bdd.conjoin(g, h), w) for h, w in self._candidates(member, values, node)]
            x.record.condition = saved
        x.returned(ends, result)
        return x.alternatives.merge(result)

    def apply(self, name: str, values: list[Multi], node: tree_sitter.Node) -> Multi:
        """Call function `name` with evaluated arguments."""
        x = self.x
        found = x.scope.find(name, "function", x.frame.file)
        known = x.functions.get(name)
        if known is not None and not (found and x.scope.owns(found[0][0])):
            return x.effects.apply(known, values, [], node)
        if found and x.following.irrelevant(found, values):
            return self.pointer(name, node)
        return self._run(name, found, values, node)

    def _candidates(self, member: str, values: list[Multi], node: tree_sitter.Node) -> Multi:
        x = self.x
        candidates = [(f, n) for f, n in x.scope.assigned(member)] if member else []
        candidates = [(f, n) for f, n in candidates if x.scope.find(n, "function", f) or n in x.functions]
        candidates = [c for c in candidates if self._fits(*c, values)] or candidates
        if x.following.relevance is not None and candidates and len(candidates) <= MAX_CANDIDATES:
            some = [
                (f, n)
                for f, n in candidates
                if n in x.functions or not x.following.irrelevant(x.scope.find(n, "function", f), values)
            ]
            if not some:
                return self.pointer(member, node)
            candidates = some
        known = x.functions.get(f"->{member}")
        if known is not None and not candidates:
            return x.effects.apply(known, values, [], node)
        if not candidates or len(candidates) > MAX_CANDIDATES:
            return self.opaque(f"->{member}" if member else x.text(node), values, node)
        result: Multi = []
        rest, ends = TRUE, x.ends
        for position, (file, name) in enumerate(candidates):
            chosen = rest
            if position < len(candidates) - 1:
                chosen = x.bdd.conjoin(
                    rest,
                    x.record.atom("free", ("target", member, name, x.next()), f"->{member} is {name}()"),
                )
            rest = x.bdd.without(rest, chosen)
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, chosen)
            if x.record.condition != FALSE:
                found = x.scope.find(name, "function", file)
                value = (
                    x.run(name, file, values)
                    if found
                    else x.effects.apply(x.functions[name], values, [], node)
                )
                result += [(x.bdd.conjoin(chosen, g), v) for g, v in value]
            x.record.condition = saved
        x.returned(ends, result)
        return x.alternatives.merge(result)

    def _fits(self, file: SourceFile, name: str, values: list[Multi]) -> bool:
        """Whether a function may be called with these arguments: as many, and pointers to the structures that
        it declares. What is not known fits."""
        found = self.x.scope.find(name, "function", file)
        return not found or any(_accepts(f, d, values) for f, d in found)

    # -- calls that are not followed ---------------------------------------------------------------

    def opaque(self, name: str, values: list[Multi], node: tree_sitter.Node, whose: str = "own") -> Multi:
        """A call that is not followed: it may do anything to what it is handed, and it may block. One that is
        not the filesystem's own (`whose` is ``external``) knows nothing of what hangs off that."""
        x = self.x
        x.unfollowed[name] = None
        event = Event("opaque", "", value=whose, source=x.where(node), debug=x.record.debug > 0, note=name)
        x.record.emit(event)
        for value in values:
            for g, v in x.alternatives.each(value):
                if isinstance(v, Ptr) and v.path.startswith("local:"):
                    self._forget(v)
                elif isinstance(v, Ptr) and not v.path.startswith(("static:", "new:")):
                    x.record.emit(replace(event, object=v.path, field=v.field, via=v.via, type=v.otype), g)
        return self.pointer(name, node)

    def _forget(self, place: Ptr) -> None:
        x = self.x
        name = place.path.split(":", 2)[2]
        for frame in x.frames:
            if place.path == f"local:{frame.serial}:{name}":
                frame.env[name] = [(TRUE, Sym(("forgotten", x.next())))]
        for cell in [c for c in x.memory.cells if c[0] == place.path]:
            del x.memory.cells[cell]

    def pointer(self, name: str, node: tree_sitter.Node) -> Multi:
        """A pointer, to anything, that a call of `name` yields."""
        x = self.x
        line = x.where(node).line
        return [(TRUE, Ptr(f"call:{name}@{line}.{x.next()}", None, "", "", UNKNOWN_TYPE))]


def _accepts(file: SourceFile, definition: Definition, values: list[Multi]) -> bool:
    """Whether the parameters that a function declares take `values`, by number and structure type."""
    head = file.code[definition.start : file.code.find("{", definition.start)]
    declared = [p.text for p in arguments(head[head.find("(") :])]
    if "..." in head:
        return True
    if len([p for p in declared if p.strip() not in ("", "void")]) != len(values):
        return False
    for parameter, value in zip(declared, values, strict=False):
        tag = _TO_STRUCTURE.search(parameter)
        given = {v.ctype.tag for _, v in value if isinstance(v, Ptr) and not v.ctype.depth}
        if tag and given and "" not in given and tag.group(1) not in given:
            return False
    return True


__all__ = ["Calls"]
