"""Abstract execution of C functions: what a method does, as guarded events.

Every path is followed at once under its condition. Reads of memory that another CPU may change yield
values tied to the read event; branches on them go both ways. Loops are unrolled `UNROLL` times, loops
inside loops once. Functions of the filesystem and inline functions of headers are followed; others do what
`spec/kernel_functions.toml` says, or are recorded as ``opaque`` for what they are handed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import tree_sitter

from ..bdd import FALSE, TRUE
from ..spec.kernel_functions import KernelFunction, table
from ..spec.program import Event, Source
from .calls import Calls
from .guards import Cleanup
from .handover import Handover
from .mask import CLEANUP, FREE
from .parse import Parsed, errors
from .pieces import pieces
from .recorder import Abandon, Recorder
from .relevance import COUNTED, DELAYED, HOLDS, LATER, PARAMETER, UNTOLD, WAITS, Relevance
from .source import Definition, SourceFile
from .tree import Scope
from .types import Types, declared, type_tag
from .unseen import Unseen
from .values import (
    NATURAL,
    NULL,
    UNKNOWN_TYPE,
    Bool,
    Const,
    CType,
    Fn,
    Multi,
    Ptr,
    Sym,
    Value,
    is_error,
    join,
    key,
    untagged,
)

UNROLL = 2
MAX_DEPTH = 40
MAX_CALLS = 24
MAX_STATEMENTS = 30_000
MAX_FOLLOWED = 6_000
MAX_ALTERNATIVES = 8
MAX_SCALARS = 2
MAX_POINTERS = 3
SHALLOW = 6
"""Calls nested deeper than this are not followed for what is destroyed after a grace period alone."""
ACCESSOR_LENGTH = 600
LOCKERS_DEEP = 2
"""How many calls below a function are looked at for whether it returns with other locks."""
LOCK_SIGNS = {"lock": 1, "trylock": 1, "unlock": -1}

_Handler = Callable[["Executor", tree_sitter.Node], Multi]
_CALLED = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)[uUlL]*$")
_ERRNO = re.compile(r"E[A-Z0-9]{2,}$")


@dataclass
class Frame:
    """One activation of a function."""

    file: SourceFile
    piece: Parsed
    name: str
    env: dict[str, Multi] = field(default_factory=dict)
    types: dict[str, CType] = field(default_factory=dict)
    returned: Multi = field(default_factory=list)
    gotos: dict[str, int] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    continues: list[int] = field(default_factory=list)
    line: int = 0
    serial: int = 0
    under: int = TRUE
    """The caller's condition, within its own activation, at the call."""
    kept: dict[str, Multi] = field(default_factory=dict)
    scopes: list[dict[str, tuple[CType | None, Multi | None]]] = field(default_factory=list)
    cleanups: list[Cleanup] = field(default_factory=list)


