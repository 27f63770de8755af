"""Which functions of a teardown can matter to a lockless walker, told from their text before following them.

A teardown writes back pages, talks to servers, and frees a great deal that no walker can reach. A function
matters if it, or anything that it calls, may destroy an object of a type that the lockless methods touch,
waits for a grace period, or tears the superblock down. What cannot be told matters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..spec.kernel_functions import Effect, KernelFunction, table
from ..spec.program import Program
from .function_text import FunctionText, Texts, calls_in, parameters, uncast
from .source import Definition, SourceFile
from .tree import Scope
from .unseen import Unseen

_ALWAYS = frozenset({"wait", "teardown"})
_PAYLOADS = frozenset({"i_private", "s_fs_info", "d_fsdata"})
_TOO_MANY = 16


_ROOTS = frozenset(
    {"inode", "dentry", "super_block", "page", "folio", "file", "address_space", "rb_node", "list_head"}
)
"""Types that every filesystem hands about: a call that is handed one destroys nothing of the filesystem's."""


@dataclass(frozen=True)
class Wanted:
    """What lockless methods touch: structure types, and members that lead to objects of no structure type."""

    types: frozenset[str]
    members: frozenset[str]
    waits: bool
    locks: frozenset[str]
    """Names of the locks that they take: members or variables."""
    untyped: bool
    """Whether anything that they touch is of no structure type: a text, a table, or a type not made out."""


def wanted(walkers: list[Program], victim: str, unseen: Unseen) -> Wanted:
    """What the programs of lockless methods touch. Of dentries, those that may be ones that no walk can have
    seen. `victim` is what is torn down whole, ``super_block`` or ``inode``; "" for what hangs off it.

    Lockless walk itself looks into every inode. The teardown of a dentry or an inode leaves alone what hangs
    off the superblock: that is alive, and holds references of its own. Only the superblock's own teardown
    waits for grace periods in ways that matter.
    """
    superblock = victim == "super_block"
    types, members, locks = {victim} if victim == "inode" else set[str](), set[str](), set[str]()
    untyped = False
    for program in walkers:
        for event in program.events:
            if event.kind == "lock":
                locks.add(re.split(r"->|\.|:", f"{event.object}.{event.field}".rstrip("."))[-1])
            if not superblock and event.object.startswith("sb"):
                continue
            if event.type and event.type not in _ROOTS:
                types.add(event.type)
            if "->" in event.object:
                member = event.object.rsplit("->", 1)[1].removesuffix(".[]").rsplit(".", 1)[-1]
                if event.type not in _ROOTS or (event.type == "dentry" and unseen.possible):
                    members.add(member)
                    untyped |= not event.type
            if event.kind == "opaque" and event.field:
                members.add(event.field.rsplit(".", 1)[-1])
                untyped = True
    return Wanted(frozenset(types), frozenset(members), superblock, frozenset(locks), untyped)


def _stands_in(file: SourceFile, definition: Definition) -> bool:
    """Whether a definition, whatever conditions it was given, is one of the file's."""
    extent = (definition.start, definition.end)
    return any((d.start, d.end) == extent for d in file.definitions.get(definition.name, ()))


_Node = tuple[SourceFile, Definition]
_Key = tuple[str, int, str]


def _key(file: SourceFile, definition: Definition) -> _Key:
    return file.path, definition.start, definition.name


