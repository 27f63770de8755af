"""The fixtures, executed: gcc compiles one against the stubs, and what each run of a method did is compared
with what the reader says that the method can do.

The hooks of gcc's -fsanitize=thread are used, and not macros around accesses (the source would have to be
changed) or the address sanitizer's hooks (which leave out accesses that gcc thinks redundant): they report
every access that the source makes, with the address that it was made from. `stubs/runtime.c` writes them
down.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path

from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile

from dentryproof.spec.program import Event, Guard, Model, Program

STUBS = Path(__file__).parent / "stubs"
COMPILE = ("gcc", "-std=gnu11", "-O0", "-g", "-w", "-fno-builtin", "-no-pie", "-I", str(STUBS))
MOST = 120
"""Runs of one method at most."""
SECONDS = 60
ROUNDS = 2
"""So often the reader goes round a loop."""
MOST_NAMES = 50
"""An object that has more is too far away for a model to name it."""

ROOTS = ("dentry", "parent", "inode", "dir", "sb", "path")
CALLS = {
    "d_revalidate[rcu]": "{0}(root_dentry, LOOKUP_RCU | (stub_choose(2) ? 0x80ff : 0))",
    "d_revalidate[ref]": "{0}(root_dentry, stub_choose(2) ? 0x80ff : 0)",
    "d_hash": "struct qstr name = {{0, 3, (void *)text}}; {0}(root_parent, &name)",
    "d_compare": "struct qstr name = {{0, 3, (void *)text}}; {0}(root_dentry, stub_choose(4), text, &name)",
    "d_delete": "{0}(root_dentry)",
    "d_prune": "{0}(root_dentry)",
    "d_release": "{0}(root_dentry)",
    "d_release[ref]": "{0}(root_dentry)",
    "d_iput": "{0}(root_dentry, root_inode)",
    "d_iput[ref]": "{0}(root_dentry, root_inode)",
    "d_manage[rcu]": "{0}(root_path, 1)",
    "d_manage[ref]": "{0}(root_path, 0)",
    "permission[rcu]": "{0}(0, root_inode, MAY_NOT_BLOCK | (stub_choose(2) ? 7 : 1))",
    "get_link[rcu]": "{0}(0, root_inode, 0)",
    "evict_inode": "{0}(root_inode)",
    "destroy_inode": "{0}(root_inode)",
    "free_inode": "{0}(root_inode)",
    "put_super": "{0}(root_sb)",
    "kill_sb": "{0}(root_sb)",
}
"""How a method is called in a mode, {0} being its function. A program's label names it."""


@dataclass(frozen=True, slots=True)
class Did:
    """One step of a run. `object` is a number that `Run.made` explains; -1 is memory that is not tracked, -2
    NULL, -3 what the run itself allocated. `then` is what was put off. `at` is the address in the code."""

    kind: str
    line: int
    function: str
    object: int
    offset: int
    value: str
    then: tuple[Did, ...] = ()
    at: str = ""


@dataclass(slots=True)
class Run:
    """One run: its steps, the objects that it came to as {number: {(parent, offset, how)}}, and how it ended:
    ``end``; ``null``, ``crash``: at an access to memory that is not there; ``cut``: too long."""

    steps: list[Did] = field(default_factory=list)
    made: dict[int, dict[tuple[int, int, str], None]] = field(default_factory=dict)
    end: str = ""

    @property
    def bounded(self) -> bool:
        """Whether it goes round no loop more often than the reader does, and comes to its end."""
        times = Counter((d.kind, d.at) for d in self.steps)
        return self.end != "cut" and max(times.values(), default=0) <= ROUNDS


