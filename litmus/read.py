"""The kernel's C litmus format, read.

The format is that of tools/memory-model/Documentation/litmus-tests.txt. What is C in it goes to tree-sitter;
so do, rewritten as C expressions, the initial state and the condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

import tree_sitter
import tree_sitter_c

from ..encodings.execution import Value
from ..errors import InputError
from .primitives import PLAIN_LOAD, PLAIN_STORE, PRIMITIVES
from .syntax import (
    TRUE,
    And,
    Assign,
    Call,
    Condition,
    Constant,
    Equal,
    Evaluate,
    Expression,
    If,
    Not,
    Of,
    Operation,
    Or,
    Register,
    Stated,
    Statement,
    Test,
    Thread,
    UnsupportedError,
)

LARGEST = 1 << 18
"""Characters of a test. Real ones have a few thousand."""
DEEPEST = 60
"""How deep expressions and statements may be nested."""

_PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_c.language()))
_STATED = re.compile(r"^[( ]\* Result: +(\S+)(.*)$", re.MULTILINE)
_HIDDEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
_HIDDEN_TOO = re.compile(r'\(\*.*?\*\)|/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
_THREAD = re.compile(r"\s*P(\d+)\s*\(([^)]*)\)\s*(?=\{)")
_OF_THREAD = re.compile(r"\b(\d+):\s*([A-Za-z_]\w*)")
_JOINED = re.compile(r"P(\d+)__(\w+)")
_INITIALISERS = ("ATOMIC_INIT",)
_UNARY = ("!", "~", "-", "+")
_BINARY = (
    *("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"),
    *("==", "!=", "<", "<=", ">", ">=", "&&", "||"),
)


def stated(text: str) -> Stated | None:
    """What the test says of itself, found as the kernel's own judgelitmus.sh finds it."""
    found = _STATED.search(text)
    if found is None:
        return None
    return Stated(found[1].rstrip(".*)"), "DATARACE" in found[2])


def read(text: str, path: str) -> Test:
    """The test. InputError if this is no litmus test, UnsupportedError if it is one that is not
    understood."""
    return _File(text, path).test()


