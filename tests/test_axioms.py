"""Scenarios under the kernel's memory model against the model's own axioms, on random programs.

The axioms are those of `encodings/models.py`, which litmus tests are answered by: every combination of which
store each load sees, and in which order stores to one location come, is looked at. A scenario must allow
whatever the axioms allow, or a proof would prove nothing. It may allow more: what `encodings/weak.py` leaves
out.

Plain accesses are drawn too. Where one of them races, the axioms say nothing of what it does, and the
scenario is held to what they say of the program with READ_ONCE() and WRITE_ONCE() in their place.

DENTRYPROOF_AGREEMENT says how many programs are drawn, a fifth of that number.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product

import pytest

from dentryproof.encodings.execution import Builder, Kind, Tag
from dentryproof.encodings.models import MODELS
from dentryproof.encodings.relations import Relation
from dentryproof.encodings.scenario import Scenario, ScenarioAtom, Step, Thread
from dentryproof.encodings.solver import solve
from dentryproof.encodings.trace import Encoding
from dentryproof.encodings.weak import MEMORY_MODELS
from dentryproof.spec.program import FENCES, ORDERS, TRUE, Guard

PROGRAMS = int(os.environ.get("DENTRYPROOF_AGREEMENT", "300")) // 5
MOST_LOADS, MOST_EXECUTIONS = 4, 3_000
NUMBERS = {"null": 0, "initial": 1, "other": 2}
"""What is stored in each cell is told apart: NULL by one store at most, another pointer by one."""
Outcome = tuple[str, ...]


class Drawn:
    """A random program of two or three threads over cells x and y, and sometimes a deferred callback.

    `orders` are those that accesses may have, `fences` those that there may be.
    """

    def __init__(
        self, rng: random.Random, orders: Sequence[str] = ("once",), fences: Sequence[str] = ()
    ) -> None:
        self.rng, self.orders, self.fences = rng, orders, fences
        self.stores: Counter[str] = Counter()
        self.atoms: dict[str, ScenarioAtom] = {}

    def scenario(self) -> Scenario:
        threads = [self.thread(n) for n in range(self.rng.choice((2, 2, 2, 3)))]
        if self.rng.random() < 0.4:
            threads[-1] = replace(threads[-1], steps=(*threads[-1].steps, Step("q", "defer", "o")))
            more = [self.access("c", 0, [])] if self.rng.random() < 0.5 else []
            own = (*threads[-1].steps, *(replace(s, id="after") for s in more))
            threads[-1] = replace(threads[-1], steps=own)
            later = (Step("cs", "gp-start"), Step("ce", "gp-end"), self.access("c", 1, []))
            threads.append(Thread("callback", later, after="q"))
        initial = ((("d", "x"), "initial"), (("d", "y"), "initial"))
        return Scenario(tuple(threads), tuple(self.atoms.values()), initial)

    def thread(self, number: int) -> Thread:
        steps: list[Step] = []

        def accesses() -> list[Step]:
            found: list[Step] = []
            for _ in range(self.rng.randint(1, 2)):
                found.append(self.access(str(number), len(steps) + 1 + len(found), [*steps, *found]))
            return found

        kinds = ("access", "access", "period", "section", "locked", *(["fence", "access"] * len(self.fences)))
        for _ in range(self.rng.randint(1, 3 if not self.fences else 5)):
            match self.rng.choice(kinds):
                case "access":
                    steps.append(self.access(str(number), len(steps), steps))
                case "fence":
                    fence = self.rng.choice(self.fences)
                    steps.append(Step(f"{number}.{len(steps)}", "fence", value=fence))
                case "period":
                    steps += (
                        Step(f"{number}.{len(steps)}", "gp-start"),
                        Step(f"{number}.{len(steps)}e", "gp-end"),
                    )
                case "section":
                    inner = accesses()
                    steps += (Step(f"{number}.{len(steps)}", "enter"), *inner)
                    steps.append(Step(f"{number}.{len(steps)}", "leave"))
                case _:
                    inner = accesses()
                    steps += (Step(f"{number}.{len(steps)}", "lock", "d", "k", "exclusive"), *inner)
                    steps.append(Step(f"{number}.{len(steps)}", "unlock", "d", "k"))
        return Thread(f"t{number}", tuple(steps), number)

    def access(self, thread: str, place: int, before: list[Step]) -> Step:
        cell, name = self.rng.choice("xy"), f"{thread}.{place}"
        if self.rng.random() < 0.5 and self.stores[cell] < 2:
            self.stores[cell] += 1
            order = self.rng.choice([o for o in self.orders if o in ORDERS["write"]])
            value = ("null", "other")[self.stores[cell] - 1]
            guard = self.guard(before) if order and self.fences else TRUE
            return Step(name, "write", "d", cell, value, guard, order=order)
        loads = [s.id for s in before if s.kind == "read"]
        via = self.rng.choice(loads) if loads and self.rng.random() < 0.3 else None
        order = self.rng.choice([o for o in self.orders if o in ORDERS["read"]])
        return Step(name, "read", "d", cell, via=via, order=order)

    def guard(self, before: list[Step]) -> Guard:
        """Sometimes that a load before yields NULL, or that it does not."""
        loads = [s.id for s in before if s.kind == "read"]
        if not loads or self.rng.random() > 0.3:
            return TRUE
        atom = ScenarioAtom("n" + self.rng.choice(loads), "nonnull")
        self.atoms[atom.name] = replace(atom, step=atom.name[1:])
        return (((atom.name, self.rng.random() < 0.5),),)


@dataclass(frozen=True)
class Allowed:
    """What the loads of a program may see, in their order, and whether any execution has a data race."""

    outcomes: set[Outcome]
    races: bool


def by_axioms(scenario: Scenario, model: str, plain: Tag | None = Tag.ONCE) -> Allowed | None:
    """What the axioms allow where an access with no order has the tag `plain`; None if there is too much to
    look at. Each way in which the tests of stores may go is a program of its own."""
    atoms = scenario.atoms
    loads = [s.id for s in scenario.steps if s.kind == "read"]
    found, races = set[Outcome](), False
    for truth in product((False, True), repeat=len(atoms)):
        given = {a.name: t for a, t in zip(atoms, truth, strict=True)}

        def taken(step: Step, given: dict[str, bool] = given) -> bool:
            return any(all(given[n] == p for n, p in cube) for cube in step.guard)

        threads = [replace(t, steps=tuple(filter(taken, t.steps))) for t in scenario.threads]
        tested = {str(a.step): t for a, t in zip(atoms, truth, strict=True)}

        def fits(outcome: Outcome, tested: dict[str, bool] = tested) -> bool:
            return all((o != "null") == tested[r] for r, o in zip(loads, outcome, strict=True) if r in tested)

        one = straight(replace(scenario, threads=tuple(threads)), model, plain, fits)
        if one is None:
            return None
        found |= one.outcomes
        races |= one.races
    return Allowed(found, races)


def straight(
    scenario: Scenario, model: str, plain: Tag | None, fits: Callable[[Outcome], bool]
) -> Allowed | None:
    """The same of a program that executes every step, for outcomes that fit."""
    tags = {order: [Tag(order)] for order in MARKED} | {"": [plain] if plain else []}
    fence = {"mb": Tag.MB, "rmb": Tag.RMB, "wmb": Tag.WMB}
    builder = Builder({"x": 1, "y": 1})
    thread = {t.name: i for i, t in enumerate(scenario.threads)}
    started = {t.after: t for t in scenario.threads}
    reads = {a.name: str(a.step) for a in scenario.atoms}
    event: dict[str, int] = {}
    locked: list[int] = []
    for t in scenario.threads:
        n = thread[t.name]
        for step in t.steps:
            match step.kind:
                case "read":
                    event[step.id] = builder.read(n, step.field, 0, *tags[step.order])
                case "write":
                    event[step.id] = builder.write(n, step.field, NUMBERS[step.value], *tags[step.order])
                case "fence":
                    builder.fence(n, fence[step.value])
                case "lock":
                    locked.append(builder.lock(n, "k")[0])
                case "unlock":
                    builder.unlock(n, "k")
                case "enter":
                    builder.fence(n, Tag.RCU_LOCK)
                case "leave":
                    builder.fence(n, Tag.RCU_UNLOCK)
                case "gp-start" if t.after is None:
                    builder.fence(n, Tag.SYNC_RCU)
                case "defer":
                    builder.call_rcu(n, thread[started[step.id].name])
            if step.via is not None:
                builder.relate("addr", event[step.via], event[step.id])
            for read in {reads[name] for cube in step.guard for name, _ in cube}:
                builder.relate("ctrl", event[read], event[step.id])
    structure = builder.structure()
    events = structure.events
    loads = [event[s.id] for t in scenario.threads for s in t.steps if s.kind == "read"]
    stores: dict[str, list[int]] = {}
    for i, e in enumerate(events):
        if e.kind is Kind.WRITE:
            stores.setdefault(e.location, []).append(i)
    free = [w for w in stores.get("k", ()) if events[w].tags & {Tag.UL, Tag.INIT}]
    sources = [stores[events[r].location] for r in loads] + [free for _ in locked]
    orders = []
    for writes in stores.values():
        first = [w for w in writes if Tag.INIT in events[w].tags]
        orders.append([(*first, *rest) for rest in permutations(w for w in writes if w not in first)])
    size = 1
    for choices in (*sources, *orders):
        size *= len(choices)
    if size > MOST_EXECUTIONS:
        return None
    judge = MODELS[model].over(structure)
    queued = [
        (w, r)
        for r, e in enumerate(events)
        if e.kind is Kind.READ and e.location.startswith("call_rcu")
        for w in stores[e.location]
        if Tag.INIT not in events[w].tags
    ]
    names = {n: v for v, n in NUMBERS.items()}
    found, races = set[Outcome](), False
    for chosen in product(*sources):
        rf = Relation.pairs(len(events), [*queued, *zip(chosen, [*loads, *locked], strict=True)])
        outcome = tuple(names[int(events[w].value)] for w in chosen[: len(loads)])
        for order in product(*orders) if fits(outcome) and (outcome not in found or plain is None) else ():
            pairs = [(a, b) for writes in order for i, a in enumerate(writes) for b in writes[i + 1 :]]
            co = Relation.pairs(len(events), pairs)
            if judge.broken(rf, co) is None:
                found.add(outcome)
                if plain is not None:
                    break
                races = races or "data-race" in judge.flags(rf, co)
    return Allowed(found, races)


def by_scenario(scenario: Scenario, model: str) -> set[Outcome]:
    """What its loads may see in a trace."""
    encoding = Encoding(MEMORY_MODELS[model](scenario))
    loads = [s.id for s in scenario.steps if s.kind == "read"]

    def happens(outcome: Outcome) -> bool:
        goal = encoding.terms.all(map(encoding.yields, loads, outcome))
        return solve(encoding.constraints(), goal, encoding.env).status == "sat"

    return set(filter(happens, product(NUMBERS, repeat=len(loads))))


def one_writer(scenario: Scenario) -> bool:
    """Whether every cell is stored to by one thread alone."""
    by_cell: dict[str, set[str]] = {}
    for thread in scenario.threads:
        for step in thread.steps:
            if step.kind == "write":
                by_cell.setdefault(step.field, set()).add(thread.name)
    return all(len(names) == 1 for names in by_cell.values())


MARKED = ("once", "acquire", "release")
DRAWN: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "unordered": (("once",), ()),
    "marked": (MARKED, FENCES),
    "plain": (("", *MARKED), FENCES),
}


@pytest.mark.parametrize("drawn", DRAWN)
@pytest.mark.parametrize("model", ["lkmm", "sc"])
def test_a_scenario_allows_what_the_axioms_allow(
    model: str, drawn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, seen = random.Random(2019), Counter[str]()
    while seen["programs"] < PROGRAMS:
        scenario = Drawn(rng, *DRAWN[drawn]).scenario()
        loads = sum(s.kind == "read" for s in scenario.steps)
        allowed = by_axioms(scenario, model) if 0 < loads <= MOST_LOADS else None
        if allowed is None:
            continue
        possible = by_scenario(scenario, model)
        assert allowed.outcomes <= possible, scenario
        if drawn == "plain" and model == "lkmm":
            plain = by_axioms(scenario, model, None)
            assert plain is not None
            if not plain.races:
                assert plain.outcomes <= possible, scenario
                seen["without a data race"] += 1
        seen["programs"] += 1
        seen["that allow the same"] += allowed.outcomes == possible
        small = one_writer(scenario) and len(scenario.threads) == 2
        seen["with one storing thread a cell and two threads"] += small
        seen["of these that allow the same"] += small and allowed.outcomes == possible
        if model == "sc":
            assert allowed.outcomes == possible, scenario
    with capsys.disabled():
        told = ", ".join(f"{n} {what}" for what, n in seen.items())
        print(f"\n{model} against its axioms, {drawn} accesses: {told}")
    few = seen["with one storing thread a cell and two threads"]
    assert few > PROGRAMS // 6
    # What is left out may show in one of hundreds.
    assert seen["of these that allow the same"] >= few * 0.95


def access(name: str, kind: str, cell: str, order: str = "once", **more: str) -> Step:
    return Step(name, kind, "d", cell, order=order, **more)


def held(thread: str, *steps: Step) -> tuple[Step, ...]:
    return Step(f"{thread}l", "lock", "d", "k", "exclusive"), *steps, Step(f"{thread}u", "unlock", "d", "k")


REACHED_LATE: dict[str, tuple[Sequence[Sequence[Step]], Outcome]] = {
    # RWC+po-rel+acq+mb, by a lock: what the second thread saw through the lock may reach the third later.
    "through a lock": (
        (
            held("0", access("w", "write", "x", value="null")),
            held("1", access("a", "read", "x"), access("b", "read", "y")),
            (
                access("v", "write", "y", value="null"),
                Step("f", "fence", value="mb"),
                access("c", "read", "x"),
            ),
        ),
        ("null", "initial", "initial"),
    ),
    # The second store to y may be seen without the first, and so without what the first one releases.
    "over a store-release": (
        (
            (
                access("w", "write", "x", value="null"),
                access("v", "write", "y", "release", value="null"),
                access("u", "write", "y", value="other"),
            ),
            (access("a", "read", "y", "acquire"), access("b", "read", "x")),
        ),
        ("other", "initial"),
    ),
    # The second thread's second load yields its own store before that is executed: the acquire orders what
    # follows with neither the store nor the load before it.
    "by what is forwarded": (
        (
            (
                access("w", "write", "x", value="null"),
                access("v", "write", "y", "release", value="null"),
            ),
            (
                access("a", "read", "y"),
                access("u", "write", "y", value="other"),
                access("b", "read", "y", "acquire"),
                access("c", "read", "x"),
            ),
        ),
        ("null", "other", "initial"),
    ),
    # LB: an address dependency leads to a plain load, and that stands before a store to its cell.
    "by way of a plain load": (
        (
            (access("a", "read", "y", "acquire"), access("w", "write", "x", value="null")),
            (
                access("b", "read", "x"),
                replace(access("c", "read", "y", ""), via="b"),
                access("v", "write", "y", value="null"),
            ),
        ),
        ("null", "null", "initial"),
    ),
}


@pytest.mark.parametrize("name", REACHED_LATE)
def test_a_store_that_may_come_late_does(name: str) -> None:
    threads, outcome = REACHED_LATE[name]
    initial = ((("d", "x"), "initial"), (("d", "y"), "initial"))
    scenario = Scenario(tuple(Thread(f"t{i}", tuple(s), i) for i, s in enumerate(threads)), (), initial)
    allowed = by_axioms(scenario, "lkmm", None)
    assert allowed is not None and outcome in allowed.outcomes and not allowed.races
    assert allowed.outcomes <= by_scenario(scenario, "lkmm")
