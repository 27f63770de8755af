"""Constraints in words, for unsat cores. Knows steps and threads; knows no formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .scenario import Scenario, ScenarioAtom, Step, Thread

LONG = 120
"""Conditions with a longer text are counted, not shown."""


class Words:
    """Says of one scenario's steps, threads and rules what they are. `titles` names callbacks."""

    def __init__(self, scenario: Scenario, titles: Mapping[str, str]) -> None:
        self._titles = titles
        self._scenario = scenario
        self._steps = {s.id: s for s in scenario.steps}
        self._home = {s.id: t.name for t in scenario.threads for s in t.steps}
        self._atoms = {a.name: a for a in scenario.atoms}

    def texts(self) -> dict[str, str]:
        """What each constraint of the scenario says, by the name that the encodings give it."""
        scenario = self._scenario
        found = {f"order:{t.name}": self.order(t) for t in scenario.threads if t.ordered}
        found |= {f"order:{o.part}": o.part for o in scenario.orders}
        found |= {f"start:{t.name}": self.start(t) for t in scenario.threads if t.after is not None}
        of_kind: dict[str, list[Step]] = {}
        by_guard: dict[frozenset[frozenset[tuple[str, bool]]], list[Step]] = {}
        for step in scenario.steps:
            of_kind.setdefault(step.kind, []).append(step)
            by_guard.setdefault(frozenset(map(frozenset, step.guard)), []).append(step)
        for i, a in enumerate(of_kind.get("lock", ())):
            for b in of_kind["lock"][i + 1 :]:
                if (a.object, a.field) == (b.object, b.field):
                    found[f"lock:{a.id}:{b.id}"] = self.exclusion(a, b)
        for enter in of_kind.get("enter", ()):
            found[f"left:{enter.id}"] = self.left(enter)
            for start in of_kind.get("gp-start", ()):
                for end in of_kind.get("gp-end", ()):
                    found[f"gp:{start.id}:{end.id}:{enter.id}"] = self.grace_period(start, enter)
        found |= {f"value:{s.id}": self.value(s) for s in of_kind.get("read", ())}
        for atom in scenario.atoms:
            if atom.kind == "nonnull" and atom.step is not None:
                found[f"atom:{atom.name}"] = self.nonnull(atom, self._steps[atom.step])
            elif atom.kind == "defined":
                found[f"atom:{atom.name}"] = self.defined(atom)
        found |= {f"initial:{c[0]}->{c[1]}": self.pinned(c, v) for c, v in scenario.initial}
        for first, *others in by_guard.values():
            who = self._home[first.id], first.callback
            same = [s for s in others if (self._home[s.id], s.callback) == who]
            found[f"guard:{first.id}"] = self.guard([first, *same])
        return found

    def who(self, step: Step) -> str:
        """Who takes `step`: the callback's title, else its name, the kernel function, or the thread."""
        if step.callback:
            return self._titles.get(step.callback, f"{step.callback}()")
        return f"{step.source.function}()" if step.source.function else self._home[step.id]

    def what(self, step: Step) -> str:
        """What `step` does: its note, else its kind and what it acts on."""
        if step.note:
            return step.note
        target = f"{step.object}->{step.field}" if step.object and step.field else step.object or step.field
        return f"{step.kind} {target}".strip()

    def step(self, step: Step) -> str:
        """`step` in one phrase."""
        return f"{self.who(step)}: {self.what(step)}"

    def order(self, thread: Thread) -> str:
        """Rule 1 for a whole thread."""
        return f"the steps of {thread.name} are taken in program order"

    def start(self, thread: Thread) -> str:
        """Rule 2."""
        cause = self._steps[thread.after] if thread.after else None
        return f"{thread.name} starts only after {self.step(cause) if cause else 'nothing'}"

    def exclusion(self, a: Step, b: Step) -> str:
        """Rule 3 for two steps that take one lock."""
        return (
            f"{a.object}->{a.field} is never held {a.value} by {self._home[a.id]} "
            f"while it is held {b.value} by {self._home[b.id]}"
        )

    def inside(self, who: str, enter: Step) -> str:
        """Program order, said of one callback and one read-side section."""
        return f"{who} runs inside the {self.section(enter)}"

    def section(self, enter: Step) -> str:
        """The read-side section that `enter` begins."""
        domain = f"SRCU {enter.field} " if enter.field else ""
        return f"{domain}read-side section of {self._home[enter.id]}"

    def left(self, enter: Step) -> str:
        """Rule 4: a section that is entered is left."""
        return f"the {self.section(enter)} is left"

    def grace_period(self, start: Step, enter: Step) -> str:
        """Rule 4 for the grace period that `start` begins and the section that `enter` begins."""
        return f"the grace period of {self._home[start.id]} waits for the {self.section(enter)}"

    def value(self, read: Step) -> str:
        """Rule 5 for one read."""
        return f"{self.who(read)} reads from {read.object}->{read.field} what was last stored there"

    def nonnull(self, atom: ScenarioAtom, read: Step) -> str:
        """What an atom of kind ``nonnull`` says."""
        what = atom.text or f"the pointer read from {read.object}->{read.field} is not NULL"
        return f"{self.who(read)}: whether {what} depends on what it read"

    def defined(self, atom: ScenarioAtom) -> str:
        """What an atom of kind ``defined`` stands for."""
        return "the path conditions of the source, where paths join"

    def pinned(self, cell: tuple[str, str], value: str) -> str:
        """An initial value that the scenario demands."""
        return f"{cell[0]}->{cell[1]} is {'NULL' if value == 'null' else 'set'} at first"

    def guard(self, steps: Sequence[Step]) -> str:
        """The guard that `steps`, all of one callback, have in common."""
        shown = "; ".join(self.what(s) for s in steps[:3]) + ("; ..." if len(steps) > 3 else "")
        return f"{self.who(steps[0])} does this only if {self._condition(steps[0])}: {shown}"

    def _condition(self, step: Step) -> str:
        cubes = [" and ".join(self._literal(n, p) for n, p in cube) for cube in step.guard]
        text = " or ".join(cubes) or "never"
        return (
            text
            if len(text) <= LONG
            else f"{len(cubes)} path condition{'s'[: len(cubes) > 1]} of the source hold"
        )

    def _literal(self, name: str, polarity: bool) -> str:
        text = self._atoms[name].text or name
        return text if polarity else f"not ({text})"
