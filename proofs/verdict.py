"""What the tool answers: verdicts, and what each rests on. Renderers read this and nothing else."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from ..encodings.usual import MEMORY_MODEL


class Verdict(enum.Enum):
    """The four answers. Only PROVED and NOT_APPLICABLE are good news; UNKNOWN is never shown as PROVED."""

    PROVED = "proved"
    """No trace within the (complete) bound breaks the clause; `core` says why, `assumptions` on what."""
    VIOLATED = "violated"
    """`trace` breaks the clause and was replayed by an interpreter that contains no solver."""
    UNKNOWN = "unknown"
    """`reason` says what stood in the way."""
    NOT_APPLICABLE = "not-applicable"
    """The table has nothing that the clause speaks about; `reason` says what is missing."""


def combine(verdicts: list[Verdict]) -> Verdict:
    """The verdict of a clause from those of its obligations: violated, else unknown, else proved."""
    for worst in (Verdict.VIOLATED, Verdict.UNKNOWN, Verdict.PROVED):
        if worst in verdicts:
            return worst
    return Verdict.NOT_APPLICABLE


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One line of a two-CPU trace. `cpu` is 0-based; `cpu` -1 is a step of the kernel as a whole
    (grace period); `event` is the kind of the step, `note` what it does in words."""

    cpu: int
    step: int
    function: str
    file: str
    line: int
    event: str
    object: str
    note: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one solver says of one obligation: ``unsat`` (nothing breaks the clause), ``sat``, or, where it
    was not asked or gave up, "" and a reason."""

    solver: str
    answer: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a repair, in words, and where it is made; `kind` is ``delay``, ``move``, ``once``,
    ``test``, ``drop``, ``lock`` or ``bail``."""

    kind: str
    text: str
    file: str = ""
    line: int = 0
    function: str = ""


@dataclass(frozen=True, slots=True)
class Repair:
    """The smallest set of changes from the list under which a violated obligation is proved, and no other
    verdict is worse: the changed program was proved again. Without `edits` none was found, and `reason` says
    why. `diff` is the change as a unified diff, where it is local; then the patched source was proved."""

    edits: tuple[Edit, ...] = ()
    diff: str = field(default="", metadata={"lines": True})
    reason: str = ""

    @property
    def sentence(self) -> str:
        """The changes, or that there are none, in one sentence."""
        made = "; and ".join(e.text for e in self.edits)
        return made or f"no repair from the list was found: {self.reason}"


@dataclass(frozen=True, slots=True)
class Result:
    """One decided obligation: a clause for one table, one object and one pair (or one) of callbacks."""

    filesystem: str
    table: str
    clause: str
    callbacks: tuple[str, ...]
    object: str
    verdict: Verdict
    debug_only: bool = False
    reason: str = ""
    bound: str = ""
    assumptions: tuple[str, ...] = ()
    core: tuple[str, ...] = ()
    trace: tuple[TraceStep, ...] = ()
    summary: str = ""
    """One sentence that says what the trace shows."""
    fix: str = ""
    """The smallest change that would make the clause hold, where that is plain; else empty."""
    witness: str = ""
    """For a proof: the trace that shows it is not vacuous, in one line; or what there is none of."""
    witness_trace: tuple[TraceStep, ...] = ()
    """That trace: the callbacks run in it, and what the clause is about happens as far as it is there."""
    certificate: str = ""
    """The certificate's file, if one was asked for and there is one."""
    uncertified: str = ""
    """Why a proof has no certificate, where one was asked for and there is none."""
    exported: tuple[tuple[str, str], ...] = ()
    """By form, the obligation's file, where that was asked for and there is one."""
    unexported: tuple[tuple[str, str], ...] = ()
    """By form, why there is none."""
    cross_check: tuple[Opinion, ...] = ()
    """What every solver says, if that was asked for."""
    repair: Repair | None = None
    """What mends a violated result, if that was asked for."""
    seconds: float = 0.0

    @property
    def key(self) -> Key:
        """What the obligation is told by from run to run."""
        return self.filesystem, self.table, self.clause, self.callbacks, self.object


@dataclass(frozen=True, slots=True)
class Understood:
    """How much of the source of one operations table's methods was understood.

    methods     methods executed, one that runs in two modes counted twice
    functions   functions followed
    statements  statements executed in them, over all methods
    assumed     functions that the table of kernel functions was believed about
    unfollowed  functions and pointers that a call of was not followed
    gaps        what else was not understood, with its place
    """

    filesystem: str
    table: str
    methods: int
    functions: int
    statements: int
    assumed: tuple[str, ...] = ()
    unfollowed: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TablePlace:
    """Where an operations table stands; `line` is 0 where that is not known."""

    filesystem: str
    table: str
    file: str
    line: int