class Fixture:
    """A fixture compiled under the configuration symbols in `config`, with a driver for its `programs`."""

    def __init__(
        self, source: Path, programs: Iterable[Program], config: tuple[str, ...], work: Path
    ) -> None:
        self.source = source
        self.programs = list(programs)
        self.binary = work / f"{source.stem}{'-'.join(('', *config))}"
        driver = self.binary.with_suffix(".c")
        driver.write_text(self._driver(), encoding="utf-8")
        defines = [f"-D{symbol}=1" for symbol in config]
        instrumented = [*COMPILE, *defines, "-fsanitize=thread", "-c", str(driver), "-o", f"{self.binary}.o"]
        subprocess.run(instrumented, check=True, capture_output=True, timeout=SECONDS)
        runtime = work / "runtime.o"
        if not runtime.exists():
            plain = [*(w for w in COMPILE if w != "-g"), "-c", str(STUBS / "runtime.c"), "-o", str(runtime)]
            subprocess.run(plain, check=True, capture_output=True, timeout=SECONDS)
        link = ["gcc", "-no-pie", f"{self.binary}.o", str(runtime), "-o", str(self.binary)]
        subprocess.run(link, check=True, capture_output=True, timeout=SECONDS)

    def _driver(self) -> str:
        calls = "".join(
            f"static void run_{i}(void)\n{{\n\tstatic char text[8];\n\tstub_setup(WHERE);\n\t"
            f"{CALLS[p.label].format(p.function)};\n}}\n"
            for i, p in enumerate(self.programs)
        )
        table = ", ".join(f"run_{i}" for i in range(len(self.programs)))
        where = "offsetof(struct {}, {})".format(*self.embedding) if self.embedding else "0"
        shared = "".join(f'#include "{p}"\n' for p in sorted(self.source.parents[1].glob("*.c")))
        return (
            f'#include "kernel.h"\n{shared}#include "{self.source}"\n#define WHERE {where}\n{calls}'
            f"static void (*const methods[])(void) = {{{table}}};\n"
            "int main(int argc, char **argv) { return stub_main(argc, argv, methods); }\n"
        )

    @cached_property
    def embedding(self) -> tuple[str, str] | None:
        """The structure that embeds an inode and the member that is it."""
        text = self.source.read_text(encoding="utf-8")
        found = re.search(r"struct (\w+) \{[^}]*\n\tstruct inode (\w+);", text)
        return (found[1], found[2]) if found else None

    def runs(self, program: int) -> tuple[list[Run], int, bool]:
        """What the method of `program` did, each thing once; how often it was run, and whether that were all
        choices."""
        command = [str(self.binary), str(program), str(MOST)]
        lines = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=SECONDS
        ).stdout.splitlines()
        places = self._places({w[1] for w in map(str.split, lines) if len(w) > 2 and w[1].startswith("0x")})
        found: list[Run] = []
        stack: list[list[Did]] = []
        for words in (line.split("\t") for line in lines[:-1]):
            match words:
                case ["run"]:
                    found.append(Run())
                    stack = [found[-1].steps]
                case ["new", number, parent, offset, how]:
                    place = (int(parent), int(offset), how)
                    found[-1].made.setdefault(int(number), {})[place] = None
                case ["then"]:
                    stack.append([])
                case ["done"]:
                    self._put_off(stack)
                case [how]:
                    while len(stack) > 1:
                        self._put_off(stack)
                    found[-1].end = how
                case [kind, where, number, offset, value]:
                    function, line = places[where]
                    stack[-1].append(Did(kind, line, function, int(number), int(offset, 0), value, (), where))
                case _:
                    raise ValueError(words)
        distinct = {(tuple(r.steps), str(r.made), r.end): r for r in found}
        return list(distinct.values()), len(found), lines[-1] == "all"

    @staticmethod
    def _put_off(stack: list[list[Did]]) -> None:
        then = tuple(stack.pop())
        last = stack[-1].pop()
        stack[-1].append(replace(last, then=then))

    def _places(self, addresses: set[str]) -> dict[str, tuple[str, int]]:
        """Function and line of each call, by the address that it returns to."""
        ordered = sorted(addresses)
        asked = "".join(f"{int(a, 16) - 1:#x}\n" for a in ordered)
        said = subprocess.run(
            ["addr2line", "-f", "-e", str(self.binary)],
            input=asked,
            check=True,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        ).stdout.splitlines()
        lines = [int(re.match(r"\d+|", s.rpartition(":")[2])[0] or 0) for s in said[1::2]]  # type: ignore[index]
        return dict(zip(ordered, zip(said[::2], lines, strict=True), strict=True))

    @cached_property
    def layout(self) -> Layout:
        """The structures of the fixture."""
        return Layout(self.binary)