class _File:
    """One file, taken apart from its beginning to its end."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path = text, path
        self.initial: dict[str, Value] = {}
        self.registers: dict[int, dict[str, Value]] = {}

    def bad(self, why: str) -> NoReturn:
        raise InputError(f"{self.path}: {why}")

    def test(self) -> Test:
        if len(self.text) > LARGEST:
            self.bad(f"larger than any litmus test ({len(self.text)} characters)")
        head = re.match(r"(?:\s|\(\*.*?\*\))*([A-Za-z][A-Za-z0-9_]*)[ \t]+(\S+)", self.text, re.S)
        if head is None or "\0" in self.text:
            self.bad("not a litmus test: the first line names no architecture and test")
        if head[1] != "C":
            if not re.fullmatch(r"[A-Z][A-Za-z0-9]+", head[1]):
                self.bad("not a litmus test: the first line names no architecture and test")
            raise UnsupportedError(f"{head[1]} test")
        rest = self.text[head.end() :]
        rest = rest[rest.find("\n") + 1 :] if "\n" in rest else ""
        # Up to the first thread both kinds of comment are such; in C, "(*x)" is an expression.
        first = re.search(r"^\s*P0\s*\(", rest, re.MULTILINE)
        if first is None:
            self.bad("not a litmus test: there is no P0")
        before, after = rest[: first.start()], rest[first.start() :]
        before = _HIDDEN_TOO.sub(" ", before)
        opened = before.find("{")
        if opened < 0 or not before.rstrip().endswith("}"):
            self.bad("the initial state before P0 is missing or not closed")
        self._initial(before[opened + 1 : before.rindex("}")])
        threads, footer = self._threads(_HIDDEN.sub(" ", after))
        quantifier, condition, filtered = self._footer(footer)
        return Test(
            name=head[2],
            threads=tuple(threads),
            initial=self.initial,
            condition=condition,
            quantifier=quantifier,
            filter=filtered,
            stated=stated(self.text),
        )

    # ------------------------------------------------------------------------------------ initial state

    def _initial(self, text: str) -> None:
        for entry in (part.strip() for part in text.split(";")):
            if not entry:
                continue
            found = re.fullmatch(
                r"(?:(?:[A-Za-z_]\w*\s+)*[A-Za-z_]\w*[\s*]*[\s*])?(?:(\d+):)?\s*([A-Za-z_]\w*)\s*(?:=(.*))?",
                entry,
                re.S,
            )
            if found is None:
                raise UnsupportedError(f"initial state {_short(entry)!r}")
            thread, name, value = found.groups()
            meant = 0 if value is None else self._value(value.strip())
            if thread is None:
                self.initial[name] = meant
            else:
                self.registers.setdefault(int(thread), {})[name] = meant

    def _value(self, text: str) -> Value:
        for name in _INITIALISERS:
            if found := re.fullmatch(rf"{name}\s*\((.*)\)", text, re.S):
                text = found[1].strip()
        text = re.sub(r"^\((.*)\)$", r"\1", text, flags=re.S).strip()
        if re.fullmatch(r"[-+]?(?:0[xX][0-9a-fA-F]+|\d+)", text):
            return _number(text)
        if found := re.fullmatch(r"&?\s*([A-Za-z_]\w*)", text):
            return f"&{found[1]}"
        raise UnsupportedError(f"initial value {_short(text)!r}")

    # ------------------------------------------------------------------------------------------ threads

    def _threads(self, text: str) -> tuple[list[Thread], str]:
        threads: list[Thread] = []
        at = 0
        while found := _THREAD.match(text, at):
            number = int(found[1])
            if number != len(threads):
                self.bad(f"P{number} stands where P{len(threads)} should")
            end = self._closing(text, found.end())
            thread = _Function(self, number, found[2], text[found.end() : end])
            threads.append(thread.thread())
            at = end
        if not threads:
            self.bad("not a litmus test: P0 has no body")
        for number in self.registers:
            if number >= len(threads):
                self.bad(f"the initial state speaks of P{number}, which is not there")
        return threads, text[at:]

    def _closing(self, text: str, start: int) -> int:
        depth = 0
        for i in range(start, len(text)):
            if text[i] == "{":
                depth += 1
            elif text[i] == "}":
                depth -= 1
                if depth == 0:
                    return i + 1
        self.bad("braces do not match")

    # ---------------------------------------------------------------------------------------- condition

    def _footer(self, text: str) -> tuple[str, Condition, Condition]:
        text = _HIDDEN_TOO.sub(" ", text).strip()
        filtered: Condition = TRUE
        while True:
            if found := re.match(r"locations\s*\[[^]]*\]\s*;?\s*", text):
                text = text[found.end() :]
            elif re.match(r"filter\b", text):
                end = re.search(r"\b(?:~\s*exists|exists|forall|locations)\b", text)
                if end is None:
                    self.bad("a filter and no condition")
                filtered = self._condition(text[len("filter") : end.start()].rstrip("~ \n\t"))
                text = text[end.start() :]
            else:
                break
        if not text:
            return "exists", TRUE, filtered
        found = re.match(r"(exists|~\s*exists|not\s+exists|forall)\b", text)
        if found is None:
            self.bad(f"neither a thread nor a condition: {_short(text)!r}")
        quantifier = found[1]
        if quantifier not in ("exists", "forall"):
            quantifier = "~exists"
        return quantifier, self._condition(text[found.end() :]), filtered

    def _condition(self, text: str) -> Condition:
        text = text.strip().rstrip(";")
        shown = _short(text)
        if re.search(r"[;{}]", text):
            self.bad(f"the condition is none: {shown}")
        c = _OF_THREAD.sub(r"P\1__\2", text)
        c = re.sub(r"\bnot\b|~", "!", c)
        c = c.replace("/\\", "&&").replace("\\/", "||")
        c = re.sub(r"\[\s*(\w+)\s*\]", r"\1", c)
        c = re.sub(r"(?<![=!<>])=(?![=>])", "==", c)
        c = re.sub(r"\btrue\b", "0==0", c)
        data = f"int condition = ({c});".encode("ascii", "replace")
        root = _PARSER.parse(data).root_node
        if root.has_error or root.child_count != 1:
            self.bad(f"the condition is none: {shown}")
        declared = root.children[0].child_by_field_name("declarator")
        value = declared.child_by_field_name("value") if declared else None
        if value is None:
            self.bad(f"the condition is none: {shown}")
        return self._meant(value, 0)

    def _meant(self, node: tree_sitter.Node, depth: int) -> Condition:
        if depth > DEEPEST * 4:
            self.bad("the condition is nested too deeply")
        if node.type == "parenthesized_expression":
            return self._meant(_inner(node), depth + 1)
        if node.type == "unary_expression" and _operator(node) == "!":
            of = _field(node, "argument")
            if of.type != "parenthesized_expression":
                raise UnsupportedError("negation of what stands in no parentheses in the condition")
            return Not(self._meant(of, depth + 1))
        if node.type == "binary_expression":
            operator, left, right = _operator(node), _field(node, "left"), _field(node, "right")
            if operator in ("&&", "||"):
                parts = (self._meant(left, depth + 1), self._meant(right, depth + 1))
                return And(parts) if operator == "&&" else Or(parts)
            if operator in ("==", "!="):
                found = self._equal(left, right)
                return found if operator == "==" else Not(found)
        raise UnsupportedError(f"condition {_short(_text(node))!r}")

    def _equal(self, left: tree_sitter.Node, right: tree_sitter.Node) -> Condition:
        if left.type == "unary_expression" and _operator(left) == "!":
            # In C, "!x == 1" is "(!x) == 1"; in a condition, "~x=1" is "~(x=1)".
            return Not(self._equal(_field(left, "argument"), right))
        operands: list[Of | Constant] = []
        for node, first in ((left, True), (right, False)):
            while node.type == "parenthesized_expression":
                node = _inner(node)
            text = _text(node)
            if found := _JOINED.fullmatch(text):
                operands.append(Of(found[2], int(found[1])))
            elif node.type == "identifier":
                operands.append(Of(text) if first else Constant(f"&{text}"))
            elif node.type == "pointer_expression" and _field(node, "argument").type == "identifier":
                operands.append(Constant("&" + _text(_field(node, "argument"))))
            elif re.fullmatch(r"[-+]?\s*\w+", text) and text.strip("-+ ")[:1].isdigit():
                operands.append(Constant(_number(text)))
            else:
                raise UnsupportedError(f"condition on {_short(text)!r}")
        a, b = operands
        if isinstance(a, Constant) and isinstance(b, Constant):
            return TRUE if a == b else Not(TRUE)
        return Equal(a, b) if isinstance(a, Of) else Equal(b, a)  # type: ignore[arg-type]


class _Function:
    """One thread, from C to statements."""

    def __init__(self, file: _File, number: int, parameters: str, body: str) -> None:
        self.file, self.number = file, number
        self.set = file.registers.get(number, {})
        self.parameters: set[str] = set()
        for part in filter(None, (p.strip() for p in parameters.split(","))):
            if part == "void":
                continue
            found = re.fullmatch(r"(?:\w+[\s*]+)*?\**\s*(\w+)", part)
            if found is None:
                raise UnsupportedError(f"parameter {_short(part)!r}")
            if "*" not in part:
                raise UnsupportedError("parameter that is no pointer")
            self.parameters.add(found[1])
            if found[1] not in self.set:
                self.file.initial.setdefault(found[1], 0)
        self.body = body
        self.locals: set[str] = set()

    def thread(self) -> Thread:
        data = f"void f(void) {self.body}".encode("ascii", "replace")
        root = _PARSER.parse(data).root_node
        if root.has_error:
            wrong = _first_error(root)
            raise UnsupportedError(f"syntax: {_short(_text(wrong))!r}" if wrong is not None else "syntax")
        body = _field(root.children[0], "body")
        return Thread(self.number, tuple(self._block(body, 0)), self.set)

    def _block(self, node: tree_sitter.Node, depth: int) -> Iterator[Statement]:
        if depth > DEEPEST:
            raise UnsupportedError("statements nested too deeply")
        kind = node.type
        if kind == "compound_statement":
            for child in node.named_children:
                yield from self._block(child, depth + 1)
        elif kind == "declaration":
            yield from self._declaration(node)
        elif kind == "expression_statement":
            for child in node.named_children:
                if child.type != "comment":
                    yield from self._effect(child)
        elif kind == "if_statement":
            yield self._if(node, depth)
        elif kind == "comment":
            return
        elif kind in ("while_statement", "do_statement", "for_statement"):
            raise UnsupportedError("loop")
        else:
            raise UnsupportedError(f"{kind.replace('_', ' ')}")

    def _if(self, node: tree_sitter.Node, depth: int) -> If:
        condition = self._expression(_field(node, "condition"))
        then = tuple(self._block(_field(node, "consequence"), depth + 1))
        otherwise: tuple[Statement, ...] = ()
        alternative = node.child_by_field_name("alternative")
        if alternative is not None:
            inner = [c for c in alternative.named_children if c.type != "comment"]
            otherwise = tuple(s for c in inner for s in self._block(c, depth + 1))
        return If(condition, then, otherwise)

    def _declaration(self, node: tree_sitter.Node) -> Iterator[Statement]:
        for declared in node.children_by_field_name("declarator"):
            value = None
            if declared.type == "init_declarator":
                value = _field(declared, "value")
                declared = _field(declared, "declarator")
            while declared.type == "pointer_declarator":
                declared = _field(declared, "declarator")
            if declared.type != "identifier":
                raise UnsupportedError(declared.type.replace("_", " "))
            name = _text(declared)
            self.parameters.discard(name)
            if value is not None:
                yield Assign(name, self._expression(value))

    def _effect(self, node: tree_sitter.Node) -> Iterator[Statement]:
        """An expression statement."""
        if node.type == "parenthesized_expression":
            yield from self._effect(_inner(node))
        elif node.type == "assignment_expression":
            operator = _operator(node)
            left, right = _field(node, "left"), _field(node, "right")
            while left.type == "parenthesized_expression":
                left = _inner(left)
            value = self._expression(right)
            if left.type == "identifier":
                name = _text(left)
                if name in self.parameters:
                    raise UnsupportedError("assignment to a parameter")
                if operator != "=":
                    value = Operation(operator[:-1], (Register(name), value))
                yield Assign(name, value)
                return
            address = self._address(left)
            if operator != "=":
                value = Operation(operator[:-1], (Call(PLAIN_LOAD, (address,), _text(left)), value))
            yield Evaluate(Call(PLAIN_STORE, (address, value), _text(node)))
        elif node.type == "update_expression":
            target = _field(node, "argument")
            operator = "+" if "++" in _text(node) else "-"
            while target.type == "parenthesized_expression":
                target = _inner(target)
            if target.type == "identifier" and _text(target) not in self.parameters:
                name = _text(target)
                yield Assign(name, Operation(operator, (Register(name), Constant(1))))
            else:
                address = self._address(target)
                old = Call(PLAIN_LOAD, (address,), _text(target))
                new = Operation(operator, (old, Constant(1)))
                yield Evaluate(Call(PLAIN_STORE, (address, new), _text(node)))
        else:
            yield Evaluate(self._expression(node))

    def _expression(self, node: tree_sitter.Node, depth: int = 0) -> Expression:
        if depth > DEEPEST:
            raise UnsupportedError("an expression nested too deeply")
        kind = node.type
        if kind == "parenthesized_expression":
            return self._expression(_inner(node), depth + 1)
        if kind == "number_literal":
            return Constant(_number(_text(node)))
        if kind in ("identifier", "true", "false", "null"):
            return self._name(_text(node))
        if kind == "cast_expression":
            return self._expression(_field(node, "value"), depth + 1)
        if kind == "unary_expression" and (operator := _operator(node)) in _UNARY:
            return Operation(operator, (self._expression(_field(node, "argument"), depth + 1),))
        if kind == "pointer_expression":
            if _operator(node) == "*":
                of = self._expression(_field(node, "argument"), depth + 1)
                return Call(PLAIN_LOAD, (of,), _text(node))
            raise UnsupportedError("address of something")
        if kind == "binary_expression" and (operator := _operator(node)) in _BINARY:
            left = self._expression(_field(node, "left"), depth + 1)
            right = self._expression(_field(node, "right"), depth + 1)
            if _accesses(left) and _accesses(right):
                raise UnsupportedError("two accesses in one expression, which C does not order")
            return Operation(operator, (left, right))
        if kind == "conditional_expression":
            raise UnsupportedError("conditional expression")
        if kind == "call_expression":
            return self._call(node, depth)
        raise UnsupportedError(kind.replace("_", " "))

    def _name(self, name: str) -> Expression:
        if name in self.parameters and name not in self.set:
            return Constant(f"&{name}")
        if name in ("true", "false", "NULL"):
            return Constant(int(name == "true"))
        return Register(name)

    def _call(self, node: tree_sitter.Node, depth: int) -> Expression:
        function = _field(node, "function")
        arguments = [c for c in _field(node, "arguments").named_children if c.type != "comment"]
        if function.type == "parenthesized_expression" and len(arguments) == 1:
            return self._expression(arguments[0], depth + 1)  # a cast: `(intptr_t)(x)`
        name = _text(function)
        primitive = PRIMITIVES.get(name)
        if primitive is None:
            raise UnsupportedError(f"{name}()")
        if len(arguments) != primitive.arguments:
            raise UnsupportedError(f"{name}() with {len(arguments)} arguments")
        meant = []
        for i, argument in enumerate(arguments):
            if primitive.lvalue and i == 0:
                meant.append(self._address(argument))
            else:
                meant.append(self._expression(argument, depth + 1))
        if sum(map(_accesses, meant)) > 1:
            raise UnsupportedError("two accesses in one expression, which C does not order")
        return Call(primitive, tuple(meant), _text(node))

    def _address(self, node: tree_sitter.Node) -> Expression:
        """The address of an object."""
        while node.type in ("parenthesized_expression", "cast_expression"):
            node = _inner(node) if node.type == "parenthesized_expression" else _field(node, "value")
        if node.type == "pointer_expression" and _operator(node) == "*":
            return self._expression(_field(node, "argument"))
        if node.type == "identifier":
            raise UnsupportedError("an access to a local variable as if it were shared")
        raise UnsupportedError(f"an access to a {node.type.replace('_', ' ')}")


def _accesses(expression: Expression) -> bool:
    """Whether evaluating it comes to an event."""
    if isinstance(expression, Call):
        return True
    return isinstance(expression, Operation) and any(map(_accesses, expression.operands))


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode("ascii", "replace")


def _field(node: tree_sitter.Node, name: str) -> tree_sitter.Node:
    found = node.child_by_field_name(name)
    if found is None:
        raise UnsupportedError(f"syntax: {_short(_text(node))!r}")
    return found


def _inner(node: tree_sitter.Node) -> tree_sitter.Node:
    inner = [c for c in node.named_children if c.type != "comment"]
    if len(inner) != 1:
        raise UnsupportedError(f"syntax: {_short(_text(node))!r}")
    return inner[0]


def _operator(node: tree_sitter.Node) -> str:
    found = node.child_by_field_name("operator")
    return _text(found) if found is not None else ""


def _first_error(root: tree_sitter.Node) -> tree_sitter.Node | None:
    left = [root]
    while left:
        node = left.pop()
        if node.type == "ERROR" or node.is_missing:
            return node if node.text else node.parent
        left += [c for c in reversed(node.children) if c.has_error or c.is_missing]
    return None


def _number(text: str) -> int:
    text = re.sub(r"[\s()]", "", text).rstrip("uUlL")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    try:
        return sign * int(digits, 8 if re.fullmatch(r"0[0-7]+", digits) else 0)
    except ValueError:
        raise UnsupportedError(f"number {_short(text)!r}") from None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."
