"""An obligation as a Promela model, commented, that spin decides by itself.

The model follows `scenario.py` rule by rule, over the flowgraphs of `flow.py` and monitors (`monitor.py`):

- A thread is a process that goes from node to node of its flowgraph; a step with everything that changes in
  it is one transition. A thread that another starts waits for a bit (rule 2).
- An exclusive hold is the number of its thread, a shared one a bit of its thread (rule 3).
- A grace period that starts notes which threads are in a section of its domain; the outermost leave strikes
  the thread off; the grace period ends when none is left (rule 4).
- Cells, and values read that matter later, are bytes (rules 5 and 6).

A run that blocks is no trace, and neither is one in which a section is not left or a foretold read did not
happen. So nothing is asserted of a run before it is complete, and invalid end states say nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from itertools import product
from typing import TypeVar

from ..errors import InternalError
from ..spec.logic import Formula
from .flow import Edge, Flow, Flows, flows
from .monitor import Monitor, monitor
from .scenario import Scenario, Step
from .words import Words

CONTRACT, WITNESS = "contract", "witness"
"""The claims of a model: an error in the first is a trace that breaks the clause; in the second one that puts
it to the test."""

Cell = tuple[str, str]
END = Edge(None, to=-1)
LONGEST = 200
"""Characters of what a step prints, at most."""


def model(
    scenario: Scenario,
    formula: Formula,
    *,
    wanted: Sequence[Formula] = (),
    executed: Sequence[str] = (),
    titles: Mapping[str, str] | None = None,
    comments: Iterable[str] = (),
) -> str:
    """`scenario` and `formula` as a Promela model.

    wanted    formulas that a trace which puts the clause to the test makes true
    executed  ids of the steps that it executes
    titles    words for callbacks, as for `Encoding`
    comments  are put at its head

    TooLarge (`dentryproof/bdd.py`) where the guards are too many for flowgraphs.
    """
    return _Writer(scenario, formula, wanted, executed, titles or {}).text(comments)


class _Writer:
    def __init__(
        self,
        scenario: Scenario,
        formula: Formula,
        wanted: Sequence[Formula],
        executed: Sequence[str],
        titles: Mapping[str, str],
    ) -> None:
        self.scenario, self.words = scenario, Words(scenario, titles)
        self.contract = monitor(formula, "m")
        shown = Formula("and", (Formula("true"), *(Formula("eventually", (w,)) for w in wanted)))
        self.witness = monitor(shown, "w")
        self.monitors = (self.contract, self.witness)
        self.executed = tuple(executed)
        predicates = {p for m in self.monitors for p in m.predicates}
        alphabet = {s for step in scenario.steps for s in _held(step, predicates)}
        self.silent = all(m.ignores_silence(alphabet) for m in self.monitors)
        self.flows: Flows = flows(scenario, predicates, self.executed, not self.silent)
        self.kept = list(self.flows.steps.values())
        self.number = {f.thread.name: n for n, f in enumerate(self.flows.threads)}
        self.home = {s.id: self.number.get(t.name, -1) for t in scenario.threads for s in t.steps}
        self.domains = _numbered(s.field for s in self.kept if s.kind == "enter")
        self.locks = _numbered((s.object, s.field) for s in self.kept if s.kind == "lock")
        self.foretold = {r: f"t{n}" for n, r in enumerate(self.flows.foretold)}
        self.choices = {c: f"k{n}" for n, c in enumerate(self.flows.choices)}
        through = dict.fromkeys(s.via for s in self.kept if s.via is not None and self.reaching(s))
        self.values = {r: f"v{n}" for n, r in enumerate(through) if r not in self.foretold}
        tested = {
            e.step.id for f in self.flows.threads for edges in f.nodes for e in edges if e.step and e.yields
        }
        used = tested | {*self.values, *self.foretold}
        self.cells = _numbered((s.object, s.field) for s in self.kept if s.id in used)
        self.started = {
            n: f.thread.after for n, f in enumerate(self.flows.threads) if f.thread.after is not None
        }

    def reaching(self, step: Step) -> bool:
        wanted = {p for m in self.monitors for p in m.predicates}
        return any(r != "any" and "".join(text.split()) in wanted for text, r in step.labels)

    # -- the file

    def text(self, comments: Iterable[str]) -> str:
        lines = [line for text in comments for line in comment(text)]
        lines += ["", "#define NULL 0", "#define INITIAL 1 /* the object that it is about */"]
        lines += ["#define OTHER 2", ""]
        lines += self.variables()
        for m, name in zip(self.monitors, (CONTRACT, WITNESS), strict=True):
            lines += self.position(m, name)
        for number, flow in enumerate(self.flows.threads):
            lines += self.process(number, flow)
        lines += self.init()
        complete = " && ".join(self.complete())
        able = all(s in self.flows.steps for s in self.executed)
        shown = [expression(self.witness.holds) if able else "0", *self.ran().values()]
        lines += [
            "",
            "/* A run is a trace once every thread that has started is done and every section is left. */",
            f"#define COMPLETE ({complete})",
            f"#define HOLDS ({expression(self.contract.holds)})",
            f"#define SHOWN ({' && '.join(shown)})",
            "",
            f"never {CONTRACT} {{ do :: assert(!(COMPLETE && !HOLDS)) od }}",
            f"never {WITNESS} {{ do :: assert(!(COMPLETE && SHOWN)) od }}",
            "",
        ]
        return "\n".join(lines)

    def variables(self) -> list[str]:
        top = sum(f.thread.after is None for f in self.flows.threads)
        lines = [f"byte busy = {top}; /* threads that have started and are not done */"]

        def declare(line: str, text: str) -> None:
            lines.extend([f"{line} /* {plain(text)} */"])

        for number, cause in self.started.items():
            name = self.flows.threads[number].thread.name
            declare(f"bit started{number};", f"{name}, by: {self.words.step(self.flows.steps[cause])}")
        for (object_, member), n in self.cells.items():
            declare(f"byte c{n};", f"{object_}->{member}")
        for (object_, member), n in self.locks.items():
            declare(f"byte l{n};", f"{object_}->{member} held exclusively: by thread, from 1")
            for t in self.sharers((object_, member)):
                declare(f"bit l{n}_{t};", f"held shared by {self.flows.threads[t].thread.name}")
        for domain, n in self.domains.items():
            for t in self.readers(domain):
                kind = "bit" if self.enters(domain, t) == 1 else "byte"
                where = f"SRCU {domain} " if domain else ""
                who = self.flows.threads[t].thread.name
                declare(f"{kind} r{n}_{t};", f"{who} in its {where}read-side section")
            for p, u in product(self.waiters(domain), self.readers(domain)):
                who, whom = (self.flows.threads[i].thread.name for i in (p, u))
                declare(f"bit g{n}_{p}_{u};", f"a grace period of {who} waits for {whom}")
        for read, name in self.foretold.items():
            step = self.flows.steps[read]
            declare(f"byte {name};", f"what this is going to yield: {self.words.step(step)}")
            lines.append(f"bit {name}_done;")
        for choice, name in self.choices.items():
            declare(f"bit {name};", choice)
        for step_id, name in self.ran().items():
            declare(f"bit {name};", f"was executed: {self.words.step(self.flows.steps[step_id])}")
        for m in self.monitors:
            for bit, value in m.bits:
                declare(f"bit {bit}{' = 1' if value else ''};", m.meaning[bit])
        return lines

    def position(self, m: Monitor, name: str) -> list[str]:
        """What a monitor does at a step, as an inline."""
        if not m.updates:
            return []
        lines = ["", f"/* One step of a trace: {plain(', '.join(m.predicates))}. */"]
        lines.append(f"inline {name}_step({', '.join(m.predicates.values())}) {{")
        lines += [f"  if :: {g} = 0 :: {g} = 1 fi;" for g in m.guesses]
        lines += [f"  {bit} = {expression(value)};" for bit, value in m.updates]
        return [*lines, "}"]

    def init(self) -> list[str]:
        pinned = dict(self.scenario.initial)
        lines = ["", "init {", "  atomic {"]
        for cell, n in self.cells.items():
            if cell in pinned:
                lines.append(f"    c{n} = {pinned[cell].upper()};")
            else:
                lines.append(f"    if :: c{n} = NULL :: c{n} = INITIAL fi;")
        for name in self.foretold.values():
            lines.append(f"    if :: {name} = NULL :: {name} = INITIAL :: {name} = OTHER fi;")
        lines += [f"    if :: {name} = 0 :: {name} = 1 fi;" for name in self.choices.values()]
        lines += [f"    run T{n}();" for n in range(len(self.flows.threads))] or ["    skip"]
        return [*lines, "  }", "}"]

    def complete(self) -> list[str]:
        found = ["busy == 0"]
        for domain, n in self.domains.items():
            found += [f"r{n}_{t} == 0" for t in self.readers(domain)]
        found += [f"({name}_done || {name} == NULL)" for name in self.foretold.values()]
        for m in self.monitors:
            found += [f"!{m.failed}"] if m.failed else []
            found += [f"{bit} == {int(value)}" for bit, value in m.open]
        return found

    # -- threads

    def process(self, number: int, flow: Flow) -> list[str]:
        lines = ["", f"proctype T{number}() {{ /* {plain(flow.thread.name)} */"]
        values = [v for r, v in self.values.items() if self.home[r] == number]
        if values:
            lines.append(f"  byte {', '.join(values)}; /* what was read, where it matters later */")
        for n, edges in enumerate(flow.nodes):
            if n and edges == (END,):
                continue  # its end is part of the step before
            lines.append(f"n{n}:")
            lines.append("  if")
            for edge in edges:
                lines += self.edge(number, n == 0, edge, flow)
            if not edges:
                lines.append("  :: false /* no truth of the atoms leads on from here */")
            lines.append("  fi;")
        return [*lines, "done: skip", "}"]

    def edge(self, number: int, first: bool, edge: Edge, flow: Flow) -> list[str]:
        guard = [f"started{number}"] if first and number in self.started else []
        guard += [f"!{m.failed}" for m in self.monitors if m.failed]
        for name, value in edge.asked:
            if name in self.foretold:
                guard.append(f"{self.foretold[name]} {'!=' if value else '=='} NULL")
            else:
                guard.append(f"{'' if value else '!'}{self.choices[name]}")
        if edge.step is None:
            condition = " && ".join(guard) or "true"
            return [f"  :: d_step {{ {condition} -> busy-- }}; goto done"]
        step = edge.step
        needs, does = self.effect(number, step)
        guard += needs
        if edge.yields:
            cell = self.cells[step.object, step.field]
            guard.append(f"c{cell} {'==' if edge.yields == 'null' else '!='} NULL")
        for n, cause in self.started.items():
            if cause == step.id:
                does += [f"started{n} = 1", "busy++"]
        ran = self.ran().get(step.id)
        if ran is not None:
            does.append(f"{ran} = 1")
        for m, name in zip(self.monitors, (CONTRACT, WITNESS), strict=True):
            told = self.told(m, step)
            if m.updates and (not self.silent or any(value != "0" for value in told)):
                does.append(f"{name}_step({', '.join(told)})")
        last = flow.nodes[edge.to] == (END,)
        if last:
            does.append("busy--")
        block = "atomic" if any(m.guesses for m in self.monitors) else "d_step"
        at = f" ({step.source})" if step.source.file else ""
        said = printed(f"{flow.thread.name}: {self.words.step(step)}{at}")
        condition = " && ".join(guard) or "true"
        return [
            f'  :: {block} {{ {condition} -> printf("{said}\\n");',
            f"       {'; '.join(does) or 'skip'} }};",
            f"     goto {'done' if last else f'n{edge.to}'}",
        ]

    def told(self, m: Monitor, step: Step) -> list[str]:
        """For each predicate of a monitor, whether it holds at `step`."""
        found = []
        for text in m.predicates:
            reaches = {r for label, r in step.labels if "".join(label.split()) == text}
            if not reaches:
                found.append("0")
            elif "any" in reaches or step.via is None:
                found.append(str(int("any" in reaches or "initial" in reaches)))
            else:
                value = self.foretold.get(step.via) or self.values[step.via]
                # Promela's inlines are replaced as text, and ! binds closer than ==.
                found.append(f"({' || '.join(f'{value} == {r.upper()}' for r in sorted(reaches))})")
        return found

    def effect(self, number: int, step: Step) -> tuple[list[str], list[str]]:
        """What a step waits for, and what it changes."""
        match step.kind:
            case "lock":
                return self.lock(number, step)
            case "unlock" if (step.object, step.field) in self.locks:
                n = self.locks[step.object, step.field]
                does = [f"l{n} = (l{n} == {number + 1} -> 0 : l{n})"]
                shared = number in self.sharers((step.object, step.field))
                return [], [*does, *([f"l{n}_{number} = 0"] if shared else [])]
            case "enter" | "leave" if self.enters(step.field, number):
                return [], self.section(number, step)
            case "gp-start" if number in self.waiters(step.field):
                n = self.domains[step.field]
                return [], [f"g{n}_{number}_{u} = (r{n}_{u} > 0)" for u in self.readers(step.field)]
            case "gp-end" if number in self.waiters(step.field):
                n = self.domains[step.field]
                return [f"!g{n}_{number}_{u}" for u in self.readers(step.field)], []
            case "read":
                return self.read(step)
            case "write" if (step.object, step.field) in self.cells:
                stored = {"null": "NULL", "initial": "INITIAL"}.get(step.value, "OTHER")
                return [], [f"c{self.cells[step.object, step.field]} = {stored}"]
            case _:
                return [], []

    def lock(self, number: int, step: Step) -> tuple[list[str], list[str]]:
        lock = step.object, step.field
        n, own = self.locks[lock], number + 1
        needs = [f"(l{n} == 0 || l{n} == {own})"]
        if step.value == "shared":
            return needs, [f"l{n}_{number} = 1"]
        if step.value != "exclusive":
            raise InternalError(f"scenario: step {step.id}: locks in mode {step.value!r}")
        needs += [f"!l{n}_{t}" for t in self.sharers(lock) if t != number]
        return needs, [f"l{n} = {own}"]

    def section(self, number: int, step: Step) -> list[str]:
        n = self.domains[step.field]
        depth, once = f"r{n}_{number}", self.enters(step.field, number) == 1
        if step.kind == "enter":
            return [f"{depth} = 1" if once else f"{depth}++"]
        left = [f"{depth} = 0" if once else f"{depth} = ({depth} > 0 -> {depth} - 1 : 0)"]
        for p in self.waiters(step.field):
            waits = f"g{n}_{p}_{number}"
            left.append(f"{waits} = 0" if once else f"{waits} = {waits} && {depth} > 0")
        return left

    def read(self, step: Step) -> tuple[list[str], list[str]]:
        foretold, value = self.foretold.get(step.id), self.values.get(step.id)
        if foretold is None and value is None:
            return [], []
        cell = f"c{self.cells[step.object, step.field]}"
        needs = [f"{foretold} == {cell}"] if foretold else []
        does = [f"{foretold}_done = 1"] if foretold else []
        return needs, [*does, *([f"{value} = {cell}"] if value else [])]

    # -- who does what

    def ran(self) -> dict[str, str]:
        """The bits of the steps whose execution is asked for, but for those that can never be executed."""
        return {s: f"x{n}" for n, s in enumerate(self.executed) if s in self.flows.steps}

    def sharers(self, lock: Cell) -> list[int]:
        return self.who("lock", lambda s: (s.object, s.field) == lock and s.value == "shared")

    def readers(self, domain: str) -> list[int]:
        return self.who("enter", lambda s: s.field == domain)

    def waiters(self, domain: str) -> list[int]:
        """Threads whose grace periods of `domain` start and end, where there are sections to wait for."""
        if domain not in self.domains:
            return []
        ends = self.who("gp-end", lambda s: s.field == domain)
        return [t for t in self.who("gp-start", lambda s: s.field == domain) if t in ends]

    def enters(self, domain: str, thread: int) -> int:
        return sum(s.kind == "enter" and s.field == domain and self.home[s.id] == thread for s in self.kept)

    def who(self, kind: str, wanted: Callable[[Step], bool]) -> list[int]:
        return sorted({self.home[s.id] for s in self.kept if s.kind == kind and wanted(s)})


_SIGNS = {"and": " && ", "or": " || "}
Key = TypeVar("Key", bound=Hashable)


def expression(f: Formula) -> str:
    """An expression of a monitor as one of Promela."""
    if f.op == "pred":
        return f.name
    if f.op == "true":
        return "1"
    if f.op == "not":
        inner = f.args[0]  # two signs next to each other are an operator of Promela's
        return expression(inner.args[0]) if inner.op == "not" else f"!{expression(inner)}"
    if f.op == "implies":
        return expression(Formula("or", (Formula("not", f.args[:1]), f.args[1])))
    return f"({_SIGNS[f.op].join(map(expression, f.args))})"


def plain(text: str) -> str:
    """`text` as it can stand in a comment: whatever it contains, it stays within it."""
    return "".join(c if " " <= c <= "~" else "?" for c in text).replace("*/", "* /").replace("/*", "/ *")


def printed(text: str) -> str:
    """`text` as it can stand in a string that printf() prints."""
    shown = "".join(c if " " <= c <= "~" and c not in '"\\%' else "?" for c in text)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 3] + "..."


def comment(text: str) -> list[str]:
    """`text` as comments of a line each."""
    return [f"/* {line} */" for line in textwrap.wrap(plain(text), 100, break_on_hyphens=False)]


def _numbered(keys: Iterable[Key]) -> dict[Key, int]:
    return {key: n for n, key in enumerate(dict.fromkeys(keys))}


def _held(step: Step, predicates: Collection[str]) -> list[frozenset[str]]:
    """The sets of predicates that may hold at `step`, by what it acts on."""
    labels = [("".join(text.split()), reach) for text, reach in step.labels]
    return [
        frozenset(p for p, wanted in labels if p in predicates and wanted in ("any", reach))
        for reach in ("initial", "null", "other")
    ]
