"""Under which conditions a statement of a function stands, told from the text."""

from __future__ import annotations

import re
from typing import NamedTuple

from .mask import closing

_TOKEN = re.compile(r"[{};]|\b(?:if|for|while|switch)\s*\(|\belse\b|\bcase\b")


class Around(NamedTuple):
    """What a statement stands in: ``if``, ``else``, ``for``, ``while``, ``switch`` or ``case``; what it
    tests."""

    word: str
    test: str = ""


def around(code: str, at: int) -> list[Around]:
    """What is open at a position of a function that starts before it in `code`, outermost first."""
    start = code.find("{", max(code.rfind("\n}", 0, at) + 2, 0), at) + 1
    scopes: list[list[Around]] = []
    pending: list[Around] = []
    done = start
    for match in _TOKEN.finditer(code, start, at):
        token = match.group()
        if match.start() < done:
            continue
        if token == "{":
            scopes.append(pending)
            pending = []
        elif token in ";}":
            pending = []
            if token == "}" and scopes:
                scopes.pop()
        elif token in ("else", "case"):
            pending.append(Around(token))
        else:
            done = closing(code, match.end() - 1)
            if done < 0 or done > at:
                break
            pending.append(Around(token.rstrip("( \t\n"), code[match.end() : done - 1]))
    return [a for scope in (*scopes, pending) for a in scope]


def unconditional(code: str, at: int, allowed: str = "(?!)") -> bool:
    """Whether what stands at a position of a function is executed on every way through it, early returns
    aside: it stands under no condition but an ``else`` that has none, or tests that `allowed` matches, and
    is not the second part of a test."""
    statement = code[max(code.rfind(c, 0, at) for c in ";{}") + 1 : at]
    unclosed = statement.count("(") > statement.count(")")
    if unclosed and re.search(r"&&|\|\||\?", statement):
        return False
    return all(
        a.word == "else" or (a.word == "if" and re.fullmatch(allowed, a.test.strip()))
        for a in around(code, at)
    )
