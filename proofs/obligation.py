"""What an obligation is, and what makers of obligations share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from ..encodings.scenario import Scenario
from ..spec.contract import Clause
from ..spec.logic import Formula
from ..spec.program import FALSE, Event, Gap, Model, Program
from .verdict import Result, Verdict

LOOPS = "loops unrolled twice, loops inside loops once"
IMPRECISE = ("an earlier condition", "a condition too large", "an earlier test")
TOUCHING = frozenset({"read", "write", "lock", "unlock", "opaque"})


@dataclass(frozen=True, slots=True)
class Obligation:
    """One question. `doubt` names calls that were not followed and that a counterexample would rest on."""

    model: Model
    clause: Clause
    callbacks: tuple[str, ...]
    object: str
    scenario: Scenario
    formula: Formula
    functions: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    debug: bool = False
    doubt: str = ""
    fix: str = ""
    summary: str = ""


Question = Obligation | Result


def plain(
    model: Model,
    clause: Clause,
    verdict: Verdict,
    reason: str,
    callbacks: tuple[str, ...] = (),
    object: str = "",
) -> Result:
    return Result(model.filesystem, model.table, clause.id, callbacks, object, verdict, reason=reason)


def missing(model: Model, clause: Clause, methods: Iterable[str]) -> Result:
    names = [f"->{m}()" for m in methods]
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
    return plain(model, clause, Verdict.NOT_APPLICABLE, f"the table has no {listed}")


def programs_of(model: Model, methods: Iterable[str], mode: str | None = None) -> list[Program]:
    return [p for m in methods for p in model.program(m, mode)]


def teardown_of(model: Model, methods: Iterable[str]) -> list[Program]:
    """The teardown methods' programs; where one was read once more for its locks alone, not that."""
    return programs_of(model, methods, "")


def choices_of(teardown: list[Program]) -> list[list[Program]]:
    """The teardowns that there are where a method is one of several functions (of one filesystem type or
    another, in one configuration or another): one function of each, for what one waits for the other does
    not."""
    by_method: dict[str, list[Program]] = {}
    for program in teardown:
        by_method.setdefault(program.method, []).append(program)
    return [list(chosen) for chosen in product(*by_method.values())]


def gaps(model: Model, clause: Clause, programs: Iterable[Program]) -> Iterator[Result]:
    """Unknown for what the reader did not understand on the way."""
    for program in programs:
        for reason, gap in {
            g.reason: g for g in program.gaps if g.guard != FALSE and not _bounded(g)
        }.items():
            yield plain(
                model,
                clause,
                Verdict.UNKNOWN,
                f"{program.function}(): {reason} ({gap.source})",
                (program.method,),
            )
    for gap in model.gaps:
        yield plain(model, clause, Verdict.UNKNOWN, gap.reason)


def _bounded(gap: Gap) -> bool:
    return gap.reason.endswith("calls itself")


def assumptions(programs: Iterable[Program]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for program in programs:
        for text in program.assumptions:
            found[text] = None
        for gap in program.gaps:
            if _bounded(gap):
                found[f"recursion is followed once: {gap.reason}"] = None
        handed = sorted(
            {
                e.object.removeprefix("call:").split("@")[0]
                for e in freed_events(program)
                if e.object.startswith("call:")
            }
        )
        if handed:
            found[
                f"what {program.function}() frees below what these hand out is not what a walker holds: "
                + ", ".join(h + "()" for h in handed)
            ] = None
        names = sorted({e.note for e in program.events if e.kind == "opaque" and not e.debug})
        if names:
            found[
                f"functions that {program.function}() reaches and that are not followed touch only what they "
                "handed: " + ", ".join(n if n.endswith(")") else n + "()" for n in names)
            ] = None
    return tuple(found)


def destructions(event: Event) -> Iterator[Event]:
    if event.kind == "free":
        yield event
    for then in event.then:
        yield from destructions(then)


def freed_events(program: Program) -> Iterator[Event]:
    for event in program.events:
        yield from destructions(event)


def cells_of(path: str) -> frozenset[tuple[str, str]]:
    """The cells whose pointers lead to the object at `path`, one after the other."""
    found: set[tuple[str, str]] = set()
    while (cell := cell_of(path)) is not None:
        found.add(cell)
        path = cell[0]
    return frozenset(found)


def cell_of(path: str) -> tuple[str, str] | None:
    """The cell whose pointer leads to the object at `path`."""
    if "->" not in path:
        return None
    object_, member = path.rsplit("->", 1)
    return object_, member


def plain_path(path: str) -> bool:
    """Whether an object is reached through members alone, from a root: it is no element of a list or tree."""
    return "[" not in path and not path.startswith(("call:", "*")) and ".next" not in path


def last_put(program: Program, event: Event) -> bool:
    """Whether `event` happens only where a count dropped to zero."""
    last = {a.name for a in program.atoms if a.text.endswith("drops the last reference")}
    defined = {a.name: a.definition for a in program.atoms if a.kind == "defined"}

    def requires(name: str) -> bool:
        return name in last or (
            name in defined
            and bool(defined[name])
            and all(any(p and requires(n) for n, p in cube) for cube in defined[name])
        )

    return bool(event.guard) and all(any(p and requires(n) for n, p in cube) for cube in event.guard)
