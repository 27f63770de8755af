"""What the user asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..encodings.usual import MEMORY_MODEL, SOLVER
from .pool import USUAL, Limits

if TYPE_CHECKING:
    from ..reader.files import Origin
    from .schedule import Scheduler

Progress = Callable[[int, int, tuple[str, ...]], None]
"""``progress(done, total, doing)``: units that are finished, all units, and what the workers do now."""


@dataclass(frozen=True, slots=True)
class Exports:
    """What is to be made of obligations beside their verdicts.

    certificates  the folder for certificates of proofs
    scripts       by form (`proofs/export.py`), the folder for obligations in it
    cross_check   whether other solvers are asked as well
    repair        whether what mends a violation is looked for
    """

    certificates: Path | None = None
    scripts: tuple[tuple[str, Path], ...] = ()
    cross_check: bool = False
    repair: bool = False

    def __bool__(self) -> bool:
        return self.evidence or self.repair

    @property
    def evidence(self) -> bool:
        """Whether something is to be made of each obligation."""
        return self.certificates is not None or bool(self.scripts) or self.cross_check

    @property
    def folders(self) -> dict[str, Path]:
        """What files are made, as ``certificates`` or a form, and the folder that they go to."""
        own = {} if self.certificates is None else {"certificates": self.certificates}
        return own | dict(self.scripts)

    def below(self, folder: Path) -> Exports:
        """The same, into folders below this one."""
        certificates = None if self.certificates is None else folder / "certificates"
        return replace(
            self, certificates=certificates, scripts=tuple((form, folder / form) for form, _ in self.scripts)
        )

    @property
    def certificates_folder(self) -> Path:
        """The folder for certificates, where there is one."""
        return self.certificates or Path()


NOTHING = Exports()


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    filesystems  names of filesystems or tables
    everything   all that there are
    linux        the kernel tree, a folder or a revision; None for the models that the installation keeps
    given        model files that were written by hand; then there is no tree
    overlay      files of the tree that are read in place of its own, as (path, text), the text None for one
                 that is gone
    changed      only units that can rest on one of these paths; None for all
    module       sources outside the tree, which come first
    kernel       the version to go by; None for what the tree says, or the newest models
    clauses      () means all of them
    memory_model what may be reordered: a name of `encodings.weak.MEMORY_MODELS`
    timeout      seconds that the solver has for one obligation
    jobs         worker processes; 0 means that this process does the work itself, without limits
    limits       what a worker may use
    cluster      other machines that do the work instead; None for processes of this one
    exports      what to make of each obligation beside its verdict; then results are not taken from the cache
    cache        the folder of the cache; None for none
    progress     is told what goes on
    note         is told what the user should know, one line at a time
    """

    filesystems: tuple[str, ...] = ()
    everything: bool = False
    linux: Origin | None = None
    given: tuple[Path, ...] = ()
    overlay: tuple[tuple[str, str | None], ...] = ()
    changed: frozenset[str] | None = None
    module: Path | None = None
    kernel: str | None = None
    clauses: tuple[str, ...] = ()
    solver: str = SOLVER
    memory_model: str = MEMORY_MODEL
    timeout: float | None = None
    jobs: int = 0
    limits: Limits = USUAL
    cluster: Scheduler | None = None
    exports: Exports = NOTHING
    cache: Path | None = None
    progress: Progress | None = None
    note: Callable[[str], None] | None = None
