"""Operators on single values: folded where constants, errors or signs tell, symbolic otherwise."""

from __future__ import annotations

from .values import NATURAL, NULL, Const, Sym, Value, is_error, key


def fold(operator: str, a: Value, b: Value) -> Value:
    """The value of a binary operator on two values, neither of which is pointer arithmetic."""
    if isinstance(a, Const) and isinstance(b, Const) and a.number is not None and b.number is not None:
        x, y = a.number, b.number
        folded = {
            "&": x & y,
            "|": x | y,
            "^": x ^ y,
            "+": x + y,
            "-": x - y,
            "*": x * y,
            "<": int(x < y),
            ">": int(x > y),
            "<=": int(x <= y),
            ">=": int(x >= y),
        }.get(operator)
        if folded is not None:
            return Const(folded)
    if operator in ("<", ">", "<=", ">="):
        for one, other, signs in ((a, b, "<"), (b, a, ">")):
            if is_error(one) and isinstance(other, Const) and other.number == 0:
                return Const(1 if operator[0] == signs else 0)
            if (
                isinstance(one, Const)
                and one.number == 0
                and isinstance(other, Sym)
                and other.key[0] == NATURAL
                and operator[0] != signs
                and "=" not in operator
            ):
                return Const(0)
            if isinstance(one, Const) and one.number == 0 and isinstance(other, Const) and other.number == 0:
                return Const(1 if "=" in operator else 0)
    if operator == "&":
        for other in (a, b):
            if isinstance(other, Const) and other.number == 0:
                return NULL
    if operator == "|":
        for one, other in ((a, b), (b, a)):
            if isinstance(other, Const) and other.number == 0:
                return one
    first, second = key(a), key(b)
    if operator in "&|^+*" and str(second) < str(first):
        first, second = second, first
    return Sym((operator, first, second))


def is_natural(value: Value) -> bool:
    """Whether `value` is known to be no less than 0."""
    return (isinstance(value, Const) and value.number is not None and value.number >= 0) or (
        isinstance(value, Sym) and value.key[0] == NATURAL
    )


__all__ = ["fold", "is_natural"]
