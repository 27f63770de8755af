"""From a scenario and a formula to clauses, as `docs/certificates.md` states them.

This is written for being read beside that document, and shares with the encoder only the scenario's own
classes. A literal is a pair: a variable's name and whether it is positive. `YES` and `NO` stand in no clause.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from ..encodings.scenario import Scenario, Step
from ..spec.logic import Formula
from ..spec.program import Guard

Name = tuple[str, ...]
Literal = tuple[Name, bool]
Term = tuple[Literal, ...]

YES: Literal = (("true",), True)
NO: Literal = (("true",), False)
MOST_DEFINITIONS = 2_000_000


class TooLarge(Exception):
    """The scenario comes to more definitions than anybody waits for."""


class Ambiguous(Exception):
    """Two different clauses come to one name, which is the argument."""


def no(literal: Literal) -> Literal:
    """The negation."""
    return literal[0], not literal[1]


def simplify(terms: Iterable[Iterable[Literal]]) -> list[Term]:
    """A disjunction of conjunctions without constants, contradictions and repetitions."""
    found: dict[frozenset[Literal], Term] = {}
    for term in terms:
        literals = tuple(dict.fromkeys(x for x in term if x != YES))
        if NO not in literals and not any(no(x) in literals for x in literals):
            found.setdefault(frozenset(literals), literals)
    return list(found.values())


class Translation:
    """The clauses of one scenario and of the negation of one formula: `clauses`, by name."""

    def __init__(self, scenario: Scenario, formula: Formula) -> None:
        self.scenario = scenario
        self.steps = {s.id: s for s in scenario.steps}
        self.order = {s.id: i for i, s in enumerate(scenario.steps)}
        self.thread_of = {s.id: i for i, t in enumerate(scenario.threads) for s in t.steps}
        self.atoms = {a.name: a for a in scenario.atoms}
        self.literals: dict[Name, Literal] = {}
        self.meaning: dict[Name, tuple[bool, Term]] = {}
        """What a variable stands for: whether a conjunction (else a disjunction), and of what."""
        self.first_step: dict[frozenset[frozenset[tuple[str, bool]]], str] = {}
        self.writers: dict[tuple[str, str, str], list[Step]] = {}
        for s in scenario.steps:
            self.first_step.setdefault(frozenset(map(frozenset, s.guard)), s.id)
            if s.kind == "write":
                self.writers.setdefault((s.object, s.field, s.view), []).append(s)
        for a in scenario.atoms:  # in this order, so that none waits for a later one
            self.atom(a.name)
        self.demands: list[tuple[str, list[Literal]]] = []
        self.rules()
        self.possible = [s for s in self.steps if self.executed(s) != NO]
        self.said: dict[tuple[str, str], Literal] = {}
        self.demand("contract", [no(self.of_trace(formula, "0"))])
        self.clauses = self.collect()

    # -- definitions

    def define(self, name: Name, terms: Iterable[Iterable[Literal]]) -> Literal:
        """Definition: `name` is true iff one of the terms is. Trivial ones get no variable."""
        if name not in self.literals:
            self.literals[name] = self._definition(name, simplify(terms))
            if len(self.meaning) > MOST_DEFINITIONS:
                raise TooLarge
        return self.literals[name]

    def _definition(self, name: Name, terms: list[Term]) -> Literal:
        if not terms:
            return NO
        if () in terms:
            return YES
        if len(terms) > 1:
            parts = enumerate(terms, 1)
            either = [t[0] if len(t) == 1 else self.define(("part", str(i), *name), [t]) for i, t in parts]
            self.meaning[name] = (False, tuple(either))
        elif len(terms[0]) == 1:
            return terms[0][0]
        else:
            self.meaning[name] = (True, terms[0])
        return name, True

    def collect(self) -> dict[str, frozenset[Literal]]:
        """The clauses: what is demanded, and the definitions of what that speaks of."""
        found: dict[str, frozenset[Literal]] = {}

        def add(name: str, literals: Iterable[Literal]) -> None:
            if name in found:
                raise Ambiguous(name)
            found[name] = frozenset(literals)

        pending: list[Name] = []
        for name, demanded in self.demands:
            for kept in simplify([[no(x) for x in demanded]]):  # none: it is true whatever the trace
                add(name, [no(x) for x in kept])
                pending += [v for v, _ in kept]
        done: set[Name] = set()
        while pending:
            variable = pending.pop()
            if variable in done or variable not in self.meaning:
                continue
            done.add(variable)
            conjunction, literals = self.meaning[variable]
            title, this = ":".join(variable), (variable, conjunction)
            add(f"{title}/0", [this, *(no(x) if conjunction else x for x in literals)])
            for i, x in enumerate(literals, 1):
                add(f"{title}/{i}", [no(this), x if conjunction else no(x)])
            pending += [v for v, _ in literals]
        return found

    # -- what can be said of steps

    def atom(self, name: str) -> Literal:
        """Rule 7."""
        a = self.atoms[name]
        if a.kind == "defined":
            if ("atom", name) in self.literals:
                return self.literals["atom", name]
            return self.define(("atom", name), self.guard(a.definition))
        return (("stable", a.key) if a.kind == "stable" and a.key else ("atom", name)), True

    def guard(self, guard: Guard) -> list[list[Literal]]:
        return [[self.atom(n) if positive else no(self.atom(n)) for n, positive in cube] for cube in guard]

    def executed(self, s: str) -> Literal:
        """Rules 1, 2 and 6."""
        if ("executed", s) in self.literals:
            return self.literals["executed", s]
        step, after = self.steps[s], self.scenario.threads[self.thread_of[s]].after
        first = self.first_step[frozenset(map(frozenset, step.guard))]
        term = [self.define(("guard", first), self.guard(step.guard))]
        term += [self.executed(needed) for needed in (after, step.via) if needed is not None]
        return self.define(("executed", s), [term])

    def before(self, a: str, b: str) -> Literal:
        """A trace is a total order; within an ordered thread it is the thread's own."""
        forward = self.order[a] < self.order[b]
        thread = self.thread_of[a]
        if thread == self.thread_of[b] and self.scenario.threads[thread].ordered:
            return YES if forward else NO
        return (("before", a, b), True) if forward else (("before", b, a), False)

    def earlier(self, s: str, than: str) -> Literal:
        return self.define(("earlier", s, than), [[self.executed(s), self.before(s, than)]])

    def amid(self, a: str, s: str, b: str) -> Literal:
        term = [self.executed(s), self.before(a, s), self.before(s, b)]
        return self.define(("amid", a, s, b), [term])

    def last(self, write: Step, r: str) -> Literal:
        """Rule 5: `write` is the last executed one to the cell of `r` before it."""
        others = [w for w in self.writers[write.object, write.field, write.view] if w is not write]
        term = [self.executed(write.id), self.before(write.id, r)]
        term += [no(self.amid(write.id, w.id, r)) for w in others]
        return self.define(("last", write.id, r), [term])

    def null(self, r: str) -> Literal:
        """Rule 5: what a cell holds where `r` stands is NULL."""
        if ("null", r) in self.literals:
            return self.literals["null", r]
        obj, field = self.steps[r].object, self.steps[r].field
        writes = self.writers.get((obj, field, self.steps[r].view), [])
        terms = [[self.last(w, r)] for w in writes if w.value == "null"]
        untouched = self.define(("untouched", r), [[no(self.earlier(w.id, r)) for w in writes]])
        terms.append([untouched, (("initially-null", obj, field), True)])
        return self.define(("null", r), terms)

    def other(self, r: str) -> Literal:
        """Rule 5: it is a pointer to some other object."""
        if ("other", r) in self.literals:
            return self.literals["other", r]
        writes = self.writers.get((self.steps[r].object, self.steps[r].field, self.steps[r].view), [])
        return self.define(("other", r), [[self.last(w, r)] for w in writes if w.value in ("new", "other")])

    # -- what is demanded

    def demand(self, name: str, literals: list[Literal]) -> None:
        self.demands.append((name, literals))

    def rules(self) -> None:
        """Every rule of the scenario, once for each of its instances."""
        for o in self.scenario.orders:
            absent = [no(self.executed(s)) for s in o.steps]
            self.demand(f"order:{o.name}", absent + [self.before(a, b) for a, b in o.pairs])
        for t in self.scenario.threads:
            if t.after is not None and t.ordered and t.steps:
                self.demand(f"start:{t.name}", [self.before(t.after, t.steps[0].id)])
            elif t.after is not None:
                for s in t.steps:
                    self.demand(f"start:{t.name}/{s.id}", [self.before(t.after, s.id)])
        taken = [s for s in self.scenario.steps if s.kind == "lock"]
        for i, a in enumerate(taken):
            for b in taken[i + 1 :]:
                one_lock = (a.object, a.field) == (b.object, b.field)
                if (
                    one_lock
                    and (a.value == "exclusive" or b.value == "exclusive")
                    and (self.thread_of[a.id] != self.thread_of[b.id])
                ):
                    absent = [no(self.executed(a.id)), no(self.executed(b.id))]
                    dropped = [self.dropped(a, b), self.dropped(b, a)]
                    self.demand(f"lock:{a.id}:{b.id}", absent + dropped)
        self.sections()
        for known in self.scenario.atoms:
            if known.kind == "nonnull" and (r := known.step) is not None:
                atom = self.atom(known.name)
                value = self.define(("nonnull", r), [[self.executed(r), no(self.null(r))]])
                self.demand(f"atom:{known.name}/1", [no(atom), value])
                self.demand(f"atom:{known.name}/2", [atom, no(value)])
        for (obj, field), pinned in self.scenario.initial:
            self.demand(f"initial:{obj}->{field}", [(("initially-null", obj, field), pinned == "null")])

    def after(self, s: Step) -> Sequence[Step]:
        """The steps of its thread that stand after `s`."""
        steps = self.scenario.threads[self.thread_of[s.id]].steps
        return steps[steps.index(s) + 1 :]

    def dropped(self, lock: Step, other: Step) -> Literal:
        """Rule 3: the hold that `lock` begins has ended before `other`."""
        unlocks = [
            u
            for u in self.after(lock)
            if u.kind == "unlock" and u.object == lock.object and u.field == lock.field
        ]
        terms = [[self.executed(u.id), self.before(u.id, other.id)] for u in unlocks]
        return self.define(("dropped", lock.id, other.id), terms)

    def sections(self) -> None:
        """Rule 4."""
        ends = {s.id: self.section_ends(s) for s in self.scenario.steps if s.kind == "enter"}
        for e, leaves in ends.items():
            self.demand(f"left:{e}", [no(self.executed(e)), *(x for _, x in leaves)])
        for t in self.scenario.threads:
            for i, end in enumerate(t.steps):
                if end.kind != "gp-end":
                    continue
                for start in t.steps[:i]:
                    if start.kind != "gp-start" or start.field != end.field:
                        continue
                    for e, leaves in ends.items():
                        if self.steps[e].field == end.field:
                            terms = [[x, self.before(leave, end.id)] for leave, x in leaves]
                            over = self.define(("over", e, end.id), terms)
                            absent = [no(self.executed(s)) for s in (start.id, end.id, e)]
                            self.demand(
                                f"gp:{start.id}:{end.id}:{e}", [*absent, self.before(start.id, e), over]
                            )

    def section_ends(self, enter: Step) -> list[tuple[str, Literal]]:
        """The steps that may end the section that `enter` begins, each with: this one does. `depth` says for
        each number of sections open, this one and those within, when there are so many."""
        found = []
        depth = {1: YES}
        for s in self.after(enter):
            if s.field == enter.field and s.kind in ("enter", "leave"):
                done, by = self.executed(s.id), 1 if s.kind == "enter" else -1
                changed = {}
                for n in sorted(set(depth) | {n + by for n in depth}):
                    terms = [[depth.get(n, NO), no(done)], [depth.get(n - by, NO), done]]
                    what = ("depth", enter.id, str(n), s.id) if n else ("leaves", enter.id, s.id)
                    changed[n] = self.define(what, terms)
                if changed.get(0, NO) != NO:
                    found.append((s.id, changed[0]))
                depth = {n: x for n, x in changed.items() if n and x != NO}
        return found

    # -- the formula

    def of_trace(self, f: Formula, way: str) -> Literal:
        """`f`, to which `way` leads, at the first executed step; of the empty trace if there is none."""
        if f.op == "true":
            return YES
        if f.op in ("not", "and", "or", "implies"):
            inner = [self.of_trace(a, f"{way}.{i}") for i, a in enumerate(f.args)]
            if f.op in ("not", "implies"):
                inner[0] = no(inner[0])
            return self.define(("holds", way), [inner] if f.op == "and" else [[x] for x in inner])
        if f.op == "always":
            broken = [[self.executed(e), no(self.at(f.args[0], f"{way}.0", e))] for e in self.possible]
            return no(self.define(("fails", way), broken))
        if f.op == "eventually":
            kept = [[self.executed(e), self.at(f.args[0], f"{way}.0", e)] for e in self.possible]
            return self.define(("holds", way), kept)
        terms = []
        for e in self.possible:
            nothing = [no(self.earlier(o, e)) for o in self.possible if o != e]
            first = self.define(("first", e), [[self.executed(e), *nothing]])
            terms.append([first, self.at(f, way, e)])
        if empty(f):
            terms.append([no(self.executed(e)) for e in self.possible])
        return self.define(("holds", way), terms)

    def at(self, f: Formula, way: str, e: str) -> Literal:
        """`f`, to which `way` leads, at step `e`, given that `e` is executed."""
        if (way, e) not in self.said:
            self.said[way, e] = self._at(f, way, e)
        return self.said[way, e]

    def _at(self, f: Formula, way: str, e: str) -> Literal:
        if f.op == "true":
            return YES
        if f.op == "pred":
            return self.predicate(f, e)
        arg = [partial(self.at, a, f"{way}.{i}") for i, a in enumerate(f.args)]
        holds, fails = ("holds", way, e), ("fails", way, e)
        if f.op == "not":
            return no(arg[0](e))
        if f.op == "and":
            return self.define(holds, [[a(e) for a in arg]])
        if f.op == "or":
            return self.define(holds, [[a(e)] for a in arg])
        if f.op == "implies":
            return YES if arg[0](e) == NO else self.define(holds, [[no(arg[0](e))], [arg[1](e)]])
        if f.op in ("previously", "next"):
            pairs = [(o, (o, e) if f.op == "previously" else (e, o)) for o in self.possible if o != e]
            terms = [
                [arg[0](o), self.executed(o), self.adjacent(*pair)]
                for o, pair in pairs
                if arg[0](o) != NO and self.before(*pair) != NO
            ]
            return self.define(holds, terms)
        back = f.op in ("once", "historically", "since")
        reachable = [o for o in self.possible if self.within(e, o, back) != NO]
        if f.op in ("once", "eventually"):
            where = [o for o in reachable if arg[0](o) != NO]
            return self.define(holds, [[arg[0](o), self.there(e, o), self.within(e, o, back)] for o in where])
        if f.op in ("historically", "always"):
            terms = [[no(arg[0](o)), self.there(e, o), self.within(e, o, back)] for o in reachable]
            return no(self.define(fails, terms))
        terms = []
        for goal in reachable:  # since, until
            if arg[1](goal) != NO:
                term = [arg[1](goal), self.there(e, goal), self.within(e, goal, back)]
                for k in self.possible:
                    if k != goal:
                        span = [self.before(goal, k), self.within(e, k, True)]
                        if not back:
                            span = [self.within(e, k, False), self.before(k, goal)]
                        spoils = [no(arg[0](k)), self.there(e, k), *span]
                        term.append(no(self.define(("spoils", way, goal, k, e), [spoils])))
                terms.append(term)
        return self.define(holds, terms)

    def there(self, e: str, o: str) -> Literal:
        """That `o` is executed; `e`, of which something is said, is."""
        return YES if o == e else self.executed(o)

    def within(self, e: str, o: str, back: bool) -> Literal:
        """That `o` is `e`, or comes before it (if `back`; else after it)."""
        if o == e:
            return YES
        return self.before(o, e) if back else self.before(e, o)

    def adjacent(self, a: str, b: str) -> Literal:
        between = [no(self.amid(a, k, b)) for k in self.possible if k not in (a, b)]
        return self.define(("next", a, b), [[self.before(a, b), *between]])

    def predicate(self, f: Formula, e: str) -> Literal:
        """Labels, by what the step acts on (rule 6)."""
        via = self.steps[e].via
        terms: list[list[Literal]] = []
        for text, reach in sorted(self.steps[e].labels):
            if "".join(text.split()) != "".join(str(f).split()):
                continue
            if reach == "any" or (reach == "initial" and via is None):
                return YES
            if via is not None:
                null, other = self.null(via), self.other(via)
                terms.append([null] if reach == "null" else [no(null), no(other)])
        return self.define(("predicate", str(f), e), terms)


def empty(f: Formula) -> bool:
    """Whether `f` holds of the trace without steps."""
    inner = [empty(a) for a in f.args]
    if f.op == "not":
        return not inner[0]
    if f.op == "and":
        return all(inner)
    if f.op == "or":
        return any(inner)
    if f.op == "implies":
        return not inner[0] or inner[1]
    return f.op in ("true", "always", "historically")
