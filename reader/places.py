"""Addresses of lvalues: variables, members, elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import TRUE
from .roots import embedded
from .values import UNKNOWN_TYPE, CType, Multi, Ptr, join

if TYPE_CHECKING:
    from .execute import Executor


class Places:
    """Tells the address of an lvalue. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor

    def of(self, node: tree_sitter.Node) -> Multi:
        """The address of an lvalue."""
        x = self.x
        if node.type == "identifier":
            name = x.text(node)
            if name in x.frame.types or name in x.frame.env:
                return x.memory.address(name)
            return [(TRUE, Ptr(f"static:{name}", None, "", "", UNKNOWN_TYPE))]
        if node.type == "parenthesized_expression":
            return self.of(node.named_children[0])
        if node.type == "field_expression":
            return self.member(node)
        if node.type == "pointer_expression" and x.frame.piece.string(node)[:1] == "*":
            return x.expressions.value(node.named_children[0])
        if node.type == "subscript_expression":
            return self.element(node)
        if node.type == "cast_expression":
            inner = node.child_by_field_name("value")
            return self.of(inner) if inner is not None else []
        return x.expressions.value(node)

    def member(self, node: tree_sitter.Node) -> Multi:
        """The address that a field expression names."""
        x = self.x
        argument = node.child_by_field_name("argument")
        member = node.child_by_field_name("field")
        operator = node.child_by_field_name("operator")
        if argument is None or member is None:
            return []
        arrow = operator is not None and x.frame.piece.string(operator) == "->"
        base = x.expressions.value(argument) if arrow else self.of(argument)
        return self.members(base, x.text(member))

    def members(self, base: Multi, name: str) -> Multi:
        """The address of member `name` of each structure that `base` points to."""
        x = self.x
        result: Multi = []
        for g, v in x.alternatives.each(base):
            if isinstance(v, Ptr):
                tag = v.ctype.tag if v.ctype.known and v.ctype.depth == 0 else ""
                if not tag and not v.field:
                    tag = v.otype
                ctype = x.types.member(tag, name, x.frame.file) if tag else UNKNOWN_TYPE
                place = v._replace(
                    field=join(v.field, name), ctype=ctype, otype=v.otype or (tag if not v.field else "")
                )
                result.append((g, embedded(place)))
            else:
                result.append((g, v))
        return result

    def element(self, node: tree_sitter.Node) -> Multi:
        """The address that a subscript expression names."""
        x = self.x
        argument = node.child_by_field_name("argument")
        index = node.child_by_field_name("index")
        if index is not None:
            x.expressions.value(index)
        if argument is None:
            return []
        result: Multi = []
        for g, v in x.alternatives.each(x.expressions.value(argument)):
            if isinstance(v, Ptr):
                element = v.ctype._replace(array=False) if v.ctype.known else UNKNOWN_TYPE
                if v.via is not None and not v.field and element == UNKNOWN_TYPE:
                    element = CType("", 0)
                result.append((g, v._replace(field=join(v.field, "[]"), ctype=element)))
            else:
                result.append((g, v))
        return result


__all__ = ["Places"]
