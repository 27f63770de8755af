"""What the fixtures do when they run is what the reader says that they do, and nothing that it says is idle.

Each method of each fixture is compiled by gcc and run under enumerated choices (`execution.py`). Every run
must be a path of the program that the reader extracted, and every path of that program must be some run.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from execution import AT_NULL, CALLS, Comparison, Fixture, Run

from dentryproof.reader.extract import models
from dentryproof.reader.tree import Tree
from dentryproof.reader.units import Survey
from dentryproof.spec.program import Atom, Event, Model, Program

pytest.importorskip("elftools", reason="pyelftools is not installed")
if shutil.which("gcc") is None or shutil.which("addr2line") is None:
    pytest.skip("gcc or addr2line is not installed", allow_module_level=True)

TREE = Path(__file__).parent / "fixtures" / "tree"
NAMES = sorted(p.name for p in (TREE / "fs").iterdir() if p.is_dir())

OPS = "calls through a pointer that the fixture set; a run has another function there"
NOT_RUN = {
    "percpufree": "has per-cpu memory, which the stub headers have none of",
    "mapfree": "looks into an xarray, which the stub headers do not have",
    "strangeread": "calls a function that is defined nowhere",
    **dict.fromkeys(("treefree", "treekept", "treelink", "treelocked"), "the stub headers have no trees"),
    "detachput": "calls max(), which the stub headers do not have",
    "scopedmacro": "extends a class before that is defined, which gcc does not take",
    "hashunknown": "calls a function that is defined nowhere",
    "pruneforgotten": "calls a function that is defined nowhere",
    "namedfree": "defines a function of the kernel's itself, otherwise",
    "undefined": "calls a function that is defined nowhere",
    "undefinedread": "calls a function that is defined nowhere",
}
"""Fixtures that cannot be compiled, and why."""
UNLIKE = {
    "deepbalanced": "calls nested deeper than the reader follows, and that is a gap",
    "deephandover": "calls nested deeper than the reader follows, and that is a gap",
    "scalarpointer": "a pointer that was a number has no name",
    "globalfree": "what is stored in a global variable loses its name: `test_fixtures.KNOWN`",
    "hashsleepcall": OPS,
    "offsetread": "a member named by its offset; the model names none",
    "opsfree": OPS,
    "opsmember": OPS,
    "opsrcu": OPS,
    "opstwo": OPS,
    "recursive": "recursion is followed once, and that is a gap",
}
"""Fixtures of which some run is no path of the program, for the reason given."""
ROUNDS = "goes round a loop more often than the reader looks at, or exactly twice: the reader does not count"
LISTS = "a list that was moved to the stack: the runs do not follow what is in it"
LATER = "its delayed call is made by whoever gets the link, which the runs do not"
HOLDER = "a cluster lock is taken by the table's word on a function that the run executes as it stands"
UNREALISED = {
    ("arrayelements", "d_release"): ROUNDS,
    ("arrayelements", "d_release[ref]"): ROUNDS,
    ("countlock", "d_revalidate[rcu]"): "no run has flags that are negative",
    ("countlock", "d_revalidate[ref]"): "no run has flags that are negative",
    ("elementdelayed", "evict_inode"): LISTS,
    ("elementdrop", "evict_inode"): LISTS,
    ("elementput", "evict_inode"): LISTS,
    ("listfirst", "evict_inode"): LISTS,
    ("spliceelement", "evict_inode"): LISTS,
    ("globallist", "permission[rcu]"): "no run has an entry that the inode owns",
    ("errorjoined", "d_revalidate[ref]"): ROUNDS,
    ("errorpositive", "d_revalidate[ref]"): ROUNDS,
    ("holderasked", "d_revalidate[ref]"): HOLDER,
    ("holdertwice", "d_revalidate[ref]"): HOLDER,
    ("indexed", "d_revalidate[rcu]"): ROUNDS,
    ("indexed", "d_revalidate[ref]"): ROUNDS,
    ("switchcontinue", "d_revalidate[rcu]"): ROUNDS,
    ("takenloop", "d_revalidate[rcu]"): ROUNDS,
    ("takenloop", "d_revalidate[ref]"): ROUNDS,
    ("modelost", "d_revalidate[rcu]"): "a flag that was cleared is arbitrary to the reader",
    ("arraystatic", "d_release"): "what a static array held before is arbitrary to the reader",
    ("delayedmaybe", "get_link[rcu]"): LATER,
    ("delayedsleeps", "get_link[rcu]"): LATER,
    ("delayedspins", "get_link[rcu]"): LATER,
    ("cleanupfree", "d_release"): "writes through the pointer first, and so ends where that is NULL",
    ("duff", "d_revalidate[rcu]"): "a single bit that is neither 0 nor 1 is possible to the reader",
    ("whilefree", "d_release"): ROUNDS,
}
"""Programs of which some path is no run, for the reason given."""


@dataclass(frozen=True)
class Outcome:
    """What came of one program under one configuration."""

    program: Program
    comparison: Comparison
    config: dict[str, bool]
    runs: tuple[Run, ...]
    times: int
    complete: bool


@cache
def survey() -> Survey:
    return Survey(Tree(TREE))


@cache
def extracted(name: str) -> tuple[Model, ...]:
    """The models of the fixture in that folder."""
    (unit,) = (u for u in survey().units() if Path(u.folder).name == name)
    return models(survey().tree, unit, survey().tree.version)


def in_source(program: Program, source: Path) -> bool:
    """Whether it is of a function of the fixture's own that can be called."""
    inside = f"{program.function}(" in source.read_text(encoding="utf-8")
    return inside and program.label in CALLS and program.function.startswith("toy_")