UNTOLD = "?"
"""In an answer: something is destroyed, and the text does not tell what."""
WAITS = "!"
"""In an answer: a grace period is waited for, or the superblock torn down."""
COUNTED = "#"
"""Ends an entry that is destroyed only when a count drops to zero that the function's own argument bears."""
DELAYED = "~"
"""Ends an entry that is destroyed only after a grace period."""
LATER = (COUNTED, DELAYED)
"""What ends entries that are worth following only where the argument itself is a walker's."""
HOLDS = "%"
"""In an answer: the function's own text takes a lock that walkers take too, or drops one, and not both: it
may return with other locks than it was entered with."""
PARAMETER = "@"
"""Begins an entry for what the function's parameter of that number points to: callers know what that is."""
_LOCKING = {"lock": 1, "trylock": 1, "unlock": -1}
_DEFERRING = frozenset({"call", "work", "defer"})
_DROPS = frozenset({"last", "kref"})
_YIELDS_NEW = frozenset({"new", "must-new"})
SMALL = 6000
"""Characters of text, callees' included, below which a function is followed late in a long teardown."""
_MEMBER = re.compile(r"[\w\s>.()\[\]*-]*(?:->|\.)\s*(\w+)")
_REACHED = re.compile(r"&?[\w\s>.()\[\]-]*(?:->|\.)\s*(\w+)")
_LAST_MEMBER = re.compile(r"(?:->|\.)\s*(\w+)[\s)]*$")
_ELEMENT = re.compile(r"(\w+)\s*\[[^\]]*\]")
_CALLED = re.compile(r"(\w+)\s*\(")
_WORD = re.compile(r"\w+")
_NAME = re.compile(r"[A-Za-z_]\w*")
_FUNCTION = re.compile(r"[a-z_]\w+")
_NO_MEMORY = re.compile(r"NULL|ERR_(?:PTR|CAST)\s*\(.*\)", re.S)
_RETURNED = re.compile(r"\breturn\b\s*([^;]+?)\s*;")
_TRACED = 3
"""How many assignments from variable to variable are followed back."""


@dataclass(frozen=True)
class _Edge:
    """A call. `whole`: the argument is read from a member that walkers read too, so that the object whose
    count is dropped may be a walker's; `passed`: it is the caller's own argument; neither: a reference that
    the caller took itself. `how`: `COUNTED` if the call comes after a count was dropped in the caller,
    `DELAYED` if it comes after a grace period. `sure`: every path through the caller that does not return
    before makes it."""

    callee: _Node
    key: _Key
    whole: bool
    passed: bool
    how: str
    sure: bool
    handed: Callable[[int], frozenset[str]]

    def entries(self, found: frozenset[str]) -> set[str]:
        """What the callee's entries are in the caller."""
        result = set()
        # In one order: what `handed` remembers may depend on which question came first.
        for entry in sorted(found) if len(found) > 1 else found:
            if entry == HOLDS or (entry == WAITS and not self.sure):
                continue
            if entry.startswith(PARAMETER):
                how = entry[-1] if entry.endswith(LATER) else ""
                result |= {
                    e if e.endswith(LATER) else e + how
                    for e in self.handed(int(entry.strip(PARAMETER + COUNTED + DELAYED)))
                }
                continue
            if entry.endswith(LATER) and not self.whole and not self.passed:
                continue
            if entry.endswith(COUNTED) and self.whole:
                entry = entry[:-1]
            result.add(_later(entry, self.how))
        return result


