"""What is done where a scope ends: guards, classes and ``__free()`` variables (include/linux/cleanup.h).

What a guard takes and gives back is read from its own ``DEFINE_GUARD()``, ``DEFINE_CLASS()`` or
``DEFINE_FREE()``; their arguments are C, with ``_T`` for the variable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import FALSE, TRUE
from .macros import Argument, arguments
from .mask import FREE
from .parse import closing, comma_separated
from .source import SourceFile
from .values import UNKNOWN_TYPE, Const, CType, Multi

if TYPE_CHECKING:
    from .execute import Executor
    from .frame import Frame

_DEFINED = re.compile(
    r"^(DEFINE_FREE|(?:DEFINE|EXTEND)_CLASS|DEFINE_GUARD(?:_COND)?|DEFINE_LOCK_GUARD_(?:0|1|1_COND))[ \t]*\(",
    re.M,
)
_DEFINING = re.compile("DEFINE_|EXTEND_CLASS")
_SELF = "_T"
_RETURNED = "_RET"
_SCOPES = {"scoped_guard": 1, "scoped_class": 2}
"""How many arguments come before those of the guard or class: its name, and that of the variable."""
_SCOPE_BEGINS = re.compile(r"\s*((?:scoped|with)_\w+)\s*(\(.*\))\s*$", re.S)
SCOPE_MACROS = 3
"""How many macros that stand for one another are looked through, for scoped_guard() or scoped_class()."""


@dataclass(frozen=True)
class Guarded:
    """What stands for a guard, class or ``__free()``, as C text.

    enter    evaluated with `takes` bound to the arguments; what it yields is the variable's value
    leave    executed at the end, with ``_T`` bound to that value
    got      for a lock that may not be had: whether it was, with ``_RET`` for what `enter` yields; else ""
    """

    takes: tuple[str, ...]
    enter: str
    leave: str
    got: str = ""
    tag: str = ""
    free: bool = False


@dataclass
class Cleanup:
    """Something to be done at the end of a scope, on the paths of `condition` that have not done it yet."""

    condition: int
    run: Callable[[], object]
    block: tree_sitter.Node | None


class Guards:
    """Ends of scopes. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor
        self._known: dict[str, dict[str, Guarded]] = {}
        self._held: dict[tuple[int, str], int] = {}
        self._marks: list[tuple[Frame, int, bool]] = []

    # -- definitions -------------------------------------------------------------------------------

    def definition(self, name: str, free: bool = False) -> Guarded | None:
        """What ``guard(NAME)``, ``CLASS(NAME, ...)`` or ``__free(NAME)`` stands for; None if nothing that
        the file sees defines it."""
        user = self.x.frame.file
        if user.path not in self._known:
            files = [user, *self.x.scope.own, *self.x.scope.tree.headers(user.path)]
            found: dict[str, Guarded] = {}
            defining = [f for f in {f.path: f for f in files}.values() if _DEFINING.search(f.text)]
            for file in (*defining, *defining):  # what extends a class may stand before it
                for key, guarded in _defined(file, found):
                    found.setdefault(key, guarded)
            self._known[user.path] = found
        return self._known[user.path].get(FREE + name if free else name)

    # -- beginnings --------------------------------------------------------------------------------

    def begin(self, name: str, variable: str, values: list[Multi], node: tree_sitter.Node) -> int | None:
        """Take a guard or make a class; the condition under which its lock was had (TRUE for one that is
        always had). None if `name` is not known. `variable`: the variable's name, or ""."""
        guarded = self.definition(name)
        if guarded is None:
            return None
        x = self.x
        variable = variable or f"<guard {x.next()}>"
        x.memory.declare(variable, CType(guarded.tag, 1) if guarded.tag else UNKNOWN_TYPE)
        given = dict(zip(guarded.takes, values, strict=False))
        line = x.where(node).line
        value = self.evaluate(guarded.enter, given, line) if guarded.enter else values[0] if values else []
        got = TRUE
        if guarded.got:
            held = self.evaluate(guarded.got, {**given, _RETURNED: value}, line)
            got = x.truth.of(held, f"{name} is had")
            value = values[0] if values else []
        elif guarded.takes == (_SELF,):
            value = values[0] if values else [(TRUE, Const(1))]
        x.frame.kept.setdefault(variable, [])
        x.frame.env.pop(variable, None)
        x.memory.assign(variable, value)
        self._held[(id(x.frame), variable)] = got
        frame = x.frame
        saved = x.record.condition
        x.record.condition = x.bdd.conjoin(saved, got)
        self._at_end(lambda: self._leave(guarded, frame, variable, line), node)
        x.record.condition = saved
        return got

    def had(self, variable: str) -> int | None:
        """The condition under which the lock of a guard variable was had, if it is one."""
        return self._held.get((id(self.x.frame), variable))

    def free(self, name: str, variable: str, node: tree_sitter.Node) -> None:
        """A variable declared with ``__free(NAME)``."""
        guarded = self.definition(name, free=True)
        x = self.x
        if guarded is None:
            x.record.gap(f"__free({name}) is not known", x.where(node))
            return
        frame, line = x.frame, x.where(node).line
        self._at_end(lambda: self._leave(guarded, frame, variable, line), node)
        frame.kept.setdefault(variable, [])

    def cleanup(self, function: str, variable: str, node: tree_sitter.Node) -> None:
        """A variable with a cleanup attribute: `function` is called with its address."""
        x = self.x
        target: Multi = x.memory.address(variable)
        self._at_end(lambda: x.calls.apply(function, [target], node), node)

    def _leave(self, guarded: Guarded, frame: Frame, variable: str, line: int) -> None:
        value = frame.env.get(variable, frame.kept.get(variable, []))
        self.evaluate(guarded.leave, {_SELF: value}, line)

    def evaluate(self, text: str, given: dict[str, Multi], line: int) -> Multi:
        """Execute C text, as if on `line`, with names bound to values; the value of its last expression."""
        x = self.x
        with self._bound(given):
            return x.expander.text(text, line)

    @contextmanager
    def _bound(self, given: dict[str, Multi]) -> Iterator[None]:
        frame = self.x.frame
        saved = {n: (frame.env.get(n), frame.types.get(n)) for n in given}
        for name, value in given.items():
            frame.env[name], frame.types[name] = value, UNKNOWN_TYPE
        try:
            yield
        finally:
            for name, (earlier, ctype) in saved.items():
                frame.env.pop(name, None)
                frame.types.pop(name, None)
                if earlier is not None:
                    frame.env[name] = earlier
                if ctype is not None:
                    frame.types[name] = ctype

    # -- statements and calls -----------------------------------------------------------------------

    def call(self, function: tree_sitter.Node, args: list[tree_sitter.Node], node: tree_sitter.Node) -> Multi:
        """guard(NAME)(...), CLASS(NAME, variable)(...) or ACQUIRE(NAME, variable)(...)."""
        x = self.x
        inner = function.child_by_field_name("arguments")
        names = [x.text(c) for c in inner.named_children] if inner is not None else []
        kind, variable = names[0] if names else "", names[1] if len(names) > 1 else ""
        if self.begin(kind, variable, [x.expressions.value(a) for a in args], node) is None:
            x.record.gap(f"{x.text(function)} is not known", x.where(node))
        return [(TRUE, Const(0))]

    def scoped(self, word: str, condition: tree_sitter.Node | None, node: tree_sitter.Node) -> None:
        """A scoped_guard() or scoped_class() statement, or a macro for one: its body between taking and
        dropping the lock; a scoped_cond_guard() has a statement for when the lock is not had."""
        x = self.x
        inner = condition.named_children[0] if condition is not None and condition.named_children else None
        args = comma_separated(inner) if inner is not None else []
        first = 2 if word.startswith(("scoped_cond", "scoped_class")) else 1
        name = x.text(args[0]) if args else word
        variable = x.text(args[1]) if word == "scoped_class" and len(args) > 1 else ""
        with self.scope():
            meant = self._scope_macro(word, [x.expressions.value(a) for a in args], node)
            if meant is not None:
                got = self.begin(meant[0], "", meant[1], node)
            else:
                got = self.begin(name, variable, [x.expressions.value(a) for a in args[first:]], node)
            if got is None:
                x.record.gap(f"{word}({name}) is not known", x.where(node))
                got = TRUE
            body = node.child_by_field_name("consequence")
            entry = x.record.condition
            x.record.condition = x.bdd.conjoin(entry, got)
            if body is not None:
                x.control.statement(body)
            after, x.record.condition = x.record.condition, x.bdd.without(entry, got)
            if word.startswith("scoped_cond") and x.record.condition != FALSE and condition is not None:
                texts = arguments(x.frame.piece.original(condition))
                x.expander.text(texts[1].text if len(texts) > 1 else "", x.where(node).line)
            x.record.condition = x.bdd.disjoin(after, x.record.condition)

    def _scope_macro(
        self, word: str, values: list[Multi], node: tree_sitter.Node
    ) -> tuple[str, list[Multi]] | None:
        """Which guard or class a macro like ``with_creds(cred)`` takes, and its arguments; None if `word` is
        no macro for scoped_guard() or scoped_class()."""
        x = self.x
        for _ in range(SCOPE_MACROS):
            found = x.scope.macro(word, x.frame.file)
            begins = _SCOPE_BEGINS.match(found[0][1].body) if found and word not in _SCOPES else None
            if begins is None:
                return None
            given = dict(zip(found[0][1].params or (), values, strict=False))
            word, texts = begins.group(1), [a.text.strip() for a in arguments(begins.group(2))]
            skipped = _SCOPES.get(word, 0)
            line = x.where(node).line
            values = [self.evaluate(t, given, line) for t in texts[skipped:]]
            if skipped:
                return texts[0], values
        return None

    # -- ends --------------------------------------------------------------------------------------

    def _at_end(self, run: Callable[[], object], node: tree_sitter.Node) -> None:
        block = node.parent
        while block is not None and block.type not in ("compound_statement", "for_statement"):
            block = block.parent
        self.x.frame.cleanups.append(Cleanup(self.x.record.condition, run, block))

    @contextmanager
    def scope(self, jumps: bool = False, loops: bool = False) -> Iterator[None]:
        """A scope: what begins in it ends with it. `jumps`: ``break`` leaves it, and with `loops`,
        ``continue`` too."""
        frame = self.x.frame
        mark = len(frame.cleanups)
        if jumps:
            self._marks.append((frame, mark, loops))
        try:
            yield
        finally:
            if jumps:
                self._marks.pop()
        if len(frame.cleanups) > mark:
            self._end(mark, forget=True)

    def jump(self, continues: bool) -> None:
        """A ``break`` or ``continue``: ends the scopes that it leaves, on this path."""
        frame = self.x.frame
        for owner, mark, loops in reversed(self._marks):
            if owner is frame and (loops or not continues):
                self._end(mark)
                return

    def goto(self, label: str) -> None:
        """A ``goto``: ends the scopes that `label` is not in, on this path."""
        frame = self.x.frame
        cleanups = frame.cleanups
        mark = len(cleanups)
        while mark and not _holds_label(cleanups[mark - 1].block, label):
            mark -= 1
        self._end(mark)

    def end_all(self) -> None:
        """The function's end: what has not been done yet."""
        x = self.x
        for cleanup in reversed(x.frame.cleanups):
            x.record.condition = cleanup.condition
            if cleanup.condition != FALSE:
                cleanup.run()

    def _end(self, mark: int, forget: bool = False) -> None:
        """Do what began since `mark`, latest first, on the present path. `forget`: no path from here on comes
        by again, but those that have returned."""
        x = self.x
        frame = x.frame
        here = x.record.condition
        for cleanup in reversed(frame.cleanups[mark:]):
            under = x.bdd.conjoin(here, cleanup.condition)
            if under != FALSE:
                x.record.condition = under
                cleanup.run()
                cleanup.condition = x.bdd.without(cleanup.condition, here)
        x.record.condition = here
        if forget:
            frame.cleanups[mark:] = [c for c in frame.cleanups[mark:] if c.condition != FALSE]