@cache
def outcomes(name: str, work: Path) -> tuple[Outcome, ...]:
    """Everything that the methods of a fixture did, under each configuration."""
    found: list[Outcome] = []
    for model in extracted(name):
        source = (TREE / model.source.file).resolve()
        programs = [p for p in dict.fromkeys(model.programs) if in_source(p, source)]
        symbols = sorted({a.key for p in programs for a in p.atoms if a.kind == "stable"})
        for truth in product((False, True), repeat=len(symbols)):
            config = dict(zip(symbols, truth, strict=True))
            folder = work / f"{name}-{model.table}"
            folder.mkdir(exist_ok=True)
            fixture = Fixture(source, programs, tuple(s for s in symbols if config[s]), folder)
            for i, program in enumerate(programs):
                comparison = Comparison(program, model, fixture.layout, fixture.embedding)
                runs, times, complete = fixture.runs(i)
                found.append(Outcome(program, comparison, config, tuple(runs), times, complete))
    return tuple(found)


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("execution")


COUNTED: Counter[str] = Counter()
"""How much was compared; the last test says it."""


def refused(outcome: Outcome) -> list[Run]:
    """The runs that are no path of the program."""
    return [r for r in outcome.runs if r.bounded and not outcome.comparison.accepts(r, outcome.config)]


def told(outcome: Outcome, run: Run) -> str:
    """A run in words, beside what the program can do."""
    did = "\n".join(f"  did {d.kind} object {d.object}+{d.offset} line {d.line} {d.value}" for d in run.steps)
    may = "\n".join(
        f"  may {e.kind} {e.object} {e.field} line {e.source.line} {e.guard}" for e in outcome.program.events
    )
    return f"{outcome.program.label} {outcome.config}: {run.end}\n{did}\n{may}"


@pytest.mark.parametrize("name", [n for n in NAMES if n not in NOT_RUN])
def test_every_run_is_a_path_and_every_path_a_run(name: str, work: Path) -> None:
    all_refused: list[str] = []
    unrealised: set[tuple[str, str]] = set()
    paths: dict[Program, set[tuple[int, ...]]] = {}
    realised: dict[Program, set[tuple[int, ...]]] = {}
    for outcome in outcomes(name, work):
        program = outcome.program
        COUNTED["programs"] += 1
        COUNTED["runs"] += outcome.times
        COUNTED["different runs"] += len(outcome.runs)
        assert outcome.runs, program.label
        all_refused += [told(outcome, r) for r in refused(outcome)]
        paths.setdefault(program, set()).update(p for p, _ in outcome.comparison.paths(outcome.config))
        for run in outcome.runs:
            COUNTED["compared"] += run.bounded
            if run.bounded and run.end == "end":
                found = outcome.comparison.accepts(run, outcome.config)
                realised.setdefault(program, set()).update(found)
    for program, possible in paths.items():
        COUNTED["paths"] += len(possible)
        COUNTED["paths that were run"] += len(possible & realised.get(program, set()))
        if possible - realised.get(program, set()):
            unrealised.add((name, program.label))
    if name in UNLIKE:
        assert all_refused
        return
    assert not all_refused, all_refused[0]
    assert unrealised == {case for case in UNREALISED if case[0] == name}


