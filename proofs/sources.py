"""Where a run's units come from: a kernel tree, or the models that the installation keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import AbsentError, InputError, UsageError
from ..reader.files import Revision, Root
from ..reader.lenders import LIBRARY
from ..reader.state import State
from ..reader.tree import Tree
from ..reader.units import Survey, Unit, unit_at
from ..spec.modelfile import load
from .cache import Cache, digest
from .kept import Kept, given_text, kept, kept_text
from .names import unknown
from .request import Request
from .work import GivenModel, Task, UnitName, model_key

if TYPE_CHECKING:
    from ..reader.tree import Consulted
    from ..spec.program import Model


@dataclass(frozen=True)
class Item:
    """One unit of a run.

    label   what the user knows it by
    task    what to do, were nothing known
    models  what its models are kept under; None where that is not known
    size    bytes of source, a guess at how long it takes
    tables  the tables that are meant, as (filesystem, table), told without executing anything
    """

    label: str
    task: Task
    models: Callable[[], tuple[str, ...] | None]
    size: Callable[[], int]
    tables: Callable[[], list[tuple[str, str]]]


class Sources(Protocol):
    """What a run reads."""

    @property
    def tree(self) -> Tree | None:
        """The kernel tree that is read, if there is one."""

    def items(self, task: Task) -> list[Item]:
        """The units that the request means, in the order in which they are reported; `task` says what is
        to be done with each. UsageError for a name that nothing has."""

    def learn(self, consulted: Consulted) -> None:
        """Remember what a worker saw."""

    def close(self) -> None:
        """Keep what is worth remembering for the next run."""


class KeptModels:
    """The models of the installation; a unit is one of them."""

    tree: Tree | None = None

    def __init__(self, request: Request, kernel: str) -> None:
        self.request, self.kernel = request, kernel

    def items(self, task: Task) -> list[Item]:
        """See `Sources`."""
        found = kept(self.kernel, self.request.filesystems, self.request.everything)
        return [self._item(m, task) for m in found]

    def _item(self, model: Kept, task: Task) -> Item:
        return Item(
            model.table or model.name,
            replace(task, source=model.name),
            lambda: (model_key(kept_text(model.name)),),
            lambda: len(kept_text(model.name)),
            lambda: [(model.names[0] if model.names else model.name, model.table)],
        )

    def learn(self, consulted: Consulted) -> None:
        """See `Sources`; models rest on nothing else."""

    def close(self) -> None:
        """See `Sources`."""


class GivenModels:
    """Model files that the user names; a unit is one of them."""

    tree: Tree | None = None

    def __init__(self, request: Request) -> None:
        self.models = [load(given_text(p), str(p)) for p in request.given]
        self.request = request

    def items(self, task: Task) -> list[Item]:
        """See `Sources`. UsageError for a name that none of the models has."""
        known = {n for m in self.models for n in (*m.names, m.filesystem, m.table)}
        wrong = next((n for n in self.request.filesystems if n not in known), None)
        if wrong is not None:
            raise unknown("filesystem", wrong, known)
        wanted = [
            (path, m)
            for path, m in zip(self.request.given, self.models, strict=True)
            if not self.request.filesystems
            or {m.filesystem, m.table, *m.names}.intersection(self.request.filesystems)
        ]
        return [self._item(path, m, task) for path, m in wanted]

    def _item(self, path: Path, model: Model, task: Task) -> Item:
        return Item(
            str(path),
            replace(task, source=GivenModel(path)),
            lambda: (model_key(given_text(path)),),
            lambda: len(given_text(path)),
            lambda: [(model.filesystem, model.table)],
        )

    def learn(self, consulted: Consulted) -> None:
        """See `Sources`; models rest on nothing else."""

    def close(self) -> None:
        """See `Sources`."""


def given_kernel(paths: Sequence[Path]) -> str:
    """The kernel that these models are of. UsageError if they are of different ones."""
    found = {load(given_text(p), str(p)).kernel for p in paths}
    if len(found) > 1:
        listed = ", ".join(sorted(found))
        raise UsageError(f"the models are of different kernels: {listed}; name one with --kernel")
    return found.pop()


class KernelTree:
    """A kernel tree, and perhaps a module beside it; a unit is a folder or a file."""

    def __init__(self, request: Request, kernel: str, store: Cache | None) -> None:
        if request.linux is None:
            raise InputError("no kernel tree")
        self.request, self.kernel, self.store = request, kernel, store
        self.tree = Tree(request.linux, request.module, dict(request.overlay))
        self.survey = Survey(self.tree)
        self._memory = digest("tree", _where(self.tree.root), self.tree.module)
        self.state = State(self.tree, store.get("trees", self._memory) if store else None)

    def items(self, task: Task) -> list[Item]:
        """See `Sources`."""
        return [self._item(u, task) for u in self.units()]

    def _item(self, unit: Unit, task: Task) -> Item:
        name = UnitName(self.tree.root, self.tree.module, unit.key, unit.module)
        task = replace(task, source=name, overlay=self.request.overlay)

        def models() -> tuple[str, ...] | None:
            known = self.store.recall("units", name.key(self.kernel), self.state) if self.store else None
            return tuple(map(str, known)) if isinstance(known, list) else None

        def tables() -> list[tuple[str, str]]:
            fresh = unit_at(self.tree.afresh(), unit.key, unit.module)
            found = fresh.tables("dentry_operations")
            named = [(fresh.names_of(t), t.name) for t in found]
            return [(names[0], table) for names, table in named if task.means(names, table)]

        return Item(unit.folder, task, models, lambda: sum(map(self._size, unit.paths)), tables)

    def _size(self, path: str) -> int:
        return next((size for files in self.tree.places if (size := files.size(path))), 0)

    def learn(self, consulted: Consulted) -> None:
        """See `Sources`."""
        self.state.learn(consulted)

    def close(self) -> None:
        """See `Sources`."""
        if self.store is not None and self.state.news:
            self.store.put("trees", self._memory, self.state.memory())

    def units(self) -> list[Unit]:
        """The units that the request means."""
        changed = self.request.changed
        return [u for u in self._named() if changed is None or self._rests_on(u, changed)]

    def basis(self) -> tuple[frozenset[str], frozenset[str]]:
        """The paths and listings (`Consulted`) that what the request asks for rests on, once it was answered.

        Where a unit left no record (it was cut off), its own folder, those of its lenders, every header and
        what all units share. A path may be a folder, with all that is in it.
        """
        # A new view of the cache: other processes have written to it.
        store = Cache(self.request.cache, lambda text: None) if self.request.cache is not None else None
        paths, listings = {"Makefile"}, set[str]()
        for unit in self.units():
            name = UnitName(self.tree.root, self.tree.module, unit.key, unit.module)
            known = store.basis("units", name.key(self.kernel), self.state) if store is not None else None
            if known is None:
                own = (unit.key.partition("+")[0], *unit.lenders)
                known = frozenset((*own, "include", *LIBRARY)), frozenset()
            paths |= known[0]
            listings |= known[1]
        side = store.basis("side", digest("side", self.kernel), self.state) if store is not None else None
        paths |= side[0] if side is not None else {"include", "fs", "Documentation"}
        return frozenset(paths), frozenset(listings)

    def _rests_on(self, unit: Unit, changed: frozenset[str]) -> bool:
        """Whether what the unit comes to can depend on the content of one of these paths.

        What it rests on is known if it was read before. Where it was not, its own files, those of its
        lenders, every header and what all units share count.
        """
        own = (unit.key.partition("+")[0], *unit.lenders)
        if any(p in unit.paths or any(p.startswith(f"{o}/") or p == o for o in own) for p in changed):
            return True
        name = UnitName(self.tree.root, self.tree.module, unit.key, unit.module)
        records = self.store.consulted("units", name.key(self.kernel)) if self.store else []
        if records:
            return any(changed.intersection(record) for record in records)
        return any(p.endswith(".h") or p in LIBRARY for p in changed)

    def _named(self) -> list[Unit]:
        """The units that the request names: all, those of the module, or whatever answers to its names."""
        if self.request.everything:
            return list(self.survey.units())
        if not self.request.filesystems:
            return list(self.survey.of_module())
        chosen: dict[tuple[bool, str], Unit] = {}
        for name in self.request.filesystems:
            found = self.survey.find(name, self._names)
            if not found:
                bare = self.survey.without_table(name)
                if bare is not None:
                    raise AbsentError(f"{name} ({bare.folder}) has no dentry operations: nothing to decide")
                raise unknown("filesystem", name, {n for u in self.survey.units() for n in self._names(u)})
            chosen.update({(u.module, u.key): u for u in found})
        return list(chosen.values())

    def _names(self, unit: Unit) -> tuple[str, ...]:
        """What a unit answers to: its filesystems' names, its own, and its tables'."""

        def ask(fresh: Unit) -> list[Any]:
            return [*fresh.names, *(t.name for t in fresh.tables("dentry_operations"))]

        return tuple(map(str, self.remembered("names", unit, ask)))

    def remembered(self, kind: str, unit: Unit, ask: Callable[[Unit], list[Any]]) -> list[Any]:
        """What `ask` says of a unit, plain data; from the cache if nothing changed that it looked at."""
        key = digest(kind, unit.key, unit.module, self.tree.module is not None)
        known = self.store.recall(kind, key, self.state) if self.store else None
        if isinstance(known, list):
            return known
        view = self.tree.afresh()
        said = ask(unit_at(view, unit.key, unit.module))
        if self.store is not None:
            self.state.learn(view.consulted)
            self.store.keep(kind, key, view.consulted, said)
        return said


def _where(origin: Root) -> object:
    """What all trees have in common that share what is remembered of files: blobs are the same in every
    commit."""
    return origin.repository if isinstance(origin, Revision) else origin


def sources(request: Request, kernel: str, store: Cache | None) -> KernelTree | KeptModels | GivenModels:
    """What `request` is about. InputError where its tree is none."""
    if request.given:
        return GivenModels(request)
    return KeptModels(request, kernel) if request.linux is None else KernelTree(request, kernel, store)
