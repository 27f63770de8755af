"""One unit of work, from source or a model to results: what a worker process does.

It looks up what is known already, and keeps what is new as soon as it is: a run that is interrupted goes on
from there the next time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..encodings.usual import MEMORY_MODEL, SOLVER
from ..spec.contract import clause
from ..spec.modelfile import dump, load
from ..spec.program import Model
from ..spec.vfs import vfs
from .cache import Cache, digest
from .pool import Phase
from .request import NOTHING, Exports, Request
from .verdict import Key, Result, TraceStep, Understood, Verdict

if TYPE_CHECKING:
    from ..reader.files import Module, Root
    from ..reader.tree import Consulted, Tree
    from .decide import Decisions
    from .evidence import Evidence
    from .obligation import Obligation
    from .repair import Repairs

_UNKEPT = 1.0
"""Results of so many seconds' work at most are lost with a worker that is cut off."""
_TREES = 4
"""A process keeps what it read of so many trees."""
SOLVES = 12
"""Deciding an obligation asks the solver at most so often."""
REPAIRING = 600.0
"""Processor seconds that one repair may take, reading the patched source included."""


@dataclass(frozen=True, slots=True)
class UnitName:
    """Which unit of which tree; `own` if it is one of the module's."""

    root: Root
    module: Module
    folder: str
    own: bool

    def key(self, kernel: str) -> str:
        """Under what its models are kept; the tree is told by what is in it, not by where it is."""
        return digest("unit", kernel, self.folder, self.own, self.module is not None)


@dataclass(frozen=True, slots=True)
class Texts:
    """Model files by what is in them, as (name, text)."""

    models: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class GivenModel:
    """A model file that the user names."""

    path: Path


@dataclass(frozen=True, slots=True)
class Task:
    """Decide `clauses` of the tables named (a filesystem's or their own name; () means all) of one unit.

    source  the unit to read, a model file, texts of models, or the name of a model of the installation
    models  where they were read before: what they are kept under
    texts   whether the models' texts are wanted as well
    cache   the folder of the cache; None for none
    overlay files of the tree, as (path, text), that are read in place of those on disc
    exports what to make of each obligation beside its verdict
    enough  stop at the first clause with a violated result that is not among these; None: decide everything
    """

    source: UnitName | GivenModel | Texts | str
    kernel: str
    clauses: tuple[str, ...]
    names: tuple[str, ...] = ()
    solver: str = SOLVER
    memory_model: str = MEMORY_MODEL
    timeout: float | None = None
    models: tuple[str, ...] = ()
    texts: bool = False
    cache: Path | None = None
    overlay: tuple[tuple[str, str | None], ...] = ()
    exports: Exports = NOTHING
    enough: frozenset[Key] | None = None

    def means(self, names: tuple[str, ...], table: str) -> bool:
        """Whether a table of a filesystem with these names is one of those named."""
        return not self.names or bool({table, *names}.intersection(self.names))


def task_for(request: Request, kernel: str, clauses: tuple[str, ...], texts: bool = False) -> Task:
    """What is asked of each unit that `request` means; the unit is still to be named."""
    return Task(
        "",
        kernel,
        clauses,
        () if request.everything else request.filesystems,
        request.solver,
        request.memory_model,
        request.timeout,
        texts=texts,
        cache=request.cache,
        exports=request.exports,
    )


