"""Calls, macros and names in abstract execution (`reader/execute.py` has statements and operators)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import FALSE, TRUE
from ..spec.kernel_functions import Effect, KernelFunction
from ..spec.program import Event
from .expander import Expander
from .guards import Guards
from .macros import BODY, arguments
from .parse import closing, parse_statements
from .recorder import LAST_REFERENCE
from .source import Definition, SourceFile
from .values import (
    NATURAL,
    NULL,
    UNKNOWN_TYPE,
    Bool,
    Const,
    CType,
    Fn,
    Multi,
    Ptr,
    Sym,
    Value,
    join,
    key,
    untagged,
)

if TYPE_CHECKING:
    from .execute import Executor

MAX_CANDIDATES = 16
_TO_STRUCTURE = re.compile(r"\bstruct\s+(\w+)\s*\*\s*(?:const\s+|__\w+\s+)*\w+\s*$")

_SYMBOLIC = re.compile(r"(LOOKUP_|MAY_|GFP_|__GFP_|CONFIG_)\w+$")
_ERRNO = re.compile(r"E[A-Z0-9]{2,}$")
_SPECIFIER = re.compile(
    r"%[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|t|j|L)?([a-zA-Z%])([A-Za-z0-9]*)"
)
_SLEEPING = re.compile(r"GFP_(KERNEL|NOFS|NOIO|USER|HIGHUSER|TEMPORARY)|__GFP_DIRECT_RECLAIM|__GFP_RECLAIM")
_HOLDING = frozenset({"hold", "drop"})
_GUARDS = ("guard(", "CLASS(", "ACQUIRE(")
_SCOPES = {"scoped_guard": 1, "scoped_class": 2}
"""How many arguments come before those of the guard or class: its name, and that of the variable."""
_SCOPE_BEGINS = re.compile(r"\s*((?:scoped|with)_\w+)\s*(\(.*\))\s*$", re.S)
SCOPE_MACROS = 3
"""How many macros that stand for one another are looked through, for scoped_guard() or scoped_class()."""
_TRACE = re.compile(r"\b(TRACE_EVENT|TRACE_EVENT_CONDITION|DEFINE_\w+)\s*\(\s*(?:(\w+)\s*,\s*)?$")
_TRACE_HEAD = 400
"""How many characters before its name the definition of a tracepoint begins, at most."""
_ATOMIC = re.compile(r"GFP_(ATOMIC|NOWAIT)")


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


class Calls:
    """What calls do. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor
        self.serial = 0
        self.expander = Expander(executor)
        self.guards = Guards(executor)
        self._traces: dict[tuple[str, str], tuple[SourceFile, str, int, int] | None] = {}

    # -- the VFS's own pointers --------------------------------------------------------------------

    def well_known(self, place: Ptr) -> Ptr | None:
        """The VFS root that a load from `place` yields, if it is one of those that have a name."""
        last = place.field.rsplit(".", 1)[-1]
        if last in ("d_sb", "i_sb"):
            return Ptr("sb", None, "", "super_block", CType("super_block"))
        if place.path == "path" and last == "dentry":
            return Ptr("dentry", None, "", "dentry", CType("dentry"))
        if last == "d_parent" and place.path in ("dentry", "parent"):
            return Ptr("parent", None, "", "dentry", CType("dentry"))
        if last == "d_inode" and place.path in ("dentry", "parent"):
            return Ptr("inode" if place.path == "dentry" else "dir", None, "", "inode", CType("inode"))
        if place.ctype.known and place.ctype.depth == 1 and place.ctype.tag == "super_block":
            return Ptr("sb", None, "", "super_block", CType("super_block"))
        return None

    def embedded(self, place: Ptr) -> Ptr:
        """`place`, seen as the inode itself where it is the inode that a filesystem's structure embeds."""
        if (
            place.path in ("inode", "dir")
            and place.ctype.known
            and place.ctype.depth == 0
            and place.ctype.tag == "inode"
        ):
            return Ptr(place.path, place.via, "", place.otype, CType("inode"))
        return place

    # -- names -------------------------------------------------------------------------------------

    def name(self, name: str, node: tree_sitter.Node | None = None) -> Multi:
        """The value of a name that is no local variable."""
        x = self.x
        if name == BODY:
            return self.expander.body()
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
        value = self.expander.name(name, node)
        if value is not None:
            return value
        if name.isupper() or name[:1].isupper():
            return [(TRUE, Const(None, name))]
        if x.scope.find(name, "function", x.frame.file):
            return [(TRUE, Fn(name))]
        return [(TRUE, Ptr(f"static:{name}", None, "", "", UNKNOWN_TYPE))]

    # -- calls -------------------------------------------------------------------------------------

    def call(self, node: tree_sitter.Node) -> Multi:
        """Evaluate a call expression."""
        function = node.child_by_field_name("function")
        arguments = node.child_by_field_name("arguments")
        args = [c for c in arguments.named_children if c.type != "comment"] if arguments is not None else []
        parenthesised = False
        while (
            function is not None and function.type == "parenthesized_expression" and function.named_children
        ):
            function, parenthesised = function.named_children[0], True
        if function is None:
            return [(TRUE, Sym(("call", self.next())))]
        if function.type == "identifier":
            name = self.x.text(function)
            if parenthesised and args and not self._is_function(name):
                return self.x.value(args[0])
            if name not in self.x.frame.types and name not in self.x.frame.env:
                return self._named(name, args, node)
        if function.type == "call_expression" and self.x.text(function).startswith(_GUARDS):
            return self._guard(function, args, node)
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
            return self._tracepoint(name, args, node)
        found = x.scope.find(name, "function", x.frame.file)
        own = bool(found) and x.scope.owns(found[0][0])
        known = x.functions.get(name)
        if known is not None and not own:
            return self._known(known, args, node)
        value = self.expander.builtin(name, args)
        if value is not None:
            return value
        if not own or any(f is x.frame.file for f, _ in self.expander.defined(name)):
            more = bool(found) or known is not None
            value = self.expander.call(
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
        if self.x.scope.find(name, "function", self.x.frame.file):
            return ""
        choices = self.expander.choices(name, node, function=False)
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
        values = [x.value(a) for a in args]
        if found and x.irrelevant(found, values):
            return self._pointer(name, node)
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
                self._holding(effect, values, node, TRUE, known)
        if found and x.follows(*found[0]):
            result = x.run(name, x.frame.file, values)
        elif found and x.harmless(found, values):
            result = self._pointer(name, node)
        else:
            if any(x.hands_over(f, d) for f, d in found):
                x.record.gap(f"{name}() is not followed, and may hand a lock over", x.where(node))
            result = self.opaque(name, values, node, x.may_destroy(found) if found else "external")
        if known is not None:
            for effect in (e for e in held if e.operation == "hold"):
                self._holding(effect, values, node, x.bdd.negate(x.truths(result, name)), known)
        return result

    def _holding(
        self, effect: Effect, values: list[Multi], node: tree_sitter.Node, under: int, known: KernelFunction
    ) -> None:
        """Take or drop the lock whose holder is argument `effect.index(0)`; a holder on the stack is named by
        its variable."""
        x = self.x
        x.assumed[known.name] = None
        index = effect.index(0)
        for g, v in x.each(values[index]) if index < len(values) else []:
            if not isinstance(v, Ptr):
                continue
            local = v.path.startswith("local:")
            x.record.emit(
                Event(
                    "lock" if effect.operation == "hold" else "unlock",
                    "holder:" + v.path.split(":", 2)[2] if local else v.path,
                    v.field,
                    value="exclusive",
                    source=x.where(node),
                    via=v.via,
                    type=v.otype,
                    note=known.name + "()",
                ),
                x.bdd.conjoin(g, under),
            )

    def _through(
        self, function: tree_sitter.Node, args: list[tree_sitter.Node], node: tree_sitter.Node
    ) -> Multi:
        """A call through a pointer: the functions that the filesystem stores in that member."""
        x = self.x
        values = [x.value(a) for a in args]
        target = x.value(function)
        result: Multi = []
        ends = x.ends
        for g, v in x.each(target):
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
        return x.merge(result)

    def apply(self, name: str, values: list[Multi], node: tree_sitter.Node) -> Multi:
        """Call function `name` with evaluated arguments."""
        x = self.x
        found = x.scope.find(name, "function", x.frame.file)
        known = x.functions.get(name)
        if known is not None and not (found and x.scope.owns(found[0][0])):
            return self._effects(known, values, [], node)
        if found and x.irrelevant(found, values):
            return self._pointer(name, node)
        return self._run(name, found, values, node)

    def _candidates(self, member: str, values: list[Multi], node: tree_sitter.Node) -> Multi:
        x = self.x
        candidates = [(f, n) for f, n in x.scope.assigned(member)] if member else []
        candidates = [(f, n) for f, n in candidates if x.scope.find(n, "function", f) or n in x.functions]
        candidates = [c for c in candidates if self._fits(*c, values)] or candidates
        if x.relevance is not None and candidates and len(candidates) <= MAX_CANDIDATES:
            some = [
                (f, n)
                for f, n in candidates
                if n in x.functions or not x.irrelevant(x.scope.find(n, "function", f), values)
            ]
            if not some:
                return self._pointer(member, node)
            candidates = some
        known = x.functions.get(f"->{member}")
        if known is not None and not candidates:
            return self._effects(known, values, [], node)
        if not candidates or len(candidates) > MAX_CANDIDATES:
            return self.opaque(f"->{member}" if member else x.text(node), values, node)
        result: Multi = []
        rest, ends = TRUE, x.ends
        for position, (file, name) in enumerate(candidates):
            chosen = rest
            if position < len(candidates) - 1:
                chosen = x.bdd.conjoin(
                    rest,
                    x.record.atom("free", ("target", member, name, self.next()), f"->{member} is {name}()"),
                )
            rest = x.bdd.without(rest, chosen)
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, chosen)
            if x.record.condition != FALSE:
                found = x.scope.find(name, "function", file)
                value = (
                    x.run(name, file, values) if found else self._effects(x.functions[name], values, [], node)
                )
                result += [(x.bdd.conjoin(chosen, g), v) for g, v in value]
            x.record.condition = saved
        x.returned(ends, result)
        return x.merge(result)

    def _fits(self, file: SourceFile, name: str, values: list[Multi]) -> bool:
        """Whether a function may be called with these arguments: as many, and pointers to the structures that
        it declares. What is not known fits."""
        found = self.x.scope.find(name, "function", file)
        return not found or any(_accepts(f, d, values) for f, d in found)

    def opaque(self, name: str, values: list[Multi], node: tree_sitter.Node, whose: str = "own") -> Multi:
        """A call that is not followed: it may do anything to what it is handed, and it may block. One that is
        not the filesystem's own (`whose` is ``external``) knows nothing of what hangs off that."""
        x = self.x
        x.unfollowed[name] = None
        event = Event("opaque", "", value=whose, source=x.where(node), debug=x.record.debug > 0, note=name)
        x.record.emit(event)
        for value in values:
            for g, v in x.each(value):
                if isinstance(v, Ptr) and v.path.startswith("local:"):
                    self._forget(v)
                elif isinstance(v, Ptr) and not v.path.startswith(("static:", "new:")):
                    x.record.emit(replace(event, object=v.path, field=v.field, via=v.via, type=v.otype), g)
        return self._pointer(name, node)

    def _forget(self, place: Ptr) -> None:
        name = place.path.split(":", 2)[2]
        for frame in self.x.frames:
            if place.path == f"local:{frame.serial}:{name}":
                frame.env[name] = [(TRUE, Sym(("forgotten", self.next())))]
        for cell in [c for c in self.x.memory if c[0] == place.path]:
            del self.x.memory[cell]

    def _pointer(self, name: str, node: tree_sitter.Node) -> Multi:
        line = self.x.where(node).line
        return [(TRUE, Ptr(f"call:{name}@{line}.{self.next()}", None, "", "", UNKNOWN_TYPE))]

    def next(self) -> int:
        """A number that was not used before."""
        self.serial += 1
        return self.serial

    # -- the table of kernel functions -------------------------------------------------------------

    def _known(self, known: KernelFunction, args: list[tree_sitter.Node], node: tree_sitter.Node) -> Multi:
        x = self.x
        x.assumed[known.name] = None
        debug = known.has("debug")
        x.record.debug += debug
        try:
            first = known.effects[0].operation
            if first == "container":
                places = known.effects[0].arguments
                return self._container(
                    [args[int(places[0])], args[int(places[1])], args[int(places[2])]]
                    if places and len(args) > 2
                    else args
                )
            if first == "store" and len(args) >= 2:
                value = x.value(args[1])
                x.store(x.place(args[0]), value, node)
                return value
            if first in ("exchange", "cmpxchg") and known.name == "rcu_replace_pointer" and len(args) >= 2:
                old = x.value(args[0])
                x.store(x.place(args[0]), x.value(args[1]), node)
                return old
            if known.effects[0] == Effect("returns", ("config",)) and args:
                return [(TRUE, Bool(x.configured(f"defined({x.text(args[0])})")))]
            values = [self._argument(known, i, a) for i, a in enumerate(args)]
            return self._effects(known, values, args, node)
        finally:
            x.record.debug -= debug

    def _argument(self, known: KernelFunction, index: int, node: tree_sitter.Node) -> Multi:
        if node.type in ("type_descriptor", "struct_specifier"):
            return [(TRUE, Const(None, self.x.text(node)))]
        if any(
            e.operation in ("call", "kref") and e.index(0 if e.operation == "call" else 1) == index
            for e in known.effects
        ):
            name = self.x.text(node).lstrip("&")
            if re.fullmatch(r"\w+", name) and name not in self.x.frame.env:
                return [(TRUE, Fn(name))]
        return self.x.value(node)

    def _effects(
        self, known: KernelFunction, values: list[Multi], args: list[tree_sitter.Node], node: tree_sitter.Node
    ) -> Multi:
        x = self.x
        x.assumed[known.name] = None
        if known.assumption:
            x.record.assumptions[known.assumption] = None
        result: Multi | None = None
        for effect in known.effects:
            handler = _EFFECTS.get(effect.operation)
            if handler is not None:
                outcome = handler(self, known, effect, values, args, node)
                result = outcome if outcome is not None else result
        if result is None:
            result = [(TRUE, Sym((known.name, self.next())))]
        return result

    def _pointers(self, values: list[Multi], index: int) -> list[tuple[int, Ptr]]:
        if index >= len(values):
            return []
        return [
            (g, v)
            for g, v in self.x.each(values[index])
            if isinstance(v, Ptr) and not v.path.startswith(("local:", "static:", "new:"))
        ]

    def _touch(
        self,
        kind: str,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        node: tree_sitter.Node,
        value: str = "",
    ) -> None:
        extra = (
            effect.arguments[1]
            if len(effect.arguments) > 1
            and not effect.arguments[1].isdigit()
            and effect.arguments[1] not in ("shared", "zero", "free", "lock", "not-dead", "parent", "or-null")
            else ""
        )
        index = effect.index(0)
        x = self.x
        for g, v in self._pointers(values, index):
            member = f"{v.field}.{extra}" if v.field and extra else (v.field or extra or "*")
            if "or-null" in effect.arguments:
                g = x.bdd.conjoin(g, x.nonzero(v))
            x.record.emit(
                Event(
                    kind,
                    v.path,
                    member,
                    value=value,
                    source=x.where(node),
                    via=v.via,
                    debug=x.record.debug > 0,
                    type=v.otype,
                    note=known.name + "()",
                ),
                g,
            )
        if index < len(values) and kind in ("read", "write") and "or-null" not in effect.arguments:
            for g, w in x.each(values[index]):
                if isinstance(w, Const) and w.number == 0:
                    x.record.emit(
                        Event(
                            kind,
                            "NULL",
                            "",
                            value,
                            source=x.where(node),
                            debug=x.record.debug > 0,
                            note=known.name + "()",
                        ),
                        g,
                    )

    def _read(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        self._touch("read", known, effect, values, node)
        return None

    def _write(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        self._touch("write", known, effect, values, node, "other")
        index = effect.index(0)
        for g, v in self.x.each(values[index]) if index < len(values) else []:
            if isinstance(v, Ptr) and v.path.startswith("local:"):
                self._overwrite(g, v, node)
        return None

    def _overwrite(self, under: int, place: Ptr, node: tree_sitter.Node) -> None:
        """A variable whose address is handed to a function that writes there holds something else now."""
        x = self.x
        cells = [c for c in x.memory if c[0] == place.path and c[1].startswith(place.field)]
        if not place.field and not place.ctype.array and (place.ctype.depth or not place.ctype.tag):
            cells.append((place.path, ""))
        for path, field in cells:
            written: Multi = [(TRUE, Sym(("written", self.next())))]
            x.store([(under, place._replace(path=path, field=field))], written, node)

    def _value(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        index = effect.index(0)
        if index < len(values) or len(effect.arguments) < 2:
            return values[index] if index < len(values) else None
        return [(TRUE, Const(None, effect.arguments[1]))]

    def _error_pointer(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        return self.x.error_pointer(values[effect.index(0)]) if values else None

    def _load(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        return self.x.load(values[effect.index(0)], node) if values else None

    def _store_through(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        if len(values) < 2:
            return None
        old = self.x.load(values[0], node) if effect.operation != "store-through" else None
        self.x.store(values[0], values[effect.index(1, 1)], node)
        return old

    def _free(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        x = self.x
        member = effect.arguments[1] if len(effect.arguments) > 1 else ""
        for g, event in self._freed(effect.index(0), values, args, node, known.name):
            if member:
                event = replace(event, object=f"{event.object}->{member}", type="")
            x.record.emit(event, g)
        return None

    def _freed(
        self,
        index: int,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
        by: str,
    ) -> list[tuple[int, Event]]:
        """What a call frees that is handed `values`. A pointer that has lost its name is ``?``, of the
        structure type that the argument is declared to point to."""
        x = self.x
        found: list[tuple[int, Event]] = []
        declared = self.expander.type_of(args[index]) if index < len(args) else UNKNOWN_TYPE
        tag = declared.tag if declared.known and declared.depth == 1 and not declared.array else ""
        for g, v in x.each(values[index]) if index < len(values) else []:
            v = untagged(v)
            if isinstance(v, Ptr) and not v.path.startswith(("local:", "static:", "new:")):
                found.append(
                    (
                        g,
                        Event(
                            "free",
                            v.path,
                            value="now",
                            source=x.where(node),
                            via=v.via,
                            type=v.otype,
                            note=by + "()",
                        ),
                    )
                )
            elif isinstance(v, Ptr) and v.path.startswith("static:") and v.otype:
                found.append(
                    (
                        g,
                        Event(
                            "free",
                            "call:" + v.path,
                            value="now",
                            source=x.where(node),
                            type=v.otype,
                            note=by + "()",
                        ),
                    )
                )
            elif isinstance(v, Sym) and _impossible(v.key):
                continue
            elif isinstance(v, Sym) or (
                isinstance(v, Ptr) and v.path.startswith("static:") and not v.path.startswith("static:text")
            ):
                found.append(
                    (g, Event("free", "?", value="now", source=x.where(node), type=tag, note=by + "()"))
                )
        return found

    def _defer(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        x = self.x
        for g, event in self._freed(effect.index(1), values, args, node, known.name):
            x.record.emit(
                replace(event, kind="defer", value=effect.arguments[0], then=(replace(event, via=None),)), g
            )
        return None

    def _call_later(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        x = self.x
        how = effect.arguments[2] if len(effect.arguments) > 2 else "now"
        if how == "srcu":
            how = f"srcu:{x.text(args[0])}" if args else "srcu:?"
        self._later(how, values[effect.index(0)], values[effect.index(1)], node, known.name)
        return None

    def _later(self, how: str, functions: Multi, argument: Multi, node: tree_sitter.Node, by: str) -> None:
        x = self.x
        for g, f in x.each(functions):
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, g)
            if not isinstance(f, Fn):
                self.opaque(by, [argument], node)
            elif how == "now":
                self.apply(f.name, [argument], node)
            else:
                name = f.name
                then = x.deferred(lambda name=name: self.apply(name, [_rootless(argument)], node))  # type: ignore[misc]
                target = next((v for _, v in x.each(argument) if isinstance(v, Ptr)), Ptr("?"))
                if then:
                    x.record.emit(
                        Event(
                            "defer",
                            target.path,
                            value=how,
                            source=x.where(node),
                            via=target.via,
                            then=then,
                            type=target.otype,
                            note=f"{by}({name})",
                        )
                    )
            x.record.condition = saved

    def _work(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        x = self.x
        how = effect.arguments[1] if len(effect.arguments) > 1 else "work"
        index = effect.index(0)
        for g, v in x.each(values[index]) if index < len(values) else []:
            if not isinstance(v, Ptr):
                continue
            member = v.field.rsplit(".", 1)[-1] if v.field else v.path.rsplit(":", 1)[-1]
            function = self.x.scope.work_function(member)
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, g)
            if function is None:
                self.opaque(known.name, [[(TRUE, v)]], node)
            else:
                self._later(how, [(TRUE, Fn(function))], [(TRUE, v)], node, known.name)
            x.record.condition = saved
        return None

    def _last(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        x = self.x
        if "unseen" in effect.arguments:
            self._last_unseen(known, effect, values, node)
            return None
        self._touch("write", known, effect, values, node, "other")
        last = x.record.fresh(f"{known.name}() {LAST_REFERENCE}")
        if "free" in effect.arguments:
            how = effect.arguments[-1]
            for g, event in self._freed(effect.index(0), values, args, node, known.name):
                if how != "free":
                    event = replace(event, kind="defer", value=how, then=(replace(event, via=None),))
                x.record.emit(event, x.bdd.conjoin(g, last))
        if "lock" in effect.arguments:
            taken = Effect("lock", effect.arguments[-1:])
            self._locking(taken, values, node, "lock", "exclusive", last, known.name)
        return [(TRUE, Bool(last))]

    def _last_unseen(
        self, known: KernelFunction, effect: Effect, values: list[Multi], node: tree_sitter.Node
    ) -> None:
        """The last reference to a dentry goes: it is freed at once if no lockless walk can have seen it."""
        x = self.x
        dentry: Multi = [(g, v) for g, v in self._pointers(values, effect.index(0))]
        if effect.arguments[-1] != "unseen":
            member = effect.arguments[-1]
            places: Multi = [
                (g, v._replace(field=join(v.field, member), ctype=CType("dentry", 1)))
                for g, v in dentry
                if isinstance(v, Ptr)
            ]
            dentry = x.load(places, node) if x.unseen.possible else []
        for g, v in dentry:
            if not isinstance(v, Ptr) or v.field or "->" not in v.path or not x.unseen.possible:
                continue
            last = x.record.fresh(f"{known.name}() of a dentry that no walk has seen {LAST_REFERENCE}")
            sure = x.unseen.led_to_by(v.path.rsplit("->", 1)[1].removesuffix(".[]").rsplit(".", 1)[-1])
            freed = Event("free", v.path, value="now", source=x.where(node), via=v.via, type="dentry")
            freed = replace(freed, note=f"{known.name}()")
            if not sure:
                freed = replace(freed, kind="opaque", value="external", note=known.name)
            x.record.emit(freed, x.bdd.conjoin(g, last))

    def _kref(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        x = self.x
        last = x.record.fresh(f"{known.name}() {LAST_REFERENCE}")
        saved = x.record.condition
        x.record.condition = x.bdd.conjoin(saved, last)
        self._later("now", values[effect.index(1, 1)], values[effect.index(0)], node, known.name)
        x.record.condition = saved
        return [(TRUE, Bool(last))]

    def _block(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        x = self.x
        condition = TRUE
        note = f"{known.name}() may sleep"
        if effect.operation == "block" and effect.arguments:
            condition = FALSE
            for g, v in x.each(values[effect.index(0)]):
                if not (isinstance(v, Const) and v.number == 0):
                    condition = x.bdd.disjoin(condition, g)
        if effect.operation == "block-gfp":
            index = effect.index(0)
            condition = FALSE if index < len(values) else TRUE
            for g, v in x.each(values[index]) if index < len(values) else []:
                flags = str(key(v))
                if not _ATOMIC.search(flags) or _SLEEPING.search(flags):
                    condition = x.bdd.disjoin(condition, g)
                    shown = v.name if isinstance(v, Const) else "these flags"
                    note = f"{known.name}({shown}) may sleep"
        if x.bdd.conjoin(condition, x.record.condition) != FALSE:
            x.record.emit(
                Event("block", "", source=x.where(node), debug=x.record.debug > 0, note=note), condition
            )
        return None

    def _lock(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        shared = "shared" if "shared" in effect.arguments else "exclusive"
        self._locking(effect, values, node, effect.operation, shared, TRUE, known.name)
        return None

    def _trylock(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        x = self.x
        got = x.record.fresh(f"{known.name}() succeeds")
        self._locking(effect, values, node, "lock", "exclusive", got, known.name)
        if "zero" in effect.arguments:
            return [(got, Const(0)), (x.bdd.negate(got), Const(None, "-EINTR"))]
        return [(TRUE, Bool(got))]

    def _locking(
        self,
        effect: Effect,
        values: list[Multi],
        node: tree_sitter.Node,
        kind: str,
        value: str,
        under: int,
        by: str,
    ) -> None:
        x = self.x
        index = effect.index(0)
        extra = next((a for a in effect.arguments[1:] if a not in ("shared", "zero")), "")
        for g, v in x.each(values[index]) if index < len(values) else []:
            if isinstance(v, Ptr) and not v.path.startswith("local:"):
                member = f"{v.field}.{extra}" if v.field and extra else (v.field or extra)
                x.record.emit(
                    Event(
                        kind,
                        v.path,
                        member,
                        value=value,
                        source=x.where(node),
                        via=v.via,
                        debug=x.record.debug > 0,
                        type=v.otype,
                        note=by + "()",
                    ),
                    x.bdd.conjoin(g, under),
                )

    def _section(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        domain = ""
        if effect.arguments:
            domain = f"srcu:{self.x.text(args[0])}" if args else "srcu:?"
        self.x.record.emit(
            Event(effect.operation, "", domain, source=self.x.where(node), note=known.name + "()")
        )
        return None

    def _reference(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        kind = effect.operation
        value = "not-dead" if "not-dead" in effect.arguments else ""
        x = self.x
        for g, v in self._pointers(values, effect.index(0)):
            path = v.path
            if "parent" in effect.arguments:
                path = "parent"
            elif v.field not in ("", "d_lockref") and v.ctype.known and not v.ctype.tag:
                continue
            x.record.emit(
                Event(
                    kind,
                    path,
                    "",
                    value=value,
                    source=x.where(node),
                    via=v.via,
                    debug=x.record.debug > 0,
                    type=v.otype,
                    note=known.name + "()",
                ),
                g,
            )
        return None

    def _returns(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        x = self.x
        kind = effect.arguments[0]
        if kind == "bool":
            return [(TRUE, Bool(x.record.fresh(x.text(node) if not x.frame.line else known.name)))]
        if kind == "new":
            got = x.record.fresh(f"{known.name}() succeeds")
            return [
                (got, Ptr(f"new:{x.where(node).line}.{self.next()}", None, "", "", UNKNOWN_TYPE)),
                (x.bdd.negate(got), NULL),
            ]
        if kind == "must-new":
            return [(TRUE, Ptr(f"new:{x.where(node).line}.{self.next()}", None, "", "", UNKNOWN_TYPE))]
        if kind == "static":
            return [(TRUE, Ptr(f"static:{known.name}", None, "", "", UNKNOWN_TYPE))]
        if kind == "pointer":
            return self._pointer(known.name, node)
        if kind == "parent":
            return [(TRUE, Ptr("parent", None, "", "dentry", CType("dentry")))]
        if kind == "natural":
            return [(TRUE, Sym((NATURAL, known.name, self.next())))]
        return [(TRUE, Sym((known.name, self.next())))] if kind in ("scalar", "error") else None

    def _error(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        x = self.x
        result = FALSE
        text = f"IS_ERR({x.text(args[0]) if args else '?'})"
        for g, v in x.each(values[0]) if values else []:
            bad = x.negative(v, text)
            if "null" in effect.arguments:
                bad = x.bdd.disjoin(bad, x.bdd.negate(x.nonzero(v)))
            result = x.bdd.disjoin(result, x.bdd.conjoin(g, bad))
        return [(TRUE, Bool(result))]

    def _nonnull(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        self.x.exits += 1
        self.x.ends += 1
        self.x.record.condition = self.x.bdd.without(
            self.x.record.condition, self.x.truths(values[0]) if values else FALSE
        )
        return None

    def _noreturn(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        self.x.exits += 1
        self.x.ends += 1
        self.x.record.condition = FALSE
        return [(TRUE, Const(0))]

    def _teardown(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        self.x.record.emit(
            Event("call", "sb", effect.arguments[0], source=self.x.where(node), note=known.name + "()")
        )
        return None

    def _format(
        self,
        known: KernelFunction,
        effect: Effect,
        values: list[Multi],
        args: list[tree_sitter.Node],
        node: tree_sitter.Node,
    ) -> Multi | None:
        index = effect.index(0)
        if index >= len(args):
            return None
        text = self.x.frame.piece.string(args[index])
        position = index + 1
        for specifier, rest in _SPECIFIER.findall(text):
            if specifier == "%":
                continue
            touched = (specifier == "s") or (
                specifier == "p"
                and rest[:1]
                in ("d", "D", "I", "i", "U", "M", "m", "h", "E", "g", "B", "N", "b", "V", "a", "t", "C", "G")
            )
            if touched:
                member = "d_name" if specifier == "p" and rest[:1] == "d" else "*"
                self._touch("read", known, Effect("read", (str(position), member, "or-null")), values, node)
            position += 1
        return None

    def _container(self, args: list[tree_sitter.Node]) -> Multi:
        x = self.x
        if len(args) < 3:
            return []
        tag = x.text(args[1]).replace("struct ", "").strip()
        tag = re.sub(r"\W", "", tag)
        if tag in x.frame.types:
            tag = x.frame.types[tag].tag
        member = x.text(args[2])
        result: Multi = []
        for g, v in x.each(x.value(args[0])):
            if not isinstance(v, Ptr):
                result.append((g, v))
            elif v.field == member or v.field.endswith("." + member):
                field = v.field[: -len(member)].rstrip(".")
                result.append((g, v._replace(field=field, ctype=CType(tag), otype=v.otype if field else tag)))
            else:
                result.append((g, v._replace(field="", ctype=CType(tag), otype=tag)))
        return result

    # -- loops, guards -----------------------------------------------------------------------------

    def iterates(self, macro: str) -> bool:
        """Whether the table knows a loop macro as an iterator, and the filesystem has none of that name."""
        known = self.x.functions.get(macro)
        own = any(self.x.scope.owns(f) for f, _ in self.expander.defined(macro))
        return known is not None and known.has("iterate") and not own

    def _cursors(self, macro: str) -> tuple[int, int, list[int]]:
        """Which argument of an iterator is set to the element, which one is the head, and which are set to
        anything. Where the tree's definition has a parameter called head, that is it: before 3.9 hash
        lists took one more cursor."""
        numbers = [int(a) for a in self.x.functions[macro].effects[0].arguments]
        position, head, cursors = numbers[0], numbers[1], numbers[2:]
        for _, defined in self.expander.defined(macro)[:1]:
            names = [p.removesuffix("...") for p in defined.params or ()]
            if "head" in names:
                head = names.index("head")
                cursors = [*cursors, *range(position + 1, head)]
        return position, head, cursors

    def iterate(self, macro: str, condition: tree_sitter.Node) -> int:
        """One step of a list iterator macro; the condition under which there is an element."""
        x = self.x
        inner = condition.named_children[0] if condition.named_children else condition
        args = _flatten(inner)
        position, head, cursors = self._cursors(macro)
        more = x.record.fresh(f"{macro}: another element")
        if head >= len(args) or position >= len(args):
            return more
        element: Multi = []
        for g, v in x.each(x.value(args[head])):
            if isinstance(v, Ptr) and v.path.startswith("local:"):
                element.append(
                    (
                        g,
                        Ptr(
                            f"call:an element of {v.path.rsplit(':', 1)[-1]}.{self.next()}",
                            None,
                            "",
                            "",
                            UNKNOWN_TYPE,
                        ),
                    )
                )
            if isinstance(v, Ptr) and not v.path.startswith("local:"):
                via: int | None = None
                if not v.path.startswith("static:"):
                    via = x.record.emit(
                        Event(
                            "read",
                            v.path,
                            v.field or "*",
                            source=x.where(condition),
                            via=v.via,
                            debug=x.record.debug > 0,
                            type=v.otype,
                            note=macro + "()",
                        ),
                        g,
                    )
                    via = None if x.record.sink is not None else via
                path = v.path if v.path.endswith(f"->[{v.field}]") else f"{v.path}->[{v.field}]"
                element.append((g, Ptr(path, via, "", "", UNKNOWN_TYPE)))
        for number in cursors:
            if number < len(args) and args[number].type == "identifier":
                x.assign(x.text(args[number]), [(TRUE, Sym(("next", self.next())))])
        if element and args[position].type == "identifier":
            name = x.text(args[position])
            ctype = x.frame.types.get(name, UNKNOWN_TYPE)
            typed: Multi = [
                (
                    g,
                    v._replace(otype=ctype.tag, ctype=CType(ctype.tag))
                    if isinstance(v, Ptr) and ctype.tag
                    else v,
                )
                for g, v in element
            ]
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, more)
            x.assign(name, typed)
            x.record.condition = saved
        return more

    def scoped(self, word: str, condition: tree_sitter.Node | None, node: tree_sitter.Node) -> None:
        """A scoped_guard() or scoped_class() statement, or a macro for one: its body between taking and
        dropping the lock; a scoped_cond_guard() has a statement for when the lock is not had."""
        x = self.x
        inner = condition.named_children[0] if condition is not None and condition.named_children else None
        args = _flatten(inner) if inner is not None else []
        first = 2 if word.startswith(("scoped_cond", "scoped_class")) else 1
        name = x.text(args[0]) if args else word
        variable = x.text(args[1]) if word == "scoped_class" and len(args) > 1 else ""
        with self.guards.scope():
            meant = self._scope_macro(word, [x.value(a) for a in args], node)
            if meant is not None:
                got = self.guards.begin(meant[0], "", meant[1], node)
            else:
                got = self.guards.begin(name, variable, [x.value(a) for a in args[first:]], node)
            if got is None:
                x.record.gap(f"{word}({name}) is not known", x.where(node))
                got = TRUE
            body = node.child_by_field_name("consequence")
            entry = x.record.condition
            x.record.condition = x.bdd.conjoin(entry, got)
            if body is not None:
                x.statement(body)
            after, x.record.condition = x.record.condition, x.bdd.without(entry, got)
            if word.startswith("scoped_cond") and x.record.condition != FALSE and condition is not None:
                texts = arguments(x.frame.piece.original(condition))
                self.expander.text(texts[1].text if len(texts) > 1 else "", x.where(node).line)
            x.record.condition = x.bdd.disjoin(after, x.record.condition)

    def _scope_macro(
        self, word: str, values: list[Multi], node: tree_sitter.Node
    ) -> tuple[str, list[Multi]] | None:
        """Which guard or class a macro like ``with_creds(cred)`` takes, and its arguments; None if `word` is
        no macro for scoped_guard() or scoped_class()."""
        x = self.x
        for _ in range(SCOPE_MACROS):
            found = x.scope.macro(word, x.frame.file)
            begins = _SCOPE_BEGINS.match(found[0][1].body) if found and word not in _SCOPES else None
            if begins is None:
                return None
            given = dict(zip(found[0][1].params or (), values, strict=False))
            word, texts = begins.group(1), [a.text.strip() for a in arguments(begins.group(2))]
            skipped = _SCOPES.get(word, 0)
            line = x.where(node).line
            values = [self.guards.evaluate(t, given, line) for t in texts[skipped:]]
            if skipped:
                return texts[0], values
        return None

    def _guard(
        self, function: tree_sitter.Node, args: list[tree_sitter.Node], node: tree_sitter.Node
    ) -> Multi:
        """guard(NAME)(...), CLASS(NAME, variable)(...) or ACQUIRE(NAME, variable)(...)."""
        x = self.x
        inner = function.child_by_field_name("arguments")
        names = [x.text(c) for c in inner.named_children] if inner is not None else []
        kind, variable = names[0] if names else "", names[1] if len(names) > 1 else ""
        if self.guards.begin(kind, variable, [x.value(a) for a in args], node) is None:
            x.record.gap(f"{x.text(function)} is not known", x.where(node))
        return [(TRUE, Const(0))]

    # -- tracepoints -------------------------------------------------------------------------------

    def _tracepoint(self, name: str, args: list[tree_sitter.Node], node: tree_sitter.Node) -> Multi:
        """A tracepoint: what its TP_fast_assign() reads, when it is enabled."""
        x = self.x
        if name.endswith("_enabled") and not args:
            return [(TRUE, Bool(x.record.fresh(f"{name}()")))]
        x.record.debug += 1
        try:
            values = [x.value(a) for a in args]
            found = self._trace_body(name.removeprefix("trace_"))
            enabled = x.record.fresh(f"tracepoint {name.removeprefix('trace_')} is enabled")
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, enabled)
            if found is None:
                for index in range(len(values)):
                    self._touch(
                        "read", KernelFunction(name, (), ""), Effect("read", (str(index),)), values, node
                    )
            else:
                self._run_trace(name, *found, values)
            x.record.condition = saved
        finally:
            x.record.debug -= 1
        return [(TRUE, Const(0))]

    def _trace_body(self, event: str) -> tuple[SourceFile, str, int, int] | None:
        key = event, self.x.frame.file.path
        if key not in self._traces:
            self._traces[key] = self._find_trace(event)
        return self._traces[key]

    def _find_trace(self, event: str) -> tuple[SourceFile, str, int, int] | None:
        x = self.x
        named = re.compile(rf"{re.escape(event)}\s*[,)]")
        for file in (*x.scope.own, *x.scope.tree.headers(x.frame.file.path)):
            if event not in file.text or "TRACE" not in file.text:
                continue
            places = (m.start() for m in named.finditer(file.code))
            found = (_TRACE.search(file.code, max(0, at - _TRACE_HEAD), at) for at in places)
            match = next((m for m in found if m is not None), None)
            if not match:
                continue
            if match.group(1).startswith("TRACE_EVENT"):
                return self._block_of(file, match.start())
            group = match.group(2)
            if group is None:
                for macro in file.macros.get(match.group(1), ()):
                    inner = re.match(r"DEFINE_EVENT\w*\(\s*(\w+)", macro.body)
                    group = inner.group(1) if inner else None
            if group:
                declared = re.search(rf"DECLARE_EVENT_CLASS\s*\(\s*{re.escape(group)}\s*,", file.code)
                if declared:
                    return self._block_of(file, declared.start())
        return None

    def _block_of(self, file: SourceFile, start: int) -> tuple[SourceFile, str, int, int] | None:
        opening = file.code.index("(", start)
        end = closing(file.code, opening)
        proto = re.compile(r"TP_PROTO\s*\(").search(file.code, start, end)
        assign = re.compile(r"TP_fast_assign\s*\(").search(file.code, start, end)
        if end < 0 or not proto or not assign:
            return None
        names = file.code[proto.end() : closing(file.code, proto.end() - 1) - 1]
        return file, " ".join(names.split()), assign.end(), closing(file.code, assign.end() - 1) - 1

    def _run_trace(
        self, name: str, file: SourceFile, proto: str, start: int, end: int, values: list[Multi]
    ) -> None:
        head = f"void {name}({proto}) {{"
        self.x.scope.use(file)
        piece = parse_statements(file.text[start:end], head, start)
        self.x.run_piece(file, name, piece, values)


def void(_: object) -> None:
    """Discard a value."""


def _impossible(symbol: object) -> bool:
    """Whether a value only comes out of reading through NULL, an error, or a variable never set."""
    while isinstance(symbol, tuple) and symbol and symbol[0] == "at":
        symbol = symbol[1]
    return (
        isinstance(symbol, tuple)
        and bool(symbol)
        and symbol[0] in ("uninitialised", "null", "recursion", "c")
    )


def _rootless(value: Multi) -> Multi:
    return [(g, v._replace(via=None) if isinstance(v, Ptr) else v) for g, v in value]


def _flatten(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    if node.type == "comma_expression":
        return [a for child in node.named_children for a in _flatten(child)]
    return [node]


_Effect = Callable[
    [Calls, KernelFunction, Effect, list[Multi], list[tree_sitter.Node], tree_sitter.Node], Multi | None
]

_EFFECTS: dict[str, _Effect] = {
    "value": Calls._value,
    "errptr": Calls._error_pointer,
    "load": Calls._load,
    "store-through": Calls._store_through,
    "exchange-through": Calls._store_through,
    "exchange": Calls._store_through,
    "cmpxchg": Calls._store_through,
    "read": Calls._read,
    "write": Calls._write,
    "free": Calls._free,
    "defer": Calls._defer,
    "call": Calls._call_later,
    "work": Calls._work,
    "last": Calls._last,
    "kref": Calls._kref,
    "block": Calls._block,
    "block-gfp": Calls._block,
    "lock": Calls._lock,
    "unlock": Calls._lock,
    "trylock": Calls._trylock,
    "enter": Calls._section,
    "leave": Calls._section,
    "wait": Calls._section,
    "get": Calls._reference,
    "put": Calls._reference,
    "returns": Calls._returns,
    "error": Calls._error,
    "nonnull": Calls._nonnull,
    "noreturn": Calls._noreturn,
    "teardown": Calls._teardown,
    "format": Calls._format,
}

__all__ = ["Calls", "Value"]
