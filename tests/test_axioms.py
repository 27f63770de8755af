"""Scenarios under the kernel's memory model against the model's own axioms, on random programs.

The axioms are those of `encodings/models.py`, which litmus tests are answered by: every combination of which
store each load sees, and in which order stores to one location come, is looked at. A scenario must allow
whatever the axioms allow, or a proof would prove nothing. It may allow more: what `encodings/weak.py` leaves
out.

DENTRYPROOF_AGREEMENT says how many programs are drawn, a fifth of that number.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from itertools import permutations, product

import pytest

from dentryproof.encodings.execution import Builder, Kind, Tag
from dentryproof.encodings.models import MODELS
from dentryproof.encodings.relations import Relation
from dentryproof.encodings.scenario import Scenario, Step, Thread
from dentryproof.encodings.solver import solve
from dentryproof.encodings.trace import Encoding
from dentryproof.encodings.weak import MEMORY_MODELS

PROGRAMS = int(os.environ.get("DENTRYPROOF_AGREEMENT", "300")) // 5
MOST_LOADS, MOST_EXECUTIONS = 4, 3_000
NUMBERS = {"null": 0, "initial": 1, "other": 2}
"""What is stored in each cell is told apart: NULL by one store at most, another pointer by one."""
Outcome = tuple[str, ...]


class Drawn:
    """A random program of two or three threads over cells x and y, and sometimes a deferred callback."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.stores: Counter[str] = Counter()

    def scenario(self) -> Scenario:
        threads = [self.thread(n) for n in range(self.rng.choice((2, 2, 2, 3)))]
        if self.rng.random() < 0.4:
            threads[-1] = replace(threads[-1], steps=(*threads[-1].steps, Step("q", "defer", "o")))
            more = [self.access("c", 0, [])] if self.rng.random() < 0.5 else []
            own = (*threads[-1].steps, *(replace(s, id="after") for s in more))
            threads[-1] = replace(threads[-1], steps=own)
            later = (Step("cs", "gp-start"), Step("ce", "gp-end"), self.access("c", 1, []))
            threads.append(Thread("callback", later, after="q"))
        return Scenario(tuple(threads), (), ((("d", "x"), "initial"), (("d", "y"), "initial")))

    def thread(self, number: int) -> Thread:
        steps: list[Step] = []

        def accesses() -> list[Step]:
            found: list[Step] = []
            for _ in range(self.rng.randint(1, 2)):
                found.append(self.access(str(number), len(steps) + 1 + len(found), [*steps, *found]))
            return found

        for _ in range(self.rng.randint(1, 3)):
            match self.rng.choice(("access", "access", "period", "section", "locked")):
                case "access":
                    steps.append(self.access(str(number), len(steps), steps))
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
            return Step(name, "write", "d", cell, ("null", "other")[self.stores[cell] - 1])
        loads = [s.id for s in before if s.kind == "read"]
        via = self.rng.choice(loads) if loads and self.rng.random() < 0.3 else None
        return Step(name, "read", "d", cell, via=via)


def by_axioms(scenario: Scenario, model: str) -> set[Outcome] | None:
    """What the loads of `scenario` may see, in their order; None if there is too much to look at."""
    builder = Builder({"x": 1, "y": 1})
    thread = {t.name: i for i, t in enumerate(scenario.threads)}
    started = {t.after: t for t in scenario.threads}
    event: dict[str, int] = {}
    locked: list[int] = []
    for t in scenario.threads:
        n = thread[t.name]
        for step in t.steps:
            match step.kind:
                case "read":
                    event[step.id] = builder.read(n, step.field, 0, Tag.ONCE)
                case "write":
                    event[step.id] = builder.write(n, step.field, NUMBERS[step.value], Tag.ONCE)
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
    found: set[Outcome] = set()
    for chosen in product(*sources):
        rf = Relation.pairs(len(events), [*queued, *zip(chosen, [*loads, *locked], strict=True)])
        outcome = tuple(names[int(events[w].value)] for w in chosen[: len(loads)])
        for order in product(*orders) if outcome not in found else ():
            co = [(a, b) for writes in order for i, a in enumerate(writes) for b in writes[i + 1 :]]
            if judge.broken(rf, Relation.pairs(len(events), co)) is None:
                found.add(outcome)
                break
    return found


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


@pytest.mark.parametrize("model", ["lkmm", "sc"])
def test_a_scenario_allows_what_the_axioms_allow(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    rng, seen = random.Random(2019), Counter[str]()
    while seen["programs"] < PROGRAMS:
        scenario = Drawn(rng).scenario()
        loads = sum(s.kind == "read" for s in scenario.steps)
        allowed = by_axioms(scenario, model) if 0 < loads <= MOST_LOADS else None
        if allowed is None:
            continue
        possible = by_scenario(scenario, model)
        assert allowed <= possible, scenario
        seen["programs"] += 1
        seen["that allow the same"] += allowed == possible
        seen["with one storing thread a cell and two threads"] += (
            plain := one_writer(scenario) and len(scenario.threads) == 2
        )
        if model == "sc" or plain:
            assert allowed == possible, scenario
    with capsys.disabled():
        print(f"\n{model} against its axioms: " + ", ".join(f"{n} {what}" for what, n in seen.items()))
    assert seen["with one storing thread a cell and two threads"] > PROGRAMS // 6
