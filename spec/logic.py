"""Linear temporal logic over finite traces with past operators.

One syntax tree serves the SMT translation (`encodings/temporal.py`), the replay checker
(`proofs/replay.py`) and typesetting. A position is one executed step of a trace.

Concrete syntax (loosest first)::

    φ ::= φ -> φ | φ "|" φ | φ & φ | φ since φ | φ until φ
        | !φ | always φ | eventually φ | next φ | once φ | historically φ | previously φ
        | predicate | true | false | (φ)
    predicate ::= NAME | NAME(ARG, ...)        ARG: letters, digits and -_*.[]

``always`` and ``eventually`` quantify over this and later positions, ``once`` and ``historically`` over
this and earlier ones; ``previously`` is false at the first position, ``next`` at the last. A formula
holds of a trace iff it holds at its first position; of the empty trace iff it has no counterexample, so
``always`` holds and ``eventually`` does not. Source: Lichtenstein, Pnueli, Zuck, "The Glory of the Past",
1985; De Giacomo and Vardi, "LTLf", IJCAI 2013.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import SpecificationError

UNARY = ("always", "eventually", "next", "once", "historically", "previously")
BINARY = ("since", "until")


@dataclass(frozen=True, slots=True)
class Formula:
    """A node: ``op`` is one of pred, true, not, and, or, implies, UNARY, BINARY; predicates bear a name."""

    op: str
    args: tuple[Formula, ...] = ()
    name: str = ""
    params: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.op == "pred":
            return self.name + (f"({', '.join(self.params)})" if self.params else "")
        if self.op == "true":
            return "true"
        if self.op == "not":
            return "false" if self.args[0].op == "true" else f"!{_wrap(self.args[0])}"
        if self.op in UNARY:
            return f"{self.op} {_wrap(self.args[0])}"
        sign = {"and": "&", "or": "|", "implies": "->"}.get(self.op, self.op)
        return f" {sign} ".join(_wrap(a) for a in self.args)


def _wrap(f: Formula) -> str:
    return str(f) if f.op in ("pred", "true", "not") or f.op in UNARY else f"({f})"


_TOKEN = re.compile(r"\s*(->|[()!&|,]|(?:[\w.*\[\]]|-(?!>))+)")


def parse(text: str) -> Formula:
    """The syntax tree of `text`; SpecificationError, with the place, where it is none."""
    tokens: list[str] = []
    at = 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if not match:
            raise SpecificationError(f"temporal formula: unexpected {stripped[at : at + 10]!r} in {text!r}")
        tokens.append(match.group(1))
        at = match.end()
    parser = _Parser(tokens, text)
    tree = parser.implication()
    parser.end()
    return tree


class _Parser:
    def __init__(self, tokens: list[str], text: str) -> None:
        self.tokens, self.text, self.at = tokens, text, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            place = repr(token) if token else "the end"
            raise SpecificationError(
                f"temporal formula: {wanted or 'an operand'} expected before {place} in {self.text!r}"
            )
        self.at += 1
        return token

    def end(self) -> None:
        if self.peek():
            raise SpecificationError(f"temporal formula: {self.peek()!r} left over in {self.text!r}")

    def implication(self) -> Formula:
        left = self.disjunction()
        if self.peek() == "->":
            self.take()
            return Formula("implies", (left, self.implication()))
        return left

    def disjunction(self) -> Formula:
        args = [self.conjunction()]
        while self.peek() == "|":
            self.take()
            args.append(self.conjunction())
        return args[0] if len(args) == 1 else Formula("or", tuple(args))

    def conjunction(self) -> Formula:
        args = [self.binary()]
        while self.peek() == "&":
            self.take()
            args.append(self.binary())
        return args[0] if len(args) == 1 else Formula("and", tuple(args))

    def binary(self) -> Formula:
        left = self.unary()
        while self.peek() in BINARY:
            left = Formula(self.take(), (left, self.unary()))
        return left

    def unary(self) -> Formula:
        token = self.take()
        if token == "!":
            return Formula("not", (self.unary(),))
        if token in UNARY:
            return Formula(token, (self.unary(),))
        if token == "(":
            inside = self.implication()
            self.take(")")
            return inside
        if token == "true":
            return Formula("true")
        if token == "false":
            return Formula("not", (Formula("true"),))
        if token in BINARY or not re.fullmatch(r"[A-Za-z][\w.*\[\]-]*", token):
            raise SpecificationError(f"temporal formula: operand expected at {token!r} in {self.text!r}")
        if self.peek() != "(":
            return Formula("pred", name=token)
        self.take("(")
        params = [self.take()]
        while self.peek() == ",":
            self.take()
            params.append(self.take())
        self.take(")")
        return Formula("pred", name=token, params=tuple(params))