Key = tuple[str, str, str, tuple[str, ...], str]
"""What an obligation is told by from run to run: filesystem, table, clause, callbacks, object."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference from a baseline, of a clause of a table as a whole (no `callbacks`) or an obligation.

    `before` is None for what the baseline does not have, `after` None for what is gone. `worse` is what a run
    with a baseline fails on.
    """

    filesystem: str
    table: str
    clause: str
    callbacks: tuple[str, ...]
    object: str
    before: Verdict | None
    after: Verdict | None
    debug_only: bool
    worse: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run compared with a baseline file. `known` are the violated and unknown results that the baseline has
    with the same verdict or a worse one."""

    baseline: str
    changes: tuple[Change, ...]
    known: frozenset[Key]

    @property
    def status(self) -> int:
        """The exit status: that of what is new or worse alone."""
        worse = {c.after for c in self.changes if c.worse}
        return 1 if Verdict.VIOLATED in worse else 3 if worse else 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run found, for renderers. `kind` is ``tree`` or ``models``; `location` and `module`
    are the folders that were read; `rules` are the clauses that were asked about, `tables` where the tables
    stand, `comparison` how the results compare with a baseline, if there is one, `memory_model` what they
    allow to be reordered."""

    kind: str
    kernel: str
    location: str
    results: tuple[Result, ...]
    messages: tuple[str, ...] = ()
    seconds: float = 0.0
    statistics: dict[str, float] = field(default_factory=dict)
    understood: tuple[Understood, ...] = ()
    module: str = ""
    rules: tuple[ClauseEntry, ...] = ()
    tables: tuple[TablePlace, ...] = ()
    comparison: Comparison | None = None
    memory_model: str = MEMORY_MODEL

    @property
    def status(self) -> int:
        """The exit status of the run."""
        return exit_status(self.results) if self.comparison is None else self.comparison.status


@dataclass(frozen=True, slots=True)
class ClauseVerdict:
    """What the results of one clause, for one operations table, come to together."""

    filesystem: str
    table: str
    clause: str
    verdict: Verdict
    debug_only: bool


def clause_verdicts(results: tuple[Result, ...]) -> tuple[ClauseVerdict, ...]:
    """One verdict for each filesystem, table and clause, in the order in which they first appear.

    A violated clause is `debug_only` when every result that violates it is.
    """
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for r in results:
        groups.setdefault((r.filesystem, r.table, r.clause), []).append(r)
    return tuple(
        ClauseVerdict(
            *key,
            combine([r.verdict for r in group]),
            {r.debug_only for r in group if r.verdict is Verdict.VIOLATED} == {True},
        )
        for key, group in groups.items()
    )


def tally(verdicts: list[Verdict]) -> dict[str, int]:
    """How often each verdict occurs; all four are always there."""
    return {v.value: verdicts.count(v) for v in Verdict}


def exit_status(results: tuple[Result, ...]) -> int:
    """0 all proved or not applicable; 1 something violated, in a debug build only as well; 3 something
    unknown and nothing violated. A run that decided nothing at all is 3 too: it proved nothing."""
    verdicts = {r.verdict for r in results}
    if Verdict.VIOLATED in verdicts:
        return 1
    return 3 if Verdict.UNKNOWN in verdicts or not verdicts else 0


@dataclass(frozen=True, slots=True)
class ClauseEntry:
    """One clause as `prove contract` prints it. `kernels` is its range in words, `formula` its text."""

    id: str
    statement: str
    formula: str
    callbacks: tuple[str, ...]
    kernels: str
    source: str


class Kind(enum.Enum):
    """What a difference is between."""

    CODE = "code"
    """The tree's source does something else than the specification states."""
    UNREAD = "unread"
    """The tree's source could not be followed: whether it does is not known."""
    DOCUMENTATION = "documentation"
    """The tree's locking.rst says something else than the specification states."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a tree and the specification of the VFS side differ. `methods` and `sequences` are what it is
    about; `line` is 0 where it has no place of its own."""

    kind: Kind
    methods: tuple[str, ...]
    sequences: tuple[str, ...]
    file: str
    line: int
    says: str
    states: str = ""

    @property
    def text(self) -> str:
        """The difference in one line, its place first."""
        place = ":".join(filter(None, (self.file, str(self.line or ""))))
        said = f"{self.says}; specified: {self.states}" if self.states else self.says
        return f"{place}: {said}" if place else said


@dataclass(frozen=True, slots=True)
class SideCheck:
    """The VFS side of the specification against one tree.

    differences  between its source (or its locking.rst) and the specification
    absent       (file that the tree lacks, the methods and sequences that could not be compared without it)
    places       so many places that call a method, or free an object, were compared
    document     the locking.rst that was compared; "" if the tree has none
    """

    differences: tuple[Difference, ...] = ()
    absent: tuple[tuple[str, tuple[str, ...]], ...] = ()
    places: int = 0
    document: str = ""


@dataclass(frozen=True, slots=True)
class ContractAnswer:
    """The clauses and the callback table of one kernel version; a row has one cell for each column. `check`
    is how the specification compares with the tree, if there is one."""

    kernel: str
    clauses: tuple[ClauseEntry, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    check: SideCheck | None = None
    messages: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The exit status of `prove contract`: 0 if all agree, or there is nothing to compare; else 1."""
        return int(self.check is not None and bool(self.check.differences))


class Overlap(enum.Enum):
    """Whether two callbacks can run at the same time on one dentry."""

    OVERLAPS = "overlaps"
    """There is a trace in which they do."""
    NEVER = "never"
    """There is a proof that they never do."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OverlapPair:
    """One cell of the matrix, for an unordered pair. `reason`: the trace in a line, or the core."""

    left: str
    right: str
    overlap: Overlap
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OverlapAnswer:
    """Who overlaps whom in one kernel version. `callbacks` gives the order of rows and columns."""

    kernel: str
    callbacks: tuple[str, ...]
    pairs: tuple[OverlapPair, ...]


@dataclass(frozen=True, slots=True)
class ModelText:
    """A model file that the reader wrote: its path below ``spec/models`` and its text."""

    name: str
    text: str