@dataclass(frozen=True, slots=True)
class Head:
    """What a model is of. `model` is what it and its results are kept under, a hash of its text."""

    model: str
    filesystem: str
    names: tuple[str, ...]
    table: str
    events: int
    understood: Understood
    file: str
    line: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """The models of the unit are there; what they rest on, if they came from a tree."""

    heads: tuple[Head, ...]
    consulted: Consulted | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """The results of one clause for one table."""

    model: str
    clause: str
    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that the user should see once."""

    text: str


Message = Phase | Read | Decided | Noted


# -- what is known already -----------------------------------------------------------------------------


def results_key(model: str, task: Task) -> str:
    """Under what the results of a model are kept: all that they depend on but the tool itself."""
    return digest("results", model, task.kernel, task.solver, task.memory_model, task.timeout)


def known_heads(store: Cache, models: tuple[str, ...]) -> tuple[Head, ...] | None:
    """What the models kept under these names are of; None unless all are there."""
    found = [_head_from(m, store.get("heads", m)) for m in models]
    return tuple(h for h in found if h is not None) if None not in found else None


def known_results(store: Cache, model: str, task: Task) -> dict[str, tuple[Result, ...]]:
    """The results of a model that are known, by clause."""
    kept = store.get("results", results_key(model, task))
    found = {}
    for name, rows in kept.items() if isinstance(kept, dict) else ():
        try:
            found[name] = tuple(_result_from(r) for r in rows)
        except (TypeError, ValueError, KeyError, AttributeError):
            continue
    return found


def _head_from(model: str, data: Any) -> Head | None:
    try:
        rows: dict[str, Any] = {k: _tuple(v) for k, v in data["understood"].items()}
        names = tuple(map(str, data["names"]))
        understood = Understood(**rows)
        place = str(data["file"]), int(data["line"])
        return Head(model, data["filesystem"], names, data["table"], int(data["events"]), understood, *place)
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _tuple(value: Any) -> Any:
    """What was a tuple before it was JSON."""
    return tuple(value) if isinstance(value, list) else value


def _result_data(result: Result) -> dict[str, Any]:
    data = {f.name: getattr(result, f.name) for f in fields(result)}
    traces = {
        name: [list(asdict(s).values()) for s in getattr(result, name)] for name in ("trace", "witness_trace")
    }
    return data | traces | {"verdict": result.verdict.value, "cross_check": []}


def _result_from(data: dict[str, Any]) -> Result:
    plain: dict[str, Any] = {k: _tuple(v) for k, v in data.items()}
    for name in ("trace", "witness_trace"):
        plain[name] = tuple(TraceStep(*s) for s in data[name])
    return Result(**(plain | {"verdict": Verdict(data["verdict"]), "cross_check": ()}))


# -- the work ------------------------------------------------------------------------------------------


def prepare() -> None:
    """Import what it takes to read a tree and to decide."""
    from ..reader import extract
    from . import decide, obligations

    del extract, decide, obligations


def answer_apart(task: Task) -> Iterator[Message]:
    """`answer` in a worker: what one task read of a tree, but for the unit's own files, serves the next."""
    if not isinstance(task.source, UnitName):
        yield from answer(task, None)
        return
    shared = _shared_tree(task.source.root, task.source.module)
    tree = shared.overlaid(dict(task.overlay)) if task.overlay else shared.afresh()
    own: tuple[str, ...] = ()
    try:
        for message in answer(task, tree):
            if isinstance(message, Read) and message.consulted is not None and not task.overlay:
                folder = Path(task.source.folder.partition("+")[0])
                own = tuple(p for p in message.consulted.files if Path(p).parent == folder)
            yield message
    finally:
        tree.forget(own)


@lru_cache(_TREES)
def _shared_tree(root: Root, module: Module) -> Tree:
    from ..reader.tree import Tree

    return Tree(root, module)


def answer(task: Task, tree: Tree | None) -> Iterator[Message]:
    """Read what the task names, from `tree` if it is there, and decide it."""
    notes: list[str] = []
    store = Cache(task.cache, notes.append) if task.cache is not None else None
    read = _recalled(task, store)
    consulted = None
    if not read:
        yield Phase("reading")
        models, consulted = _models(task, tree)
        read = [(_head(m, text), m, text) for m, text in models]
        if store is not None:
            _keep_models(task, store, [(h, text) for h, _, text in read], consulted)
    yield Read(tuple(replace(h, text=text) if task.texts else h for h, _, text in read), consulted)
    with closing(Maker(task)) as maker:
        for head, model, _ in read:
            if task.means(head.names, head.table):
                for message in _decide(task, store, head, model, maker, tree):
                    yield message
                    if isinstance(message, Decided) and _is_enough(task, message):
                        return
    yield from map(Noted, notes)


