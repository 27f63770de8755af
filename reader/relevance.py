"""Which functions of a teardown can matter to a lockless walker, told from their text before following them.

A teardown writes back pages, talks to servers, and frees a great deal that no walker can reach. A function
matters if it, or anything that it calls, may destroy an object of a type that the lockless methods touch,
waits for a grace period, or tears the superblock down. What cannot be told matters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..spec.kernel_functions import Effect, KernelFunction, table
from ..spec.program import Program
from .parse import closing
from .source import Definition, SourceFile
from .tree import Scope

_CALL = re.compile(r"(->\s*|\.\s*)?\b([A-Za-z_]\w*)\s*\(")
_WORDS = frozenset({"if", "while", "for", "switch", "return", "sizeof", "typeof", "defined", "do", "else", "case", "__typeof__",
                    "likely", "unlikely", "__attribute__", "__section", "RCU_LOCKDEP_WARN"})
_ROOTS = frozenset({"inode", "dentry", "super_block", "page", "folio", "file", "address_space", "rb_node", "list_head"})
"""Types that every filesystem hands about: a call that is handed one destroys nothing of the filesystem's."""
_ALWAYS = frozenset({"wait", "teardown"})
_PAYLOADS = frozenset({"i_private", "s_fs_info", "d_fsdata"})
_TOO_MANY = 16


@dataclass(frozen=True)
class Wanted:
    """What lockless methods touch: structure types, and members that lead to objects of no structure type."""

    types: frozenset[str]
    members: frozenset[str]


def wanted(walkers: list[Program]) -> Wanted:
    """What the programs of lockless methods touch."""
    types, members = set[str](), set[str]()
    for program in walkers:
        for event in program.events:
            if event.type:
                types.add(event.type)
            if "->" in event.object:
                members.add(event.object.rsplit("->", 1)[1].rsplit(".", 1)[-1])
            if event.kind == "opaque" and event.field:
                members.add(event.field.rsplit(".", 1)[-1])
    return Wanted(frozenset(types), frozenset(members))


_Node = tuple[SourceFile, Definition]
UNTOLD = "?"
"""In an answer: something is destroyed, and the text does not tell what."""
WAITS = "!"
"""In an answer: a grace period is waited for, or the superblock torn down."""


