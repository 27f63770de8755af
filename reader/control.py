"""Statements in abstract execution: branches, loops, jumps, scopes and declarations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import FALSE, TRUE
from .configuration import configured
from .limits import MAX_STATEMENTS, UNROLL
from .mask import CLEANUP, FREE
from .parse import descend
from .recorder import Abandon
from .types import declared, type_tag
from .values import UNKNOWN_TYPE, Const, Multi, Ptr

if TYPE_CHECKING:
    from .execute import Executor


class Control:
    """Executes statements. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor
        self.nested = 0
        """How many loops are being executed, in all activations."""
        self._jumps = 0

    def statement(self, node: tree_sitter.Node) -> None:
        """Execute one statement under the current condition, and leave the condition of what follows it."""
        x = self.x
        if x.record.condition == FALSE and not self._has_label(node):
            return
        x.statements += 1
        if x.statements > MAX_STATEMENTS:
            x.record.gap(f"more than {MAX_STATEMENTS} statements", x.where(node))
            raise Abandon
        handler = _STATEMENTS.get(node.type)
        if handler is not None:
            handler(self, node)
        elif node.is_error or node.is_missing:
            x.record.gap("a statement does not parse", x.where(node))
        elif node.type.endswith("expression") or node.type in ("identifier", "number_literal"):
            x.expressions.value(node)

    def _has_label(self, node: tree_sitter.Node) -> bool:
        x = self.x
        if not x.frame.gotos:
            return False
        return any(
            n.type == "labeled_statement" or (n.type == "case_statement" and _case(n) in x.frame.gotos)
            for n in descend(node)
        )

    def _expression(self, node: tree_sitter.Node) -> None:
        for child in node.named_children:
            if child.type != "comment":
                self.x.expressions.value(child)

    def _compound(self, node: tree_sitter.Node) -> None:
        x = self.x
        x.frame.scopes.append({})
        with x.guards.scope():
            self._block(node)
        self.leave_scope()

    def leave_scope(self) -> None:
        """Forget what the innermost scope declared, and see what that hid."""
        x = self.x
        for name, (ctype, value) in x.frame.scopes.pop().items():
            if name in x.frame.kept:
                x.frame.kept[name] = x.frame.env.get(name, [])
            x.frame.types.pop(name, None)
            x.frame.env.pop(name, None)
            if ctype is not None:
                x.frame.types[name] = ctype
            if value is not None:
                x.frame.env[name] = value

    def _block(self, node: tree_sitter.Node) -> None:
        x = self.x
        children = node.named_children
        for child in children:
            self.statement(child)
        labels = [(i, x.text(c.children[0])) for i, c in enumerate(children) if c.type == "labeled_statement"]
        for index, label in labels:
            back = x.frame.gotos.pop(label, FALSE)
            if back != FALSE:
                after = x.record.condition
                x.record.condition = back
                x.frame.gotos[label] = FALSE
                for child in children[index:]:
                    self.statement(child)
                if x.frame.gotos.pop(label, FALSE) != FALSE:
                    x.ends += 1
                x.record.condition = x.bdd.disjoin(after, x.record.condition)

    # -- jumps -------------------------------------------------------------------------------------

    def _label(self, node: tree_sitter.Node) -> None:
        self._arrive(self.x.text(node.children[0]))
        for child in node.named_children[1:]:
            self.statement(child)

    def _arrive(self, label: str) -> None:
        """Go on with what jumped here as well; what is around this was not entered by its condition alone."""
        x = self.x
        arrived = x.frame.gotos.pop(label, FALSE)
        if arrived != FALSE:
            x.exits += 1
        x.record.condition = x.record.widen(x.bdd.disjoin(x.record.condition, arrived))

    def _inner_case(self, node: tree_sitter.Node) -> None:
        """A case label inside a statement of its switch, which jumps to it."""
        self._arrive(_case(node))
        self._after_label(node)

    def _after_label(self, node: tree_sitter.Node) -> None:
        label = node.child_by_field_name("value")
        for inner in node.named_children:
            if label is None or inner.id != label.id:
                self.statement(inner)

    def _goto(self, node: tree_sitter.Node) -> None:
        x = self.x
        label = x.text(node.named_children[0])
        x.guards.goto(label)
        gotos = x.frame.gotos
        gotos[label] = x.bdd.disjoin(gotos.get(label, FALSE), x.record.condition)
        x.exits += 1
        x.record.condition = FALSE

    def _return(self, node: tree_sitter.Node) -> None:
        x = self.x
        value: Multi = [(TRUE, Const(0))]
        if node.named_children:
            value = x.expressions.value(node.named_children[0])
        x.frame.returned += [(x.bdd.conjoin(g, x.record.condition), v) for g, v in value]
        x.exits += 1
        x.record.condition = FALSE

    def _break(self, node: tree_sitter.Node) -> None:
        x = self.x
        x.guards.jump(continues=False)
        if x.frame.breaks:
            x.frame.breaks[-1] = x.bdd.disjoin(x.frame.breaks[-1], x.record.condition)
        self._jumps += 1
        x.record.condition = FALSE

    def _continue(self, node: tree_sitter.Node) -> None:
        x = self.x
        x.guards.jump(continues=True)
        if x.frame.continues:
            x.frame.continues[-1] = x.bdd.disjoin(x.frame.continues[-1], x.record.condition)
        self._jumps += 1
        x.record.condition = FALSE

    # -- branches and loops ------------------------------------------------------------------------

    def _if(self, node: tree_sitter.Node) -> None:
        x = self.x
        condition = node.child_by_field_name("condition")
        scoped = x.frame.piece.words.get(node.start_byte)
        if scoped:
            x.guards.scoped(scoped, condition, node)
            return
        holds = x.expressions.truth(condition) if condition is not None else x.record.fresh("?")
        consequence = node.child_by_field_name("consequence")
        alternative = node.child_by_field_name("alternative")
        entry, exits, jumps = x.record.condition, x.exits, self._jumps
        x.record.condition = x.bdd.conjoin(entry, holds)
        if consequence is not None:
            self.statement(consequence)
        after = x.record.condition
        x.record.condition = x.bdd.without(entry, holds)
        if alternative is not None:
            for child in alternative.named_children:
                self.statement(child)
        if (exits, jumps) == (x.exits, self._jumps):
            x.record.condition = entry
        else:
            x.record.condition = x.record.widen(x.bdd.disjoin(after, x.record.condition))

    def _loop(self, node: tree_sitter.Node) -> None:
        x = self.x
        macro = x.frame.piece.words.get(node.start_byte, "")
        condition = node.child_by_field_name("condition")
        if macro and condition is not None and not x.iterators.iterates(macro):
            x.expander.loop(macro, node, condition)
            return
        x.frame.scopes.append({})
        with x.guards.scope(jumps=True, loops=True):
            self._repeat(node)
        self.leave_scope()

    def _repeat(self, node: tree_sitter.Node) -> None:
        x = self.x
        macro = x.frame.piece.words.get(node.start_byte)
        initializer = node.child_by_field_name("initializer")
        condition = node.child_by_field_name("condition")
        update = node.child_by_field_name("update")
        body = node.child_by_field_name("body")
        if initializer is not None:
            self.statement(initializer)
        first = node.type == "do_statement"
        left = FALSE
        entry, exits = x.record.condition, x.exits
        self.nested += 1
        for _ in range(UNROLL if self.nested == 1 else 1):
            if macro and condition is not None:
                more = x.iterators.iterate(macro, condition)
            elif first or condition is None:
                more = TRUE
            else:
                more = x.expressions.truth(condition)
            left = x.bdd.disjoin(left, x.bdd.without(x.record.condition, more))
            x.record.condition = x.bdd.conjoin(x.record.condition, more)
            x.frame.breaks.append(FALSE)
            x.frame.continues.append(FALSE)
            if body is not None:
                self.statement(body)
            x.record.condition = x.bdd.disjoin(x.record.condition, x.frame.continues.pop())
            left = x.bdd.disjoin(left, x.frame.breaks.pop())
            if update is not None and x.record.condition != FALSE:
                x.expressions.value(update)
            if node.type == "do_statement" and condition is not None:
                words = x.frame.piece.words
                tail = next((words[c.start_byte] for c in node.children if c.start_byte in words), "")
                more = x.expander.tail(tail, condition) if tail else x.expressions.truth(condition)
                left = x.bdd.disjoin(left, x.bdd.without(x.record.condition, more))
                x.record.condition = x.bdd.conjoin(x.record.condition, more)
            if x.record.condition == FALSE:
                break
        self.nested -= 1
        if exits == x.exits and (condition is not None or left != FALSE):
            x.record.condition = entry
        else:
            x.record.condition = x.record.widen(x.bdd.disjoin(left, x.record.condition))

    def _switch(self, node: tree_sitter.Node) -> None:
        with self.x.guards.scope(jumps=True):
            self._cases(node)

    def _cases(self, node: tree_sitter.Node) -> None:
        x = self.x
        subject = node.child_by_field_name("condition")
        body = node.child_by_field_name("body")
        if subject is None or body is None:
            return
        value = x.expressions.value(subject)
        entry = x.record.condition
        cases = _cases_of(body)
        tests: dict[int, int] = {}
        taken = FALSE
        for case in cases:
            label = case.child_by_field_name("value")
            if label is not None:
                x.record.condition = entry
                tests[case.id] = x.bdd.without(x.truth.equal(value, x.expressions.value(label)), taken)
                taken = x.bdd.disjoin(taken, tests[case.id])
        for case in cases:
            if case.parent is None or case.parent.id != body.id:
                arrives = tests.get(case.id, x.bdd.negate(taken))
                x.frame.gotos[_case(case)] = x.bdd.conjoin(entry, arrives)
        x.frame.breaks.append(FALSE)
        x.record.condition = FALSE
        for child in body.named_children:
            if child.type == "case_statement":
                arrives = tests.get(child.id, x.bdd.negate(taken))
                x.record.condition = x.bdd.disjoin(x.record.condition, x.bdd.conjoin(entry, arrives))
                self._after_label(child)
            else:
                self.statement(child)
        missed = FALSE
        if all(c.child_by_field_name("value") is not None for c in cases):
            missed = x.bdd.without(entry, taken)
        after = x.bdd.disjoin(x.bdd.disjoin(x.record.condition, x.frame.breaks.pop()), missed)
        x.record.condition = x.record.widen(after)

    def _preprocessor(self, node: tree_sitter.Node) -> None:
        x = self.x
        kind = node.children[0].type if node.children else ""
        subject = node.child_by_field_name("name") or node.child_by_field_name("condition")
        text = x.text(subject) if subject is not None else "?"
        holds = configured(x.record, text if kind == "#if" or kind == "#elif" else f"defined({text})")
        if kind == "#ifndef":
            holds = x.bdd.negate(holds)
        alternative = node.child_by_field_name("alternative")
        entry = x.record.condition
        x.record.condition = x.bdd.conjoin(entry, holds)
        skip = {n.id for n in (subject, alternative) if n is not None}
        for child in node.named_children:
            if child.id not in skip:
                self.statement(child)
        after = x.record.condition
        x.record.condition = x.bdd.without(entry, holds)
        if alternative is not None:
            if alternative.type == "preproc_else":
                for child in alternative.named_children:
                    self.statement(child)
            else:
                self._preprocessor(alternative)
        x.record.condition = x.bdd.disjoin(after, x.record.condition)

    # -- declarations ------------------------------------------------------------------------------

    def _declaration(self, node: tree_sitter.Node) -> None:
        x = self.x
        kind = node.child_by_field_name("type")
        tag = type_tag(x.frame.piece, kind)
        typeof = x.frame.piece.words.get(kind.start_byte, "") if kind is not None else ""
        base = x.expander.typeof(typeof) if typeof else None
        for declarator in node.children_by_field_name("declarator"):
            target, initial = declarator, None
            if declarator.type == "init_declarator":
                inner = declarator.child_by_field_name("declarator")
                target, initial = inner or declarator, declarator.child_by_field_name("value")
            name, ctype = declared(x.frame.piece, target, tag if base is None else base.tag)
            if not name:
                continue
            if base is not None:
                ctype = ctype._replace(depth=ctype.depth + base.depth) if base.known else UNKNOWN_TYPE
            x.memory.declare(name, ctype)
            self._cleanups(name, node)
            if initial is None:
                x.frame.env.pop(name, None)
            elif initial.type == "initializer_list":
                x.expressions.initialise(Ptr(x.memory.local(name), None, "", tag, ctype), initial)
            else:
                value = x.expressions.value(initial)
                x.memory.assign(name, value)
                if ctype.tag and ctype.depth == 0:
                    x.memory.copied(x.memory.local(name), value)

    def _cleanups(self, name: str, node: tree_sitter.Node) -> None:
        """What is done with the variable `name` of a declaration where its scope ends."""
        x = self.x
        for at, word in x.frame.piece.words.items():
            if node.start_byte <= at < node.end_byte:
                if word.startswith(FREE):
                    x.guards.free(word.removeprefix(FREE), name, node)
                elif word.startswith(CLEANUP):
                    x.guards.cleanup(word.removeprefix(CLEANUP), name, node)


def _case(node: tree_sitter.Node) -> str:
    """The name of a case label among those that are jumped to."""
    return f"case {node.id}"


def _cases_of(body: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The case labels of the switch with that body, but not those of switches in it, in order."""
    found: list[tree_sitter.Node] = []
    todo = [body]
    while todo:
        node = todo.pop()
        if node.type == "case_statement":
            found.append(node)
        todo += reversed([c for c in node.named_children if c.type != "switch_statement"])
    return found


_STATEMENTS: dict[str, Callable[[Control, tree_sitter.Node], None]] = {
    "compound_statement": Control._compound,
    "declaration": Control._declaration,
    "if_statement": Control._if,
    "else_clause": Control._compound,
    "while_statement": Control._loop,
    "for_statement": Control._loop,
    "do_statement": Control._loop,
    "switch_statement": Control._switch,
    "return_statement": Control._return,
    "goto_statement": Control._goto,
    "labeled_statement": Control._label,
    "break_statement": Control._break,
    "continue_statement": Control._continue,
    "preproc_ifdef": Control._preprocessor,
    "preproc_if": Control._preprocessor,
    "case_statement": Control._inner_case,
    "expression_statement": Control._expression,
}

__all__ = ["Control"]
