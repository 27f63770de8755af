"""The engine behind the command line: from a request to a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, UsageError
from ..spec.contract import clause, clauses
from ..spec.modelfile import dump, load
from ..spec.program import Model
from ..spec.vfs import version, vfs
from .names import unknown
from .verdict import ClauseEntry, ContractAnswer, ModelText, OverlapAnswer, Report, Result

if TYPE_CHECKING:
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
        yield load(file.read_text(encoding="utf-8"), f"{kernel}/{file.name}")


def _names_in(file: Traversable) -> tuple[str, ...]:
    """The names that a model file answers to, from its head alone."""
    import json
    import re

    with file.open(encoding="utf-8") as stream:
        head = stream.read(65536)
    names = re.search(r'^"names": (\[.*?\])', head, re.M)
    table = re.search(r'^"table": "(\w+)"', head, re.M)
    found = tuple(json.loads(names.group(1))) if names else ()
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


def _sources(request: Request) -> tuple[str, str, str, Iterator[Model]]:
    """(kind, kernel, location, models)."""
    if request.linux is None:
        kernel = _kept_kernel(request.kernel)
        return "models", kernel, "", _kept_models(kernel, request.filesystems, request.everything)
    from ..reader.tree import Tree

    tree = Tree(request.linux)
    kernel = request.kernel or tree.version
    version(kernel)
    return "tree", kernel, str(request.linux), _read(tree, kernel, _tree_units(tree, request), request)


def _read(tree: Tree, kernel: str, units: list[Unit], request: Request) -> Iterator[Model]:
    from ..reader.extract import models

    for number, unit in enumerate(units):
        if request.progress:
            request.progress(number, len(units), unit.names[0])
        found = models(tree, unit, kernel)
        yield from (m for m in found if len(found) == 1 or request.everything or _meant(m, request))


def _meant(model: Model, request: Request) -> bool:
    tables = {m for m in request.filesystems if m == model.table}
    return not tables or model.table in tables


# -- answers -------------------------------------------------------------------------------------------


def run(request: Request) -> Report:
    """Decide every obligation that the request asks for.

    UsageError, InputError for what cannot be found or read; InternalError if the tool contradicts itself.
    """
    started = time.monotonic()
    from .decide import decide
    from .obligation import Obligation
    from .obligations import questions

    if not request.filesystems and not request.everything:
        raise UsageError("name a filesystem, or --all")
    wanted = [clause(c) for c in (request.clauses or clause_ids())]
    kind, kernel, location, found = _sources(request)
    side = vfs(kernel)
    results: list[Result] = []
    events = tables = 0
    for model in found:
        tables += 1
        events += sum(len(p.events) for p in model.programs)
        for c in wanted:
            for question in questions(model, c, side):
                results.append(
                    decide(question, request.solver, request.timeout)
                    if isinstance(question, Obligation)
                    else question
                )
    if not tables:
        raise InputError(f"{location}: none of the filesystems named has a dentry operations table")
    return Report(
        kind,
        kernel,
        location,
        tuple(results),
        (),
        time.monotonic() - started,
        {
            "tables": tables,
            "events": events,
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
    _, kernel, _, found = _sources(request)
    return tuple(ModelText(f"{kernel}/{m.filesystem}.{m.table}.json", dump(m)) for m in found)