class Relevance:
    """What the functions of one filesystem may destroy of `what`, from their text; answers are remembered."""

    def __init__(self, scope: Scope, what: Wanted) -> None:
        self.scope = scope
        self.what = what
        self._direct: dict[tuple[str, int], tuple[frozenset[str], tuple[_Node, ...]]] = {}
        self._total: dict[tuple[str, int], frozenset[str]] = {}

    def destroys(self, file: SourceFile, definition: Definition) -> frozenset[str]:
        """What the function, or anything that it calls, may destroy: wanted structure types, ``.member`` for
        what a wanted member leads to, `UNTOLD`, `WAITS`."""
        key = (file.path, definition.start)
        if key not in self._total:
            found: set[str] = set()
            seen: set[tuple[str, int]] = set()
            todo: list[_Node] = [(file, definition)]
            while todo:
                f, d = todo.pop()
                if (f.path, d.start) in seen:
                    continue
                seen.add((f.path, d.start))
                if (f.path, d.start) in self._total:
                    found |= self._total[(f.path, d.start)]
                    continue
                own, callees = self._look(f, d)
                found |= own
                todo.extend(callees)
            self._total[key] = frozenset(found)
        return self._total[key]

    def _look(self, file: SourceFile, definition: Definition) -> tuple[frozenset[str], tuple[_Node, ...]]:
        key = (file.path, definition.start)
        if key not in self._direct:
            found: set[str] = set()
            callees: list[_Node] = []
            code = file.code[definition.start:definition.end]
            for match in _CALL.finditer(code):
                name = match.group(2)
                if name in _WORDS or name == definition.name:
                    continue
                end = closing(code, match.end() - 1)
                arguments = _arguments(code[match.end():end - 1]) if end > 0 else []
                if match.group(1) is not None:
                    targets = self.scope.assigned(name)
                    if len(targets) > _TOO_MANY:
                        found.add(UNTOLD)
                    callees += [n for f, t in targets[:_TOO_MANY] for n in self.scope.find(t, "function", f)]
                else:
                    self._named(name, arguments, code, file, found, callees)
            self._direct[key] = (frozenset(found), tuple(callees))
        return self._direct[key]

    def _named(self, name: str, arguments: list[str], code: str, file: SourceFile, found: set[str], callees: list[_Node]) -> None:
        if name.startswith("trace_") or "for_each" in name:
            return
        known = table().get(name)
        defined = self.scope.find(name, "function", file)
        if known is not None and not (defined and defined[0][0] in self.scope.own):
            self._effects(known, arguments, code, file, found, callees)
        elif defined:
            callees += defined
        else:
            for owner, macro in self.scope.macro(name, file)[:1]:
                for inner in _CALL.finditer(macro.body):
                    if macro.params is not None and inner.group(2) != name and inner.group(2) not in _WORDS:
                        self._named(inner.group(2), arguments, code, owner, found, callees)
                return
            for argument in arguments:
                found |= self._touched(argument, code, False)

    def _effects(self, known: KernelFunction, arguments: list[str], code: str, file: SourceFile, found: set[str],
                 callees: list[_Node]) -> None:
        for effect in known.effects:
            index = -1
            if effect.operation in _ALWAYS:
                found.add(WAITS)
            elif effect.operation == "free" or (effect.operation == "last" and "free" in effect.arguments):
                index = effect.index(0)
            elif effect.operation == "defer":
                index = effect.index(1)
            elif effect.operation in ("call", "kref", "work"):
                runs = self._runs(effect, arguments, file)
                if not runs:
                    found.add(UNTOLD)
                callees += runs
            if 0 <= index < len(arguments):
                found |= self._touched(arguments[index], code, True)

    def _runs(self, effect: Effect, arguments: list[str], file: SourceFile) -> tuple[_Node, ...]:
        """The function that a call, a last put or a work item runs."""
        index = effect.index(1, 1) if effect.operation == "kref" else effect.index(0)
        if index >= len(arguments):
            return ()
        name: str | None = arguments[index].strip().lstrip("&")
        if effect.operation == "work":
            name = self.scope.work_function(re.split(r"->|\.", name or "")[-1].strip())
        return self.scope.find(name, "function", file) if name and re.fullmatch(r"\w+", name) else ()

    def _touched(self, argument: str, code: str, freed: bool) -> set[str]:
        """What an argument that is freed (or handed to a function nobody follows) may point to, of what is wanted."""
        argument = argument.strip()
        if not argument or argument[0] in "0123456789\"'" or argument.isupper():
            return set()
        untold = {UNTOLD} if freed else set[str]()
        member = re.fullmatch(r"&?[\w\s>.()\[\]-]*(?:->|\.)\s*(\w+)", argument)
        if member:
            if argument.startswith("&"):
                return untold
            return {"." + member.group(1)} if member.group(1) in self.what.members or member.group(1) in _PAYLOADS else set()
        name = argument.lstrip("&*( ").rstrip(") ")
        if re.fullmatch(r"\w+", name):
            declared = re.search(rf"\b(?:struct|union)\s+(\w+)\s*\*+\s*(?:const\s+)?(?:\w+\s*(?:=[^,;()]*)?,\s*\*?\s*)*{name}\b", code)
            if declared:
                wanted_type = declared.group(1) in self.what.types and (freed or declared.group(1) not in _ROOTS)
                return {declared.group(1)} if wanted_type else set()
            if re.search(rf"\b(?:char|u8|__u8|int|long|u32|u64|size_t|unsigned|bool)\b[^;(){{}}]*\b{name}\b", code):
                return set()
        return untold


def _arguments(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(c, 0)
        if c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]