class Layout:
    """C types as gcc laid them out (DWARF), and the static variables."""

    def __init__(self, binary: Path) -> None:
        self._stream = binary.open("rb")
        elf = ELFFile(self._stream)
        self.structs: dict[str, DIE] = {}
        for unit in elf.get_dwarf_info().iter_CUs():
            for die in unit.iter_DIEs():
                if die.tag == "DW_TAG_structure_type" and "DW_AT_name" in die.attributes and die.has_children:
                    self.structs.setdefault(_name(die), die)
        symbols = elf.get_section_by_name(".symtab")
        self.statics = [
            (s["st_value"], s["st_size"], s.name)
            for s in symbols.iter_symbols()
            if s["st_info"]["type"] == "STT_OBJECT"
        ]

    def static(self, address: int) -> str:
        """The variable at an address."""
        return next((n for at, size, n in self.statics if at <= address < at + max(size, 1)), "")

    def struct(self, name: str) -> DIE | None:
        """The structure of that name; None if the fixture has none."""
        return self.structs.get(name)

    def fields(self, kind: DIE | None, offset: int) -> set[str]:
        """What a model may call the member at `offset` of an object of that type."""
        if kind is None or kind.tag not in ("DW_TAG_structure_type", "DW_TAG_union_type"):
            return {"", "*", "[]"} if not offset else {"[]"}
        size = kind.attributes["DW_AT_byte_size"].value
        inner = {name for name, _ in self.members(kind, offset % size)} if size else set()
        return inner | {f"[].{name}" for name in inner}

    def members(self, kind: DIE, offset: int) -> Iterator[tuple[str, DIE]]:
        """The members at `offset`, outermost first, with their types."""
        for die in kind.iter_children():
            if die.tag != "DW_TAG_member":
                continue
            start = die.attributes["DW_AT_data_member_location"].value if kind.tag[7] == "s" else 0
            found = _plain(die)
            size = _size(found)
            if not start <= offset < start + max(size, 1):
                continue
            rest, name = offset - start, _name(die)
            if found.tag == "DW_TAG_array_type":
                found = _plain(found)
                rest %= max(_size(found), 1)
                name += ".[]"
            if rest == 0 or _name(found) in HEADS:
                yield name, found
            if found.tag in ("DW_TAG_structure_type", "DW_TAG_union_type"):
                yield from ((f"{name}.{more}" if name else more, t) for more, t in self.members(found, rest))

    def target(self, kind: DIE | None, offset: int) -> DIE | None:
        """What the pointer at `offset` of an object points to, where its type says so."""
        if kind is None or kind.tag != "DW_TAG_structure_type":
            return None
        for _, found in self.members(kind, offset % max(_size(kind), 1)):
            if found.tag == "DW_TAG_pointer_type" and "DW_AT_type" in found.attributes:
                return _plain(found)
        return None


HEADS = frozenset({"list_head", "hlist_head", "rb_root"})
"""Structures whose links a model calls by the member that the head is."""


def _name(die: DIE) -> str:
    return str(die.attributes["DW_AT_name"].value.decode()) if "DW_AT_name" in die.attributes else ""


def _plain(die: DIE) -> DIE:
    """The type of `die` without its names and qualifiers."""
    found = die.get_DIE_from_attribute("DW_AT_type")
    while found.tag in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type"):
        if "DW_AT_type" not in found.attributes:
            return found
        found = found.get_DIE_from_attribute("DW_AT_type")
    return found


def _size(die: DIE) -> int:
    if die.tag == "DW_TAG_array_type":
        many = [
            c.attributes["DW_AT_upper_bound"].value + 1
            for c in die.iter_children()
            if "DW_AT_upper_bound" in c.attributes
        ]
        total = _size(_plain(die))
        for n in many:
            total *= n
        return total
    return int(die.attributes["DW_AT_byte_size"].value) if "DW_AT_byte_size" in die.attributes else 0


# -- is a run a path of a program? ---------------------------------------------------------------------

LOCKLESS = ("d_hash", "d_compare")
LOCKS = frozenset({"lock", "unlock", "enter", "leave"})
AT_NULL = frozenset({"null", "crash"})


