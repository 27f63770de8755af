"""The engine behind the command line: from a request to a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DentryproofError, InputError, ModelError, UsageError
from ..spec.contract import clause, clauses
from ..spec.modelfile import dump, load
from ..spec.program import Model
from ..spec.vfs import version, vfs
from .names import unknown
from .verdict import ClauseEntry, ContractAnswer, ModelText, OverlapAnswer, Report, Result, Verdict

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from ..reader.tables import Unit
    from ..reader.tree import Tree


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; `clauses` empty means all of them."""

    filesystems: tuple[str, ...] = ()
    everything: bool = False
    linux: Path | None = None
    kernel: str | None = None
    clauses: tuple[str, ...] = ()
    solver: str = "z3"
    timeout: float | None = None
    jobs: int = 1
    progress: Callable[[int, int, str], None] | None = None


@dataclass(frozen=True, slots=True)
class TableRow:
    """One operations table, for `prove --list`."""

    filesystem: str
    names: tuple[str, ...]
    table: str
    file: str
    line: int
    callbacks: tuple[tuple[str, str], ...]


def clause_ids() -> tuple[str, ...]:
    """Every clause id, in the contract's order."""
    return tuple(c.id for c in clauses())


# -- where models come from ----------------------------------------------------------------------------


def _folder() -> Traversable:
    return resources.files("dentryproof.spec").joinpath("models")


def kernels() -> tuple[str, ...]:
    """The kernel versions that the repository has models for, oldest first."""
    folder = _folder()
    names = [d.name for d in folder.iterdir() if d.is_dir()] if folder.is_dir() else []
    return tuple(sorted(names, key=version))


def _kept_kernel(wanted: str | None) -> str:
    known = kernels()
    if not known:
        raise InputError("this installation has no models; give a kernel tree with --linux DIR")
    if wanted is None:
        return known[-1]
    if wanted in known:
        return wanted
    asked = version(wanted)
    within = [k for k in known if version(k)[: len(asked)] == asked]
    if within:
        return within[-1]
    raise UsageError(
        f"no models for kernel {wanted} (there are: {', '.join(known)}); give a tree with --linux DIR"
    )


def _kept_models(kernel: str, names: Iterable[str], everything: bool) -> Iterator[Model]:
    files = sorted(
        (f for f in _folder().joinpath(kernel).iterdir() if f.name.endswith(".json")), key=lambda f: f.name
    )
    index: dict[str, list[Traversable]] = {}
    for file in files:
        for name in _names_in(file):
            index.setdefault(name, []).append(file)
    chosen: dict[str, Traversable] = {}
    for name in names:
        if name not in index:
            raise unknown("filesystem", name, sorted(index))
        chosen.update({f.name: f for f in index[name]})
    for file in files if everything else chosen.values():
        yield load(_text(file), f"{kernel}/{file.name}")


def _text(file: Traversable) -> str:
    """The text of a model file; ModelError if it is none."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{file.name}: not UTF-8 at byte {error.start}") from None


def _names_in(file: Traversable) -> tuple[str, ...]:
    """The names that a model file answers to, from its head alone."""
    import json
    import re

    head = _text(file)[:65536]
    names = re.search(r'^"names": (\[.*?\])', head, re.M)
    table = re.search(r'^"table": "(\w+)"', head, re.M)
    try:
        found = tuple(str(n) for n in json.loads(names.group(1))) if names else ()
    except ValueError:
        raise ModelError(f"{file.name}: field 'names' is no list of texts") from None
    return (*found, table.group(1)) if table else found


def _tree_units(tree: Tree, request: Request) -> list[Unit]:
    from ..reader.tables import find_units, units

    if request.everything:
        return list(units(tree))
    chosen: dict[str, Unit] = {}
    for name in request.filesystems:
        found = find_units(tree, name)
        if not found:
            known = sorted({n for u in units(tree) for n in u.names})
            raise unknown("filesystem", name, known)
        chosen.update({u.folder: u for u in found})
    return list(chosen.values())


def _meant(model: Model, request: Request) -> bool:
    """Whether the user's words mean this table: all tables of a filesystem, unless one is named itself."""
    named = any(name == model.table for name in request.filesystems)
    return request.everything or named or any(name in model.names for name in request.filesystems)


def _read(request: Request, kernel: str, folder: str | None, unit: Unit | None = None) -> list[Model]:
    """The models of one unit of a tree, or (without a tree) of what the installation keeps."""
    if request.linux is None:
        return list(_kept_models(kernel, request.filesystems, request.everything))
    from ..reader.extract import models
    from ..reader.tables import unit_at
    from ..reader.tree import Tree

    if unit is None:
        unit = unit_at(Tree(request.linux), folder or "")
    return [m for m in models(unit.tree, unit, kernel) if _meant(m, request)]


# -- answers -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one unit of work came to."""

    results: tuple[Result, ...]
    tables: int
    events: int


def _decide_models(models: list[Model], request: Request, kernel: str) -> _Answer:
    from .decide import decide
    from .obligation import Obligation
    from .obligations import questions

    side = vfs(kernel)
    results: list[Result] = []
    for model in models:
        for c in (clause(name) for name in request.clauses or clause_ids()):
            for question in questions(model, c, side):
                if isinstance(question, Obligation):
                    results.append(decide(question, request.solver, request.timeout))
                else:
                    results.append(question)
    events = sum(len(p.events) for m in models for p in m.programs)
    return _Answer(tuple(results), len(models), events)


