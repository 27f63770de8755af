"""The engine behind the command line: from a request to a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import AbsentError, InputError, UsageError
from ..spec.contract import clauses
from ..spec.modelfile import load
from ..spec.program import Source
from ..spec.vfs import age, version, vfs
from .cache import Cache
from .doubt import checked, doubted
from .gather import Answer, Notes, gather
from .kept import Kept, kept, kept_kernel, kept_text, kernels
from .request import Request
from .sources import KernelTree, Sources, given_kernel, sources
from .verdict import (
    ClauseEntry,
    ContractAnswer,
    Kind,
    ModelText,
    OverlapAnswer,
    Report,
    SideCheck,
    TablePlace,
)
from .work import model_key, task_for

if TYPE_CHECKING:
    from ..reader.units import Unit
    from .explain import Explained
    from .handbook import Handbook


@dataclass(frozen=True, slots=True)
class TableRow:
    """One operations table, for `prove --list`: where it stands, and its callbacks as (member, function)."""

    filesystem: str
    names: tuple[str, ...]
    table: str
    file: str
    line: int
    callbacks: tuple[tuple[str, str], ...]
    places: tuple[tuple[str, Source], ...] = ()
    """Where the functions are defined, by name, those that are found."""


__all__ = [
    "Request",
    "TableRow",
    "clause_ids",
    "clause_statements",
    "contract_answer",
    "contract_changes",
    "explained",
    "extract_models",
    "handbook_answer",
    "kernels",
    "list_tables",
    "overlap_answer",
    "run",
]


def clause_ids() -> tuple[str, ...]:
    """Every clause id, in the contract's order."""
    return tuple(c.id for c in clauses())


def run(request: Request, seen: Callable[[Sources], None] | None = None) -> Report:
    """Decide every obligation that the request asks for, `jobs` units at a time. `seen` is handed what was
    read, at the end.

    AbsentError for a filesystem that is not there; UsageError, InputError for what cannot be found or read;
    InternalError if the tool contradicts itself.
    """
    started = time.monotonic()
    if not (request.filesystems or request.everything or request.module or request.given):
        raise UsageError("name a filesystem, or --all")
    kernel = _kernel_of(request)
    wanted = request.clauses or clause_ids()
    if request.exports:
        from .folders import finish, prepare

        prepare(request)
    with ThreadPoolExecutor(1) as aside:  # the workers have the other processors
        asked: list[Future[SideCheck | None]] = []

        def ask() -> None:
            asked.append(aside.submit(side_check, request, kernel))
            if not request.jobs:
                asked[0].result()  # nothing is won by doing both at once in one process

        def done(read: Sources) -> None:
            asked[0].result()
            if seen is not None:
                seen(read)

        answers = _gathered(request, kernel, wanted, done, ask)
        side = asked[0].result()
    results = tuple(doubted(r, side, kernel) if side else r for a in answers for r in a.all(wanted))
    heads = [h for a in answers for h in a.heads]
    if not heads and not results and request.changed is None:
        where = request.linux if request.filesystems or request.everything else request.module
        raise AbsentError(f"{where}: there is no dentry operations table in what was named")
    if request.exports:
        finish(request, kernel, results)
    return Report(
        "tree" if request.linux else "models",
        kernel,
        str(request.linux or ""),
        results,
        _messages(request, kernel, side),
        time.monotonic() - started,
        {
            "tables": len({(r.filesystem, r.table) for r in results}),
            "events": sum(h.events for h in heads),
            "obligations": len(results),
            "solver_seconds": sum(r.seconds for r in results),
            "units": len(answers),
            "units_remembered": sum(a.remembered for a in answers),
        },
        tuple(h.understood for h in heads),
        str(request.module or ""),
        tuple(c for c in _entries(kernel) if c.id in wanted),
        tuple(TablePlace(h.filesystem, h.table, h.file, h.line) for h in heads),
        memory_model=request.memory_model,
    )