class Relevance:
    """What the functions of one filesystem may destroy of `what`, from their text; answers are remembered.

    Dropping a counted reference that the function took itself destroys nothing of a walker's: whoever reaches
    the object some other way holds another reference.
    """

    def __init__(
        self,
        scope: Scope,
        what: Wanted,
        functions: dict[str, KernelFunction],
        unseen: Unseen,
        texts: Texts,
    ) -> None:
        self.scope = scope
        self.texts = texts
        self.what = what
        self.functions = functions
        self.unseen = unseen
        self._direct: dict[_Key, tuple[frozenset[str], tuple[_Edge, ...]]] = {}
        self._total: dict[_Key, frozenset[str]] = {}
        self._makers: dict[tuple[str, str], bool] = {}
        self._known_kinds: dict[str, tuple[bool, bool, bool]] = {}
        self._homes: dict[tuple[str, int, int], SourceFile] = {}

    def destroys(self, file: SourceFile, definition: Definition) -> frozenset[str]:
        """What the function, or anything that it calls, may destroy: wanted structure types, ``.member`` for
        what a wanted member leads to, `UNTOLD`, `WAITS`; with `COUNTED` behind, only by dropping a count."""
        key = _key(file, definition)
        if not (self.what.types or self.what.members or self.what.locks or self.what.waits):
            return frozenset()
        if key not in self._total:
            nodes: dict[_Key, _Node] = {}
            todo: list[_Node] = [(file, definition)]
            while todo:
                f, d = todo.pop()
                at = _key(f, d)
                if at not in nodes and at not in self._total:
                    nodes[at] = (f, d)
                    todo.extend(e.callee for e in self._look(f, d)[1])
            looks = {k: self._look(f, d) for k, (f, d) in nodes.items()}
            found = {k: entries for k, (entries, _) in looks.items()}
            callers: dict[_Key, set[_Key]] = {}
            for k, (_, edges) in looks.items():
                for edge in edges:
                    callers.setdefault(edge.key, set()).add(k)
            # Round by round, always in one order: what `_Edge.handed` remembers may depend on it.
            due = set(nodes)
            while due:
                for k, (_, edges) in looks.items():
                    if k not in due:
                        continue
                    due.remove(k)
                    more = set(found[k])
                    for edge in edges:
                        entries = self._total.get(edge.key) or found.get(edge.key)
                        if entries:
                            more |= edge.entries(entries)
                    if len(more) != len(found[k]):
                        found[k] = frozenset(more)
                        due |= callers.get(k, set())
            self._total.update(found)
        return self._total[key]

    def small(self, file: SourceFile, definition: Definition) -> bool:
        """Whether the text of the function, with that of all that it calls and that matters, is short."""
        seen: set[_Key] = set()
        todo: list[_Node] = [(file, definition)]
        length = 0
        while todo and length <= SMALL:
            f, d = todo.pop()
            if _key(f, d) not in seen and (not seen or self.destroys(f, d)):
                seen.add(_key(f, d))
                length += d.end - d.start
                todo.extend(e.callee for e in self._look(f, d)[1])
        return length <= SMALL

    def drops(self, file: SourceFile, definition: Definition) -> frozenset[str]:
        """What the function, or anything that it calls, may destroy with no grace period when a count drops
        to zero, whoever's the counted reference is: wanted structure types, ``.member``. Coarser than
        `destroys`, and a check on what that leaves out."""
        seen: set[_Key] = set()
        found: set[str] = set()
        todo: list[_Node] = [(file, definition)]
        while todo:
            f, d = todo.pop()
            if _key(f, d) in seen:
                continue
            seen.add(_key(f, d))
            entries, edges = self._look(f, d)
            found |= {e[:-1] for e in entries if e.endswith(COUNTED) and e[0] not in (UNTOLD, PARAMETER)}
            todo.extend(e.callee for e in edges if e.how != DELAYED)
        return frozenset(found)

    def _look(self, file: SourceFile, definition: Definition) -> tuple[frozenset[str], tuple[_Edge, ...]]:
        key = _key(file, definition)
        if key not in self._direct:
            found: set[str] = set()
            edges: list[_Edge] = []
            text = self.texts.of(file, definition)
            dropped = False
            signs: set[int] = set()
            for call in text.calls:
                name, arguments = call.name, call.arguments
                here: set[str] = set()
                callees: list[_Node] = []
                if call.member:
                    targets = self.scope.assigned(name)
                    if len(targets) > _TOO_MANY:
                        here.add(UNTOLD)
                    callees += [n for f, t in targets[:_TOO_MANY] for n in self.scope.find(t, "function", f)]
                else:
                    self._named(name, arguments, text, file, here, callees)
                known = self.functions.get(name)
                if known is None:
                    callees += self._handed_functions(arguments, file)
                drops, delays, later = self._kinds(known)
                signs |= self._signs(known, arguments)
                whole = any(self._shared(a, text) for a in arguments)
                how = COUNTED if dropped or (drops and not whole) else ""
                if delays:
                    how = DELAYED
                counted = set[str]()
                if drops and how != DELAYED and known is not None and not _of_unseen(known):
                    counted = {_later(e, COUNTED) for e in here - {WAITS}}
                here = {_later(e, how) for e in here} | counted
                sure = not later and call.unconditional
                if not sure:
                    here.discard(WAITS)
                if callees:
                    handed = self._handing(arguments, text, file)
                    edges += [_Edge(n, _key(*n), whole, call.passed, how, sure, handed) for n in callees]
                found |= here
                dropped = dropped or drops
            if sum(signs):
                found.add(HOLDS)
            self._direct[key] = (frozenset(found), tuple(edges))
        return self._direct[key]

    def _kinds(self, known: KernelFunction | None) -> tuple[bool, bool, bool]:
        """Whether a kernel function drops a count, does so after a grace period, or runs something later."""
        if known is None:
            return False, False, False
        if known.name not in self._known_kinds:
            operations = {e.operation for e in known.effects}
            delays = any("rcu" in e.arguments for e in known.effects)
            kinds = bool(operations & _DROPS), delays, bool(operations & _DEFERRING)
            self._known_kinds[known.name] = kinds
        return self._known_kinds[known.name]

    def _handed_functions(self, arguments: list[str], file: SourceFile) -> list[_Node]:
        """The filesystem's own functions among the arguments of a call: the callee may call them."""
        names = [a.strip().lstrip("&") for a in arguments]
        return [
            node
            for name in names
            if _FUNCTION.fullmatch(name) and self.scope.may_own(name)
            for node in self.scope.find(name, "function", file)
            if self.scope.owns(node[0])
        ]

    def _signs(self, known: KernelFunction | None, arguments: list[str]) -> set[int]:
        """Whether a kernel function takes a lock that walkers take too (1) or drops one (-1)."""
        return {
            s
            for e in (known.effects if known is not None else ())
            if (s := _LOCKING.get(e.operation)) and self._walkers_lock(e, arguments)
        }

    def _walkers_lock(self, effect: Effect, arguments: list[str]) -> bool:
        """Whether the lock that a kernel function takes or drops may be one that walkers take."""
        names = [a for a in effect.arguments[1:] if not a.isdigit() and a not in ("shared", "zero")]
        if not names and effect.index(0) < len(arguments):
            names = re.findall(r"(\w+)\W*$", arguments[effect.index(0)])
        return not names or not self.what.locks.isdisjoint(names)

    def _handing(
        self, arguments: list[str], text: FunctionText, file: SourceFile
    ) -> Callable[[int], frozenset[str]]:
        """What of the wanted each argument of a call may point to, asked for by number."""
        answers: dict[int, frozenset[str]] = {}

        def handed(number: int) -> frozenset[str]:
            if number >= len(arguments):
                return frozenset({UNTOLD})
            if number not in answers:
                answers[number] = frozenset(self._touched(arguments[number], text, True, file))
            return answers[number]

        return handed

    def _shared(self, argument: str, text: FunctionText) -> bool:
        """Whether an argument is read from a member that walkers read too (at once, or into a variable)."""
        member = _MEMBER.fullmatch(argument.strip())
        if member:
            return self._walkers_member(member.group(1))
        name = argument.strip()
        if _NAME.fullmatch(name):
            for value in text.set_to(name):
                last = _LAST_MEMBER.search(value)
                if last and self._walkers_member(last.group(1)):
                    return True
                call = _CALLED.match(value)
                if call and self.scope.find(call.group(1), "function", self._home(text.definition)):
                    return True
        return False

    def _walkers_member(self, name: str) -> bool:
        return name in self.what.members or name in _PAYLOADS

    def _home(self, definition: Definition) -> SourceFile:
        key = (definition.name, definition.start, definition.end)
        if key not in self._homes:
            named = (f for f in self.scope.own if definition.name in f.candidates)
            files = (f for f in named if _stands_in(f, definition))
            self._homes[key] = next(files, self.scope.own[0])
        return self._homes[key]

    def _named(
        self,
        name: str,
        arguments: list[str],
        text: FunctionText,
        file: SourceFile,
        found: set[str],
        callees: list[_Node],
    ) -> None:
        if name.startswith("trace_") or "for_each" in name or text.position(name) is not None:
            # What a function does that was handed to this one, its caller is said to do: see _look().
            return
        known = self.functions.get(name)
        defined = self.scope.find(name, "function", file)
        if known is not None and not (defined and self.scope.owns(defined[0][0])):
            self._effects(known, arguments, text, file, found, callees)
        elif defined:
            callees += defined
        else:
            for owner, macro in self.scope.macro(name, file)[:1]:
                for inner in calls_in(macro.body) if macro.params is not None else ():
                    if inner != name:
                        self._named(inner, arguments, text, owner, found, callees)
                return
            for argument in arguments:
                found |= self._touched(argument, text, False, file)

    def _effects(
        self,
        known: KernelFunction,
        arguments: list[str],
        text: FunctionText,
        file: SourceFile,
        found: set[str],
        callees: list[_Node],
    ) -> None:
        for effect in known.effects:
            index = -1
            if effect.operation in _ALWAYS:
                if self.what.waits:
                    found.add(WAITS)
            elif "unseen" in effect.arguments:
                found |= self._unseen(effect, arguments)
            elif effect.operation == "free" or (effect.operation == "last" and "free" in effect.arguments):
                index = effect.index(0)
            elif effect.operation == "defer":
                index = effect.index(1)
            elif effect.operation in ("call", "kref", "work"):
                runs = self._runs(effect, arguments, file)
                if not runs:
                    found |= self._owner(arguments, effect, text, file)
                callees += runs
            if 0 <= index < len(arguments):
                found |= self._touched(arguments[index], text, True, file)

    def _unseen(self, effect: Effect, arguments: list[str]) -> set[str]:
        """The member, among the wanted, that leads to a dentry whose last reference this may be and that no
        walk can have seen; any of them where the text does not name it."""
        if not self.unseen.possible:
            return set()
        named = effect.arguments[-1]
        if named == "unseen" and effect.index(0) < len(arguments):
            held = _LAST_MEMBER.search(arguments[effect.index(0)])
            named = held.group(1) if held else named
        return {"." + m for m in self.what.members if named in (m, "unseen")}

    def _embedded(self, tag: str) -> set[str]:
        """The wanted structures that ``struct tag`` holds by value: they go with it."""
        found: set[str] = set()
        for file in self.scope.own:
            for definition in file.definitions.get(tag, ()):
                if definition.kind == "type":
                    inside = re.findall(
                        r"\bstruct\s+(\w+)\s+\w", file.code[definition.start : definition.end]
                    )
                    found |= {t for t in inside if t in self.what.types and t != tag}
        return found

    def _owner(self, arguments: list[str], effect: Effect, text: FunctionText, file: SourceFile) -> set[str]:
        """What an unknown release function may destroy: the structure that bears the head it is handed."""
        index = effect.index(1, 1) if effect.operation == "call" else effect.index(0)
        base = re.match(r"[&*(\s]*([A-Za-z_]\w*)", arguments[index]) if index < len(arguments) else None
        return self._touched(base.group(1), text, True, file) if base else {UNTOLD}

    def _runs(self, effect: Effect, arguments: list[str], file: SourceFile) -> tuple[_Node, ...]:
        """The function that a call, a last put or a work item runs."""
        index = effect.index(1, 1) if effect.operation == "kref" else effect.index(0)
        if index >= len(arguments):
            return ()
        name: str | None = arguments[index].strip().lstrip("&")
        if effect.operation == "work":
            name = self.scope.work_function(re.split(r"->|\.", name or "")[-1].strip())
        return self.scope.find(name, "function", file) if name and re.fullmatch(r"\w+", name) else ()

    def _touched(
        self, argument: str, text: FunctionText, freed: bool, file: SourceFile, deep: int = 0
    ) -> set[str]:
        """What of the wanted an argument may point to that is freed, or handed to a function not followed."""
        if not (self.what.types or self.what.members):
            return set()
        argument = uncast(argument)
        if not argument or argument[0] in "0123456789\"'" or argument.isupper():
            return set()
        untold = {UNTOLD} if freed else set[str]()
        member = _REACHED.fullmatch(argument)
        if member:
            if argument.startswith("&"):
                return untold
            return {"." + member.group(1)} if self._walkers_member(member.group(1)) else set()
        name = argument.lstrip("&*( ").rstrip(") ")
        element = _ELEMENT.fullmatch(name)
        if element:
            name = element.group(1)
        if not _WORD.fullmatch(name):
            return untold
        declared = text.pointers.get(name)
        if not declared:
            return self._untyped(name, text, file, deep) if freed else untold
        tag, stars = declared
        if freed and ((stars != "*" and not element) or self._made_here(name, text, file)):
            return set()
        if tag in self.what.types and (freed or tag not in _ROOTS):
            return {tag}
        return self._embedded(tag) if freed else set()

    def _untyped(self, name: str, text: FunctionText, file: SourceFile, deep: int) -> set[str]:
        """What of the wanted a variable that points to no structure may point to, where it is freed: what it
        was assigned from tells. A parameter is left to the callers."""
        number = text.position(name)
        if number is not None:
            return {f"{PARAMETER}{number}"}
        if not self.what.untyped and _SCALARS.search(text.declaration(name)):
            return set()
        found: set[str] = set()
        values = text.assigned(name)
        for value in values:
            call = _CALLED.match(value)
            if value == "NULL" or self._fresh(value, text, file):
                continue
            if call or deep >= _TRACED:
                return {UNTOLD}
            found |= self._touched(value, text, True, file, deep + 1)
        return found if values else {UNTOLD}

    def _made_here(self, name: str, text: FunctionText, file: SourceFile, deep: int = 0) -> bool:
        """Whether a variable only ever holds what its function, or one that it called, just allocated."""
        values = [v for v in text.assigned(name) if v != "NULL"]
        handed_out = self._outs(name, text, file, deep)
        return (
            bool(values or handed_out)
            and text.position(name) is None
            and all(self._fresh(v, text, file, deep) for v in values)
            and all(handed_out)
        )

    def _outs(self, name: str, text: FunctionText, file: SourceFile, deep: int) -> list[bool]:
        """For each call that is handed the address of variable `name`: whether it stores only what it just
        allocated there."""
        answers = []
        for called in text.handed_address(name):
            if called is None:
                return [False]
            answers.append(deep < _TRACED and self._stores_fresh(*called, file, deep + 1))
        return answers

    def _stores_fresh(self, function: str, number: int, file: SourceFile, deep: int) -> bool:
        found = self.scope.find(function, "function", file)
        if not found or not self.scope.owns(found[0][0]):
            return False
        text = self.texts.of(*found[0])
        own = parameters(text.head)
        name = re.search(r"(\w+)\s*$", own[number].strip()) if number < len(own) else None
        if name is None:
            return False
        values = re.findall(rf"\*\s*{name.group(1)}\s*=(?!=)\s*([^;]+?)\s*;", text.code)
        return bool(values) and all(
            v == "NULL" or self._fresh(uncast(v), text, found[0][0], deep) for v in values
        )

    def _fresh(self, value: str, text: FunctionText, file: SourceFile, deep: int = 0) -> bool:
        """Whether an expression yields only memory that was just allocated, or none."""
        if deep > _TRACED:
            return False
        if _NO_MEMORY.fullmatch(value):
            return True
        call = _CALLED.match(value)
        if call is None:
            return bool(_WORD.fullmatch(value)) and self._made_here(value, text, file, deep + 1)
        if _allocates(call.group(1)):
            return True
        key = (call.group(1), file.path)
        if key not in self._makers:
            self._makers[key] = False
            found = self.scope.find(call.group(1), "function", file)
            self._makers[key] = bool(found) and all(self._makes(f, d, deep) for f, d in found)
        return self._makers[key]

    def _makes(self, file: SourceFile, definition: Definition, deep: int) -> bool:
        """Whether a function of the filesystem returns only what it just allocated."""
        if not self.scope.owns(file):
            return False
        text = self.texts.of(file, definition)
        values = _RETURNED.findall(text.code)
        return bool(values) and all(self._fresh(uncast(v), text, file, deep + 1) for v in values)


_SCALARS = re.compile(
    r"\b(?:char|short|int|long|unsigned|bool|wchar_t|size_t|loff_t|u8|u16|u32|u64|s8|s16|s32|s64|uint\w*_t"
    r"|unicode_t|__[lb]e(?:16|32|64)|__u(?:8|16|32|64))\b"
)


def _allocates(function: str) -> bool:
    """Whether the table of kernel functions says that a function yields fresh memory."""
    known = table().get(function)
    return known is not None and any(
        e.operation == "returns" and e.arguments and e.arguments[0] in _YIELDS_NEW for e in known.effects
    )


def _later(entry: str, how: str) -> str:
    """`entry`, destroyed after what `how` says; what does not destroy stays as it is."""
    return entry if not how or entry.endswith(LATER) or entry in (WAITS, HOLDS) else entry + how


def _of_unseen(known: KernelFunction) -> bool:
    """Whether what a function frees is a dentry that no walk can have seen: `unseen.py` tells which."""
    return any("unseen" in e.arguments for e in known.effects)
