"""Expressions in abstract execution: names, operators, casts, assignments, initialisers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import FALSE, TRUE
from .folding import fold, is_natural
from .limits import MAX_ALTERNATIVES
from .types import type_tag
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
    join,
    key,
    retype,
    untagged,
)

if TYPE_CHECKING:
    from .execute import Executor

_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)[uUlL]*$")
_ERRNO = re.compile(r"E[A-Z0-9]{2,}$")


class Expressions:
    """Evaluates expressions. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor

    def value(self, node: tree_sitter.Node) -> Multi:
        """Evaluate an expression under the current condition; events of its side effects are recorded."""
        x = self.x
        handler = _EXPRESSIONS.get(node.type)
        if handler is not None:
            return handler(self, node)
        if node.is_error or node.is_missing:
            x.record.gap("an expression does not parse", x.where(node))
        return [(TRUE, Sym(("text", x.text(node))))]

    def truth(self, node: tree_sitter.Node) -> int:
        """The condition under which the expression `node` is not zero."""
        x = self.x
        return x.truth.of(self.value(node), x.text(node))

    def initialise(self, target: Ptr, node: tree_sitter.Node) -> None:
        """Execute an initialiser list into a local structure."""
        x = self.x
        for child in node.named_children:
            if child.type == "initializer_pair":
                names = [
                    c for c in child.children_by_field_name("designator") if c.type == "field_designator"
                ]
                value = child.child_by_field_name("value")
                if value is not None and names:
                    member = ".".join(x.text(n).lstrip(".") for n in names)
                    if value.type == "initializer_list":
                        self.initialise(target._replace(field=join(target.field, member)), value)
                    else:
                        x.memory.cells[(target.path, join(target.field, member))] = self.value(value)
                elif value is not None:
                    self.value(value)
            elif child.type == "initializer_list":
                self.initialise(target._replace(field=join(target.field, "[]")), child)
            elif child.type != "comment":
                cell = (target.path, join(target.field, "[]"))
                x.memory.cells[cell] = x.alternatives.merge(x.memory.cells.get(cell, []) + self.value(child))

    # -- names and constants -----------------------------------------------------------------------

    def _identifier(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        name = x.text(node)
        frame = x.frame
        if name in frame.env:
            ctype = frame.types.get(name, UNKNOWN_TYPE)
            if ctype.array or (ctype.tag and ctype.depth == 0):
                return [(TRUE, Ptr(x.memory.local(name), None, "", ctype.tag, ctype))]
            return frame.env[name]
        if name in frame.types:
            ctype = frame.types[name]
            if ctype.array or (ctype.tag and ctype.depth == 0):
                return [(TRUE, Ptr(x.memory.local(name), None, "", ctype.tag, ctype))]
            return [(TRUE, Sym(("uninitialised", x.memory.local(name))))]
        return x.calls.name(name, node)

    def _number(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        match = _NUMBER.match(x.text(node))
        return [
            (
                TRUE,
                Const(
                    int(match.group(1), 16 if match.group(1)[:2].lower() == "0x" else 10) if match else None,
                    x.text(node),
                ),
            )
        ]

    def _string(self, node: tree_sitter.Node) -> Multi:
        return [(TRUE, Ptr("static:text", None, "", "", CType("", 0)))]

    def _char(self, node: tree_sitter.Node) -> Multi:
        return [(TRUE, Const(None, self.x.text(node)))]

    def _sizeof(self, node: tree_sitter.Node) -> Multi:
        return [(TRUE, Const(None, self.x.text(node)))]

    def _true(self, node: tree_sitter.Node) -> Multi:
        return [(TRUE, Const(1))]

    def _zero(self, node: tree_sitter.Node) -> Multi:
        return [(TRUE, NULL)]

    # -- operators ---------------------------------------------------------------------------------

    def _negated(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        operator = x.text(node.children[0])
        argument = node.child_by_field_name("argument")
        if argument is None:
            return []
        if operator == "!":
            return [(TRUE, Bool(x.bdd.negate(self.truth(argument))))]
        value = self.value(argument)
        if operator == "-":
            result: Multi = []
            for g, v in value:
                if isinstance(v, Const) and v.number is not None:
                    result.append((g, Const(-v.number)))
                elif isinstance(v, Const) and _ERRNO.match(v.name):
                    result.append((g, Const(None, "-" + v.name)))
                else:
                    result.append((g, Sym(("-", key(v)))))
            return result
        return [(g, Sym((operator, key(v)))) for g, v in value]

    def _binary(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator_node = node.child_by_field_name("operator")
        if left is None or right is None or operator_node is None:
            return []
        operator = x.text(operator_node)
        if operator in ("&&", "||"):
            first = self.truth(left)
            saved = x.record.condition
            x.record.condition = (
                x.bdd.conjoin(saved, first) if operator == "&&" else x.bdd.without(saved, first)
            )
            second = self.truth(right) if x.record.condition != FALSE else FALSE
            x.record.condition = saved
            join = x.bdd.conjoin if operator == "&&" else x.bdd.disjoin
            return [(TRUE, Bool(join(first, second)))]
        a, b = self.value(left), self.value(right)
        if operator in ("==", "!="):
            same = x.truth.equal(a, b, x.text(node))
            return [(TRUE, Bool(same if operator == "==" else x.bdd.negate(same)))]
        return self._arithmetic(operator, a, b, x.text(node))

    def _arithmetic(self, operator: str, a: Multi, b: Multi, text: str) -> Multi:
        x = self.x
        result: Multi = []
        left, right = x.alternatives.each(a), x.alternatives.each(b)
        if len(left) * len(right) > MAX_ALTERNATIVES and not any(isinstance(v, Ptr) for _, v in left + right):
            return [(TRUE, Sym(("arithmetic", x.statements, len(x.record.atoms))))]
        for g, v in left:
            for h, w in right:
                both = x.bdd.conjoin(g, h)
                if both == FALSE:
                    continue
                if isinstance(v, Ptr) and operator in "+-" and not isinstance(w, Ptr):
                    result.append((both, v))
                elif isinstance(w, Ptr) and operator == "+":
                    result.append((both, w))
                else:
                    result.append((both, fold(operator, v, w)))
        return x.alternatives.merge(result)

    def _pointer(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        argument = node.child_by_field_name("argument")
        if argument is None:
            return []
        if x.text(node.children[0]) == "&":
            if (
                argument.type == "identifier"
                and x.text(argument) not in x.frame.types
                and x.scope.find(x.text(argument), "function", x.frame.file)
            ):
                return [(TRUE, Fn(x.text(argument)))]
            return x.places.of(argument)
        return x.memory.load(self.value(argument), node)

    def _field(self, node: tree_sitter.Node) -> Multi:
        return self.x.memory.load(self.x.places.member(node), node)

    def _subscript(self, node: tree_sitter.Node) -> Multi:
        return self.x.memory.load(self.x.places.element(node), node)

    def _cast(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        target, inner = node.child_by_field_name("type"), node.child_by_field_name("value")
        if inner is None:
            return []
        value = self.value(inner)
        if target is None:
            return value
        tag = type_tag(x.frame.piece, target.child_by_field_name("type"))
        abstract = target.child_by_field_name("declarator")
        depth = x.text(abstract).count("*") if abstract is not None else 0
        if depth:
            value = [(g, untagged(v)) for g, v in value]
        if tag and depth:
            return [(g, retype(v, CType(tag, depth))) for g, v in value]
        return value

    def _conditional(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        condition = node.child_by_field_name("condition")
        first, second = node.child_by_field_name("consequence"), node.child_by_field_name("alternative")
        if condition is None or second is None:
            return []
        subject = self.value(condition)
        holds = x.truth.of(subject, x.text(condition))
        saved = x.record.condition
        x.record.condition = x.bdd.conjoin(saved, holds)
        a = (self.value(first) if first is not None else subject) if x.record.condition != FALSE else []
        x.record.condition = x.bdd.without(saved, holds)
        b = self.value(second) if x.record.condition != FALSE else []
        x.record.condition = saved
        return x.alternatives.merge(
            [(x.bdd.conjoin(g, holds), v) for g, v in a] + [(x.bdd.without(g, holds), v) for g, v in b]
        )

    def _comma(self, node: tree_sitter.Node) -> Multi:
        value: Multi = []
        for child in node.named_children:
            value = self.value(child)
        return value

    # -- blocks and calls --------------------------------------------------------------------------

    def _parenthesised(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        inner = next((c for c in node.named_children if c.type != "comment"), None)
        if inner is None:
            return [(TRUE, Const(0))]
        if inner.type == "compound_statement":
            x.frame.scopes.append({})
            with x.guards.scope():
                value = self._statement_value(inner)
            x.control.leave_scope()
            return value
        return self.value(inner)

    def _statement_value(self, node: tree_sitter.Node) -> Multi:
        """Execute a block that is an expression: its value is that of its last statement."""
        x = self.x
        children = [c for c in node.named_children if c.type != "comment"]
        for child in children[:-1]:
            x.control.statement(child)
        if children and children[-1].type == "expression_statement" and children[-1].named_children:
            return self.value(children[-1].named_children[0])
        if children:
            x.control.statement(children[-1])
        return [(TRUE, Const(0))]

    def _call(self, node: tree_sitter.Node) -> Multi:
        return self.x.calls.call(node)

    def _generic(self, node: tree_sitter.Node) -> Multi:
        return self.x.expander.generic(node)

    def _asm(self, node: tree_sitter.Node) -> Multi:
        return self.x.expander.asm(node)

    # -- assignments -------------------------------------------------------------------------------

    def _assignment(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is None or right is None:
            return []
        value = self.value(right)
        operator = next((x.text(c) for c in node.children if not c.is_named), "=")
        if operator != "=":
            value = self._arithmetic(operator.rstrip("="), self.value(left), value, x.text(node))
        if left.type == "identifier" and (x.text(left) in x.frame.types):
            x.memory.assign(x.text(left), value)
        else:
            x.memory.store(x.places.of(left), value, node)
        return value

    def _update(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        argument = node.child_by_field_name("argument")
        if argument is None:
            return []
        value = self.value(argument)
        step = "-" if "--" in (node.children[0].type, node.children[-1].type) else "+"
        if x.control.nested:
            # This stands for every further round of the loop, not for the next one alone.
            kind = NATURAL if step == "+" and all(is_natural(v) for _, v in value) else "stepped"
            stepped: Multi = [(TRUE, Sym((kind, x.statements, len(x.record.atoms))))]
            if any(isinstance(v, Ptr) for _, v in value):
                stepped = self._arithmetic(step, value, [(TRUE, Const(1))], x.text(node))
        else:
            stepped = self._arithmetic(step, value, [(TRUE, Const(1))], x.text(node))
        if argument.type == "identifier" and x.text(argument) in x.frame.types:
            x.memory.assign(x.text(argument), stepped)
        else:
            x.memory.store(x.places.of(argument), stepped, node)
        return stepped if node.children[0].type in ("++", "--") else value

    def _compound_literal(self, node: tree_sitter.Node) -> Multi:
        x = self.x
        x.serial += 1
        kind, body = node.child_by_field_name("type"), node.child_by_field_name("value")
        tag = type_tag(x.frame.piece, kind.child_by_field_name("type")) if kind is not None else ""
        target = Ptr(f"local:{x.frame.serial}:<literal {x.serial}>", None, "", tag, CType(tag))
        if body is not None:
            self.initialise(target, body)
        return [(TRUE, target)]


_EXPRESSIONS: dict[str, Callable[[Expressions, tree_sitter.Node], Multi]] = {
    "identifier": Expressions._identifier,
    "number_literal": Expressions._number,
    "string_literal": Expressions._string,
    "concatenated_string": Expressions._string,
    "char_literal": Expressions._char,
    "true": Expressions._true,
    "false": Expressions._zero,
    "null": Expressions._zero,
    "parenthesized_expression": Expressions._parenthesised,
    "unary_expression": Expressions._negated,
    "binary_expression": Expressions._binary,
    "pointer_expression": Expressions._pointer,
    "field_expression": Expressions._field,
    "subscript_expression": Expressions._subscript,
    "cast_expression": Expressions._cast,
    "conditional_expression": Expressions._conditional,
    "assignment_expression": Expressions._assignment,
    "update_expression": Expressions._update,
    "comma_expression": Expressions._comma,
    "compound_literal_expression": Expressions._compound_literal,
    "call_expression": Expressions._call,
    "sizeof_expression": Expressions._sizeof,
    "offsetof_expression": Expressions._sizeof,
    "alignof_expression": Expressions._sizeof,
    "generic_expression": Expressions._generic,
    "gnu_asm_expression": Expressions._asm,
}

__all__ = ["Expressions"]