def side_check(request: Request, kernel: str) -> SideCheck | None:
    """The VFS side of the specification against the tree, if there is one."""
    if request.linux is None:
        return None
    # What is wrong with the cache is said where the answers are gathered.
    store = Cache(request.cache, lambda text: None) if request.cache is not None else None
    return checked(request.linux, kernel, store, dict(request.overlay))


def _messages(request: Request, kernel: str, side: SideCheck | None) -> tuple[str, ...]:
    """What is to be said once of a tree: that it is called something else than it says, how old it is, and
    that its VFS side is not what is specified."""
    if side is None:
        return ()
    differing = sum(d.kind is not Kind.DOCUMENTATION for d in side.differences)
    said = f"the VFS side of this tree differs from what is specified for {kernel} in {differing} "
    said += f"{'place' if differing == 1 else 'places'}: prove contract --linux shows them"
    return tuple(filter(None, (_renamed(request, kernel), age(kernel), said if differing else "")))


def _renamed(request: Request, kernel: str) -> str:
    """That the tree is called something else than its Makefile says; nothing if it is not."""
    if request.linux is None or not request.kernel:
        return ""
    from ..reader.tree import Tree

    try:
        own = Tree(request.linux, overlay=dict(request.overlay)).version
    except InputError:
        return ""  # it does not say: this is what the option is for
    if own == kernel:
        return ""
    return f"{request.linux} is taken for {kernel}, as --kernel says; its Makefile says {own}"


def _gathered(
    request: Request,
    kernel: str,
    wanted: tuple[str, ...],
    done: Callable[[Sources], None] | None = None,
    aside: Callable[[], None] = lambda: None,
    texts: bool = False,
) -> list[Answer]:
    notes = Notes(request)
    store = Cache(request.cache, notes) if request.cache is not None else None
    task = task_for(request, kernel, wanted, texts)
    with closing(sources(request, kernel, store)) as read:
        answers = gather(request, read, task, store, notes, aside)
        if done is not None:
            done(read)
        return answers


def list_tables(request: Request) -> tuple[TableRow, ...]:
    """Every operations table of the tree, of the module, or of the models."""
    store = Cache(request.cache, Notes(request)) if request.cache is not None else None
    if request.linux is not None:
        with closing(KernelTree(request, "", store)) as read:
            rows = (_row(row) for u in read.units() for row in read.remembered("list", u, _rows))
            return tuple(r for r in rows if _wanted(r, request))
    kernel = kept_kernel(request.kernel)
    return tuple(_row(_kept_row(m, store)) for m in kept(kernel, request.filesystems, request.everything))


def _wanted(row: TableRow, request: Request) -> bool:
    """Whether a row is of a table that the request names, if it names any."""
    asked = () if request.everything else request.filesystems
    return not asked or bool({row.table, *row.names}.intersection(asked))


def _rows(unit: Unit) -> list[Any]:
    """The tables of a unit as plain data: what `_row` takes."""
    from ..reader.tables import places

    named = [(t, unit.names_of(t)) for t in unit.tables("dentry_operations")]
    return [
        [
            names[0],
            names,
            t.name,
            t.file.path,
            t.line,
            t.slots,
            [[function, at.file, at.line] for function, at in places(unit.scope, t)],
        ]
        for t, names in named
    ]


def _row(data: Any) -> TableRow:
    filesystem, names, table, file, line, slots, found = data
    at = tuple((str(f), Source(str(path), int(number), str(f))) for f, path, number in found)
    callbacks = tuple((str(m), str(f)) for m, f in slots)
    return TableRow(str(filesystem), tuple(names), str(table), str(file), int(line), callbacks, at)