def _is_enough(task: Task, decided: Decided) -> bool:
    """Whether the task need not be gone on with."""
    return task.enough is not None and any(
        r.verdict is Verdict.VIOLATED and r.key not in task.enough for r in decided.results
    )


def _recalled(task: Task, store: Cache | None) -> list[tuple[Head, Model, str]]:
    """The models that the task names by what they are kept under; none unless all are there."""
    if store is None:
        return []
    found = []
    for name in task.models:
        text, head = store.get("models", name), _head_from(name, store.get("heads", name))
        if not isinstance(text, str) or head is None or model_key(text) != name:
            return []
        found.append((head, load(text, name), text))
    return found


def _models(task: Task, tree: Tree | None) -> tuple[list[tuple[Model, str]], Consulted | None]:
    """The models and their texts."""
    if isinstance(task.source, GivenModel):
        from .kept import given_text

        text = given_text(task.source.path)
        return [(load(text, str(task.source.path)), text)], None
    if isinstance(task.source, Texts):
        return [(load(text, name), text) for name, text in task.source.models], None
    if isinstance(task.source, str) or tree is None:
        from .kept import kept_text

        text = kept_text(str(task.source))
        return [(load(text, str(task.source)), text)], None
    from ..reader.extract import models
    from ..reader.units import unit_at

    unit = unit_at(tree, task.source.folder, task.source.own)
    found = models(tree, unit, task.kernel)
    return [(m, dump(m)) for m in found], tree.consulted