def _unit_answer(request: Request, kernel: str, folder: str) -> _Answer:
    """One unit of a tree, in a process of its own: it takes and returns only what can be sent."""
    return _decide_models(_read(request, kernel, folder), request, kernel)


def _answers(request: Request, kernel: str) -> Iterator[_Answer]:
    if request.linux is None:
        yield _decide_models(_read(request, kernel, None), request, kernel)
        return
    from ..reader.tree import Tree

    units = _tree_units(Tree(request.linux), request)
    report = request.progress or (lambda done, total, name: None)
    if request.jobs <= 1 or len(units) <= 1:
        for number, unit in enumerate(units):
            report(number, len(units), unit.names[0])
            yield _decide_models(_read(request, kernel, None, unit), request, kernel)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(request.jobs, len(units))) as pool:
        futures = [pool.submit(_apart, request, kernel, u) for u in units]
        for number, (unit, future) in enumerate(zip(units, futures, strict=True)):
            report(number, len(units), unit.names[0])
            yield future.result()


def _apart(request: Request, kernel: str, unit: Unit) -> _Answer:
    """One unit in a process of its own, started afresh: the solver's library is not safe to fork once used.

    If that process dies, the unit's tables are unknown and the others unaffected.
    """
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(
        target=_send, args=(there, replace(request, progress=None), kernel, unit.folder), daemon=True
    )
    process.start()
    there.close()
    try:
        answer = here.recv()
    except EOFError:
        answer = None
    process.join()
    if isinstance(answer, DentryproofError):
        raise answer
    if isinstance(answer, _Answer):
        return answer
    why = answer if isinstance(answer, str) else f"its process ended with status {process.exitcode}"
    tables = unit.tables("dentry_operations")
    results = [
        Result(unit.names[0], t.name, c, (), "", Verdict.UNKNOWN, reason=f"{unit.folder}: {why}")
        for t in tables
        for c in request.clauses or clause_ids()
    ]
    return _Answer(tuple(results), len(tables), 0)


def _send(pipe: Connection, request: Request, kernel: str, folder: str) -> None:
    """The body of such a process: the answer, or the error, through `pipe`."""
    try:
        pipe.send(_unit_answer(request, kernel, folder))
    except DentryproofError as error:
        pipe.send(error)
    except Exception as error:
        pipe.send(f"internal error: {type(error).__name__}: {error}")


def run(request: Request) -> Report:
    """Decide every obligation that the request asks for, `jobs` units at a time.

    UsageError, InputError for what cannot be found or read; InternalError if the tool contradicts itself.
    """
    started = time.monotonic()
    if not request.filesystems and not request.everything:
        raise UsageError("name a filesystem, or --all")
    kernel = _any_kernel(request) if request.linux else _kept_kernel(request.kernel)
    answers = list(_answers(request, kernel))
    results = tuple(r for a in answers for r in a.results)
    if not any(a.tables for a in answers):
        raise InputError(f"{request.linux}: none of the filesystems named has a dentry operations table")
    return Report(
        "tree" if request.linux else "models",
        kernel,
        str(request.linux or ""),
        results,
        (),
        time.monotonic() - started,
        {
            "tables": sum(a.tables for a in answers),
            "events": sum(a.events for a in answers),
            "obligations": len(results),
            "solver_seconds": sum(r.seconds for r in results),
        },
    )


def list_tables(request: Request) -> tuple[TableRow, ...]:
    """Every operations table of the tree, or of the models."""
    if request.linux is not None:
        from ..reader.tree import Tree

        rows = []
        for unit in _tree_units(Tree(request.linux), request):
            for t in unit.tables("dentry_operations"):
                rows.append(TableRow(unit.names[0], unit.names, t.name, t.file.path, t.line, t.slots))
        return tuple(rows)
    kernel = _kept_kernel(request.kernel)
    return tuple(
        TableRow(m.filesystem, m.names, m.table, m.source.file, m.source.line, m.slots)
        for m in _kept_models(kernel, request.filesystems, request.everything)
    )


def _any_kernel(request: Request) -> str:
    if request.kernel:
        version(request.kernel)
        return request.kernel
    if request.linux:
        from ..reader.tree import Tree

        return Tree(request.linux).version
    return _kept_kernel(None)


def contract_answer(request: Request) -> ContractAnswer:
    """The clauses and the callback table of one kernel version."""
    kernel = _any_kernel(request)
    side = vfs(kernel)
    entries = tuple(
        ClauseEntry(c.id, c.statement, str(c.formula), c.binds, str(c.kernels), c.source)
        for c in clauses()
        if c.kernels.holds(kernel)
    )
    columns = ("callback", "of", "RCU mode", "may block", "VFS locks held", "what for")
    rows = tuple(
        (c.method, c.of, "yes" if c.lockless else "no", c.blocks, ", ".join(c.locks) or "none", c.purpose)
        for c in side.callbacks
    )
    return ContractAnswer(kernel, entries, columns, rows)


def overlap_answer(request: Request) -> OverlapAnswer:
    """The overlap matrix of one kernel version."""
    from .overlap import overlap

    return overlap(_any_kernel(request))


def extract_models(request: Request) -> tuple[ModelText, ...]:
    """Model files of the filesystems named, read from the tree. UsageError without a tree."""
    if request.linux is None:
        raise UsageError("models are read from a kernel tree: give one with --linux DIR")
    from ..reader.tree import Tree

    tree = Tree(request.linux)
    kernel = _any_kernel(request)
    found = [m for u in _tree_units(tree, request) for m in _read(request, kernel, None, u)]
    return tuple(ModelText(f"{kernel}/{m.filesystem}.{m.table}.json", dump(m)) for m in found)