class Executor:
    """Executes one method. `facts` fixes symbolic tests: ``{key: truth}``, e.g. of ``flags & LOOKUP_RCU``.
    Calls are followed down to `depth`, only where they matter to `relevance`, if there is one, and until
    `most_followed` statements were executed. `kernel` is the version whose functions are called; `unseen`
    tells the dentries that its dput() frees at once, `handover` the functions whose locks must be known."""

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
        self.handover = handover
        self.record = Recorder()
        self.bdd = self.record.bdd
        self.facts = facts or {}
        self.depth = depth
        self.relevance = relevance
        self.most_followed = most_followed
        self.frames: list[Frame] = []
        self.statements = 0
        self.followed: dict[str, None] = {}
        self.assumed: dict[str, None] = {}
        self.unfollowed: dict[str, None] = {}
        self.memory: dict[tuple[str, str], Multi] = {}
        self.calls = Calls(self)
        self._many: dict[object, Multi] = {}
        self._errors: dict[object, Value] = {}
        self._parsed: dict[tuple[str, int], list[tuple[int, Parsed, SourceFile, Definition]]] = {}
        self._lockers: dict[tuple[str, int], bool] = {}
        self._serial = 0
        self._nested = 0
        self.exits = 0
        """Returns, gotos and ends of execution so far: none in a statement means that all paths go on."""
        self.ends = 0
        """Ends of execution so far: calls that do not return, assertions, rounds not followed."""
        self._jumps = 0

    def release(self) -> None:
        """Let go of everything that was recorded, once it was taken: see `Bdd.release`."""
        self.bdd.release()
        self.record = Recorder()
        self.memory, self._many, self._errors, self.frames = {}, {}, {}, []

    # -- positions ---------------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
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
        if self._hands_over(found, given):
            return False
        if not any(self._leads_to_victim(v) for v in given):
            types = {v.otype or v.ctype.tag for v in given if isinstance(v, Ptr)}
            return not (
                (sure - {HOLDS}) & types
                or (any(e.startswith(PARAMETER) for e in sure) and ("" in types and what.untyped))
            )
        if sure:
            return False
        if len(self.frames) > SHALLOW and all(e.endswith(DELAYED) for e in entries):
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

    def _hands_over(self, found: tuple[tuple[SourceFile, Definition], ...], given: list[Value]) -> bool:
        """Whether a function of the kernel's shared files is handed an object that walkers reach through a
        member of the same name: it may destroy that, whatever `Relevance` says of the filesystem's own."""
        assert self.relevance is not None
        members = self.relevance.what.members
        return any(not self.scope.owns(f) and not f.path.endswith(".h") for f, _ in found) and any(
            isinstance(v, Ptr) and not v.field and v.path.rpartition("->")[2].rpartition(".")[2] in members
            for v in given
        )

    def _leads_to_victim(self, value: Value, deep: int = 0) -> bool:
        """Whether `value` may lead to what hangs off one of the VFS's objects that the method is about."""
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
        held = [v for (path, _), multi in self.memory.items() if path == value.path for _, v in multi]
        if value.path.startswith("local:"):
            owner = self._owner(value.path)
            if owner >= 0:
                held += [v for _, v in self.frames[owner].env.get(value.path.split(":", 2)[2], [])]
        return any(v != value and self._leads_to_victim(v, deep + 1) for v in held)

    def _list_on_stack(self, name: str) -> bool:
        """Whether a function that is being executed declares a list of this name (``LIST_HEAD(name)``).

        What is moved to such a list is not followed, and may hang off anything."""
        declares = re.compile(rf"_HEAD\(\s*{re.escape(name)}\s*\)")
        return any(declares.search(frame.piece.source) for frame in self.frames)

    def harmless(self, found: tuple[tuple[SourceFile, Definition], ...], values: list[Multi]) -> bool:
        """Whether none of the functions `found` destroys anything that matters, where that is asked."""
        return (
            self.relevance is not None
            and not any(self.relevance.destroys(f, d) for f, d in found)
            and not self._hands_over(found, [v for value in values for _, v in value])
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
        limit = self.most_followed
        if self.relevance is not None and not self.relevance.what.waits:
            limit //= 3
        if self.statements < limit and len(self.frames) < self.depth:
            return True
        if self.statements >= MAX_STATEMENTS // 2 or len(self.frames) >= MAX_DEPTH:
            return False
        if file.path.endswith(".h") or _yields_pointer(file, definition):
            return True
        if self._passes_lock(file, definition):
            return True
        small = self.relevance is not None and self.relevance.small(file, definition)
        return small and len(self.frames) < self.depth

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
        signs = set[int]()
        for name in set(_CALLED.findall(file.code, definition.start, definition.end)):
            known = self.functions.get(name)
            if known is not None:
                signs |= {LOCK_SIGNS[e.operation] for e in known.effects if e.operation in LOCK_SIGNS}
            elif deep < LOCKERS_DEEP and name != definition.name:
                for inner, inside in self.scope.find(name, "function", file):
                    if self.scope.owns(inner):
                        signs |= self._lock_signs(inner, inside, deep + 1)
        return signs

    def hands_over(self, file: SourceFile, definition: Definition) -> bool:
        """Whether a function may return with more locks than it was entered with, where that is asked."""
        return self.handover is not None and self.handover.hands_over(file, definition)

    # -- running a function ------------------------------------------------------------------------

    def run(self, name: str, user: SourceFile, arguments: list[Multi]) -> Multi:
        """Execute function `name` as seen from `user`; its possible results under their conditions."""
        if not self.frames:
            self.scope.entry = user.path
        found = self.scope.find(name, "function", user)
        result: Multi = []
        ends = self.ends
        conditions = self._alternatives(found)
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

    def _alternatives(self, found: tuple[tuple[SourceFile, Definition], ...]) -> list[int]:
        if len(found) == 1:
            return [TRUE]
        conditions, taken = [], FALSE
        for _, definition in found[:-1]:
            under = TRUE
            for text in definition.condition:
                if not re.match(r"!defined\(_", text):
                    under = self.bdd.conjoin(under, self.configured(text))
            under = self.bdd.without(under, taken)
            taken = self.bdd.disjoin(taken, under)
            conditions.append(under)
        return [*conditions, self.bdd.negate(taken)]

    def configured(self, text: str) -> int:
        """A preprocessor condition as a path condition over configuration symbols."""
        text = text.strip()
        while text.startswith("(") and _closes_at_end(text):
            text = text[1:-1].strip()
        for sign, either in (("||", self.bdd.disjoin), ("&&", self.bdd.conjoin)):
            parts = _split(text, sign)
            if len(parts) > 1:
                result = self.configured(parts[0])
                for part in parts[1:]:
                    result = either(result, self.configured(part))
                return result
        if text.startswith("!"):
            return self.bdd.negate(self.configured(text[1:]))
        match = re.fullmatch(
            r"(?:defined\s*\(?|IS_ENABLED\s*\(|IS_REACHABLE\s*\(|IS_BUILTIN\s*\()\s*(\w+)\s*\)?", text
        )
        if match:
            name = match.group(1)
            if name in ("__KERNEL__", "CONFIG_MMU"):
                return TRUE
            return self.record.atom("stable", ("config", name), name)
        if text in ("0", "1"):
            return TRUE if text == "1" else FALSE
        return self.record.atom("stable", ("config", text), text)

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

    def _since(self, index: int) -> int:
        """The path condition from the activation of frame `index` on; -1: from the program's start."""
        condition = self.record.condition
        for frame in self.frames[index + 1 :]:
            condition = self.bdd.conjoin(frame.under, condition)
        return condition

    def _owner(self, path: str) -> int:
        """The index of the frame whose local variable ``local:SERIAL:NAME`` is; -1 if none lives."""
        serial = int(path.split(":", 2)[1])
        return next((i for i in range(len(self.frames) - 1, -1, -1) if self.frames[i].serial == serial), -1)

    def _possible(self, value: Multi, index: int) -> Multi:
        """The alternatives of what frame `index` (-1: no frame's) holds that are possible here."""
        if len(value) < 2 or index == len(self.frames) - 1:
            return value
        here = self._since(index)
        return [(g, v) for g, v in value if self.bdd.conjoin(g, here) != FALSE]

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
                holds = self.configured(text)
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
        node = next((c for c in _descend(piece.root) if c.type == "function_definition"), None)
        body = node.child_by_field_name("body") if node is not None else None
        if node is None or body is None:
            self.record.gap(
                f"{name}() does not parse", Source(file.path, file.line(max(0, piece.offset)), name)
            )
            return [(TRUE, Sym(("unparsed", name)))]
        self._serial += 1
        frame = Frame(file, piece, name, serial=self._serial, under=self.record.condition)
        entry = [self.each(a) for a in arguments]
        self.frames.append(frame)
        saved = self.record.enter()
        try:
            for position, (name, ctype) in enumerate(parameters(piece, node)):
                frame.types[name] = ctype
                if position < len(entry):
                    alternatives = entry[position]
                    sure = len(alternatives) == 1
                    frame.env[name] = [(TRUE if sure else g, retype(v, ctype)) for g, v in alternatives]
            self.statement(body)
            if self.record.condition != FALSE:
                frame.returned.append((self.record.condition, Const(0)))
            self.calls.guards.end_all()
        finally:
            self.frames.pop()
            self.record.leave(saved)
        return self.merge(frame.returned)

    # -- statements --------------------------------------------------------------------------------

    def statement(self, node: tree_sitter.Node) -> None:
        """Execute one statement under the current condition, and leave the condition of what follows it."""
        if self.record.condition == FALSE and not self._has_label(node):
            return
        self.statements += 1
        if self.statements > MAX_STATEMENTS:
            self.record.gap(f"more than {MAX_STATEMENTS} statements", self.where(node))
            raise Abandon
        handler = _STATEMENTS.get(node.type)
        if handler is not None:
            handler(self, node)
        elif node.is_error or node.is_missing:
            self.record.gap("a statement does not parse", self.where(node))
        elif node.type.endswith("expression") or node.type in ("identifier", "number_literal"):
            self.value(node)

    def _has_label(self, node: tree_sitter.Node) -> bool:
        if not self.frame.gotos:
            return False
        return any(
            n.type == "labeled_statement" or (n.type == "case_statement" and _case(n) in self.frame.gotos)
            for n in _descend(node)
        )

    def _expression(self, node: tree_sitter.Node) -> None:
        for child in node.named_children:
            if child.type != "comment":
                self.value(child)

    def _compound(self, node: tree_sitter.Node) -> None:
        self.frame.scopes.append({})
        with self.calls.guards.scope():
            self._block(node)
        self._leave_scope()

    def _leave_scope(self) -> None:
        for name, (ctype, value) in self.frame.scopes.pop().items():
            if name in self.frame.kept:
                self.frame.kept[name] = self.frame.env.get(name, [])
            self.frame.types.pop(name, None)
            self.frame.env.pop(name, None)
            if ctype is not None:
                self.frame.types[name] = ctype
            if value is not None:
                self.frame.env[name] = value

    def _block(self, node: tree_sitter.Node) -> None:
        children = node.named_children
        for child in children:
            self.statement(child)
        labels = [
            (i, self.text(c.children[0])) for i, c in enumerate(children) if c.type == "labeled_statement"
        ]
        for index, label in labels:
            back = self.frame.gotos.pop(label, FALSE)
            if back != FALSE:
                after = self.record.condition
                self.record.condition = back
                self.frame.gotos[label] = FALSE
                for child in children[index:]:
                    self.statement(child)
                if self.frame.gotos.pop(label, FALSE) != FALSE:
                    self.ends += 1
                self.record.condition = self.bdd.disjoin(after, self.record.condition)

    def _label(self, node: tree_sitter.Node) -> None:
        self._arrive(self.text(node.children[0]))
        for child in node.named_children[1:]:
            self.statement(child)

    def _arrive(self, label: str) -> None:
        """Go on with what jumped here as well; what is around this was not entered by its condition alone."""
        arrived = self.frame.gotos.pop(label, FALSE)
        if arrived != FALSE:
            self.exits += 1
        self.record.condition = self.record.widen(self.bdd.disjoin(self.record.condition, arrived))

    def _inner_case(self, node: tree_sitter.Node) -> None:
        """A case label inside a statement of its switch, which jumps to it."""
        self._arrive(_case(node))
        self._after_label(node)

    def _after_label(self, node: tree_sitter.Node) -> None:
        label = node.child_by_field_name("value")
        for inner in node.named_children:
            if label is None or inner.id != label.id:
                self.statement(inner)

    def _goto(self, node: tree_sitter.Node) -> None:
        label = self.text(node.named_children[0])
        self.calls.guards.goto(label)
        gotos = self.frame.gotos
        gotos[label] = self.bdd.disjoin(gotos.get(label, FALSE), self.record.condition)
        self.exits += 1
        self.record.condition = FALSE

    def _return(self, node: tree_sitter.Node) -> None:
        value: Multi = [(TRUE, Const(0))]
        if node.named_children:
            value = self.value(node.named_children[0])
        self.frame.returned += [(self.bdd.conjoin(g, self.record.condition), v) for g, v in value]
        self.exits += 1
        self.record.condition = FALSE

    def _if(self, node: tree_sitter.Node) -> None:
        condition = node.child_by_field_name("condition")
        scoped = self.frame.piece.words.get(node.start_byte)
        if scoped:
            self.calls.scoped(scoped, condition, node)
            return
        holds = self.truth(condition) if condition is not None else self.record.fresh("?")
        consequence = node.child_by_field_name("consequence")
        alternative = node.child_by_field_name("alternative")
        entry, exits, jumps = self.record.condition, self.exits, self._jumps
        self.record.condition = self.bdd.conjoin(entry, holds)
        if consequence is not None:
            self.statement(consequence)
        after = self.record.condition
        self.record.condition = self.bdd.without(entry, holds)
        if alternative is not None:
            for child in alternative.named_children:
                self.statement(child)
        if (exits, jumps) == (self.exits, self._jumps):
            self.record.condition = entry
        else:
            self.record.condition = self.record.widen(self.bdd.disjoin(after, self.record.condition))

    def _loop(self, node: tree_sitter.Node) -> None:
        macro = self.frame.piece.words.get(node.start_byte, "")
        condition = node.child_by_field_name("condition")
        if macro and condition is not None and not self.calls.iterates(macro):
            self.calls.expander.loop(macro, node, condition)
            return
        self.frame.scopes.append({})
        with self.calls.guards.scope(jumps=True, loops=True):
            self._repeat(node)
        self._leave_scope()

    def _repeat(self, node: tree_sitter.Node) -> None:
        macro = self.frame.piece.words.get(node.start_byte)
        initializer = node.child_by_field_name("initializer")
        condition = node.child_by_field_name("condition")
        update = node.child_by_field_name("update")
        body = node.child_by_field_name("body")
        if initializer is not None:
            self.statement(initializer)
        first = node.type == "do_statement"
        left = FALSE
        entry, exits = self.record.condition, self.exits
        self._nested += 1
        for _ in range(UNROLL if self._nested == 1 else 1):
            if macro and condition is not None:
                more = self.calls.iterate(macro, condition)
            elif first or condition is None:
                more = TRUE
            else:
                more = self.truth(condition)
            left = self.bdd.disjoin(left, self.bdd.without(self.record.condition, more))
            self.record.condition = self.bdd.conjoin(self.record.condition, more)
            self.frame.breaks.append(FALSE)
            self.frame.continues.append(FALSE)
            if body is not None:
                self.statement(body)
            self.record.condition = self.bdd.disjoin(self.record.condition, self.frame.continues.pop())
            left = self.bdd.disjoin(left, self.frame.breaks.pop())
            if update is not None and self.record.condition != FALSE:
                self.value(update)
            if node.type == "do_statement" and condition is not None:
                words = self.frame.piece.words
                tail = next((words[c.start_byte] for c in node.children if c.start_byte in words), "")
                more = self.calls.expander.tail(tail, condition) if tail else self.truth(condition)
                left = self.bdd.disjoin(left, self.bdd.without(self.record.condition, more))
                self.record.condition = self.bdd.conjoin(self.record.condition, more)
            if self.record.condition == FALSE:
                break
        self._nested -= 1
        if exits == self.exits and (condition is not None or left != FALSE):
            self.record.condition = entry
        else:
            self.record.condition = self.record.widen(self.bdd.disjoin(left, self.record.condition))

    def _break(self, node: tree_sitter.Node) -> None:
        self.calls.guards.jump(continues=False)
        if self.frame.breaks:
            self.frame.breaks[-1] = self.bdd.disjoin(self.frame.breaks[-1], self.record.condition)
        self._jumps += 1
        self.record.condition = FALSE

    def _continue(self, node: tree_sitter.Node) -> None:
        self.calls.guards.jump(continues=True)
        if self.frame.continues:
            self.frame.continues[-1] = self.bdd.disjoin(self.frame.continues[-1], self.record.condition)
        self._jumps += 1
        self.record.condition = FALSE

    def _switch(self, node: tree_sitter.Node) -> None:
        with self.calls.guards.scope(jumps=True):
            self._cases(node)

    def _cases(self, node: tree_sitter.Node) -> None:
        subject = node.child_by_field_name("condition")
        body = node.child_by_field_name("body")
        if subject is None or body is None:
            return
        value = self.value(subject)
        entry = self.record.condition
        cases = _cases_of(body)
        tests: dict[int, int] = {}
        taken = FALSE
        for case in cases:
            label = case.child_by_field_name("value")
            if label is not None:
                self.record.condition = entry
                tests[case.id] = self.bdd.without(self.equal(value, self.value(label)), taken)
                taken = self.bdd.disjoin(taken, tests[case.id])
        for case in cases:
            if case.parent is None or case.parent.id != body.id:
                arrives = tests.get(case.id, self.bdd.negate(taken))
                self.frame.gotos[_case(case)] = self.bdd.conjoin(entry, arrives)
        self.frame.breaks.append(FALSE)
        self.record.condition = FALSE
        for child in body.named_children:
            if child.type == "case_statement":
                arrives = tests.get(child.id, self.bdd.negate(taken))
                self.record.condition = self.bdd.disjoin(
                    self.record.condition, self.bdd.conjoin(entry, arrives)
                )
                self._after_label(child)
            else:
                self.statement(child)
        missed = FALSE
        if all(c.child_by_field_name("value") is not None for c in cases):
            missed = self.bdd.without(entry, taken)
        after = self.bdd.disjoin(self.bdd.disjoin(self.record.condition, self.frame.breaks.pop()), missed)
        self.record.condition = self.record.widen(after)

    def _preprocessor(self, node: tree_sitter.Node) -> None:
        kind = node.children[0].type if node.children else ""
        subject = node.child_by_field_name("name") or node.child_by_field_name("condition")
        text = self.text(subject) if subject is not None else "?"
        holds = self.configured(text if kind == "#if" or kind == "#elif" else f"defined({text})")
        if kind == "#ifndef":
            holds = self.bdd.negate(holds)
        alternative = node.child_by_field_name("alternative")
        entry = self.record.condition
        self.record.condition = self.bdd.conjoin(entry, holds)
        skip = {n.id for n in (subject, alternative) if n is not None}
        for child in node.named_children:
            if child.id not in skip:
                self.statement(child)
        after = self.record.condition
        self.record.condition = self.bdd.without(entry, holds)
        if alternative is not None:
            if alternative.type == "preproc_else":
                for child in alternative.named_children:
                    self.statement(child)
            else:
                self._preprocessor(alternative)
        self.record.condition = self.bdd.disjoin(after, self.record.condition)

    def _declaration(self, node: tree_sitter.Node) -> None:
        kind = node.child_by_field_name("type")
        tag = type_tag(self.frame.piece, kind)
        typeof = self.frame.piece.words.get(kind.start_byte, "") if kind is not None else ""
        base = self.calls.expander.typeof(typeof) if typeof else None
        for declarator in node.children_by_field_name("declarator"):
            target, initial = declarator, None
            if declarator.type == "init_declarator":
                inner = declarator.child_by_field_name("declarator")
                target, initial = inner or declarator, declarator.child_by_field_name("value")
            name, ctype = declared(self.frame.piece, target, tag if base is None else base.tag)
            if not name:
                continue
            if base is not None:
                ctype = ctype._replace(depth=ctype.depth + base.depth) if base.known else UNKNOWN_TYPE
            self.declare(name, ctype)
            self._cleanups(name, node)
            if initial is None:
                self.frame.env.pop(name, None)
            elif initial.type == "initializer_list":
                self.initialise(Ptr(self.local(name), None, "", tag, ctype), initial)
            else:
                value = self.value(initial)
                self.assign(name, value)
                if ctype.tag and ctype.depth == 0:
                    self._copied(self.local(name), value)

    def _copied(self, target: str, value: Multi) -> None:
        """What a structure holds that was initialised with another one of the function's own."""
        for g, v in self.each(value):
            if isinstance(v, Ptr) and v.path.startswith("local:") and not v.field:
                cells = [(f, held) for (path, f), held in self.memory.items() if path == v.path and f]
                for member, held in cells:
                    cell = (target, member)
                    new = [(self.bdd.conjoin(g, h), w) for h, w in held]
                    self.memory[cell] = self.merge(self.memory.get(cell, []) + new)

    def _cleanups(self, name: str, node: tree_sitter.Node) -> None:
        """What is done with the variable `name` of a declaration where its scope ends."""
        for at, word in self.frame.piece.words.items():
            if node.start_byte <= at < node.end_byte:
                if word.startswith(FREE):
                    self.calls.guards.free(word.removeprefix(FREE), name, node)
                elif word.startswith(CLEANUP):
                    self.calls.guards.cleanup(word.removeprefix(CLEANUP), name, node)

    def declare(self, name: str, ctype: CType) -> None:
        """Declare a local variable in the innermost scope."""
        frame = self.frame
        if frame.scopes and name not in frame.scopes[-1] and len(frame.scopes) > 1:
            frame.scopes[-1][name] = (frame.types.get(name), frame.env.get(name))
        frame.types[name] = ctype

    def initialise(self, target: Ptr, node: tree_sitter.Node) -> None:
        """Execute an initialiser list into a local structure."""
        for child in node.named_children:
            if child.type == "initializer_pair":
                names = [
                    c for c in child.children_by_field_name("designator") if c.type == "field_designator"
                ]
                value = child.child_by_field_name("value")
                if value is not None and names:
                    member = ".".join(self.text(n).lstrip(".") for n in names)
                    if value.type == "initializer_list":
                        self.initialise(target._replace(field=join(target.field, member)), value)
                    else:
                        self.memory[(target.path, join(target.field, member))] = self.value(value)
                elif value is not None:
                    self.value(value)
            elif child.type == "initializer_list":
                self.initialise(target._replace(field=join(target.field, "[]")), child)
            elif child.type != "comment":
                cell = (target.path, join(target.field, "[]"))
                self.memory[cell] = self.merge(self.memory.get(cell, []) + self.value(child))

    def local(self, name: str) -> str:
        """The access path of local variable `name` of the current activation."""
        return f"local:{self.frame.serial}:{name}"

    def assign(self, name: str, value: Multi) -> None:
        """Assign to a local variable under the current condition."""
        ctype = self.frame.types.get(name, UNKNOWN_TYPE)
        here = self.record.condition
        old = [(self.bdd.without(g, here), v) for g, v in self.frame.env.get(name, [])]
        new = [(self.bdd.conjoin(g, here), retype(v, ctype)) for g, v in value]
        self.frame.env[name] = self.merge(old + new)

    # -- values ------------------------------------------------------------------------------------

    def merge(self, value: Multi) -> Multi:
        """Alternatives with equal values joined, impossible ones dropped, many scalars made one unknown."""
        joined: dict[Value, int] = {}
        flag, under = FALSE, FALSE
        for g, v in value:
            if g == FALSE:
                continue
            if isinstance(v, Bool):
                flag = self.bdd.disjoin(flag, self.bdd.conjoin(g, v.condition))
                under = self.bdd.disjoin(under, g)
            else:
                joined[v] = self.bdd.disjoin(joined.get(v, FALSE), g)
        scalars = [v for v in joined if isinstance(v, Sym)]
        if len(scalars) > MAX_SCALARS:
            self._merge_scalars(joined, scalars)
        if len(joined) > MAX_ALTERNATIVES:
            constants = [v for v in joined if isinstance(v, Const) and v != NULL and not is_error(v)]
            self._merge_scalars(joined, constants)
        self._merge_pointers(joined)
        if under != FALSE:
            joined[Bool(self.record.widen(flag))] = under
        return [(self.record.widen(g), v) for v, g in joined.items()]

    def _merge_scalars(self, joined: dict[Value, int], scalars: Sequence[Value]) -> None:
        """One scalar for many; whether it is zero, and whether negative, is still what each of them is."""
        if scalars:
            many = Sym(("many", self.calls.next()))
            self._many[many.key] = [(joined[v], v) for v in scalars]
            rest = FALSE
            for v in scalars:
                rest = self.bdd.disjoin(rest, joined.pop(v))
            joined[many] = rest

    def _merge_pointers(self, joined: dict[Value, int]) -> None:
        """One pointer for many that were read at different times from one place. It then counts as reached
        whatever was read, which adds accesses; for an inode, whose NULL matters, that is noted as a gap."""
        if len(joined) <= MAX_POINTERS:
            return
        groups: dict[Ptr, list[Ptr]] = {}
        for v in joined:
            if isinstance(v, Ptr) and v.via is not None:
                groups.setdefault(v._replace(via=None), []).append(v)
        for whole, members in groups.items():
            if len(members) > MAX_POINTERS:
                for v in members:
                    joined[whole] = self.bdd.disjoin(joined.get(whole, FALSE), joined.pop(v))
                if whole.path in ("inode", "dir"):
                    self.record.gap(
                        f"more than {MAX_POINTERS} reads of d_inode come together",
                        Source(self.frame.file.path if self.frames else ""),
                    )

    def each(self, value: Multi) -> list[tuple[int, Value]]:
        """The alternatives of `value` that are possible here."""
        return [(g, v) for g, v in value if self.bdd.conjoin(g, self.record.condition) != FALSE]

    def value(self, node: tree_sitter.Node) -> Multi:
        """Evaluate an expression under the current condition; events of its side effects are recorded."""
        handler = _EXPRESSIONS.get(node.type)
        if handler is not None:
            return handler(self, node)
        if node.is_error or node.is_missing:
            self.record.gap("an expression does not parse", self.where(node))
        return [(TRUE, Sym(("text", self.text(node))))]

    def truth(self, node: tree_sitter.Node) -> int:
        """The condition under which the expression `node` is not zero."""
        return self.truths(self.value(node), self.text(node))

    def truths(self, value: Multi, text: str = "") -> int:
        """The condition under which `value` is not zero."""
        result = FALSE
        for g, v in self.each(value):
            result = self.bdd.disjoin(result, self.bdd.conjoin(g, self.nonzero(v, text)))
        return self.record.widen(result)

    def nonzero(self, value: Value, text: str = "") -> int:
        """The condition under which one alternative is not zero."""
        if isinstance(value, Bool):
            return value.condition
        if isinstance(value, Fn):
            return TRUE
        if isinstance(value, Const):
            if value.number is not None:
                return TRUE if value.number else FALSE
            return TRUE if is_error(value) else self.record.atom("stable", ("const", value.name), value.name)
        if isinstance(value, Ptr):
            if ("nonzero", value.path) in self.facts and not value.field:
                return TRUE if self.facts["nonzero", value.path] else FALSE
            if value.path.startswith(("static:", "call:")) and not value.field:
                return self.record.atom("free", ("nonzero", value.path), text)
            if value.via is None or value.field:
                return TRUE
            scalar = value.ctype.known and value.ctype.depth < 0
            kind = "free" if scalar else "nonnull"
            return self.record.atom(
                kind,
                ("nonzero", value.path, value.via),
                f"{value.path} is not NULL" if kind == "nonnull" else text,
                value.via if kind == "nonnull" else None,
            )
        fact = self._masked(value.key)
        if fact is not None:
            return TRUE if fact else FALSE
        if value.key in self._many:
            return self._either(value.key, lambda v: self.nonzero(v, text))
        if value.key in self._errors:
            error = self._errors[value.key]
            return self.bdd.disjoin(self.nonzero(error, text), self.negative(error, text))
        if value.key[0] in ("<", ">=") and len(value.key) == 3 and value.key[2] == key(NULL):
            if value.key[0] == ">=":
                return self.bdd.negate(self.nonzero(Sym(("<", *value.key[1:])), text))
            if value.key[1] in self._many:
                return self._either(value.key[1], lambda v: self.negative(v, text))
            if value.key[1] in self._errors:
                return self.nonzero(Sym(("err", key(self._errors[value.key[1]]))), text)
        return self.record.atom("free", ("nonzero", value.key), text)

    def error_pointer(self, value: Multi) -> Multi:
        """ERR_PTR() of `value`: zero or negative, it is taken, where a method's locks are asked for."""
        if self.handover is None:
            return value
        result: Multi = []
        for g, v in value:
            if isinstance(v, (Ptr, Sym)) and key(v) not in self._errors:
                self._errors[("err", key(v))] = v
                v = Sym(("err", key(v)))
            result.append((g, v))
        return result

    def _no_address(self, value: Value) -> int:
        """The condition under which a value is what ERR_PTR() made of something that is no constant."""
        if not isinstance(value, Sym):
            return FALSE
        if value.key in self._many:
            return self._either(value.key, self._no_address)
        return TRUE if value.key in self._errors else FALSE

    def _either(self, many: object, holds: Callable[[Value], int]) -> int:
        """The condition under which that one of the scalars merged into `many` which it is, `holds`."""
        result = FALSE
        for g, v in self._many[many]:
            result = self.bdd.disjoin(result, self.bdd.conjoin(g, holds(v)))
        return self.record.widen(result)

    def negative(self, value: Value, text: str = "") -> int:
        """The condition under which one alternative is negative, or an error instead of a pointer."""
        if is_error(value):
            return TRUE
        if isinstance(value, Const) and value.number is not None:
            return TRUE if value.number < 0 else FALSE
        if isinstance(value, (Const, Bool, Fn)):
            return FALSE
        if isinstance(value, Ptr) and value.via is None and not value.path.startswith("call:"):
            return FALSE
        return self.nonzero(Sym(("<", key(value), key(NULL))), text)

    def _masked(self, symbol: tuple[object, ...]) -> bool | None:
        """Whether ``flags & BITS`` is not zero, where `facts` tell; flags may have had bits added."""
        if symbol in self.facts:
            return self.facts[symbol]
        if symbol[0] != "&" or len(symbol) != 3:
            return None
        for mask, subject in ((symbol[1], symbol[2]), (symbol[2], symbol[1])):
            names, added = _bits(mask), _bits(subject)
            if names is None or added is None or ("param",) in names:
                continue
            parameters = [p for p in added if p[0] == "param"]
            if names & added:
                return True
            truths = [self.facts.get(("&", n, p)) for n in names for p in parameters]
            if True in truths:
                return True
            if truths and all(t is False for t in truths):
                return False
        return None

    def equal(self, left: Multi, right: Multi, text: str = "") -> int:
        """The condition under which two values are equal."""
        result = FALSE
        for ga, a in self.each(left):
            for gb, b in self.each(right):
                both = self.bdd.conjoin(ga, gb)
                if both != FALSE:
                    result = self.bdd.disjoin(result, self.bdd.conjoin(both, self._equal(a, b, text)))
        return self.record.widen(result)

    def _equal(self, a: Value, b: Value, text: str) -> int:
        if key(a) == key(b):
            return TRUE
        for one, other in ((a, b), (b, a)):
            if (
                isinstance(one, Sym)
                and one.key[0] == "&"
                and key(other) in one.key[1:]
                and one.key in self.facts
            ):
                return self.nonzero(one, text)
        for one, other in ((a, b), (b, a)):
            if isinstance(other, Const) and other.number == 0:
                return self.bdd.negate(self.nonzero(one, text))
            if isinstance(other, Const) and other.number == 1 and isinstance(one, Bool):
                return one.condition
        if isinstance(a, Const) and isinstance(b, Const):
            if a.number is not None and b.number is not None:
                return TRUE if a.number == b.number else FALSE
            if is_error(a) or is_error(b):
                return FALSE
        for one, other in ((a, b), (b, a)):
            if is_error(other) and isinstance(one, (Bool, Fn)):
                return FALSE
            if is_error(other) and isinstance(one, Const) and one.number is not None:
                return FALSE
            if is_error(other) and isinstance(one, Ptr) and one.via is None:
                return FALSE
        first, second = sorted((str(key(a)), str(key(b))))
        return self.record.atom("free", ("equal", first, second), text)

    # -- memory ------------------------------------------------------------------------------------

    def load(self, address: Multi, node: tree_sitter.Node) -> Multi:
        """What stands at `address`; a read event for memory that is not the function's own."""
        lost = FALSE
        result: Multi = []
        for g, place in self.each(address):
            if isinstance(place, Ptr) and place.path.startswith("local:"):
                result += [(self.bdd.conjoin(g, h), v) for h, v in self._load_local(place)]
            elif isinstance(place, Ptr) and (place.path, place.field) in self.memory:
                stored = self._possible(self.memory[(place.path, place.field)], -1)
                stored = self._some(stored) if "[]" in place.field else stored
                result += [(self.bdd.conjoin(g, h), v) for h, v in stored]
            elif isinstance(place, Ptr):
                result.append((g, self._load_shared(place, g, node)))
            elif isinstance(place, Const) and place.number == 0:
                self.record.emit(
                    Event(
                        "read",
                        "NULL",
                        "",
                        source=self.where(node),
                        debug=self.record.debug > 0,
                        note=self.text(node),
                    ),
                    g,
                )
                result.append((g, Sym(("null", self.statements))))
            elif isinstance(place, Fn):
                result.append((g, place))
            else:
                if not is_error(place):
                    self.record.emit(
                        Event(
                            "read",
                            "?",
                            "",
                            source=self.where(node),
                            debug=self.record.debug > 0,
                            note=self.text(node),
                        ),
                        g,
                    )
                none = self._no_address(place)
                lost = self.bdd.disjoin(lost, self.bdd.conjoin(g, none))
                if self.bdd.without(g, none) != FALSE:
                    result.append((g, Sym(("at", key(place), self.text(node), len(self.record.events)))))
        if lost != FALSE:
            # Neither NULL nor an errno is an address: this is an oops.
            self.exits += 1
            self.ends += 1
            self.record.condition = self.bdd.without(self.record.condition, lost)
        return self.merge(result)

    def _load_local(self, place: Ptr) -> Multi:
        name = place.path.split(":", 2)[2]
        owner = self._owner(place.path)
        if "[]" in place.field and (place.path, place.field) in self.memory:
            return self._some(self._possible(self.memory[(place.path, place.field)], owner))
        if not place.field and owner >= 0 and name in self.frames[owner].env:
            return self._possible(self.frames[owner].env[name], owner)
        stored = self.memory.get((place.path, place.field))
        if stored is not None:
            return self._possible(stored, owner)
        if place.ctype.array or (place.ctype.tag and place.ctype.depth == 0):
            return [(TRUE, place)]
        whole = self.memory.get((place.path, ""))
        if whole:
            inside: Multi = []
            for g, v in self._possible(whole, owner):
                if isinstance(v, Ptr):
                    inside.append(
                        (
                            g,
                            self._load_shared(
                                v._replace(field=join(v.field, place.field), ctype=place.ctype), g, None
                            ),
                        )
                    )
            if inside:
                return inside
        return [(TRUE, Sym(("local", place.path, place.field)))]

    def _some(self, stored: Multi) -> Multi:
        """What one element of the function's own array is: anything that was stored to any of them, or zero.
        Two loads, of whatever elements, have nothing to do with each other."""
        result: Multi = []
        left = TRUE
        for g, v in stored:
            chosen = self.bdd.conjoin(self.bdd.conjoin(left, g), self.record.fresh("it is this element"))
            result.append((chosen, v))
            left = self.bdd.without(left, chosen)
        return [*result, (left, NULL)]

    def _load_shared(self, place: Ptr, under: int, node: tree_sitter.Node | None) -> Value:
        if place.path.startswith("static:"):
            if place.ctype.depth > 0 or not place.ctype.known:
                return Ptr(
                    f"{place.path}.{place.field}" if place.field else place.path,
                    None,
                    "",
                    "",
                    _pointee(place.ctype),
                )
            return Sym(("static", place.path, place.field))
        if place.ctype.array:
            return place
        if place.ctype.known and place.ctype.tag and place.ctype.depth == 0:
            self._copies(place, under, node)
            return place
        fixed = self.calls.well_known(place)
        event = self.record.emit(
            Event(
                "read",
                place.path,
                place.field,
                source=self.where(node),
                via=place.via,
                debug=self.record.debug > 0,
                type=place.otype,
                note=self.text(node) if node is not None else "",
            ),
            under,
        )
        if fixed is not None and fixed.path == "sb":
            return fixed
        via: int | None = event
        if self.record.sink is not None:
            via = None
        if fixed is not None:
            return fixed._replace(via=via)
        if place.ctype.known and place.ctype.depth == 0:
            return Sym(("load", self.record.deferred, event))
        target = _pointee(place.ctype)
        return Ptr(_extend(place.path, place.field), via, "", target.tag if target.depth == 0 else "", target)

    def _copies(self, place: Ptr, under: int, node: tree_sitter.Node | None) -> None:
        """A structure is read as a whole."""
        event = Event(
            "read",
            place.path,
            place.field or "*",
            source=self.where(node),
            via=place.via,
            debug=self.record.debug > 0,
            type=place.otype,
            note=self.text(node) if node is not None else "",
        )
        self.record.emit(event, under)

    def store(self, address: Multi, value: Multi, node: tree_sitter.Node) -> None:
        """Store `value` at `address`; a write event for memory that is not the function's own."""
        for g, place in self.each(address):
            if not isinstance(place, Ptr):
                if isinstance(place, Const) and place.number == 0:
                    self.record.emit(
                        Event("write", "NULL", "", "other", source=self.where(node), note=self.text(node)), g
                    )
                elif not is_error(place):
                    self.record.emit(
                        Event("write", "?", "", "other", source=self.where(node), note=self.text(node)), g
                    )
            elif place.path.startswith("local:"):
                owner = self._owner(place.path)
                here = self.bdd.conjoin(self._since(owner), g)
                name = place.path.split(":", 2)[2]
                frame = self.frames[owner] if owner >= 0 else None
                if frame is not None and not place.field:
                    old = [(self.bdd.without(h, here), v) for h, v in frame.env.get(name, [])]
                    new = [(self.bdd.conjoin(h, here), v) for h, v in value]
                    frame.env[name] = self.merge(old + new)
                else:
                    self._keep(place, here, value)
            elif place.path.startswith("static:"):
                here = self.bdd.conjoin(self._since(-1), g)
                known = (place.path, place.field) in self.memory
                self._keep(place, here, value, None if known else [(TRUE, self._load_shared(place, g, node))])
            else:
                for h, v in self.each(value):
                    both = self.bdd.conjoin(g, h)
                    if both != FALSE:
                        self.record.emit(
                            Event(
                                "write",
                                place.path,
                                place.field,
                                value=_stored(v),
                                source=self.where(node),
                                via=place.via,
                                debug=self.record.debug > 0,
                                type=place.otype,
                                note=self.text(node),
                            ),
                            both,
                        )

    def _keep(self, place: Ptr, here: int, value: Multi, before: Multi | None = None) -> None:
        """What memory holds from now on, `before` if nothing was stored there; an element of an array may be
        another one than what was stored before, which then is still there."""
        cell = (place.path, place.field)
        gone = FALSE if "[]" in place.field else here
        old = [(self.bdd.without(h, gone), v) for h, v in self.memory.get(cell) or before or []]
        self.memory[cell] = self.merge(old + [(self.bdd.conjoin(h, here), v) for h, v in value])

    def address(self, name: str) -> Multi:
        """The address of a local variable."""
        ctype = self.frame.types.get(name, UNKNOWN_TYPE)
        return [(TRUE, Ptr(self.local(name), None, "", ctype.tag if ctype.depth == 0 else "", ctype))]

    def place(self, node: tree_sitter.Node) -> Multi:
        """The address of an lvalue."""
        if node.type == "identifier":
            name = self.text(node)
            if name in self.frame.types or name in self.frame.env:
                return self.address(name)
            return [(TRUE, Ptr(f"static:{name}", None, "", "", UNKNOWN_TYPE))]
        if node.type == "parenthesized_expression":
            return self.place(node.named_children[0])
        if node.type == "field_expression":
            return self._member(node)
        if node.type == "pointer_expression" and self.frame.piece.string(node)[:1] == "*":
            return self.value(node.named_children[0])
        if node.type == "subscript_expression":
            return self._element(node)
        if node.type == "cast_expression":
            inner = node.child_by_field_name("value")
            return self.place(inner) if inner is not None else []
        return self.value(node)

    def _member(self, node: tree_sitter.Node) -> Multi:
        argument = node.child_by_field_name("argument")
        member = node.child_by_field_name("field")
        operator = node.child_by_field_name("operator")
        if argument is None or member is None:
            return []
        arrow = operator is not None and self.frame.piece.string(operator) == "->"
        base = self.value(argument) if arrow else self.place(argument)
        return self.members(base, self.text(member))

    def members(self, base: Multi, name: str) -> Multi:
        """The address of member `name` of each structure that `base` points to."""
        result: Multi = []
        for g, v in self.each(base):
            if isinstance(v, Ptr):
                tag = v.ctype.tag if v.ctype.known and v.ctype.depth == 0 else ""
                if not tag and not v.field:
                    tag = v.otype
                ctype = self.types.member(tag, name, self.frame.file) if tag else UNKNOWN_TYPE
                place = v._replace(
                    field=join(v.field, name), ctype=ctype, otype=v.otype or (tag if not v.field else "")
                )
                result.append((g, self.calls.embedded(place)))
            else:
                result.append((g, v))
        return result

    def _element(self, node: tree_sitter.Node) -> Multi:
        argument = node.child_by_field_name("argument")
        index = node.child_by_field_name("index")
        if index is not None:
            self.value(index)
        if argument is None:
            return []
        result: Multi = []
        for g, v in self.each(self.value(argument)):
            if isinstance(v, Ptr):
                element = v.ctype._replace(array=False) if v.ctype.known else UNKNOWN_TYPE
                if v.via is not None and not v.field and element == UNKNOWN_TYPE:
                    element = CType("", 0)
                result.append((g, v._replace(field=join(v.field, "[]"), ctype=element)))
            else:
                result.append((g, v))
        return result

    # -- expressions -------------------------------------------------------------------------------

    def _identifier(self, node: tree_sitter.Node) -> Multi:
        name = self.text(node)
        frame = self.frame
        if name in frame.env:
            ctype = frame.types.get(name, UNKNOWN_TYPE)
            if ctype.array or (ctype.tag and ctype.depth == 0):
                return [(TRUE, Ptr(self.local(name), None, "", ctype.tag, ctype))]
            return frame.env[name]
        if name in frame.types:
            ctype = frame.types[name]
            if ctype.array or (ctype.tag and ctype.depth == 0):
                return [(TRUE, Ptr(self.local(name), None, "", ctype.tag, ctype))]
            return [(TRUE, Sym(("uninitialised", self.local(name))))]
        return self.calls.name(name, node)

    def _number(self, node: tree_sitter.Node) -> Multi:
        match = _NUMBER.match(self.text(node))
        return [
            (
                TRUE,
                Const(
                    int(match.group(1), 16 if match.group(1)[:2].lower() == "0x" else 10) if match else None,
                    self.text(node),
                ),
            )
        ]

    def _negated(self, node: tree_sitter.Node) -> Multi:
        operator = self.text(node.children[0])
        argument = node.child_by_field_name("argument")
        if argument is None:
            return []
        if operator == "!":
            return [(TRUE, Bool(self.bdd.negate(self.truth(argument))))]
        value = self.value(argument)
        if operator == "-":
            result: Multi = []
            for g, v in value:
                if isinstance(v, Const) and v.number is not None:
                    result.append((g, Const(-v.number)))
                elif isinstance(v, Const) and _ERRNO.match(v.name):
                    result.append((g, Const(None, "-" + v.name)))
                else:
                    result.append((g, Sym(("-", key(v)))))
            return result
        return [(g, Sym((operator, key(v)))) for g, v in value]

    def _binary(self, node: tree_sitter.Node) -> Multi:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator_node = node.child_by_field_name("operator")
        if left is None or right is None or operator_node is None:
            return []
        operator = self.text(operator_node)
        if operator in ("&&", "||"):
            first = self.truth(left)
            saved = self.record.condition
            self.record.condition = (
                self.bdd.conjoin(saved, first) if operator == "&&" else self.bdd.without(saved, first)
            )
            second = self.truth(right) if self.record.condition != FALSE else FALSE
            self.record.condition = saved
            join = self.bdd.conjoin if operator == "&&" else self.bdd.disjoin
            return [(TRUE, Bool(join(first, second)))]
        a, b = self.value(left), self.value(right)
        if operator in ("==", "!="):
            same = self.equal(a, b, self.text(node))
            return [(TRUE, Bool(same if operator == "==" else self.bdd.negate(same)))]
        return self._arithmetic(operator, a, b, self.text(node))

    def _arithmetic(self, operator: str, a: Multi, b: Multi, text: str) -> Multi:
        result: Multi = []
        left, right = self.each(a), self.each(b)
        if len(left) * len(right) > MAX_ALTERNATIVES and not any(isinstance(v, Ptr) for _, v in left + right):
            return [(TRUE, Sym(("arithmetic", self.statements, len(self.record.atoms))))]
        for g, v in left:
            for h, w in right:
                both = self.bdd.conjoin(g, h)
                if both == FALSE:
                    continue
                if isinstance(v, Ptr) and operator in "+-" and not isinstance(w, Ptr):
                    result.append((both, v))
                elif isinstance(w, Ptr) and operator == "+":
                    result.append((both, w))
                else:
                    result.append((both, _fold(operator, v, w)))
        return self.merge(result)

    def _pointer(self, node: tree_sitter.Node) -> Multi:
        argument = node.child_by_field_name("argument")
        if argument is None:
            return []
        if self.text(node.children[0]) == "&":
            if (
                argument.type == "identifier"
                and self.text(argument) not in self.frame.types
                and self.scope.find(self.text(argument), "function", self.frame.file)
            ):
                return [(TRUE, Fn(self.text(argument)))]
            return self.place(argument)
        return self.load(self.value(argument), node)

    def _field(self, node: tree_sitter.Node) -> Multi:
        return self.load(self._member(node), node)

    def _subscript(self, node: tree_sitter.Node) -> Multi:
        return self.load(self._element(node), node)

    def _parenthesised(self, node: tree_sitter.Node) -> Multi:
        inner = next((c for c in node.named_children if c.type != "comment"), None)
        if inner is None:
            return [(TRUE, Const(0))]
        if inner.type == "compound_statement":
            self.frame.scopes.append({})
            with self.calls.guards.scope():
                value = self._statement_value(inner)
            self._leave_scope()
            return value
        return self.value(inner)

    def _statement_value(self, node: tree_sitter.Node) -> Multi:
        """Execute a block that is an expression: its value is that of its last statement."""
        children = [c for c in node.named_children if c.type != "comment"]
        for child in children[:-1]:
            self.statement(child)
        if children and children[-1].type == "expression_statement" and children[-1].named_children:
            return self.value(children[-1].named_children[0])
        if children:
            self.statement(children[-1])
        return [(TRUE, Const(0))]

    def _cast(self, node: tree_sitter.Node) -> Multi:
        target, inner = node.child_by_field_name("type"), node.child_by_field_name("value")
        if inner is None:
            return []
        value = self.value(inner)
        if target is None:
            return value
        tag = type_tag(self.frame.piece, target.child_by_field_name("type"))
        abstract = target.child_by_field_name("declarator")
        depth = self.text(abstract).count("*") if abstract is not None else 0
        if depth:
            value = [(g, untagged(v)) for g, v in value]
        if tag and depth:
            return [(g, retype(v, CType(tag, depth))) for g, v in value]
        return value

    def _conditional(self, node: tree_sitter.Node) -> Multi:
        condition = node.child_by_field_name("condition")
        first, second = node.child_by_field_name("consequence"), node.child_by_field_name("alternative")
        if condition is None or second is None:
            return []
        subject = self.value(condition)
        holds = self.truths(subject, self.text(condition))
        saved = self.record.condition
        self.record.condition = self.bdd.conjoin(saved, holds)
        a = (self.value(first) if first is not None else subject) if self.record.condition != FALSE else []
        self.record.condition = self.bdd.without(saved, holds)
        b = self.value(second) if self.record.condition != FALSE else []
        self.record.condition = saved
        return self.merge(
            [(self.bdd.conjoin(g, holds), v) for g, v in a] + [(self.bdd.without(g, holds), v) for g, v in b]
        )

    def _assignment(self, node: tree_sitter.Node) -> Multi:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is None or right is None:
            return []
        value = self.value(right)
        operator = next((self.text(c) for c in node.children if not c.is_named), "=")
        if operator != "=":
            value = self._arithmetic(operator.rstrip("="), self.value(left), value, self.text(node))
        if left.type == "identifier" and (self.text(left) in self.frame.types):
            self.assign(self.text(left), value)
        else:
            self.store(self.place(left), value, node)
        return value

    def _update(self, node: tree_sitter.Node) -> Multi:
        argument = node.child_by_field_name("argument")
        if argument is None:
            return []
        value = self.value(argument)
        step = "-" if "--" in (node.children[0].type, node.children[-1].type) else "+"
        if self._nested:
            # This stands for every further round of the loop, not for the next one alone.
            kind = NATURAL if step == "+" and all(_is_natural(v) for _, v in value) else "stepped"
            stepped: Multi = [(TRUE, Sym((kind, self.statements, len(self.record.atoms))))]
            if any(isinstance(v, Ptr) for _, v in value):
                stepped = self._arithmetic(step, value, [(TRUE, Const(1))], self.text(node))
        else:
            stepped = self._arithmetic(step, value, [(TRUE, Const(1))], self.text(node))
        if argument.type == "identifier" and self.text(argument) in self.frame.types:
            self.assign(self.text(argument), stepped)
        else:
            self.store(self.place(argument), stepped, node)
        return stepped if node.children[0].type in ("++", "--") else value

    def _comma(self, node: tree_sitter.Node) -> Multi:
        value: Multi = []
        for child in node.named_children:
            value = self.value(child)
        return value

    def _compound_literal(self, node: tree_sitter.Node) -> Multi:
        self._serial += 1
        kind, body = node.child_by_field_name("type"), node.child_by_field_name("value")
        tag = type_tag(self.frame.piece, kind.child_by_field_name("type")) if kind is not None else ""
        target = Ptr(f"local:{self.frame.serial}:<literal {self._serial}>", None, "", tag, CType(tag))
        if body is not None:
            self.initialise(target, body)
        return [(TRUE, target)]

    def _call(self, node: tree_sitter.Node) -> Multi:
        return self.calls.call(node)

    def _generic(self, node: tree_sitter.Node) -> Multi:
        return self.calls.expander.generic(node)

    def _asm(self, node: tree_sitter.Node) -> Multi:
        return self.calls.expander.asm(node)

    def _string(self, node: tree_sitter.Node) -> Multi:
        return [(TRUE, Ptr("static:text", None, "", "", CType("", 0)))]

    def _char(self, node: tree_sitter.Node) -> Multi:
        return [(TRUE, Const(None, self.text(node)))]

    def _sizeof(self, node: tree_sitter.Node) -> Multi:
        return [(TRUE, Const(None, self.text(node)))]

    def _true(self, node: tree_sitter.Node) -> Multi:
        return [(TRUE, Const(1))]

    def _zero(self, node: tree_sitter.Node) -> Multi:
        return [(TRUE, NULL)]

    # -- deferred functions ------------------------------------------------------------------------

    def deferred(self, run: Callable[[], object]) -> tuple[Event, ...]:
        """The events of `run`, kept apart from the program's own: what happens later."""
        with self.record.apart() as events:
            run()
        return tuple(
            replace(p.event, guard=self.record.guard(whole), via=None)
            for p in events
            if (whole := self.record.whole(p)) != FALSE
        )


def _descend(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    todo = [node]
    while todo:
        current = todo.pop()
        yield current
        todo.extend(reversed(current.named_children))


def _case(node: tree_sitter.Node) -> str:
    """The name of a case label among those that are jumped to."""
    return f"case {node.id}"


def _cases_of(body: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The case labels of the switch with that body, but not those of switches in it, in order."""
    found: list[tree_sitter.Node] = []
    todo = [body]
    while todo:
        node = todo.pop()
        if node.type == "case_statement":
            found.append(node)
        todo += reversed([c for c in node.named_children if c.type != "switch_statement"])
    return found


def parameters(piece: Parsed, function: tree_sitter.Node) -> list[tuple[str, CType]]:
    """The parameters of a function definition: names and types."""
    declarator = function.child_by_field_name("declarator")
    while declarator is not None and declarator.type != "function_declarator":
        declarator = declarator.child_by_field_name("declarator")
    names = declarator.child_by_field_name("parameters") if declarator is not None else None
    found = []
    for child in names.named_children if names is not None else ():
        if child.type == "parameter_declaration":
            inner = child.child_by_field_name("declarator")
            tag = type_tag(piece, child.child_by_field_name("type"))
            if inner is not None:
                found.append(declared(piece, inner, tag))
    return found


def retype(value: Value, ctype: CType) -> Value:
    """`value` seen as of type `ctype`: an untyped pointer learns what it points to."""
    if isinstance(value, Ptr) and ctype.known and ctype.depth == 1 and ctype.tag:
        if not value.field:
            return value._replace(otype=value.otype or ctype.tag, ctype=CType(ctype.tag))
        if not (value.ctype.known and value.ctype.tag):
            return value._replace(ctype=CType(ctype.tag))
    return value


def _pointee(ctype: CType) -> CType:
    return (
        ctype._replace(depth=ctype.depth - 1, array=False)
        if ctype.known and ctype.depth > 0
        else UNKNOWN_TYPE
    )


def _extend(path: str, member: str) -> str:
    if path.count("->") >= 6 or path.endswith(f"->{member}"):
        return path
    return f"{path}->{member}" if member else f"*{path}"


def _stored(value: Value) -> str:
    if isinstance(value, Const) and value.number == 0:
        return "null"
    if isinstance(value, Ptr) and value.path.startswith("new:"):
        return "new"
    return "other"


def _fold(operator: str, a: Value, b: Value) -> Value:
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


def _is_natural(value: Value) -> bool:
    return (isinstance(value, Const) and value.number is not None and value.number >= 0) or (
        isinstance(value, Sym) and value.key[0] == NATURAL
    )


def _bits(symbol: object) -> frozenset[tuple[object, ...]] | None:
    """The names or-ed together in a symbolic value, parameters among them; None for anything else."""
    if not isinstance(symbol, tuple):
        return None
    if symbol[0] == "|" and len(symbol) == 3:
        left, right = _bits(symbol[1]), _bits(symbol[2])
        return None if left is None or right is None else left | right
    return frozenset({symbol}) if symbol[0] in ("c", "param") else None


def _returned(file: SourceFile, definition: Definition) -> str:
    """The tag of the structure that a function is declared to return a pointer to, or ""."""
    head = file.code[definition.start : definition.body]
    if "*" not in head or "struct" not in head:
        return ""
    found = re.search(
        rf"\bstruct\s+(\w+)\s*(?:const\s*)?\*\s*(?:\w+\s+)*{re.escape(definition.name)}\s*\(", head
    )
    return found.group(1) if found else ""


def _yields_pointer(file: SourceFile, definition: Definition) -> bool:
    """Whether a function is an accessor, short and returning a pointer: then what it reads must be known."""
    head = file.code[definition.start : file.code.find("(", definition.start)]
    return "*" in head and definition.end - definition.start < ACCESSOR_LENGTH


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


_STATEMENTS: dict[str, Callable[[Executor, tree_sitter.Node], None]] = {
    "compound_statement": Executor._compound,
    "declaration": Executor._declaration,
    "if_statement": Executor._if,
    "else_clause": Executor._compound,
    "while_statement": Executor._loop,
    "for_statement": Executor._loop,
    "do_statement": Executor._loop,
    "switch_statement": Executor._switch,
    "return_statement": Executor._return,
    "goto_statement": Executor._goto,
    "labeled_statement": Executor._label,
    "break_statement": Executor._break,
    "continue_statement": Executor._continue,
    "preproc_ifdef": Executor._preprocessor,
    "preproc_if": Executor._preprocessor,
    "case_statement": Executor._inner_case,
    "expression_statement": Executor._expression,
}

_EXPRESSIONS: dict[str, _Handler] = {
    "identifier": Executor._identifier,
    "number_literal": Executor._number,
    "string_literal": Executor._string,
    "concatenated_string": Executor._string,
    "char_literal": Executor._char,
    "true": Executor._true,
    "false": Executor._zero,
    "null": Executor._zero,
    "parenthesized_expression": Executor._parenthesised,
    "unary_expression": Executor._negated,
    "binary_expression": Executor._binary,
    "pointer_expression": Executor._pointer,
    "field_expression": Executor._field,
    "subscript_expression": Executor._subscript,
    "cast_expression": Executor._cast,
    "conditional_expression": Executor._conditional,
    "assignment_expression": Executor._assignment,
    "update_expression": Executor._update,
    "comma_expression": Executor._comma,
    "compound_literal_expression": Executor._compound_literal,
    "call_expression": Executor._call,
    "sizeof_expression": Executor._sizeof,
    "offsetof_expression": Executor._sizeof,
    "alignof_expression": Executor._sizeof,
    "generic_expression": Executor._generic,
    "gnu_asm_expression": Executor._asm,
}

__all__ = ["Executor", "Frame", "KernelFunction"]