@pytest.mark.parametrize("name", sorted(NOT_RUN))
def test_what_is_not_run_cannot_be_compiled(name: str, work: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        outcomes(name, work)


# -- a program that is wrong is found out --------------------------------------------------------------

BROKEN = (
    "callrcu",
    "caserange",
    "clearedput",
    "configright",
    "duff",
    "evictbail",
    "inodeconditions",
    "kreffree",
    "listfree",
    "lockednull",
    "nestedlock",
    "plainfree",
    "prunewrite",
    "sharedfree",
    "sizelock",
    "srcuwait",
    "supermember",
    "timerfree",
    "twice",
    "twokills",
    "waitfree",
    "workfree",
)
"""Fixtures whose programs are broken one step at a time."""


def without(program: Program, index: int) -> Program:
    """`program` without an event; what refers to it refers to nothing."""

    def moved(event: Event) -> Event:
        if event.via is None or event.via < index:
            return event
        return replace(event, via=None if event.via == index else event.via - 1)

    def renamed(atom: Atom) -> Atom:
        if atom.event is None or atom.event < index:
            return atom
        if atom.event == index:
            return replace(atom, kind="free", event=None)
        return replace(atom, event=atom.event - 1)

    events = tuple(moved(e) for i, e in enumerate(program.events) if i != index)
    return replace(program, events=events, atoms=tuple(renamed(a) for a in program.atoms))


def swapped(program: Program, index: int) -> Program:
    """`program` with an event and the next in the other order; what refers to either goes with it."""
    place = {index: index + 1, index + 1: index}
    events = [replace(e, via=place.get(e.via, e.via) if e.via is not None else None) for e in program.events]
    events[index], events[index + 1] = events[index + 1], events[index]
    atoms = tuple(
        replace(a, event=place.get(a.event, a.event) if a.event is not None else None) for a in program.atoms
    )
    return replace(program, events=tuple(events), atoms=atoms)


def rejects(outcome: Outcome, program: Program) -> bool:
    """Whether some run of the method is no path of `program`."""
    return bool(refused(replace(outcome, comparison=outcome.comparison.of(program))))


@pytest.mark.parametrize("name", BROKEN)
def test_a_program_that_lacks_an_event_is_rejected(name: str, work: Path) -> None:
    dropped = 0
    for outcome in outcomes(name, work):
        lockless = outcome.program.mode == "rcu" or outcome.program.method in ("d_hash", "d_compare")
        for i, event in enumerate(outcome.program.events):
            if event.kind in ("return", "opaque") or (event.kind == "read" and not lockless):
                continue
            if not any(i in path for path, _ in outcome.comparison.paths(outcome.config)):
                continue
            if event.kind == "read" and event.object in {e.object for e in outcome.program.events[:i]}:
                continue  # the reader itself leaves out what an earlier read stands for
            assert rejects(outcome, without(outcome.program, i)), (outcome.program.label, event)
            dropped += 1
    assert dropped


@pytest.mark.parametrize("name", BROKEN)
def test_a_program_with_two_events_in_the_other_order_is_rejected(name: str, work: Path) -> None:
    turned = 0
    for outcome in outcomes(name, work):
        events = outcome.program.events
        lockless = outcome.program.mode == "rcu" or outcome.program.method in ("d_hash", "d_compare")
        for i in range(len(events) - 1):
            one, two = events[i], events[i + 1]
            if "return" in (one.kind, two.kind) or two.via == i or one == two:
                continue
            if not lockless and "read" in (one.kind, two.kind):
                continue
            if not any({i, i + 1} <= set(path) for path, _ in outcome.comparison.paths(outcome.config)):
                continue
            assert rejects(outcome, swapped(outcome.program, i)), (outcome.program.label, one, two)
            turned += 1
    COUNTED["orders turned"] += turned


@pytest.mark.parametrize("change", ["guard", "object", "field", "line", "value"])
def test_a_program_that_is_wrong_in_one_word_is_rejected(change: str, work: Path) -> None:
    for outcome in outcomes("lockednull", work):
        if outcome.program.label != "d_release":
            continue
        events = list(outcome.program.events)
        index = next(i for i, e in enumerate(events) if e.kind == "write")
        event = events[index]
        events[index] = {
            "guard": replace(event, guard=()),
            "object": replace(event, object="parent"),
            "field": replace(event, field="d_time"),
            "line": replace(event, source=replace(event.source, line=event.source.line + 1)),
            "value": replace(event, value="new"),
        }[change]
        assert rejects(outcome, replace(outcome.program, events=tuple(events)))
        return
    pytest.fail("no d_release")


def test_a_run_that_ends_at_null_is_the_beginning_of_a_path(work: Path) -> None:
    (release,) = (o for o in outcomes("plainfree", work) if o.program.label == "d_revalidate[rcu]")
    assert {r.end for r in release.runs} >= {"end"} and AT_NULL & {r.end for r in release.runs}


def test_much_was_compared(capsys: pytest.CaptureFixture[str]) -> None:
    if COUNTED["programs"] < 100:
        pytest.skip("only some of the fixtures were run")
    with capsys.disabled():
        print("\nexecution: " + ", ".join(f"{n} {what}" for what, n in COUNTED.items()))
    assert COUNTED["paths that were run"] > 0.95 * COUNTED["paths"]