def _holds_label(block: tree_sitter.Node | None, label: str) -> bool:
    todo = [block] if block is not None else []
    while todo:
        node = todo.pop()
        if node.type == "labeled_statement" and node.children[0].text == label.encode():
            return True
        todo.extend(node.named_children)
    return False


def _defined(file: SourceFile, known: dict[str, Guarded]) -> Iterator[tuple[str, Guarded]]:
    """Every guard, class and free function that `file` defines, by name."""
    base = dict(known)
    for match in _DEFINED.finditer(file.code):
        end = closing(file.code, match.end() - 1)
        given = arguments(file.plain[match.end() - 1 : end]) if end > 0 else []
        found = _guarded(match.group(1), given, base)
        if found is not None:
            base.setdefault(*found)
            yield found


def _guarded(kind: str, given: list[Argument], known: dict[str, Guarded]) -> tuple[str, Guarded] | None:
    texts = [" ".join(a.text.replace("\\\n", " ").split()) for a in given]
    name = texts[0] if texts else ""
    if kind == "DEFINE_FREE" and len(texts) >= 3:
        return FREE + name, Guarded((), "", ", ".join(texts[2:]), free=True)
    if kind == "DEFINE_CLASS" and len(texts) >= 4:
        takes = tuple(_declared(t) for t in texts[4:])
        return name, Guarded(takes, texts[3], texts[2], tag=_tag(texts[1]))
    if kind.startswith("EXTEND_CLASS") and len(texts) >= 3 and name in known:
        old = known[name]
        takes = tuple(_declared(t) for t in texts[3:])
        return name + texts[1], Guarded(takes, texts[2], old.leave, tag=old.tag)
    if kind == "DEFINE_GUARD" and len(texts) >= 4:
        return name, Guarded((_SELF,), texts[2], texts[3])
    if kind == "DEFINE_LOCK_GUARD_1" and len(texts) >= 4:
        return name, Guarded((_SELF,), _plain(texts[2]), _plain(texts[3]))
    if kind == "DEFINE_LOCK_GUARD_0" and len(texts) >= 3:
        return name, Guarded((_SELF,), texts[1], texts[2])
    if kind.endswith("_COND") and len(texts) >= 3 and name in known:
        got = texts[3] if len(texts) > 3 else _RETURNED
        return name + texts[1], Guarded((_SELF,), _plain(texts[2]), known[name].leave, got)
    return None


def _plain(text: str) -> str:
    """A lock guard's text with its variable's members made variables, and its lock the variable itself."""
    return re.sub(r"_T->(?!lock\b)(\w+)", r"_T_\1", re.sub(r"_T->lock\b", _SELF, text))


def _declared(text: str) -> str:
    """The name that a parameter declaration declares."""
    found = re.findall(r"\w+", text)
    return found[-1] if found else ""


def _tag(text: str) -> str:
    found = re.search(r"\bstruct\s+(\w+)\s*\*\s*$", text)
    return found.group(1) if found else ""


__all__ = ["Cleanup", "Guarded", "Guards"]