class Comparison:
    """The runs of one method against one program of a model."""

    def __init__(
        self, program: Program, model: Model, layout: Layout, embedding: tuple[str, str] | None
    ) -> None:
        self.program, self.layout = program, layout
        self.types: dict[str, set[str]] = {}
        for other in model.programs:
            for event in other.events:
                if event.type:
                    self.types.setdefault(event.object, set()).add(event.type)
        self.embedding = embedding
        self._paths: dict[tuple[tuple[str, bool], ...], list[tuple[tuple[int, ...], dict[str, bool]]]] = {}

    def of(self, program: Program) -> Comparison:
        """The same against another program."""
        other = copy(self)
        other.program, other._paths = program, {}
        return other

    def paths(self, config: dict[str, bool]) -> list[tuple[tuple[int, ...], dict[str, bool]]]:
        """The paths of the program: which events are executed under which truth of its atoms, once for each
        truth of those that a comparison asks for. `config` has the truth of those atoms that stand for
        configuration."""
        key = tuple(sorted(config.items()))
        if key not in self._paths:
            asked = {a.name for a in self.program.atoms if a.kind == "nonnull"}
            asked |= {n for e in self.program.events for t in e.then for cube in t.guard for n, _ in cube}
            each = {
                (path, *((n, t) for n, t in atoms.items() if n in asked)): (path, atoms)
                for path, atoms in self._each_path(config)
            }
            self._paths[key] = list(each.values())
        return self._paths[key]

    def _each_path(self, config: dict[str, bool]) -> Iterator[tuple[tuple[int, ...], dict[str, bool]]]:
        chosen = [a for a in self.program.atoms if a.kind != "defined"]
        options = [(config[a.key],) if a.kind == "stable" else (False, True) for a in chosen]
        for truth in product(*options):
            atoms = {a.name: t for a, t in zip(chosen, truth, strict=True)}
            for a in self.program.atoms:
                if a.kind == "defined":
                    atoms[a.name] = _true(a.definition, atoms)
            done: list[int] = []
            for i, event in enumerate(self.program.events):
                if event.value == "removed":  # said of a list; no access of its own
                    continue
                if _true(event.guard, atoms) and (event.via is None or event.via in done):
                    done.append(i)
            if all(not atoms[a.name] or a.event in done for a in chosen if a.kind == "nonnull"):
                yield tuple(done), atoms

    def accepts(self, run: Run, config: dict[str, bool]) -> set[tuple[int, ...]]:
        """The paths that `run` is; of a run that ended at memory that is not there, those that begin so."""
        found = set()
        for path, atoms in self.paths(config):
            if path not in found and self._is(run, path, atoms):
                found.add(path)
        return found

    def _is(self, run: Run, path: tuple[int, ...], atoms: dict[str, bool]) -> bool:
        steps, names = run.steps, _Names(run, self)
        events = self.program.events
        nonnull = {a.event: atoms[a.name] for a in self.program.atoms if a.kind == "nonnull"}
        dead: set[tuple[int, int, frozenset[int]]] = set()

        spare = {
            j
            for j, did in enumerate(steps)
            if _stood_for(steps, j) and not any(names.same(e, did, atoms, False) for e in events)
        }

        def match(i: int, j: int, null: frozenset[int]) -> bool:
            """Whether the rest of the path is the rest of the run; `null`: the reads that came to NULL."""
            if (i, j, null) in dead:
                return False
            if j == len(steps) and run.end in AT_NULL:
                return True
            if i < len(path):
                event = events[path[i]]
                if event.kind == "fence":
                    return match(i + 1, j, null)
                if event.kind == "opaque" or (event.kind == "return" and j == len(steps)):
                    if match(i + 1, j, null):
                        return True
                elif event.kind in ("free", "defer", "put") and event.via in null and match(i + 1, j, null):
                    return True  # nothing is freed where the pointer is NULL
                elif self._sleeps_for(path, i) in null and match(i + 1, j, null):
                    return True
                if j < len(steps) and names.same(event, steps[j], atoms, event.via in null):
                    was_null = steps[j].kind == "read" and steps[j].value == "null"
                    fits = path[i] not in nonnull or nonnull[path[i]] != was_null
                    if fits and match(i + 1, j + 1, null | {path[i]} if was_null else null):
                        return True
            if j < len(steps) and (j in spare or self.left_out(steps[j], names)) and match(i, j + 1, null):
                return True
            if i == len(path) and j == len(steps) and run.end == "end":
                return True
            dead.add((i, j, null))
            return False

        return match(0, 0, frozenset())

    def _sleeps_for(self, path: tuple[int, ...], i: int) -> int | None:
        """The read of what is dropped by the call that may sleep at place `i` of `path`, if that is such a
        call. Where NULL was read the call does not sleep; the reader says that it may."""
        event, following = (self.program.events[path[k]] if k < len(path) else None for k in (i, i + 1))
        dropping = event and following and event.kind == "block" and following.kind == "put"
        return following.via if dropping and event.source == following.source else None

    def left_out(self, did: Did, names: _Names) -> bool:
        """Whether a model does not mention such a step of this method: what it keeps is what a clause can
        speak of (`ARCHITECTURE.md`)."""
        if did.kind == "note":
            return True
        if did.kind in ("read", "write", "free", "defer", "put", "get") and did.object < 0:
            return True
        if self.program.mode == "ref":
            return did.kind not in LOCKS
        if self.program.mode == "rcu" or self.program.method in LOCKLESS:
            return False
        if did.kind == "write":
            return did.value != "null" and "dentry" not in names.objects(did.object)
        return did.kind == "read"


