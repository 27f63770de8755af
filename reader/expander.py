"""Macros and compiler extensions in abstract execution: expansion, loops, ``_Generic``, ``asm``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import FALSE, TRUE
from .configuration import configured
from .macros import BODY, Argument, Expansion, arguments, expanded, is_head
from .parse import Parsed, errors, parse_statements
from .source import Macro, SourceFile
from .types import type_tag
from .values import UNKNOWN_TYPE, Bool, Const, CType, Multi, Sym

if TYPE_CHECKING:
    from .execute import Executor
    from .frame import Frame

MAX_DEPTH = 24
"""How deep macros nest in one activation of a function."""

_CAST = re.compile(r"\(\s*(?:const\s+)?(?:struct\s+)?\w+\s*(?:const\s*)?\*+\s*\)|\bconst\b|\s+")


@dataclass
class _Active:
    """A macro that is being expanded: in which activation, and where its arguments came from."""

    frame: Frame
    name: str
    expansion: Expansion
    given: tuple[Argument, ...]


@dataclass
class _Body:
    """The statement behind a loop macro: what runs where `BODY` stands in the macro's expansion."""

    node: tree_sitter.Node
    piece: Parsed
    line: int
    active: list[_Active]


class Expander:
    """What macros do. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor
        self.active: list[_Active] = []
        self.bodies: list[_Body] = []

    # -- which macro -------------------------------------------------------------------------------

    def defined(self, name: str) -> tuple[tuple[SourceFile, Macro], ...]:
        """The ``#define``s of `name` that the function being executed can mean; none of another C file."""
        x = self.x
        user = x.frame.file
        return tuple((f, m) for f, m in x.scope.macro(name, user) if f is user or not f.path.endswith(".c"))

    def choices(self, name: str, node: tree_sitter.Node | None, function: bool) -> list[tuple[int, Macro]]:
        """The macros that `name` stands for, function-like ones or others, each with the configuration under
        which it does; none where C would not expand it, inside its own expansion."""
        x = self.x
        if self._painted(name, node):
            return []
        found = [(f, m) for f, m in self.defined(name) if (m.params is not None) == function]
        result: list[tuple[int, Macro]] = []
        taken = FALSE
        for file, macro in found:
            if macro.body == name:
                continue
            under = x.bdd.without(self._under(name, macro), taken)
            taken = x.bdd.disjoin(taken, under)
            if under != FALSE:
                x.scope.use(file)
                result.append((under, macro))
        return result

    def _under(self, name: str, macro: Macro) -> int:
        """The configuration under which a macro is defined, less tests of whether it is defined already."""
        under = TRUE
        for text in macro.condition:
            if not re.search(rf"defined\s*\(?\s*{re.escape(name)}\b", text):
                under = self.x.bdd.conjoin(under, configured(self.x.record, text))
        return under

    def _painted(self, name: str, node: tree_sitter.Node | None) -> bool:
        """Whether `node` is text of an expansion of the macro `name` itself, not of an argument to it."""
        active = [a for a in self.active if a.frame is self.x.frame]
        at = node.start_byte if node is not None else -1
        level = len(active)
        while level and at >= 0:
            argument = active[level - 1].expansion.argument(at)
            if argument is None:
                break
            number, inside = argument
            given = active[level - 1].given
            at = given[number].at + inside if number < len(given) else -1
            level -= 1
        return any(a.name == name for a in active[:level])

    # -- expanding ---------------------------------------------------------------------------------

    def call(self, name: str, node: tree_sitter.Node, otherwise: Callable[[], Multi] | None) -> Multi | None:
        """Evaluate a call of a function-like macro; what is left when it is not one under every
        configuration is up to `otherwise`. None if `name` is no macro here."""
        choices = self.choices(name, node, function=True)
        if not choices:
            return None
        list_ = node.child_by_field_name("arguments")
        given = tuple(arguments(self._original(list_), list_.start_byte)) if list_ is not None else ()
        return self._either(choices, lambda m: self.expand(m, given, node), otherwise)

    def name(self, name: str, node: tree_sitter.Node | None) -> Multi | None:
        """The value of an object-like macro; None if `name` is none. Names in capitals are looked up in the
        filesystem's own files alone: the kernel's are constants, and their names tell more."""
        own = not name.isupper() or any(self.x.scope.owns(f) for f, _ in self.defined(name))
        choices = self.choices(name, node, function=False) if own else []
        choices = [(g, m) for g, m in choices if m.body]
        return self._either(choices, lambda m: self.expand(m, (), node), None) if choices else None

    def _either(
        self,
        choices: list[tuple[int, Macro]],
        run: Callable[[Macro], Multi],
        otherwise: Callable[[], Multi] | None,
    ) -> Multi:
        """The result of `run` for the macro that the configuration chooses."""
        x = self.x
        rest = TRUE
        for under, _ in choices:
            rest = x.bdd.without(rest, under)
        if rest != FALSE and otherwise is None:
            choices = [*choices[:-1], (x.bdd.disjoin(choices[-1][0], rest), choices[-1][1])]
            rest = FALSE
        if len(choices) == 1 and rest == FALSE:
            return run(choices[0][1])
        runs: list[tuple[int, Callable[[], Multi]]] = [(g, lambda m=m: run(m)) for g, m in choices]  # type: ignore[misc]
        if otherwise is not None and rest != FALSE:
            runs.append((rest, otherwise))
        return self.alternatives(runs)

    def alternatives(self, runs: list[tuple[int, Callable[[], Multi]]]) -> Multi:
        """Evaluate each of `runs` under its condition, which exclude each other and are all that there is."""
        x = self.x
        entry, after = x.record.condition, FALSE
        result: Multi = []
        for under, run in runs:
            x.record.condition = x.bdd.conjoin(entry, under)
            if x.record.condition != FALSE:
                value = run()
                result += [(x.bdd.conjoin(under, g), v) for g, v in value]
                after = x.bdd.disjoin(after, x.record.condition)
        x.record.condition = after if after == FALSE else self._same(entry, after)
        return x.alternatives.merge(result)

    def _same(self, entry: int, after: int) -> int:
        """The condition after alternatives: the one before them, if every path went on."""
        return entry if after == entry else self.x.record.widen(after)

    def expand(self, macro: Macro, given: tuple[Argument, ...], node: tree_sitter.Node | None) -> Multi:
        """Evaluate a macro with its arguments put in; the value of its last expression."""
        texts = tuple(a.text for a in given)
        expansion = expanded(macro, texts)
        if errors(expansion.piece.root) and macro.body.lstrip().startswith("{"):
            # An initialiser in braces is an expression only behind a type.
            expansion = expanded(replace(macro, body=f"(struct {macro.name}){macro.body}"), texts)
        with self._inside(macro.name, expansion, given, node) as compound:
            return self._run(compound) if compound is not None else self._unknown()

    @contextmanager
    def _inside(
        self,
        name: str,
        expansion: Expansion,
        given: tuple[Argument, ...],
        node: tree_sitter.Node | None,
    ) -> Iterator[tree_sitter.Node | None]:
        """The block that an expansion is, while it is being executed; None if it cannot be."""
        x = self.x
        frame = x.frame
        if sum(a.frame is frame for a in self.active) >= MAX_DEPTH:
            x.record.gap(f"macros nested deeper than {MAX_DEPTH}", x.where(node))
            yield None
            return
        if errors(expansion.piece.root):
            x.record.gap(f"macro {name} does not parse once expanded", x.where(node))
            yield None
            return
        function = expansion.piece.root.named_children[0]
        piece, line = frame.piece, frame.line
        if not line:
            frame.line = x.where(node).line if node is not None else frame.file.line(piece.offset)
        frame.piece = expansion.piece
        self.active.append(_Active(frame, name, expansion, given))
        try:
            yield function.child_by_field_name("body")
        finally:
            self.active.pop()
            frame.piece, frame.line = piece, line

    def text(self, text: str, line: int) -> Multi:
        """Execute C text as if it stood on `line`; the value of its last expression."""
        frame = self.x.frame
        saved, frame.line = frame.line, frame.line or line
        try:
            return self.expand(Macro("", None, text + ";", 0), (), None)
        finally:
            frame.line = saved

    def _run(self, compound: tree_sitter.Node) -> Multi:
        children = [c for c in compound.named_children if not _empty(c)]
        if not children:
            return [(TRUE, Const(0))]
        for child in children[:-1]:
            self.x.control.statement(child)
        last = children[-1]
        if last.type == "expression_statement" and last.named_children:
            return self.x.expressions.value(last.named_children[0])
        self.x.control.statement(last)
        return [(TRUE, Const(0))]

    def _original(self, node: tree_sitter.Node) -> str:
        return self.x.frame.piece.original(node)

    def _unknown(self) -> Multi:
        return [(TRUE, Sym(("macro", self.x.next())))]

    # -- loops -------------------------------------------------------------------------------------

    def loop(self, name: str, node: tree_sitter.Node, condition: tree_sitter.Node) -> None:
        """Execute a macro that stands before a statement: a loop around it, if that is what it is defined
        as, or a statement of its own that has no semicolon."""
        x = self.x
        body = node.child_by_field_name("body")
        choices = self.choices(name, node, function=True)
        given = tuple(arguments(self._original(condition), condition.start_byte))
        if not choices or body is None:
            x.record.gap(f"{name}() stands before a statement, and is defined nowhere", x.where(node))
            if body is not None:
                x.control.statement(body)
            return
        self._either(choices, lambda m: self._looped(m, given, node, body), None)

    def _looped(
        self, macro: Macro, given: tuple[Argument, ...], node: tree_sitter.Node, body: tree_sitter.Node
    ) -> Multi:
        x = self.x
        frame = x.frame
        texts = tuple(a.text for a in given)
        text = expanded(macro, texts).piece.source[len("void f(void) {") : -len("\n;}")]
        if not is_head(text, self._definition):
            self.expand(macro, given, node)
            x.control.statement(body)
            return []
        expansion = expanded(macro, texts, f" {BODY};")
        self.bodies.append(_Body(body, frame.piece, frame.line, list(self.active)))
        try:
            with self._inside(macro.name, expansion, given, node) as compound:
                if compound is not None:
                    x.control.statement(compound)
        finally:
            self.bodies.pop()
        return []

    def _definition(self, name: str) -> Macro | None:
        return next((m for _, m in self.defined(name) if m.params is not None), None)

    def body(self) -> Multi:
        """Execute the statement that the innermost loop macro stands before."""
        if not self.bodies:
            return self._unknown()
        x = self.x
        body = self.bodies.pop()
        frame, active = x.frame, self.active
        piece, line = frame.piece, frame.line
        frame.piece, frame.line, self.active = body.piece, body.line, body.active
        try:
            x.control.statement(body.node)
        finally:
            frame.piece, frame.line, self.active = piece, line, active
            self.bodies.append(body)
        return [(TRUE, Const(0))]

    def tail(self, name: str, condition: tree_sitter.Node) -> int:
        """Whether a ``do`` loop whose ``while`` is a macro goes round again."""
        x = self.x
        given = tuple(arguments(self._original(condition), condition.start_byte))
        for _, macro in self.choices(name, condition, function=True)[:1]:
            expansion = expanded(macro, tuple(a.text for a in given))
            with self._inside(name, expansion, given, condition) as compound:
                children = compound.named_children if compound is not None else []
                loops = [c for c in children if c.type == "while_statement"]
                inner = loops[0].child_by_field_name("condition") if len(loops) == 1 else None
                if inner is not None:
                    return x.expressions.truth(inner)
        x.record.gap(f"{name}() ends a do loop, and is no while", x.where(condition))
        return x.record.fresh(f"{name}()")

    # -- compiler extensions -----------------------------------------------------------------------

    def builtin(self, name: str, args: list[tree_sitter.Node]) -> Multi | None:
        """The value of a call that the compiler itself answers; None if `name` is none."""
        x = self.x
        if name == "__builtin_choose_expr" and len(args) == 3:
            holds = x.expressions.truth(args[0])
            return self.alternatives(
                [
                    (holds, lambda: x.expressions.value(args[1])),
                    (x.bdd.negate(holds), lambda: x.expressions.value(args[2])),
                ]
            )
        if name == "__builtin_types_compatible_p" and len(args) == 2:
            return self._compatible(args)
        if name == "OFFSETOF":
            for index in _indexes(args[1]) if len(args) > 1 else []:
                x.expressions.value(index)
            return [(TRUE, Const(None, f"offsetof({', '.join(map(x.text, args))})"))]
        if name in ("_Static_assert", "static_assert"):
            return [(TRUE, Const(0))]
        return None

    def _compatible(self, args: list[tree_sitter.Node]) -> Multi:
        a, b = (" ".join(self._original(n).split()) for n in args)
        if a == b:
            return [(TRUE, Const(1))]
        x = self.x
        return [(TRUE, Bool(x.record.atom("stable", ("types", a, b), f"{a} and {b} are one type")))]

    def generic(self, node: tree_sitter.Node) -> Multi:
        """A ``_Generic`` selection: by the type of its controlling expression, which is not evaluated; where
        that is not known, any of its expressions."""
        x = self.x
        children = [c for c in node.named_children if c.type != "comment"]
        if not children:
            return self._unknown()
        pairs = list(zip(children[1::2], children[2::2], strict=False))
        wanted = self.type_of(children[0])
        exact = [e for t, e in pairs if wanted.known and self._named_type(t) == wanted]
        default = [e for t, e in pairs if x.text(t) == "default"]
        left = exact or (default if wanted.known and wanted.tag else []) or [e for _, e in pairs]
        texts = {_CAST.sub("", x.text(e)): e for e in reversed(left)}
        runs: list[tuple[int, Callable[[], Multi]]] = []
        rest = TRUE
        for number, expression in enumerate(reversed(texts.values())):
            under = rest
            if number < len(texts) - 1:
                key = ("generic", x.text(children[0]), number, len(x.record.atoms))
                under = x.bdd.conjoin(rest, x.record.atom("free", key, f"the type of {x.text(children[0])}"))
            rest = x.bdd.without(rest, under)
            runs.append((under, lambda e=expression: x.expressions.value(e)))  # type: ignore[misc]
        return runs[0][1]() if len(runs) == 1 else self.alternatives(runs)

    def _named_type(self, node: tree_sitter.Node) -> CType:
        """The type that a type name means."""
        piece = self.x.frame.piece
        tag = type_tag(piece, node.child_by_field_name("type"))
        abstract = node.child_by_field_name("declarator")
        depth = piece.string(abstract).count("*") if abstract is not None else 0
        return CType(tag, depth) if tag else UNKNOWN_TYPE

    def type_of(self, node: tree_sitter.Node | None) -> CType:
        """The type of an expression, without evaluating it; unknown where that takes more than names."""
        x = self.x
        if node is None:
            return UNKNOWN_TYPE
        if node.type == "identifier":
            return x.frame.types.get(x.text(node), UNKNOWN_TYPE)
        if node.type == "parenthesized_expression" and node.named_children:
            return self.type_of(node.named_children[0])
        if node.type == "cast_expression":
            target = node.child_by_field_name("type")
            return self._named_type(target) if target is not None else UNKNOWN_TYPE
        argument = node.child_by_field_name("argument")
        base = self.type_of(argument) if argument is not None else UNKNOWN_TYPE
        if not base.known:
            return UNKNOWN_TYPE
        if node.type == "pointer_expression":
            depth = base.depth + (1 if x.frame.piece.string(node)[:1] == "&" else -1)
            return base._replace(depth=depth, array=False) if depth >= 0 else UNKNOWN_TYPE
        member = node.child_by_field_name("field")
        if node.type == "field_expression" and base.tag and member is not None:
            return x.types.member(base.tag, x.text(member), x.frame.file)
        if node.type == "subscript_expression":
            if base.array:
                return base._replace(array=False)
            return base._replace(depth=base.depth - 1) if base.depth else UNKNOWN_TYPE
        return UNKNOWN_TYPE

    def typeof(self, text: str) -> CType:
        """The type that ``typeof(...)`` means, given as text."""
        frame = self.x.frame
        piece = parse_statements(text[text.find("(") :] + ";")
        if piece.root.has_error:
            return UNKNOWN_TYPE
        body = piece.root.named_children[0].child_by_field_name("body")
        statement = (
            next((c for c in body.named_children if not _empty(c)), None) if body is not None else None
        )
        if statement is None or not statement.named_children:
            return UNKNOWN_TYPE
        saved, frame.piece = frame.piece, piece
        try:
            return self.type_of(statement.named_children[0])
        finally:
            frame.piece = saved

    def asm(self, node: tree_sitter.Node) -> Multi:
        """An ``asm`` statement: its inputs are read, its outputs set to anything."""
        x = self.x
        for part, sets in (("input_operands", False), ("output_operands", True)):
            operands = node.child_by_field_name(part)
            for operand in operands.named_children if operands is not None else ():
                value = operand.child_by_field_name("value")
                constraint = operand.child_by_field_name("constraint")
                if value is None:
                    continue
                if not sets or (constraint is not None and "+" in x.text(constraint)):
                    x.expressions.value(value)
                if sets:
                    unknown: Multi = [(TRUE, Sym(("asm", x.next())))]
                    if value.type == "identifier" and x.text(value) in x.frame.types:
                        x.memory.assign(x.text(value), unknown)
                    else:
                        x.memory.store(x.places.of(value), unknown, node)
        return [(TRUE, Const(0))]


def _empty(node: tree_sitter.Node) -> bool:
    return node.type == "comment" or (node.type == "expression_statement" and not node.named_children)


def _indexes(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The subscripts in a member designator."""
    found: list[tree_sitter.Node] = []
    while node.type in ("field_expression", "subscript_expression"):
        index = node.child_by_field_name("index")
        if index is not None:
            found.append(index)
        inner = node.child_by_field_name("argument")
        if inner is None:
            break
        node = inner
    return found
