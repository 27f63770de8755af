"""Which functions of a filesystem may return with more locks than they were entered with, told from their
text.

Counted are the calls that take a lock of some name and those that drop one, the filesystem's own functions
that may do either among them. A function that takes more often than it drops may hand a lock over; one that
does both equally often is taken not to, whatever the order.
"""

from __future__ import annotations

import re
from collections import Counter

from ..spec.kernel_functions import Effect, KernelFunction
from .parse import closing
from .source import Definition, SourceFile
from .tree import Scope

_CALL = re.compile(r"(?<![\w.>])([a-z_]\w*)\s*\(")
_NAME = re.compile(r"(\w+)(?:\s*\[[^\]]*\]|[)\s])*$")
_SIGNS = {"lock": 1, "trylock": 1, "hold": 1, "unlock": -1, "drop": -1}
_HOLDER = "a holder"
_OF_LOCK = re.compile(r"\b(?:struct\s+(?:rw_semaphore|semaphore|mutex)|(?:raw_)?spinlock_t|rwlock_t)\b")
"""A parameter that points to a lock: a function that takes it takes its caller's."""


class Handover:
    """What the functions of the filesystem that `scope` is take and drop; answers are remembered."""

    def __init__(self, scope: Scope, functions: dict[str, KernelFunction]) -> None:
        self.scope = scope
        self.functions = functions
        self._known: dict[tuple[str, int], dict[str, int]] = {}

    def hands_over(self, file: SourceFile, definition: Definition) -> bool:
        """Whether the function may return with more locks than it was entered with."""
        return any(sign > 0 for sign in self._net(file, definition).values())

    def _net(self, file: SourceFile, definition: Definition) -> dict[str, int]:
        """By the locks' names: 1 where the function may return with one more, -1 with one less."""
        key = (file.path, definition.start)
        if key in self._known:
            return self._known[key]
        self._known[key] = {}
        if not self.scope.owns(file):
            return {}
        taken, dropped = Counter[str](), Counter[str]()
        code = file.code[definition.body : definition.end]
        for match in _CALL.finditer(code):
            for name, sign in self._call(match.group(1), code, match.end() - 1, file):
                (taken if sign > 0 else dropped)[name] += 1
        stated = self.functions.get(definition.name)
        for effect in stated.effects if stated is not None else ():
            if effect.operation in ("hold", "drop"):
                (taken if effect.operation == "hold" else dropped)[_HOLDER] += 1
        self._known[key] = {
            n: 1 if taken[n] else -1 for n in taken | dropped if taken[n] > dropped[n] or not taken[n]
        }
        return self._known[key]

    def _call(self, name: str, code: str, opening: int, file: SourceFile) -> list[tuple[str, int]]:
        known = self.functions.get(name)
        found = self.scope.find(name, "function", file)
        own = bool(found) and self.scope.owns(found[0][0])
        if known is not None and not own:
            end = closing(code, opening)
            text = code[opening + 1 : end - 1] if end > 0 else ""
            taken = [
                (_lock(Effect("lock", e.arguments[-1:]), text), 1)
                for e in known.effects
                if e.operation == "last" and "lock" in e.arguments
            ]
            return taken + [
                (_lock(e, text), _SIGNS[e.operation]) for e in known.effects if e.operation in _SIGNS
            ]
        if not own:
            return []
        callee, definition = found[0]
        end = closing(code, opening)
        handed = _parts(code[opening + 1 : end - 1] if end > 0 else "")
        head = callee.code[definition.start : definition.body].partition("(")[2].rpartition(")")[0]
        pairs = zip(_parts(head), handed, strict=False)
        meant = {_name(own): _name(argument) for own, argument in pairs if _OF_LOCK.search(own)}
        return [(meant.get(n, n), sign) for n, sign in self._net(callee, definition).items()]


def _lock(effect: Effect, arguments: str) -> str:
    """The name of the lock that an effect is about: a member or a variable."""
    for word in effect.arguments[1:]:
        if not word.isdigit() and word not in ("shared", "zero"):
            return word
    parts, index = _parts(arguments), effect.index(0)
    return _name(parts[index]) if index < len(parts) else "?"


def _name(text: str) -> str:
    """The last name of an argument, or of a parameter; ``?`` if it has none."""
    found = _NAME.search(text.strip())
    return found.group(1) if found else "?"


def _parts(text: str) -> list[str]:
    """Arguments, or parameters, as they stand."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text + ","):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return parts