class _Names:
    """What a model may call the objects of one run."""

    def __init__(self, run: Run, comparison: Comparison) -> None:
        self.run, self.comparison, self.layout = run, comparison, comparison.layout
        self._objects: dict[int, set[str]] = {i: {name} for i, name in enumerate(ROOTS)}

    def objects(self, number: int) -> set[str]:
        """Every name of the object with that number: one for each place that it was found in."""
        if number not in self._objects:
            found = self._objects[number] = set()
            for parent, offset, how in self.run.made.get(number, ()):
                if how == "call":
                    found.add("?")
                    continue
                form = "{}->[{}]" if how == "element" else "{}->{}"
                fields = self.fields(parent, offset)
                found |= {form.format(o, f) for o in self.objects(parent) for f in fields}
                heads = {f.rpartition(".")[0] for f in fields if f.endswith((".next", ".prev", ".first"))}
                found |= {f"{o}->[{h}]" for o in self.objects(parent) for h in heads}
            if len(found) > MOST_NAMES:
                found.clear()
        return self._objects[number]

    def types(self, number: int) -> list[DIE | None]:
        """The types that the object may be of."""
        if number < len(ROOTS):
            name = {"parent": "dentry", "dir": "inode", "sb": "super_block"}.get(ROOTS[number], ROOTS[number])
            return [self.layout.struct(name)]
        parent, offset, how = next(iter(self.run.made[number]))
        if how not in ("element", "call"):
            known = [t for kind in self.types(parent) if (t := self.layout.target(kind, offset)) is not None]
            if known:
                return list(known)
        told = {t for o in self.objects(number) for t in self.comparison.types.get(o, ())}
        own = told or {t for t in self.layout.structs if t.startswith("toy_")}
        return [*(self.layout.struct(t) for t in sorted(own)), None]

    def fields(self, number: int, offset: int) -> set[str]:
        embedding = self.comparison.embedding
        if embedding and ROOTS.index("inode") <= number <= ROOTS.index("dir"):
            outer = self.layout.struct(embedding[0])
            found = self.layout.fields(outer, offset)
            return found | {f.removeprefix(embedding[1] + ".") for f in found}
        return {f for kind in self.types(number) for f in self.layout.fields(kind, offset)}

    def same(self, event: Event, did: Did, atoms: dict[str, bool], at_null: bool) -> bool:
        """Whether `did` is what `event` says."""
        if event.kind != did.kind or event.source.function != did.function:
            return False
        if event.source.file == self.comparison.program.source.file and event.source.line != did.line:
            return False
        if event.kind in ("block", "enter", "leave", "wait", "call"):
            return True
        if did.object == -2:
            return at_null
        if did.object == -1:
            return event.object == f"static:{self.layout.static(did.offset)}"
        if did.object == -3:
            kinds = self.comparison.types.get(event.object, ())
            fields = {f for k in kinds for f in self.layout.fields(self.layout.struct(k), did.offset)}
            return event.object.startswith("new:") and event.field in fields
        of = "?" if event.object.startswith("call:") else event.object
        if of not in self.objects(did.object):
            return False
        if event.kind in ("read", "write", "lock", "unlock"):
            whole = {"*"} if did.value == "whole" else set()
            if event.field not in self.fields(did.object, did.offset) | whole:
                return False
        if event.kind == "write" and event.value != "other" and event.value != did.value:
            return False
        if event.kind == "defer":
            return event.value.partition(":")[0] == did.value and self.same_then(event, did, atoms)
        return True

    def same_then(self, event: Event, did: Did, atoms: dict[str, bool]) -> bool:
        """Whether what was put off is what the model says, but for accesses."""
        said = [e for e in event.then if _true(e.guard, atoms) and e.kind not in ("read", "write")]
        kept = [d for d in did.then if d.kind not in ("read", "write", "note")]
        return len(said) == len(kept) and all(
            self.same(e, d, atoms, d.object == -2) for e, d in zip(said, kept, strict=True)
        )


def _stood_for(steps: list[Did], j: int) -> bool:
    """Whether step `j` is a read that an earlier one stands for: of the same object, with nothing but reads
    between (`reader/recorder.py`)."""
    for earlier in reversed(steps[:j] if steps[j].kind == "read" else []):
        if earlier.kind != "read":
            return False
        if earlier.object == steps[j].object:
            return True
    return False


def _true(guard: Guard, atoms: dict[str, bool]) -> bool:
    return any(all(atoms[n] == positive for n, positive in cube) for cube in guard)
