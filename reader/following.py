"""Which calls are followed: what can matter to the question that is asked, within limits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .handover import Handover
from .limits import ACCESSOR_LENGTH, LOCKERS_DEEP, MAX_DEPTH, MAX_STATEMENTS, SHALLOW
from .relevance import COUNTED, DELAYED, HOLDS, LATER, PARAMETER, UNTOLD, WAITS, Relevance
from .source import Definition, SourceFile
from .values import Multi, Ptr, Sym, Value

if TYPE_CHECKING:
    from .execute import Executor

_LOCK_SIGNS = {"lock": 1, "trylock": 1, "unlock": -1}
_CALLED = re.compile(r"\b([A-Za-z_]\w*)\s*\(")


class Following:
    """Decides which calls an `Executor` follows: down to `depth`, only where they matter to `relevance`, if
    there is one, and until `most_followed` statements were executed. `handover` tells the functions whose
    locks must be known."""

    def __init__(
        self,
        executor: Executor,
        relevance: Relevance | None,
        depth: int,
        most_followed: int,
        handover: Handover | None,
    ) -> None:
        self.x = executor
        self.relevance = relevance
        self.depth = depth
        self.most_followed = most_followed
        self.handover = handover
        self._lockers: dict[tuple[str, int], bool] = {}

    def irrelevant(self, found: tuple[tuple[SourceFile, Definition], ...], values: list[Multi]) -> bool:
        """Whether a call of one of the functions `found` with these arguments can be left out: it destroys
        nothing of a walker's, waits for no grace period and returns with the locks that it was entered with.

        What hangs off neither an argument that leads to the victim nor an argument that may be the victim's
        own is not a walker's (ARCHITECTURE.md, assumptions)."""
        if self.relevance is None or any(_yields_pointer(f, d) for f, d in found):
            return False
        entries = {e for f, d in found for e in self.relevance.destroys(f, d)}
        what = self.relevance.what
        sure = {e for e in entries if not e.endswith(LATER)}
        given = [v for value in values for _, v in value]
        if WAITS in entries or (HOLDS in entries and not any(isinstance(v, Ptr) for v in given)):
            return False
        if self._handed_shared(found, given):
            return False
        if not any(self._leads_to_victim(v) for v in given):
            types = {v.otype or v.ctype.tag for v in given if isinstance(v, Ptr)}
            return not (
                (sure - {HOLDS}) & types
                or (any(e.startswith(PARAMETER) for e in sure) and ("" in types and what.untyped))
            )
        if sure:
            return False
        if len(self.x.frames) > SHALLOW and all(e.endswith(DELAYED) for e in entries):
            return True
        return not (
            entries
            and any(
                isinstance(v, Ptr)
                and "->" in v.path
                and v.path.rsplit("->", 1)[1].rsplit(".", 1)[-1] in what.members
                for v in given
            )
        )

    def _handed_shared(self, found: tuple[tuple[SourceFile, Definition], ...], given: list[Value]) -> bool:
        """Whether a function of the kernel's shared files is handed an object that walkers reach through a
        member of the same name: it may destroy that, whatever `Relevance` says of the filesystem's own."""
        assert self.relevance is not None
        members = self.relevance.what.members
        return any(not self.x.scope.owns(f) and not f.path.endswith(".h") for f, _ in found) and any(
            isinstance(v, Ptr) and not v.field and v.path.rpartition("->")[2].rpartition(".")[2] in members
            for v in given
        )

    def _leads_to_victim(self, value: Value, deep: int = 0) -> bool:
        """Whether `value` may lead to what hangs off one of the VFS's objects that the method is about."""
        x = self.x
        if isinstance(value, Sym):
            return value.key[0] in ("many", "forgotten", "at")
        if not isinstance(value, Ptr):
            return False
        if not value.path.startswith(("call:", "static:", "new:", "local:")):
            return True
        if value.path.startswith("static:") and self._list_on_stack(value.path.removeprefix("static:")):
            return True
        if deep > 3:
            return True
        held = [v for (path, _), multi in x.memory.cells.items() if path == value.path for _, v in multi]
        if value.path.startswith("local:"):
            owner = x.memory.owner(value.path)
            if owner >= 0:
                held += [v for _, v in x.frames[owner].env.get(value.path.split(":", 2)[2], [])]
        return any(v != value and self._leads_to_victim(v, deep + 1) for v in held)

    def _list_on_stack(self, name: str) -> bool:
        """Whether a function that is being executed declares a list of this name (``LIST_HEAD(name)``).

        What is moved to such a list is not followed, and may hang off anything."""
        declares = re.compile(rf"_HEAD\(\s*{re.escape(name)}\s*\)")
        return any(declares.search(frame.piece.source) for frame in self.x.frames)

    def harmless(self, found: tuple[tuple[SourceFile, Definition], ...], values: list[Multi]) -> bool:
        """Whether none of the functions `found` destroys anything that matters, where that is asked."""
        return (
            self.relevance is not None
            and not any(self.relevance.destroys(f, d) for f, d in found)
            and not self._handed_shared(found, [v for value in values for _, v in value])
        )

    def may_destroy(self, found: tuple[tuple[SourceFile, Definition], ...]) -> str:
        """What a call of one of the filesystem's functions `found` may destroy, as the value of an opaque
        event: ``own``, with a colon and names where they are known."""
        if self.relevance is None:
            return "own"
        names = {n.rstrip(COUNTED + DELAYED) for f, d in found for n in self.relevance.destroys(f, d)}
        return "own" if UNTOLD in names else "own:" + ",".join(sorted(names))

    def follows(self, file: SourceFile, definition: Definition) -> bool:
        """Whether a call of a function is still followed: not after so many statements that a program
        nears its limit, nor below `depth`, where only inline functions of headers are, accessors, and
        functions that return with other locks than they were entered with."""
        x = self.x
        limit = self.most_followed
        if self.relevance is not None and not self.relevance.what.waits:
            limit //= 3
        if x.statements < limit and len(x.frames) < self.depth:
            return True
        if x.statements >= MAX_STATEMENTS // 2 or len(x.frames) >= MAX_DEPTH:
            return False
        if file.path.endswith(".h") or _yields_pointer(file, definition):
            return True
        if self._passes_lock(file, definition):
            return True
        small = self.relevance is not None and self.relevance.small(file, definition)
        return small and len(x.frames) < self.depth

    def _passes_lock(self, file: SourceFile, definition: Definition) -> bool:
        """Whether a function is annotated as not returning with the locks that it was entered with, or its
        text, with the functions that it names, takes locks and drops none, or drops some and takes none."""
        key = (file.path, definition.start)
        if key not in self._lockers:
            head = file.code[definition.start : file.code.find("{", definition.start)]
            if "__acquires(" in head or "__releases(" in head:
                self._lockers[key] = True
            else:
                self._lockers[key] = len(self._lock_signs(file, definition)) == 1
        return self._lockers[key]

    def _lock_signs(self, file: SourceFile, definition: Definition, deep: int = 0) -> set[int]:
        """1 if the text of a function takes a lock, -1 if it drops one."""
        x = self.x
        signs = set[int]()
        for name in set(_CALLED.findall(file.code, definition.start, definition.end)):
            known = x.functions.get(name)
            if known is not None:
                signs |= {_LOCK_SIGNS[e.operation] for e in known.effects if e.operation in _LOCK_SIGNS}
            elif deep < LOCKERS_DEEP and name != definition.name:
                for inner, inside in x.scope.find(name, "function", file):
                    if x.scope.owns(inner):
                        signs |= self._lock_signs(inner, inside, deep + 1)
        return signs

    def hands_over(self, file: SourceFile, definition: Definition) -> bool:
        """Whether a function may return with more locks than it was entered with, where that is asked."""
        return self.handover is not None and self.handover.hands_over(file, definition)


def _yields_pointer(file: SourceFile, definition: Definition) -> bool:
    """Whether a function is an accessor, short and returning a pointer: then what it reads must be known."""
    head = file.code[definition.start : file.code.find("(", definition.start)]
    return "*" in head and definition.end - definition.start < ACCESSOR_LENGTH


__all__ = ["Following"]
