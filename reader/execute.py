"""Abstract execution of C functions: what a method does, as guarded events.

Every path is followed at once under its condition. Reads of memory that another CPU may change yield
values tied to the read event; branches on them go both ways. Loops are unrolled (`reader/limits.py`).
Functions of the filesystem and inline functions of headers are followed; others do what
`spec/kernel_functions.toml` says, or are recorded as ``opaque`` for what they are handed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import tree_sitter

from ..bdd import FALSE, TRUE
from ..spec.kernel_functions import table
from ..spec.program import Event, Source
from .alternatives import Alternatives
from .calls import Calls
from .configuration import configured
from .control import Control
from .effects import Effects
from .expander import Expander
from .expressions import Expressions
from .following import Following
from .frame import Frame, parameters
from .guards import Guards
from .handover import Handover
from .iterators import Iterators
from .limits import MAX_CALLS, MAX_DEPTH, MAX_FOLLOWED
from .memory import Memory
from .parse import Parsed, descend, errors
from .pieces import pieces
from .places import Places
from .recorder import Abandon, Recorder
from .relevance import Relevance
from .source import Definition, SourceFile
from .tree import Scope
from .truth import Truth
from .types import Types
from .unseen import Unseen
from .values import Const, CType, Multi, Sym, retype


class Executor:
    """Executes one method. `facts` fixes symbolic tests: ``{key: truth}``, e.g. of ``flags & LOOKUP_RCU``.
    Calls are followed down to `depth`, only where they matter to `relevance`, if there is one, and until
    `most_followed` statements were executed. `kernel` is the version whose functions are called; `unseen`
    tells the dentries that its dput() frees at once, `handover` the functions whose locks must be known.

    Its own are the activations of functions and what its parts share. Each part does one thing, and reaches
    the others through the executor."""

    def __init__(
        self,
        scope: Scope,
        types: Types,
        facts: dict[tuple[object, ...], bool] | None = None,
        depth: int = MAX_CALLS,
        relevance: Relevance | None = None,
        most_followed: int = MAX_FOLLOWED,
        kernel: str = "",
        unseen: Unseen | None = None,
        handover: Handover | None = None,
    ) -> None:
        self.scope = scope
        self.types = types
        self.functions = table(kernel)
        self.unseen = unseen or Unseen(scope, self.functions)
        self.record = Recorder()
        self.bdd = self.record.bdd
        self.frames: list[Frame] = []
        self.statements = 0
        self.followed: dict[str, None] = {}
        self.assumed: dict[str, None] = {}
        self.unfollowed: dict[str, None] = {}
        self.serial = 0
        """How many activations and literals there were so far."""
        self._numbers = 0
        self.exits = 0
        """Returns, gotos and ends of execution so far: none in a statement means that all paths go on."""
        self.ends = 0
        """Ends of execution so far: calls that do not return, assertions, rounds not followed."""
        self.following = Following(self, relevance, depth, most_followed, handover)
        self.control = Control(self)
        self.expressions = Expressions(self)
        self.places = Places(self)
        self.memory = Memory(self)
        self.alternatives = Alternatives(self)
        self.truth = Truth(self, facts or {})
        self.calls = Calls(self)
        self.effects = Effects(self)
        self.iterators = Iterators(self)
        self.guards = Guards(self)
        self.expander = Expander(self)

    def release(self) -> None:
        """Let go of everything that was recorded, once it was taken: see `Bdd.release`."""
        self.bdd.release()
        self.record = Recorder()
        self.memory.cells, self.alternatives.many, self.truth.errors, self.frames = {}, {}, {}, []

    # -- positions ---------------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        """The innermost activation."""
        return self.frames[-1]

    def where(self, node: tree_sitter.Node | None = None) -> Source:
        """The source position of `node` in the function being executed."""
        frame = self.frame
        if frame.line:
            return Source(frame.file.path, frame.line, frame.name)
        offset = frame.piece.offset + (node.start_byte if node is not None else 0)
        return Source(frame.file.path, frame.file.line(offset), frame.name)

    def text(self, node: tree_sitter.Node) -> str:
        """The source text of `node` on one line."""
        return " ".join(self.frame.piece.string(node).split())

    def next(self) -> int:
        """A number that was not used before."""
        self._numbers += 1
        return self._numbers

    # -- activations -------------------------------------------------------------------------------

    def run(self, name: str, user: SourceFile, arguments: list[Multi]) -> Multi:
        """Execute function `name` as seen from `user`; its possible results under their conditions."""
        if not self.frames:
            self.scope.entry = user.path
        found = self.scope.find(name, "function", user)
        result: Multi = []
        ends = self.ends
        conditions = self._conditions(found)
        for under, (file, definition) in zip(conditions, found, strict=True):
            saved = self.record.condition
            self.record.condition = self.bdd.conjoin(saved, under)
            if self.record.condition != FALSE:
                result += self._under(under, self._activate(file, definition, arguments))
            self.record.condition = saved
        self.returned(ends, result)
        return result

    def returned(self, ends: int, result: Multi) -> None:
        """Go on only where a call with this `result` came back, if any of its paths has ended since there
        were `ends` ends."""
        if ends != self.ends:
            back = FALSE
            for g, _ in result:
                back = self.bdd.disjoin(back, g)
            self.record.condition = self.record.widen(self.bdd.conjoin(self.record.condition, back))
            self.exits += 1

    def _conditions(self, found: tuple[tuple[SourceFile, Definition], ...]) -> list[int]:
        if len(found) == 1:
            return [TRUE]
        conditions, taken = [], FALSE
        for _, definition in found[:-1]:
            under = TRUE
            for text in definition.condition:
                if not re.match(r"!defined\(_", text):
                    under = self.bdd.conjoin(under, configured(self.record, text))
            under = self.bdd.without(under, taken)
            taken = self.bdd.disjoin(taken, under)
            conditions.append(under)
        return [*conditions, self.bdd.negate(taken)]

    def _activate(self, file: SourceFile, definition: Definition, arguments: list[Multi]) -> Multi:
        if any(f.file is file and f.name == definition.name for f in self.frames):
            self.record.gap(
                f"{definition.name}() calls itself",
                Source(file.path, file.line(definition.start), definition.name),
            )
            return [(TRUE, Sym(("recursion", definition.name, self.statements)))]
        if len(self.frames) >= MAX_DEPTH:
            self.record.gap(
                f"calls nested deeper than {MAX_DEPTH}",
                Source(file.path, file.line(definition.start), definition.name),
            )
            raise Abandon
        if definition.broken:
            # What is read of a text that is not what anybody compiles can break a clause that holds.
            at = Source(file.path, file.line(pieces(file, definition).at), definition.name)
            self.record.gap(f"{definition.name}() does not parse: {definition.broken}", at)
            return [(TRUE, Sym(("unparsed", definition.name)))]
        self.scope.use(file)
        self.followed[f"{file.path}:{definition.name}"] = None
        result: Multi = []
        for under, piece in self.bodies(file, definition):
            saved = self.record.condition
            self.record.condition = self.bdd.conjoin(saved, under)
            if self.record.condition != FALSE:
                result += self._under(under, self.run_piece(file, definition.name, piece, arguments))
            self.record.condition = saved
        tag = _returned(file, definition)
        return [(g, retype(v, CType(tag, 1))) for g, v in result] if tag else result

    def _under(self, condition: int, value: Multi) -> Multi:
        return value if condition == TRUE else [(self.bdd.conjoin(condition, g), v) for g, v in value]

    def bodies(self, file: SourceFile, definition: Definition) -> list[tuple[int, Parsed]]:
        """The parsed function: once for each configuration that cuts through its statements."""
        found = pieces(file, definition)
        if found.problem:
            at = Source(file.path, file.line(found.at), definition.name)
            self.record.gap(f"{definition.name}() does not parse: {found.problem}", at)
        result: list[tuple[int, Parsed]] = []
        saved = self.record.condition
        for chosen, piece in found.ways:
            under = TRUE
            for text, truth in chosen:
                holds = configured(self.record, text)
                under = self.bdd.conjoin(under, holds if truth else self.bdd.negate(holds))
            result.append((under, piece))
            self.record.condition = self.bdd.conjoin(saved, under)
            if piece.root.has_error and self.record.condition != FALSE:
                line = file.line(piece.offset + errors(piece.root)[0].start_byte)
                gap = Source(file.path, line, definition.name)
                self.record.gap(f"{definition.name}() does not parse", gap)
            self.record.condition = saved
        return result

    def run_piece(self, file: SourceFile, name: str, piece: Parsed, arguments: list[Multi]) -> Multi:
        """Execute the function definition that `piece` holds; its possible results."""
        node = next((c for c in descend(piece.root) if c.type == "function_definition"), None)
        body = node.child_by_field_name("body") if node is not None else None
        if node is None or body is None:
            self.record.gap(
                f"{name}() does not parse", Source(file.path, file.line(max(0, piece.offset)), name)
            )
            return [(TRUE, Sym(("unparsed", name)))]
        self.serial += 1
        frame = Frame(file, piece, name, serial=self.serial, under=self.record.condition)
        entry = [self.alternatives.each(a) for a in arguments]
        self.frames.append(frame)
        saved = self.record.enter()
        try:
            for position, (name, ctype) in enumerate(parameters(piece, node)):
                frame.types[name] = ctype
                if position < len(entry):
                    alternatives = entry[position]
                    sure = len(alternatives) == 1
                    frame.env[name] = [(TRUE if sure else g, retype(v, ctype)) for g, v in alternatives]
            self.control.statement(body)
            if self.record.condition != FALSE:
                frame.returned.append((self.record.condition, Const(0)))
            self.guards.end_all()
        finally:
            self.frames.pop()
            self.record.leave(saved)
        return self.alternatives.merge(frame.returned)

    def deferred(self, run: Callable[[], object]) -> tuple[Event, ...]:
        """The events of `run`, kept apart from the program's own: what happens later."""
        with self.record.apart() as events:
            run()
        return tuple(
            replace(p.event, guard=self.record.guard(whole), via=None)
            for p in events
            if (whole := self.record.whole(p)) != FALSE
        )


def _returned(file: SourceFile, definition: Definition) -> str:
    """The tag of the structure that a function is declared to return a pointer to, or ""."""
    head = file.code[definition.start : definition.body]
    if "*" not in head or "struct" not in head:
        return ""
    found = re.search(
        rf"\bstruct\s+(\w+)\s*(?:const\s*)?\*\s*(?:\w+\s+)*{re.escape(definition.name)}\s*\(", head
    )
    return found.group(1) if found else ""


__all__ = ["Executor"]