def model_key(text: str) -> str:
    """What the model with this text, and what is known of it, is kept under."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _head(model: Model, text: str) -> Head:
    events = sum(len(p.events) for p in model.programs)
    return Head(
        model_key(text),
        model.filesystem,
        model.names,
        model.table,
        events,
        understood(model),
        model.source.file,
        model.source.line,
    )


def _keep_models(task: Task, store: Cache, read: list[tuple[Head, str]], consulted: Consulted | None) -> None:
    for head, text in read:
        store.put("heads", head.model, asdict(head) | {"text": ""})
        if consulted is not None:
            store.put("models", head.model, text)
    if consulted is not None and isinstance(task.source, UnitName) and not task.overlay:
        store.keep("units", task.source.key(task.kernel), consulted, [h.model for h, _ in read])


def _keep_results(task: Task, store: Cache, model: str, found: dict[str, tuple[Result, ...]]) -> None:
    rows = {name: [_result_data(r) for r in results] for name, results in found.items()}
    store.put("results", results_key(model, task), rows)


def keep(task: Task, store: Cache, messages: Iterable[Message]) -> None:
    """Keep the answer to a task that somebody gave who has no access to this cache; `Read` has the models'
    texts."""
    found: dict[str, dict[str, tuple[Result, ...]]] = {}
    for message in messages:
        if isinstance(message, Read):
            _keep_models(task, store, [(h, h.text) for h in message.heads], message.consulted)
        elif isinstance(message, Decided) and not task.exports:
            found.setdefault(message.model, {})[message.clause] = message.results
    for model, results in found.items():
        _keep_results(task, store, model, known_results(store, model, task) | results)


def _decisions(task: Task) -> Decisions:
    """What decides the obligations: one for the task or, where tasks are variants of one source, whose
    obligations are mostly the same, one for all that the process does."""
    from .decide import Decisions

    how = task.solver, task.memory_model, task.timeout
    if not task.overlay:
        return Decisions(*how)
    return _of_variants.setdefault(how, Decisions(*how))


_of_variants: dict[tuple[str, str, float | None], Decisions] = {}


class Maker:
    """Makes results of obligations, and what else the task wants of them. Close it."""

    def __init__(self, task: Task) -> None:
        self._task, self._decisions = task, _decisions(task)
        self._evidence: Evidence | None = None
        if task.exports.evidence:
            from .evidence import Evidence

            self._evidence = Evidence(task.exports, task.solver, task.timeout)

    def repairs(self, model: Model, tree: Tree | None) -> Repairs:
        """What looks for repairs of a model's violations; of a tree's source, if it comes from one."""
        from .repair import Repairs

        rewriter = None
        if tree is not None and isinstance(self._task.source, UnitName):
            from .rewrite import Rewriter

            rewriter = Rewriter(tree, self._task.source, self._task.kernel)
        return Repairs(model, vfs(self._task.kernel), self._decisions, rewriter)

    def result(self, obligation: Obligation) -> Result:
        """The result of one obligation."""
        decision = self._decisions.decide(obligation)
        result = self._evidence.of(decision) if self._evidence is not None else decision.result
        decision.ways.forget()
        return result

    def close(self) -> None:
        """End what was started."""
        if self._evidence is not None:
            self._evidence.close()


def _decide(
    task: Task, store: Cache | None, head: Head, model: Model, maker: Maker, tree: Tree | None
) -> Iterator[Message]:
    """The results of every clause for one table, those first that are known. What is exported is made anew,
    and its results are not kept."""
    store = None if task.exports else store
    found = known_results(store, head.model, task) if store is not None else {}
    missing = [c for c in task.clauses if c not in found]
    yield from (Decided(head.model, name, found[name]) for name in task.clauses if name in found)
    kept = time.monotonic()
    repairs: Repairs | None = None
    for name in missing:
        results: list[Result] = []
        for result in _results(task, model, name, maker):
            if isinstance(result, Phase):
                yield result
            else:
                results.append(result)
        if task.exports.repair and any(r.verdict is Verdict.VIOLATED for r in results):
            repairs = repairs or maker.repairs(model, tree)
            for message in _repaired(repairs, results):
                if isinstance(message, Phase):
                    yield message
                else:
                    results = message
        found[name] = tuple(results)
        if store is not None and (name == missing[-1] or time.monotonic() - kept > _UNKEPT):
            _keep_results(task, store, head.model, found)
            kept = time.monotonic()
        yield Decided(head.model, name, found[name])


def _repaired(repairs: Repairs, results: list[Result]) -> Iterator[Phase | list[Result]]:
    """The results, at last, with what mends those that are violated."""
    if not repairs.before:
        for _ in repairs.prepare():
            yield Phase("proving what a repair must keep")
    found = []
    for result in results:
        if result.verdict is Verdict.VIOLATED:
            yield Phase(f"looking for a repair ({result.clause})", REPAIRING)
            result = replace(result, repair=repairs.of(result).repair)
        found.append(result)
    yield found


def _results(task: Task, model: Model, name: str, maker: Maker) -> Iterator[Result | Phase]:
    """The results of one clause for one table; a `Phase` before each that may take long."""
    from .obligation import Obligation
    from .obligations import questions

    phase = Phase(f"deciding {name}", 0.0 if task.timeout is None else SOLVES * task.timeout)
    yield phase
    for question in questions(model, clause(name), vfs(task.kernel)):
        if isinstance(question, Obligation):
            yield phase
            yield maker.result(question)
        else:
            yield question


def understood(model: Model) -> Understood:
    """How much the reader understood of the methods of a table."""
    programs = model.programs
    # A model that was written before programs named them has them among its events.
    opaque = [
        n
        for p in programs
        for n in (p.unfollowed or [e.note for e in p.events if e.kind == "opaque" and not e.object])
    ]
    gaps = [g for p in programs for g in p.gaps] + list(model.gaps)
    return Understood(
        model.filesystem,
        model.table,
        len(programs),
        len({f for p in programs for f in p.followed}),
        sum(p.statements for p in programs),
        tuple(sorted({name for p in programs for name in p.assumed})),
        tuple(sorted({name for name in opaque if name})),
        tuple(dict.fromkeys(f"{g.reason} ({g.source})" if str(g.source) else g.reason for g in gaps)),
    )
