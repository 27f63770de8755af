"""An obligation as a litmus test in the kernel's C format, for herd7 with the kernel's memory model.

What is exact, and what is not:

- A path of a thread's flowgraph (`flow.py`) is straight code; which one it takes is a value that it reads
  first and that a process of its own, the chooser, may or may not have written yet. A breach needs one thing
  that comes first and one that comes late: a path is kept once for each that it has, without the others, and
  those that allow nothing that another does not allow are left out.
- The object that the obligation is about is a variable, 0 until what may not come first (it is destroyed,
  say) stores 1; what may not come after reads it, through the pointer that led to it. A pointer is read by
  READ_ONCE() and stored by WRITE_ONCE(), a plain one too, or by smp_load_acquire() and smp_store_release(),
  with the fences of the source between. A dependency from the pointer that led to a pointer is not kept:
  under the kernel's model that allows more, never less.
- A cell that may be NULL at first is set by a process that the others wait for.
- A callback that is put off is a process that reads a flag, waits for a grace period and runs.
- The condition asks that every thread came to the end of its path. Under sequential consistency some
  execution meets it exactly if some trace breaks the clause.

What the format has no words for is refused (`Unsayable`).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, product

from ..errors import Unsayable
from ..spec.logic import Formula, parse
from .flow import Edge, Flow, flows
from .scenario import Scenario, Step
from .words import Words

Cell = tuple[str, str]
MOST_PATHS = 40
"""Paths of one thread at most, once those that say less than another are left out."""
_ALL = 5_000
_LABELS = ("late", "early")
_WAITS = ("wait", "lock", "fence")
_SHAPES = (
    ("never", parse("always !p")),
    ("after", parse("always (p -> !once q)")),
    ("after", parse("always (once q -> !p)")),
    ("twice", parse("always (p -> !previously once p)")),
)
"""What can be asked: that a step never happens, not after another, not a second time."""


@dataclass(frozen=True, slots=True)
class _Done:
    """One thing that a path does.

    kind    ``read``, ``write``, ``lock``, ``unlock``, ``enter``, ``leave``, ``wait`` (a grace period),
            ``fence`` (of kind `value`), ``start`` for what another thread waits for, ``late`` for what the
            clause forbids after ``early``
    """

    kind: str
    object: str = ""
    field: str = ""
    value: str = ""
    via: str | None = None
    reach: str = ""
    yields: str = ""
    step: str = ""
    order: str = ""


_Path = tuple[_Done, ...]


def litmus(
    scenario: Scenario,
    formula: Formula,
    *,
    name: str,
    titles: Mapping[str, str] | None = None,
    comments: Iterable[str] = (),
) -> str:
    """`scenario` and `formula` as a litmus test whose condition says that the formula is broken.

    Unsayable where the format has no words for it; TooLarge (`dentryproof/bdd.py`) for too many guards.
    """
    return _Writer(scenario, formula, titles or {}).text(name, comments)


class _Writer:
    def __init__(self, scenario: Scenario, formula: Formula, titles: Mapping[str, str]) -> None:
        self.scenario, self.words = scenario, Words(scenario, titles)
        self.shape, self.late, self.early = _shape(formula)
        fences = [s.id for s in scenario.steps if s.kind == "fence"]
        self.flows = flows(scenario, {self.late, self.early}, fences, False)
        if self.flows.foretold or self.flows.choices:
            raise Unsayable("its threads have to agree on what guards test")
        self.steps = self.flows.steps
        self.kept = list(self.steps.values())
        if any(s.kind == "lock" and s.value == "shared" for s in self.kept):
            raise Unsayable("a hold that is shared (a counted reference, a reader's lock)")
        domains = {s.field for s in self.kept if s.kind in ("enter", "gp-start")}
        if domains - {""}:
            raise Unsayable(f"read-side sections of SRCU ({', '.join(sorted(domains - {''}))})")
        self.threads = list(self.flows.threads)
        self.through = {s.via for s in self.kept if self.said(s) and s.via is not None}
        self.starts = {s: n for n, f in enumerate(self.threads) if (s := f.thread.after) is not None}
        if len(self.starts) < len([s for s in (f.thread.after for f in self.threads) if s is not None]):
            raise Unsayable("two threads that one step starts")
        self.paths = self.chosen([list(self.all_paths(f)) for f in self.threads])
        self.cells = sorted({(d.object, d.field) for d in self.everything() if d.kind == "read"})
        self.locks = sorted({(d.object, d.field) for d in self.everything() if d.kind == "lock"})

    def everything(self) -> Iterator[_Done]:
        for paths in self.paths:
            for path in paths:
                yield from path

    # -- paths

    def said(self, step: Step) -> dict[str, str]:
        """``late`` and ``early`` as far as `step` is one, with the reach."""
        found: dict[str, str] = {}
        for text, reach in step.labels:
            plain = "".join(text.split())
            for kind, predicate in (("late", self.late), ("early", self.early)):
                if plain == predicate:
                    if kind in found:
                        raise Unsayable("one step that counts whatever it reaches")
                    found[kind] = reach if step.via is not None else "any"
        if found.get("early") == "null":
            raise Unsayable("something through NULL that comes first")
        if len(found) > 1:
            raise Unsayable("one step that is both what comes first and what may not come after")
        return found

    def done(self, edge: Edge) -> list[_Done]:
        step = edge.step
        assert step is not None
        found: list[_Done] = []
        match step.kind:
            case "read" if edge.yields or step.id in self.through:
                found.append(
                    _Done(
                        "read",
                        step.object,
                        step.field,
                        yields=edge.yields,
                        step=step.id,
                        order="acquire" if step.order == "acquire" else "",
                    )
                )
            case "write":
                order = "release" if step.order == "release" else ""
                found.append(_Done("write", step.object, step.field, step.value, order=order))
            case "fence":
                found.append(_Done("fence", value=step.value))
            case "lock" | "unlock":
                found.append(_Done(step.kind, step.object, step.field))
            case "enter" | "leave" | "gp-start" | "gp-end":
                found.append(_Done(step.kind))
        for kind, reach in self.said(step).items():
            found.append(_Done(kind, via=step.via, reach=reach))
        if step.id in self.starts:
            found.append(_Done("start", value=str(self.starts[step.id])))
        return found

    def all_paths(self, flow: Flow) -> Iterator[_Path]:
        memo: dict[int, set[_Path]] = {}
        for node in reversed(_order(flow)):
            memo[node] = set()
            for edge in flow.nodes[node]:
                if edge.step is None:
                    memo[node].add(())
                    continue
                head = self.done(edge)
                for rest in memo[edge.to]:
                    path = tuple(head) + rest
                    for i in range(len(head) - 1, -1, -1):
                        if i + 1 < len(path) and path[i] == path[i + 1] and path[i].kind in ("late", "early"):
                            path = path[:i] + path[i + 1 :]
                    memo[node].add(path)
            if len(memo[node]) > _ALL:
                raise Unsayable(f"more than {_ALL} paths of {flow.thread.name}")
        yield from (tidy for p in memo[0] if (tidy := _tidy(p)) is not None)

    def chosen(self, found: list[list[_Path]]) -> list[list[_Path]]:
        """The paths of each thread that a breach of the clause can need."""
        late = {n for n, paths in enumerate(found) if any(d.kind == "late" for p in paths for d in p)}
        early = {n for n, paths in enumerate(found) if any(d.kind == "early" for p in paths for d in p)}
        top = {n for n in early if self.threads[n].thread.after is None}
        most = 2 if self.shape == "twice" else 1
        found = [list({v for p in paths for v in _variants(p, most)}) for paths in found]
        read = {(d.object, d.field) for paths in found for p in paths for d in p if d.kind == "read"}
        for number, paths in enumerate(found):
            needed: set[str] = set()
            if late == {number} and not (self.shape == "after" and number in early):
                needed = {"late"}
            elif self.shape == "after" and number not in late and number not in self.starts.values():
                own = {number} | self.family(number)
                if early and early <= own and (top <= {number}):
                    needed = {"early", "start"}
            paths = [tuple(d for d in p if d.kind != "write" or (d.object, d.field) in read) for p in paths]
            if needed and any(d.kind in needed for p in paths for d in p):
                paths = [p for p in paths if any(d.kind in needed for d in p)]
            paths = _undominated(paths)
            if len(paths) > MOST_PATHS:
                raise Unsayable(f"{len(paths)} paths of {self.threads[number].thread.name}")
            if not paths:
                raise Unsayable(f"no path of {self.threads[number].thread.name} comes to an end")
            found[number] = paths
        return found

    def family(self, number: int) -> set[int]:
        """The threads that steps of a thread start, and those that theirs start."""
        own = {s.id for s in self.threads[number].thread.steps}
        children = {n for n, f in enumerate(self.threads) if f.thread.after in own}
        return children.union(*(self.family(c) for c in children)) if children else set()

    # -- the file

    def text(self, name: str, comments: Iterable[str]) -> str:
        unset = [c for c in self.cells if c not in dict(self.scenario.initial) and self.may_start_null(c)]
        choices = [n for n, paths in enumerate(self.paths) if len(paths) > 1]
        bodies, bad, ends = [], [], []
        for number, paths in enumerate(self.paths):
            body = _Body(self, number, paths, number in choices, bool(unset))
            bodies.append((body.parameters(), body.lines(), self.threads[number].thread.name))
            bad += [f"{number}:{r}=1" for r in body.bad]
            end = f"{number}:done=1"
            started = number in self.starts.values()
            ends.append(f"(q{number}=0 \\/ {end})" if started else end)
        if not bad:
            raise Unsayable("no step of it can break the clause, in whatever order")
        if choices or unset:
            writes = [f"WRITE_ONCE(*k{n}, {v});" for n in choices for v in range(1, len(self.paths[n]))]
            writes += [f"WRITE_ONCE(*z{self.cells.index(c)}, 1);" for c in unset]
            parameters = [f"int *k{n}" for n in choices] + [f"int *z{self.cells.index(c)}" for c in unset]
            bodies.append((parameters, writes, "chooses paths and first values"))
        if unset:
            bodies.append(self.first_values(unset))
        state = [f"{'int'} *c{n} = {self.first(c)};" for n, c in enumerate(self.cells)]
        lines = [f"C {re.sub(r'[^A-Za-z0-9_.+-]+', '-', name)}", "", "(*"]
        for text in comments:
            lines += [f" * {line}" for line in textwrap.wrap(_plain(text), 100, break_on_hyphens=False)]
        lines += [" *", " * o: the object, 1 once what must come later has happened."]
        lines += [f" * c{n}: {_plain(f'{o}->{f}')}" for n, (o, f) in enumerate(self.cells)]
        lines += [f" * l{n}: {_plain(f'{o}->{f}')}" for n, (o, f) in enumerate(self.locks)]
        lines += [f" * q{n}: {_plain(self.threads[n].thread.name)} is queued" for n in self.starts.values()]
        lines += [f" * P{n}: {_plain(title)}" for n, (_, _, title) in enumerate(bodies)]
        lines += [" *)", "", "{", *(f"\t{s}" for s in state), "}"]
        for number, (parameters, code, _) in enumerate(bodies):
            body_lines = [f"\t{line}" if line else "" for line in code]
            lines += ["", f"P{number}({', '.join(parameters)})", "{", *body_lines, "}"]
        broken = " \\/ ".join(bad)
        condition = " /\\ ".join([*ends, f"({broken})"])
        return "\n".join([*lines, "", f"exists ({condition})", ""])

    def may_start_null(self, cell: Cell) -> bool:
        """Whether it can matter that the cell is NULL at first: to a path, or to something through NULL."""
        reads = {d.step for d in self.everything() if (d.kind, d.object, d.field) == ("read", *cell)}
        null = {d.step for d in self.everything() if d.kind == "read" and d.yields == "null"}
        null |= {d.via or "" for d in self.everything() if d.reach == "null"}
        return bool(reads & null)

    def first(self, cell: Cell) -> str:
        return "0" if dict(self.scenario.initial).get(cell) == "null" else "&o"

    def first_values(self, unset: list[Cell]) -> tuple[list[str], list[str], str]:
        numbers = [self.cells.index(c) for c in unset]
        lines = [f"int r{n};" for n in numbers]
        for n in numbers:
            lines += [f"r{n} = READ_ONCE(*z{n});", f"if (r{n} == 1) {{", f"\tWRITE_ONCE(*c{n}, 0);", "}"]
        lines.append("smp_store_release(go, 1);")
        parameters = [f"int *z{n}" for n in numbers] + [f"int **c{n}" for n in numbers] + ["int *go"]
        return parameters, lines, "sets first values, then lets the others go"


class _Body:
    """The code of one thread."""

    def __init__(self, writer: _Writer, number: int, paths: list[_Path], choice: bool, waits: bool) -> None:
        self.writer, self.number, self.paths, self.choice, self.waits = writer, number, paths, choice, waits
        self.bad: list[str] = []
        self.pointers: list[str] = []
        self.numbers: list[str] = ["done"]
        self.code = self.made()

    def made(self) -> list[str]:
        w, n = self.writer, self.number
        blocks: list[str] = []
        for i, path in enumerate(self.paths):
            block = self.path(i, path)
            blocks += _within(f"if (k == {i}) {{", block) if self.choice else block
        lines: list[str] = []
        if self.choice:
            self.numbers.append("k")
            lines.append(f"k = READ_ONCE(*k{n});")
        if self.waits:
            self.numbers.append("go_on")
            lines.append("go_on = smp_load_acquire(go);")
            blocks = _within("if (go_on == 1) {", blocks)
        if n in w.starts.values():
            self.numbers.append("queued")
            lines.append(f"queued = smp_load_acquire(q{n});")
            blocks = _within("if (queued == 1) {", blocks)
        return [*lines, *blocks]

    def lines(self) -> list[str]:
        declared = [f"int *{p};" for p in self.pointers] + [f"int {r};" for r in self.numbers]
        return [*declared, "", *self.code]

    def parameters(self) -> list[str]:
        """What the code names, as parameters."""
        w, text = self.writer, "\n".join(self.code)
        found = [("int *", "o"), ("int *", "other"), ("int *", "go"), ("int *", f"k{self.number}")]
        found += [("int **", f"c{i}") for i in range(len(w.cells))]
        found += [("spinlock_t *", f"l{i}") for i in range(len(w.locks))]
        found += [("int *", f"q{i}") for i in w.starts.values()]
        return [f"{kind}{name}" for kind, name in found if re.search(rf"[(*= ]{name}[),;]", text)]

    def path(self, index: int, path: _Path) -> list[str]:
        """The code of one path; what is only done if a read yields what the path says is within a test."""
        w = self.writer
        lines: list[str] = []
        closing = 0
        pointers: dict[str, str] = {}
        tested: dict[str, str] = {}

        def put(line: str) -> None:
            lines.append("\t" * closing + line)

        for place, d in enumerate(path):
            name = f"{index}_{place}"
            match d.kind:
                case "read":
                    pointer = f"p{name}"
                    pointers[d.step], tested[pointer] = pointer, d.yields
                    self.pointers.append(pointer)
                    cell = f"c{w.cells.index((d.object, d.field))}"
                    put(f"{pointer} = {f'smp_load_acquire({cell})' if d.order else f'READ_ONCE(*{cell})'};")
                    if d.yields:
                        put(f"if ({pointer} {'==' if d.yields == 'null' else '!='} 0) {{")
                        closing += 1
                case "write" if (d.object, d.field) in w.cells:
                    stored = {"null": "0", "initial": "o"}.get(d.value, "other")
                    cell = f"c{w.cells.index((d.object, d.field))}"
                    put(
                        f"smp_store_release({cell}, {stored});"
                        if d.order
                        else f"WRITE_ONCE(*{cell}, {stored});"
                    )
                case "lock" | "unlock" if (d.object, d.field) in w.locks:
                    put(f"spin_{d.kind}(l{w.locks.index((d.object, d.field))});")
                case "enter":
                    put("rcu_read_lock();")
                case "leave":
                    put("rcu_read_unlock();")
                case "wait":
                    put("synchronize_rcu();")
                case "fence":
                    put(f"smp_{d.value}();")
                case "start":
                    put(f"smp_store_release(q{d.value}, 1);")
                case "early" | "late":
                    target = "o"
                    if d.via is not None and d.reach != "any":
                        target = pointers[d.via]
                    if tested.get(target) == "null" and d.reach != "null":
                        continue
                    self.labelled(d, name, target, tested.get(target) == "set", put)
        put("done = 1;")
        while closing:
            closing -= 1
            put("}")
        return lines

    def labelled(self, d: _Done, name: str, target: str, set_: bool, put: Callable[[str], None]) -> None:
        """What the clause is about. What goes through NULL where it should not is an oops, and no access."""
        register = f"r{name}"
        if d.kind == "late":
            self.bad.append(register)
            self.numbers.append(register)
        if d.reach == "null":
            code = {"never": "1", "after": "READ_ONCE(*o)", "twice": "xchg(o, 1)"}[self.writer.shape]
            put(f"if ({target} == 0) {{")
            put(f"\t{register} = {code};")
            put("}")
            return
        if self.writer.shape == "never":
            code = f"{register} = 1;"
        elif self.writer.shape == "twice":
            code = f"{register} = xchg({target}, 1);"
        elif d.kind == "early":
            code = f"WRITE_ONCE(*{target}, 1);"
        else:
            code = f"{register} = READ_ONCE(*{target});"
        if target == "o" or (set_ and self.writer.shape != "never"):
            put(code)
            return
        put(f"if ({target} {'== o' if self.writer.shape == 'never' else '!= 0'}) {{")
        put(f"\t{code}")
        put("}")


def _shape(formula: Formula) -> tuple[str, str, str]:
    """What the formula asks, with the predicate of what may not happen and of what it may not follow."""
    for shape, pattern in _SHAPES:
        found: dict[str, str] = {}
        if _matches(pattern, formula, found):
            return shape, found["p"], found.get("q", "")
    raise Unsayable("its formula asks for more than that a step never happens, or not after another")


def _matches(pattern: Formula, formula: Formula, found: dict[str, str]) -> bool:
    if pattern.op == "pred":
        text = "".join(str(formula).split())
        return formula.op == "pred" and found.setdefault(pattern.name, text) == text
    return (
        pattern.op == formula.op
        and len(pattern.args) == len(formula.args)
        and all(_matches(p, f, found) for p, f in zip(pattern.args, formula.args, strict=True))
    )


def _order(flow: Flow) -> list[int]:
    """The nodes of a flowgraph, each before those that it leads to."""
    seen: dict[int, None] = {}
    todo = [(0, False)]
    while todo:
        node, left = todo.pop()
        if left:
            seen[node] = None
        elif node not in seen:
            todo.append((node, True))
            todo += [(e.to, False) for e in flow.nodes[node] if e.step is not None and e.to not in seen]
    return list(reversed(seen))


def _tidy(path: _Path) -> _Path | None:
    """A path without what does nothing (a leave of no section, an unlock of no lock), each grace period one
    thing; None where a section is never left, for then it is part of no trace."""
    found: list[_Done] = []
    depth = 0
    held: set[Cell] = set()
    for i, d in enumerate(path):
        lock = d.object, d.field
        match d.kind:
            case "enter":
                depth += 1
            case "leave":
                if not depth:
                    continue
                depth -= 1
            case "lock":
                if lock in held:
                    raise Unsayable("a lock that is taken twice by its holder")
                held.add(lock)
            case "unlock":
                if lock not in held:
                    continue
                held.discard(lock)
            case "gp-start":
                if i + 1 == len(path) or path[i + 1].kind != "gp-end":
                    raise Unsayable("a grace period in which its thread does something else")
                d = _Done("wait")
            case "gp-end":
                if not i or path[i - 1].kind != "gp-start":
                    raise Unsayable("a grace period in which its thread does something else")
                continue
        found.append(d)
    return None if depth else tuple(found)


def _variants(path: _Path, late: int) -> Iterator[_Path]:
    """The path with at most one thing that comes first and so many that come late: a breach needs no more.
    Reads that then matter to nothing are left out."""
    places = {kind: [i for i, d in enumerate(path) if d.kind == kind] for kind in ("late", "early")}
    kept_late = [c for n in range(late + 1) for c in combinations(places["late"], n)]
    kept_early = [c for n in range(2) for c in combinations(places["early"], n)]
    for chosen in ({*a, *b} for a, b in product(kept_late, kept_early)):
        left = [d for i, d in enumerate(path) if d.kind not in ("late", "early") or i in chosen]
        used = {d.via for d in left if d.via is not None}
        yield tuple(d for d in left if d.kind != "read" or d.yields or d.step in used)


def _undominated(paths: list[_Path]) -> list[_Path]:
    """The paths without those that allow nothing that another does not allow."""
    named = {_renamed(p): p for p in sorted(paths, key=repr)}
    kept: list[_Path] = []
    for path in sorted(named, key=lambda p: (len(p), repr(p))):
        says_less = any(_more(path, q, _LABELS) for q in named if len(q) > len(path))
        if not says_less and not any(_more(other, path, _WAITS) for other in kept):
            kept.append(path)
    return kept


def _renamed(path: _Path) -> _Path:
    """A path in which reads are numbered as they come, so that two that differ in nothing else are equal."""
    numbers = {d.step: str(n) for n, d in enumerate(d for d in path if d.kind == "read")}
    return tuple(replace(d, step=numbers.get(d.step, ""), via=numbers.get(d.via or "")) for d in path)


def _more(path: _Path, longer: _Path, also: Collection[str]) -> bool:
    """Whether `longer` is `path` with, in between, what is of a kind in `also`; of locks only those that are
    dropped as soon as they are taken. What waits more happens in fewer ways."""
    at = i = 0
    while i < len(longer):
        d = longer[i]
        if at < len(path) and path[at] == d:
            at, i = at + 1, i + 1
        elif d.kind not in also:
            return False
        elif d.kind != "lock":
            i += 1
        elif longer[i + 1 : i + 2] == (replace(d, kind="unlock"),):
            i += 2
        else:
            return False
    return at == len(path)


def _within(head: str, lines: list[str]) -> list[str]:
    return [head, *(f"\t{line}" for line in lines), "}"]


def _plain(text: str) -> str:
    """`text` as it can stand in a comment of a litmus test."""
    shown = "".join(c if " " <= c <= "~" else "?" for c in text)
    for mark in ("(*", "*)", "/*", "*/", "//", '"'):
        shown = shown.replace(mark, " ".join(mark) if len(mark) > 1 else "'")
    return shown
