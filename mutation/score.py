"""What becomes of mutants: each filesystem as it is, then once for every mutant, through the ordinary reader
and prover."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, InternalError, UsageError
from ..proofs.cache import Cache
from ..proofs.engine import clause_ids, the_kernel
from ..proofs.gather import Answer, Notes, gather
from ..proofs.names import unknown
from ..proofs.pool import Ended, Phase
from ..proofs.request import Request
from ..proofs.schedule import Job, scheduler
from ..proofs.sources import Item, KernelTree
from ..proofs.verdict import Result, Verdict, clause_verdicts
from ..proofs.work import Decided, Head, Read, Task, UnitName, task_for
from ..reader.units import unit_at
from ..spec.modelfile import load
from .code import Code
from .mutant import Expected, Finding, Mutant, Mutation, Outcome, Place, Turn
from .operators import NAMES, OPERATORS, mutants

_AIMS = {o.name: o.aims for o in OPERATORS}
_GOOD = (Verdict.PROVED, Verdict.NOT_APPLICABLE)
_COLUMNS = ["filesystem", "operator", "file", "function", "number", "verdict", "reason"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a reader of the source says of a survivor: that it is harmless, or that the tool is blind."""

    harmless: bool
    reason: str


def explanations(paths: Iterable[Path]) -> dict[Place, Explanation]:
    """Survivors that were explained, from tables with the columns filesystem, operator, file, function,
    number, verdict (``harmless`` or ``blind``) and reason. InputError for what is not such a table."""
    found: dict[Place, Explanation] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
        rows = list(csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
        if not rows or rows[0] != _COLUMNS:
            raise InputError(f"{path}: the first line does not name the columns {', '.join(_COLUMNS)}")
        for number, row in enumerate(rows[1:], 2):
            if len(row) != len(_COLUMNS) or not row[4].isdigit() or not row[6].strip():
                raise InputError(
                    f"{path}:{number}: not a row of {len(_COLUMNS)} columns with number and reason"
                )
            if row[5] not in ("harmless", "blind"):
                raise InputError(f"{path}:{number}: {row[5]!r} is neither harmless nor blind")
            place = (row[0], row[1], row[2], row[3], int(row[4]))
            found[place] = Explanation(row[5] == "harmless", row[6])
    return found


def mutate(
    request: Request,
    operators: tuple[str, ...] = (),
    explained: dict[Place, Explanation] | None = None,
    places_only: bool = False,
) -> Mutation:
    """Break what the request names on purpose, place by place, and see what is noticed: of each mutant, the
    clauses that its operator aims at are decided, up to the first that is violated.

    operators   () means all
    explained   survivors that are known, and why
    places_only say where there are places, and break nothing
    """
    started = time.monotonic()
    for name in operators:
        if name not in NAMES:
            raise unknown("operator", name, set(NAMES))
    if request.linux is None:
        raise UsageError("only source can be broken: give --linux")
    if not (request.filesystems or request.everything):
        raise UsageError("name a filesystem, or --all")
    kernel = the_kernel(request)
    chosen = operators or NAMES
    aims = {c for name in chosen for c in _AIMS[name]}
    wanted = () if places_only else tuple(c for c in request.clauses or clause_ids() if c in aims)
    notes = Notes(request)
    store = Cache(request.cache, notes) if request.cache is not None else None
    task = task_for(request, kernel, wanted, texts=True)
    with closing(KernelTree(request, kernel, store)) as read:
        answers = gather(request, read, task, store, notes)
        units = [
            _Unit(item, found, _places(read, item, found, chosen))
            for item, found in zip(read.items(task), answers, strict=True)
        ]
        for unit in units:
            if unit.found.reason:
                notes(f"{unit.found.reason}; what of it was not decided cannot turn")
        units.sort(key=lambda u: u.item.label)
        findings = [] if places_only else _findings(request, read, units)
    known = explained or {}
    told = [_explained(f, known) for f in findings]
    stale = set(known) - {f.place for f in told if f.outcome in (Outcome.EXPLAINED, Outcome.SURVIVED)}
    asked = {u.name for u in units}
    return Mutation(
        kernel,
        str(request.linux),
        tuple((u.name, m) for u in units for m in u.mutants),
        tuple(told),
        () if places_only else tuple(sorted(p for p in stale if p[0] in asked and p[1] in chosen)),
        time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Unit:
    """A filesystem as it is: its answer, and its mutants."""

    item: Item
    found: Answer
    mutants: tuple[Mutant, ...]

    @property
    def name(self) -> str:
        return self.found.heads[0].filesystem if self.found.heads else self.item.label


def _places(read: KernelTree, item: Item, found: Answer, operators: tuple[str, ...]) -> tuple[Mutant, ...]:
    source = item.task.source
    if not isinstance(source, UnitName) or not found.heads:
        return ()
    unit = unit_at(read.tree.afresh(), source.folder, source.own)
    models = [load(h.text, f"{h.filesystem}/{h.table}") for h in found.heads]
    return mutants(Code(unit, models), operators)


# -- running them ----------------------------------------------------------------------------------


def _findings(request: Request, read: KernelTree, units: Sequence[_Unit]) -> list[Finding]:
    todo = [(unit, mutant) for unit in units for mutant in unit.mutants]
    tasks = [_task(read, unit, mutant) for unit, mutant in todo]
    answers = [Answer() for _ in todo]
    busy: dict[int, str] = {}
    done = 0
    jobs = [Job(task, read.tree) for task in tasks]
    with closing(scheduler(request).distribute(jobs)) as messages:
        for index, message in messages:
            unit, mutant = todo[index]
            if isinstance(message, Phase):
                busy[index] = f"{unit.name}: {mutant.operator}, {message.what}"
            elif isinstance(message, Read):
                heads = (h for h in message.heads if tasks[index].means(h.names, h.table))
                answers[index].heads = tuple(heads)
            elif isinstance(message, Decided):
                answers[index].results[message.model, message.clause] = message.results
            elif isinstance(message, Ended):
                busy.pop(index, None)
                done += 1
                answers[index].reason = _cut_off(message, unit, mutant)
            if request.progress is not None and isinstance(message, Phase | Ended):
                request.progress(done, len(todo), tuple(busy.values()))
    return [_finding(unit, mutant, found) for (unit, mutant), found in zip(todo, answers, strict=True)]


def _cut_off(ended: Ended, unit: _Unit, mutant: Mutant) -> str:
    """Why a mutant was not decided to the end; empty if it was."""
    if ended.defect or isinstance(ended.error, InternalError):
        reason = ended.reason or str(ended.error)
        where = f"{unit.name}, {mutant.operator} at {mutant.file}:{mutant.line}"
        raise InternalError(f"{where}: {reason.removeprefix('internal error: ')}")
    return ended.reason or (str(ended.error) if ended.error is not None else "")


def _task(read: KernelTree, unit: _Unit, mutant: Mutant) -> Task:
    texts: dict[str, str] = {}
    for edit in mutant.edits:
        file = read.tree.file(edit.path)
        texts[edit.path] = file.text if file is not None else ""
    clauses = tuple(c for c in _AIMS[mutant.operator] if c in unit.item.task.clauses)
    violated = (r.key for rows in unit.found.results.values() for r in rows if r.verdict is Verdict.VIOLATED)
    return replace(
        unit.item.task,
        clauses=clauses,
        models=(),
        texts=False,
        overlay=mutant.overlay(texts),
        enough=frozenset(violated),
    )


# -- judging ---------------------------------------------------------------------------------------


def _finding(unit: _Unit, mutant: Mutant, found: Answer) -> Finding:
    if found.reason:
        return Finding(unit.name, mutant, Outcome.UNKNOWN, (), found.reason)
    before, after = _by_table(unit.found), _by_table(found)
    turns: list[Turn] = []
    for table, results in before.items():
        turns += _turns(table, results, after.get(table))
    turns.sort(key=lambda t: t.after is not Verdict.VIOLATED)
    if any(t.after is Verdict.VIOLATED for t in turns):
        return Finding(unit.name, mutant, Outcome.KILLED, tuple(turns))
    if turns:
        reason = next((t.about for t in turns if t.about), "")
        return Finding(unit.name, mutant, Outcome.UNKNOWN, tuple(turns), reason)
    aims = mutant.aims or _AIMS[mutant.operator]
    verdicts = [v for results in after.values() for c, v in _verdicts(results).items() if c in aims]
    if not any(v in _GOOD for v in verdicts):
        return Finding(unit.name, mutant, Outcome.MASKED)
    if mutant.expected is Expected.HARMLESS:
        return Finding(unit.name, mutant, Outcome.EQUIVALENT, (), mutant.why)
    return Finding(unit.name, mutant, Outcome.SURVIVED)


def _turns(table: str, before: tuple[Result, ...], after: tuple[Result, ...] | None) -> list[Turn]:
    """The clauses of one table that have violated or unknown obligations which were not."""
    clauses = _verdicts(before)
    if after is None:
        gone = "the table is not found any more"
        return [Turn(table, c, v, Verdict.UNKNOWN, gone) for c, v in clauses.items() if v in _GOOD]
    was = {r.key: r.verdict for r in before}
    turns = []
    for name in _verdicts(after):
        for bad in (Verdict.VIOLATED, Verdict.UNKNOWN):
            rows = [r for r in after if r.clause == name and r.verdict is bad]
            new = [r for r in rows if was.get(r.key) not in (bad, Verdict.VIOLATED)]
            if bad is Verdict.UNKNOWN and not new and len(rows) > _unknown(before, name):
                told = {(r.key, r.reason) for r in before}
                new = [r for r in rows if (r.key, r.reason) not in told]
            if new:
                about = new[0].summary if bad is Verdict.VIOLATED else new[0].reason
                turns.append(Turn(table, name, clauses.get(name, Verdict.NOT_APPLICABLE), bad, about))
                break
    return turns


def _unknown(results: tuple[Result, ...], clause: str) -> int:
    """How many obligations of a clause are unknown; one pair of callbacks may have several reasons."""
    return sum(r.clause == clause and r.verdict is Verdict.UNKNOWN for r in results)


def _by_table(found: Answer) -> dict[str, tuple[Result, ...]]:
    """The results of each table."""
    rows: dict[str, tuple[Result, ...]] = {}
    for head in found.heads:
        rows[head.table] = (*rows.get(head.table, ()), *_of(found, head))
    return rows


def _verdicts(results: tuple[Result, ...]) -> dict[str, Verdict]:
    """The verdict of each clause of one table."""
    return {v.clause: v.verdict for v in clause_verdicts(results)}


def _of(found: Answer, head: Head) -> tuple[Result, ...]:
    return tuple(r for (model, _), rows in found.results.items() if model == head.model for r in rows)


def _explained(finding: Finding, known: dict[Place, Explanation]) -> Finding:
    """A survivor with what is known of it. One that the tool is blind to survives all the same."""
    said = known.get(finding.place)
    if finding.outcome is not Outcome.SURVIVED or said is None:
        return finding
    return replace(
        finding, outcome=Outcome.EXPLAINED if said.harmless else Outcome.SURVIVED, reason=said.reason
    )
