"""What a history comes to: what turned, in which commit. Of a history, renderers read this alone."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .verdict import Verdict


class Turn(enum.Enum):
    """What happened to a clause of one object."""

    APPEARED = "appeared"
    """There is a verdict of it, and there was none before."""
    BROKE = "broke"
    """It is violated, and was not."""
    FIXED = "fixed"
    """It was violated, and is not: proved, or no longer there in a table whose clause holds."""
    UNKNOWN = "unknown"
    """It can no longer be decided."""
    DECIDED = "decided"
    """It was unknown, and is what it was before that, or was never known to be something else."""
    GONE = "gone"
    """There is no verdict of it any more: no table, or no such object in it."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its full name, the day it was committed, the first line of its message."""

    name: str
    date: str
    subject: str

    @property
    def short(self) -> str:
        """Its name as people write it."""
        return self.name[:12]


@dataclass(frozen=True, slots=True)
class Tried:
    """A commit whose verdicts were asked for. `reason` says why there are none; `merge` is the merge that
    brought it in, if it is not on the line itself."""

    commit: Commit
    reason: str = ""
    merge: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One turn. `before` and `after` are None where there is no verdict.

    It turned in `commit`, if `exact`; else in that commit or in one after `since` that was not tried, could
    not be read, or is unknown. `merge` is the merge by which the commit came into the line that was searched.
    """

    turn: Turn
    before: Verdict | None
    after: Verdict | None
    commit: Commit
    since: Commit
    exact: bool
    merge: Commit | None = None


@dataclass(frozen=True, slots=True)
class Thread:
    """A clause of one object of a table, through a history: a verdict (None: none) for each of its points."""

    filesystem: str
    table: str
    clause: str
    object: str
    verdicts: tuple[Verdict | None, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class History:
    """What `prove history` answers.

    commits     so many follow the first on the line that was searched
    candidates  so many of them touch what the verdicts rest on (or the paths that were named)
    every       whether all candidates were tried
    points      the commits of the line whose verdicts are known, oldest first
    certain     for each point whether nothing can have turned and turned back between it and the one before
    tried       all commits whose verdicts were asked for, in the order of the line
    """

    repository: str
    commits: int
    candidates: int
    every: bool
    points: tuple[Commit, ...]
    certain: tuple[bool, ...]
    tried: tuple[Tried, ...]
    threads: tuple[Thread, ...]
    messages: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The exit status, by the last point: 1 if something is violated there, 3 if unknown, else 0."""
        last = {t.verdicts[-1] for t in self.threads}
        return 1 if Verdict.VIOLATED in last else 3 if Verdict.UNKNOWN in last else 0

    @property
    def events(self) -> tuple[tuple[Thread, Event], ...]:
        """Every turn in the order of the line, of one commit in the order of the threads."""
        order = {t.commit.name: i for i, t in enumerate(self.tried)}
        found = [(t, e) for t in self.threads for e in t.events]
        return tuple(sorted(found, key=lambda f: order[f[1].commit.name]))
