"""The source that mutants are made of: a filesystem's functions, and which of its methods run them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..reader.pieces import pieces
from ..reader.source import Definition, SourceFile
from ..reader.units import Unit
from ..spec.program import Model, Program

if TYPE_CHECKING:
    from tree_sitter import Node

TEARDOWN = (
    "d_prune",
    "d_iput",
    "d_release",
    "evict_inode",
    "destroy_inode",
    "free_inode",
    "put_super",
    "kill_sb",
)
NEVER_BLOCK = ("d_hash", "d_compare", "d_prune", "d_delete")
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Span:
    """A piece of a function's text: the characters [start, end) of its file."""

    start: int
    end: int


@dataclass(frozen=True)
class Function:
    """A function definition of one of the filesystem's own files."""

    file: SourceFile
    definition: Definition

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def key(self) -> str:
        """How programs name it (`Program.followed`)."""
        return f"{self.file.path}:{self.name}"

    @property
    def code(self) -> str:
        """Head and body, comments and literals blanked."""
        return self.file.code[self.definition.start : self.definition.end]

    @cached_property
    def words(self) -> frozenset[str]:
        """Every identifier in it."""
        return frozenset(_WORD.findall(self.code))

    @property
    def opening(self) -> int:
        """Where its body begins, after the brace."""
        return self.definition.body + 1

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters, the empty word for one that has none."""
        head = self.file.code[self.definition.start : self.definition.body]
        inside = head[head.find(self.name) + len(self.name) :].strip().removeprefix("(")
        words = (_WORD.findall(p) for p in inside.rpartition(")")[0].split(","))
        return tuple(w[-1] if w else "" for w in words)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node of its body's syntax, in each way in which the configuration cuts through it, each place
        once."""
        found: dict[tuple[str, int, int], Node] = {}
        for _, parsed in pieces(self.file, self.definition).ways:
            todo = [parsed.root]
            while todo:
                node = todo.pop()
                found.setdefault((node.type, node.start_byte, node.end_byte), node)
                todo.extend(node.named_children)
        inside = (n for n in found.values() if self.span(n).start >= self.definition.body)
        return tuple(sorted(inside, key=lambda n: (n.start_byte, -n.end_byte)))

    def span(self, node: Node) -> Span:
        """Where a node stands in the file."""
        start = self.definition.start
        return Span(start + node.start_byte, start + node.end_byte)

    def of(self, *types: str) -> Iterator[Node]:
        """The nodes of these types, in the order of the text."""
        return (n for n in self.nodes if n.type in types)

    def text(self, span: Span) -> str:
        """What stands there, comments blanked."""
        return self.file.code[span.start : span.end]

    def calls(self, names: re.Pattern[str]) -> Iterator[Call]:
        """The calls of functions whose names match as a whole, in the order of the text."""
        for node in self.of("call_expression"):
            function, arguments = node.child_by_field_name("function"), node.child_by_field_name("arguments")
            if function is None or arguments is None or function.type != "identifier":
                continue
            name = self.text(self.span(function))
            if names.fullmatch(name):
                found = tuple(self.text(self.span(a)) for a in arguments.named_children)
                yield Call(self, name, tuple(a for a in found if a.strip()), self.span(node))

    def line(self, at: int) -> int:
        return self.file.line(at)


@dataclass(frozen=True)
class Call:
    """A call by name."""

    inside: Function
    name: str
    arguments: tuple[str, ...]
    span: Span


class Code:
    """The functions of a filesystem, and what its models say of who runs them."""

    def __init__(self, unit: Unit, models: Iterable[Model]) -> None:
        self.unit = unit
        self.models = tuple(models)
        self.files = tuple(f for p in unit.sources if (f := unit.tree.file(p)) is not None and not f.problem)

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """Every function of its own files."""
        return tuple(
            Function(file, d)
            for file in self.files
            for found in file.definitions.values()
            for d in found
            if d.kind == "function" and not d.broken
        )

    @cached_property
    def by_name(self) -> dict[str, tuple[Function, ...]]:
        found: dict[str, tuple[Function, ...]] = {}
        for f in self.functions:
            found[f.name] = (*found.get(f.name, ()), f)
        return found

    @cached_property
    def programs(self) -> tuple[Program, ...]:
        return tuple(dict.fromkeys(p for m in self.models for p in m.programs))

    @cached_property
    def lockless_programs(self) -> tuple[Program, ...]:
        """Those that lockless walk runs."""
        return tuple(p for p in self.programs if p.mode == "rcu" or p.method in ("d_hash", "d_compare"))

    def followed(self, programs: Iterable[Program]) -> tuple[Function, ...]:
        """The filesystem's own functions that these programs execute, in the order of the source."""
        keys = {k for p in programs for k in p.followed}
        return tuple(f for f in self.functions if f.key in keys)

    @cached_property
    def lockless(self) -> tuple[Function, ...]:
        """The filesystem's own functions that lockless walk executes."""
        return self.followed(self.lockless_programs)

    def teardown_programs(self, *methods: str) -> tuple[Program, ...]:
        return tuple(p for p in self.programs if p.method in (methods or TEARDOWN) and p.mode != "ref")

    @cached_property
    def teardown(self) -> tuple[Function, ...]:
        """The filesystem's own functions that a teardown executes, as far as the reader follows it."""
        return self.followed(self.teardown_programs())

    @cached_property
    def below_teardown(self) -> tuple[Function, ...]:
        """Those and every function that their text, and that of the teardown methods, names, directly or
        not."""
        methods = (f for p in self.teardown_programs() for f in self.by_name.get(p.function, ()))
        return self.named_by((*methods, *self.teardown))

    def named_by(self, start: Iterable[Function]) -> tuple[Function, ...]:
        """These functions and all that their text names, directly or not, in the order of the source."""
        todo, seen = list(start), set()
        while todo:
            function = todo.pop()
            if function in seen:
                continue
            seen.add(function)
            todo += [f for w in function.words for f in self.by_name.get(w, ())]
        return tuple(f for f in self.functions if f in seen)

    def methods(self, *names: str) -> tuple[Function, ...]:
        """The filesystem's own functions that are these methods."""
        wanted = {p.function for p in self.programs if p.method in names}
        return tuple(f for f in self.functions if f.name in wanted)

    @cached_property
    def lockless_texts(self) -> dict[str, str]:
        """The text of every function that lockless walk executes, also of other files, and of the macros that
        it names, by name; of several of one name together."""
        texts: dict[tuple[str, str], str] = {}
        for key in dict.fromkeys(k for p in self.lockless_programs for k in p.followed):
            path, _, name = key.rpartition(":")
            file = self.unit.tree.file(path)
            for d in file.definitions.get(name, ()) if file is not None else ():
                if file is None or d.kind != "function":
                    continue
                text = file.code[d.start : d.end]
                texts[path, name] = text
                for word in set(_WORD.findall(text)):
                    for where, macro in self.unit.scope.macro(word, file):
                        texts[where.path, word] = macro.body
        found: dict[str, str] = {}
        for (_, name), text in texts.items():
            found[name] = f"{found[name]}\n{text}" if name in found else text
        return found
