"""Which structures lockless methods touch, told from names and declarations in the text alone.

This decides what a mutant is expected to do, so that it must not ask the reader's execution: it knows
declarations, arrows and nothing of values, and says "undecided" where these do not tell.
"""

from __future__ import annotations

import re
from functools import cached_property

from .code import Code, Function
from .mutant import Expected

_MEMBER = re.compile(r"\bstruct\s+(\w+)\s+(?:__\w+\s+)?(\*?)\s*(?:__\w+\s+)?(\w+)\s*;")


class Touched:
    """What the lockless methods of a filesystem touch."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self._known: dict[str, tuple[Expected, str]] = {}

    def structure(self, tag: str) -> tuple[Expected, str]:
        """Whether a lockless method looks into a ``struct tag``, and by what that is told."""
        if tag not in self._known:
            self._known[tag] = self._structure(tag)
        return self._known[tag]

    def _structure(self, tag: str) -> tuple[Expected, str]:
        named = re.compile(rf"\bstruct\s+{tag}\b")
        variable = re.compile(rf"\bstruct\s+{tag}\s*\*+\s*(?:__\w+\s+)?(?:const\s+)?(\w+)\s*[=;,)]")
        returned = re.compile(rf"\bstruct\s+{tag}\s*\*+\s*(\w+)\s*\(|\(\s*struct\s+{tag}\s*\*\s*\)")
        texts = self.code.lockless_texts
        yes = f"a lockless method looks into a struct {tag}"
        for text in texts.values():
            for name in variable.findall(text):
                if re.search(rf"\b{name}\s*->", text):
                    return Expected.MATTERS, f"{yes} ({name}->)"
        for name in (n for n, text in texts.items() if returned.search(text)):
            for text in texts.values():
                if re.search(rf"\b{name}\s*\((?:[^();]|\([^();]*\))*\)\s*->", text):
                    return Expected.MATTERS, f"{yes} ({name}()->)"
        for member in sorted(self._members.get(tag, ())):
            for text in texts.values():
                if re.search(rf"(?:->|\.)\s*{member}\s*(?:->|\.)", text):
                    return Expected.MATTERS, f"{yes} (->{member})"
        if any(named.search(text) for text in texts.values()):
            return (
                Expected.UNDECIDED,
                f"lockless methods name struct {tag}, and nothing shows that they look in",
            )
        for member in sorted(self._members.get(tag, ())):
            if any(re.search(rf"(?:->|\.)\s*{member}\b", text) for text in texts.values()):
                return Expected.UNDECIDED, f"lockless methods name a member that may lead to a struct {tag}"
        return Expected.HARMLESS, f"no lockless method names struct {tag} or a member that leads to one"

    @cached_property
    def _members(self) -> dict[str, set[str]]:
        """By structure: the members of the filesystem's structures that point to one, or are one."""
        found: dict[str, set[str]] = {}
        for file in self.code.files:
            for definitions in file.definitions.values():
                for d in definitions:
                    if d.kind == "type":
                        for tag, _, name in _MEMBER.findall(file.code[d.start : d.end]):
                            found.setdefault(tag, set()).add(name)
        return found

    def type_of(self, expression: str, function: Function) -> str:
        """The structure that a pointer expression points to: of a variable by its declaration, of a member by
        the only structure that a member of that name has; else ""."""
        text = expression.strip().strip("()& ")
        if re.fullmatch(r"\w+", text):
            pattern = rf"\bstruct\s+(\w+)\s*\*+\s*(?:\w+(?:\s*=[^;,]*)?,\s*\*+\s*)*{text}\b"
            found = set(re.findall(pattern, function.code))
            return found.pop() if len(found) == 1 else ""
        member = re.fullmatch(r"[\w\s.>()-]*?(?:->|\.)\s*(\w+)", text)
        if member:
            tags = [tag for tag, names in self._members.items() if member.group(1) in names]
            return tags[0] if len(tags) == 1 else ""
        return ""
