"""Preprocessor conditions as path conditions over configuration symbols."""

from __future__ import annotations

import re

from ..bdd import FALSE, TRUE
from .recorder import Recorder


def configured(record: Recorder, text: str) -> int:
    """A preprocessor condition as a path condition over configuration symbols."""
    text = text.strip()
    while text.startswith("(") and _closes_at_end(text):
        text = text[1:-1].strip()
    for sign, either in (("||", record.bdd.disjoin), ("&&", record.bdd.conjoin)):
        parts = _split(text, sign)
        if len(parts) > 1:
            result = configured(record, parts[0])
            for part in parts[1:]:
                result = either(result, configured(record, part))
            return result
    if text.startswith("!"):
        return record.bdd.negate(configured(record, text[1:]))
    match = re.fullmatch(
        r"(?:defined\s*\(?|IS_ENABLED\s*\(|IS_REACHABLE\s*\(|IS_BUILTIN\s*\()\s*(\w+)\s*\)?", text
    )
    if match:
        name = match.group(1)
        if name in ("__KERNEL__", "CONFIG_MMU"):
            return TRUE
        return record.atom("stable", ("config", name), name)
    if text in ("0", "1"):
        return TRUE if text == "1" else FALSE
    return record.atom("stable", ("config", text), text)


def _closes_at_end(text: str) -> bool:
    depth = 0
    for i, c in enumerate(text):
        depth += {"(": 1, ")": -1}.get(c, 0)
        if depth == 0:
            return i == len(text) - 1
    return False


def _split(text: str, sign: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += {"(": 1, ")": -1}.get(c, 0)
        if depth == 0 and text.startswith(sign, i):
            parts.append(text[start:i])
            start = i + len(sign)
    return [*parts, text[start:]]


__all__ = ["configured"]