def _kept_row(model: Kept, store: Cache | None) -> list[Any]:
    """The same of a model. Its functions stand where it says, or else where its programs begin."""
    text = kept_text(model.name)
    row = store.get("rows", model_key(text)) if store is not None else None
    if isinstance(row, list):
        return row
    m = load(text, model.name)
    slots = {function for _, function in m.slots}
    known = {p.function: p.source for p in m.programs if p.function in slots and p.source.line}
    found = [[function, at.file, at.line] for function, at in (known | dict(m.places)).items()]
    row = [m.filesystem, m.names, m.table, m.source.file, m.source.line, m.slots, found]
    if store is not None:
        store.put("rows", model_key(text), row)
    return row


def _kernel_of(request: Request) -> str:
    """The kernel that verdicts are about."""
    if request.linux:
        return the_kernel(request)
    if request.given:
        return request.kernel or given_kernel(request.given)
    return kept_kernel(request.kernel)


def the_kernel(request: Request) -> str:
    """The kernel version that a request goes by."""
    if request.kernel:
        version(request.kernel)
        return request.kernel
    if request.linux:
        from ..reader.tree import Tree

        return Tree(request.linux, overlay=dict(request.overlay)).version
    return kept_kernel(None)


def contract_answer(request: Request) -> ContractAnswer:
    """The clauses and the callback table of one kernel version, compared with the tree if there is one."""
    kernel = the_kernel(request)
    side = vfs(kernel)
    columns = ("callback", "of", "RCU mode", "may block", "VFS locks held", "what for")
    rows = tuple(
        (c.method, c.of, "yes" if c.lockless else "no", c.blocks, ", ".join(c.locks) or "none", c.purpose)
        for c in side.callbacks
    )
    check = side_check(request, kernel)
    messages = tuple(filter(None, (_renamed(request, kernel), age(kernel))))
    return ContractAnswer(kernel, _entries(kernel), columns, rows, check, messages)


def _entries(kernel: str) -> tuple[ClauseEntry, ...]:
    """The clauses that hold for a kernel."""
    return tuple(
        ClauseEntry(c.id, c.statement, str(c.formula), c.binds, str(c.kernels), c.source)
        for c in clauses()
        if c.kernels.holds(kernel)
    )


def overlap_answer(request: Request) -> OverlapAnswer:
    """The overlap matrix of one kernel version."""
    from .overlap import overlap

    return overlap(the_kernel(request))


def handbook_answer(request: Request, since: str = "", until: str = "") -> Handbook:
    """Everything that tables and pictures of the contract show; changes are those from `since` to `until`."""
    from .handbook import changes, handbook
    from .overlap import overlap

    changes(vfs(the_kernel(request)), since, until)  # versions that are none are told before the solver runs
    answer = contract_answer(request)
    return handbook(answer, overlap(answer.kernel), since, until)


def contract_changes(kernel: str, since: str = "", until: str = "") -> tuple[tuple[str, str], ...]:
    """(kernel, what changed there), from `since` to `until`; UsageError where these are no versions."""
    from .handbook import changes

    return changes(vfs(kernel), since, until)


def explained(name: str) -> Explained:
    """A clause explained, its example decided; UsageError for an id that is none."""
    from .explain import explain
    from .names import unknown

    if name not in clause_ids():
        raise unknown("clause", name, clause_ids())
    return explain(name)


def clause_statements() -> tuple[tuple[str, str], ...]:
    """(id, statement) of every clause, in the contract's order."""
    return tuple((c.id, c.statement) for c in clauses())


def extract_models(request: Request) -> tuple[ModelText, ...]:
    """Model files of the filesystems named, read from the tree. UsageError without a tree."""
    if request.linux is None:
        raise UsageError("models are read from a kernel tree: give one with --linux DIR")
    kernel = the_kernel(request)
    if (renamed := _renamed(request, kernel)) and request.note is not None:
        request.note(renamed)
    answers = _gathered(request, kernel, (), texts=True)
    for answer in answers:
        if answer.reason:
            raise InputError(answer.reason)
    return tuple(
        ModelText(f"{kernel}/{h.filesystem}.{h.table}.json", h.text) for a in answers for h in a.heads
    )
