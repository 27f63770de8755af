"""Verdicts through the history of a repository: in which commit each of them turned.

What the verdicts of a commit rest on is known once they are there: files and listings. Up to the next commit
that touches any of these they are the same, with no need to look. Such commits, of what all commits rest on
that were tried, are the candidates. They are bisected wherever verdicts differ, or all tried.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AbsentError, InputError, UsageError
from ..reader.files import Revision
from ..reader.git import GitFiles, revision
from ..reader.history import Watch, line, sides, told
from .engine import run, the_kernel
from .request import Request
from .sources import KernelTree
from .timeline import Commit, Event, History, Thread, Tried, Turn
from .verdict import Result, Verdict

if TYPE_CHECKING:
    from .sources import Sources

Key = tuple[str, str, str, str]
"""Filesystem, table, clause, object."""
_OPEN = {Verdict.VIOLATED, Verdict.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Asked:
    """What history is asked for.

    repository    the git repository
    since, until  names of the first commit and the last
    paths         only commits that touch one of these are candidates; () for what the verdicts rest on
    every         all candidates are tried, not only those that bisection asks for
    first_parent  a merge in which something turned is not looked into
    """

    repository: Path
    since: str
    until: str
    paths: tuple[str, ...] = ()
    every: bool = False
    first_parent: bool = False


@dataclass(frozen=True, slots=True)
class _State:
    """The verdicts of one commit; where the table has nothing that a clause speaks about there is none."""

    verdicts: dict[Key, Verdict]
    tables: frozenset[tuple[str, str]]

    def clause(self, key: Key) -> set[Verdict]:
        """What a clause comes to on all objects of a table."""
        return {v for k, v in self.verdicts.items() if k[:3] == key[:3]}


@dataclass(slots=True)
class _Line:
    """A line of commits: those whose verdicts are known, by position, and for each whether all candidates
    between it and the one before are known too."""

    chain: tuple[Revision, ...]
    known: list[int] = field(default_factory=list)
    certain: list[bool] = field(default_factory=list)
    candidates: int = 0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something turned; see `timeline.Event`."""

    commit: str
    since: str
    exact: bool
    merge: str = ""


def history(request: Request, asked: Asked) -> History:
    """In which commit each verdict turned.

    InputError where the commits are no ancestor and descendant, cannot be read, or no commit between them is
    a candidate; AbsentError for a filesystem that is at neither end.
    """
    paths = tuple(_checked(p) for p in asked.paths)
    first, last = (revision(asked.repository, name) for name in (asked.since, asked.until))
    chain = line(first, last)
    if len(chain) == 1:
        raise InputError(f"{asked.repository}: there is no commit between {asked.since} and {asked.until}")
    with ExitStack() as stack:
        if request.cache is None:  # what a verdict rests on is told by the cache alone
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dentryproof-"))
            request = replace(request, cache=Path(folder))
        if not (request.filesystems or request.everything):
            request = replace(request, filesystems=_resting_on(request, paths, (first, last)))
        return _Search(request, replace(asked, paths=paths)).answer(chain)


def _resting_on(request: Request, paths: tuple[str, ...], ends: tuple[Revision, ...]) -> tuple[str, ...]:
    """The filesystems that can rest on one of these paths, at either end. UsageError if there is none."""
    found: set[str] = set()
    for at in ends:
        files = GitFiles(at)
        changed = {*paths, *(p for folder in paths for p in files.names(folder, (".c", ".h"), deep=True))}
        with suppress(AbsentError):
            asking = replace(request, linux=at, everything=True, changed=frozenset(changed))
            found.update(r.filesystem for r in run(asking).results)
    if not found:
        raise UsageError(f"no filesystem rests on {', '.join(paths) or 'nothing'}: name one")
    return tuple(sorted(found))


def _checked(path: str) -> str:
    """A path as git has it. UsageError for one that leads out of the tree."""
    parts = [p for p in path.split("/") if p not in ("", ".")]
    if path.startswith("/") or ".." in parts or not parts:
        raise UsageError(f"--paths {path}: not a path in the tree")
    return "/".join(parts)


class _Search:
    """The commits that were tried, and what they rest on."""

    def __init__(self, request: Request, asked: Asked) -> None:
        self.request, self.asked = request, asked
        self.states: dict[str, _State] = {}
        self.skipped: dict[str, str] = {}
        self.absent: dict[str, AbsentError] = {}
        self.found: set[str] = set()
        self.messages: dict[str, tuple[str, ...]] = {}
        self.inside: dict[tuple[str, str], _Line | None] = {}
        self.aside: dict[str, list[_Line]] = {}
        self._files: frozenset[str] = frozenset()
        self._listings: frozenset[str] = frozenset()
        self._grown = True
        self._watch = Watch(())
        self._touched: dict[tuple[str, str], bool] = {}
        self._named_paths = Watch(asked.paths) if asked.paths else None
        self._expected = 2
        self._noted: set[str] = set()

    # -- one commit ------------------------------------------------------------------------------------

    def decide(self, at: Revision) -> _State | None:
        """The verdicts of a commit; None where it cannot be read."""
        if at.commit not in self.states and at.commit not in self.skipped:
            commit = told(at)
            label = f"{commit.name[:12]} {commit.subject}"
            asking = replace(
                self.request,
                linux=at,
                progress=lambda done, total, doing: self._progress(label, doing),
                note=self._note,
            )
            self._progress(label, ())
            try:
                the_kernel(asking)
                results = self._results(asking)
            except InputError as error:
                self.skipped[at.commit] = str(error)
            else:
                self.states[at.commit] = _state(results)
        return self.states.get(at.commit)

    def _results(self, asking: Request) -> list[Result]:
        """The results of all that is there of what was named."""
        try:
            found = self._run(asking)
        except AbsentError as error:
            names = () if asking.everything else asking.filesystems
            if len(names) < 2:
                self.absent |= dict.fromkeys(names or ("",), error)
                return []
            return [r for name in names for r in self._results(replace(asking, filesystems=(name,)))]
        self.found.update(("",) if asking.everything else asking.filesystems)
        return found

    def _run(self, asking: Request) -> list[Result]:
        def seen(read: Sources) -> None:
            if isinstance(read, KernelTree):
                files, listings = read.basis()
                self._grown = self._grown or not (files <= self._files and listings <= self._listings)
                self._files |= files
                self._listings |= listings

        report = run(asking, seen)
        self.messages[asking.linux.commit if isinstance(asking.linux, Revision) else ""] = report.messages
        return list(report.results)

    def _progress(self, label: str, doing: tuple[str, ...]) -> None:
        if self.request.progress is not None:
            done = len(self.states) + len(self.skipped)
            self.request.progress(done, max(self._expected, done + 1), (label, *doing))

    def _note(self, text: str) -> None:
        if self.request.note is not None and text not in self._noted:
            self._noted.add(text)
            self.request.note(text)

    # -- a line of commits -----------------------------------------------------------------------------

    def along(self, chain: tuple[Revision, ...]) -> _Line:
        """Try commits of a line, its ends first, until none is left that has to be."""
        self.decide(chain[0])
        self.decide(chain[-1])
        tested = self._done()
        if chain[0].commit in self.states and chain[-1].commit in self.states:
            while todo := self._todo(chain):
                self._expected = tested + 2 + len(todo)
                for i in todo:
                    self.decide(chain[i])
        found = _Line(chain, [i for i, at in enumerate(chain) if at.commit in self.states])
        touching = self._touching(chain)
        for before, after in zip([0, *found.known], found.known, strict=False):
            found.certain.append(not any(before < i < after for i in touching))
        found.candidates = len(self._candidates(chain))
        return found

    def _done(self) -> int:
        return len(self.states) + len(self.skipped)

    def _candidates(self, chain: tuple[Revision, ...]) -> list[int]:
        if not self._named_paths:
            return self._touching(chain)
        return [i for i in range(1, len(chain)) if self._named_paths.touched(chain[i - 1], chain[i])]

    def _touching(self, chain: tuple[Revision, ...]) -> list[int]:
        """The commits of a line that touch what the verdicts rest on that are known by now. That grows, so
        that what touched it once is not compared again."""
        if self._grown:
            self._watch, self._grown = Watch(self._files, self._listings), False
            self._touched = {pair: True for pair, touched in self._touched.items() if touched}
        for before, after in pairwise(chain):
            pair = (before.commit, after.commit)
            if pair not in self._touched:
                self._touched[pair] = self._watch.touched(before, after)
        return [i for i in range(1, len(chain)) if self._touched[chain[i - 1].commit, chain[i].commit]]

    def _todo(self, chain: tuple[Revision, ...]) -> list[int]:
        """What to try next: all candidates, or the middle ones between verdicts that differ."""
        places = sorted({0, *self._candidates(chain), len(chain) - 1})
        new = [i for i in places if chain[i].commit not in {*self.states, *self.skipped}]
        if self.asked.every:
            return new
        known = [i for i in places if chain[i].commit in self.states]
        todo = []
        for before, after in pairwise(known):
            between = [i for i in new if before < i < after]
            if between and self._at(chain, before).verdicts != self._at(chain, after).verdicts:
                todo.append(between[len(between) // 2])
        return todo

    def _at(self, chain: Sequence[Revision], position: int) -> _State:
        return self.states[chain[position].commit]

    # -- the answer ------------------------------------------------------------------------------------

    def answer(self, chain: tuple[Revision, ...]) -> History:
        """The history of everything along a line."""
        for at in (chain[0], chain[-1]):
            if self.decide(at) is None:
                raise InputError(f"{at.commit[:12]} cannot be read: {self.skipped[at.commit]}")
        if not self.asked.paths:
            self._check_names()
        found = self.along(chain)
        self._check_names()
        if not found.candidates:
            what = ", ".join(self.asked.paths) or "what the verdicts rest on"
            span = f"{self.asked.since} and {self.asked.until}"
            raise InputError(f"{self.asked.repository}: no commit between {span} touches {what}")
        keys = dict.fromkeys(k for i in found.known for k in self._at(chain, i).verdicts)
        threads = tuple(self._thread(found, key) for key in sorted(keys))
        tried = tuple(self._tried(found))
        return History(
            str(self.asked.repository),
            len(chain) - 1,
            found.candidates,
            self.asked.every,
            tuple(self._commit(chain[i].commit) for i in found.known),
            tuple(found.certain),
            tried,
            threads,
            self.messages.get(chain[-1].commit, ()),
        )

    def _check_names(self) -> None:
        """AbsentError for a name that no commit has that was tried."""
        for name, error in self.absent.items():
            if name not in self.found:
                raise error

    def _commit(self, name: str) -> Commit:
        known = told(Revision(self.asked.repository, name))
        return Commit(known.name, known.date, known.subject)

    def _tried(self, along: _Line, merge: str = "") -> Iterator[Tried]:
        """What was tried along a line; what a merge brought in stands before it."""
        names: dict[str, Tried] = {}
        for at in along.chain:
            for aside in self.aside.get(at.commit, []):
                for tried in self._tried(aside, at.commit):
                    names.setdefault(tried.commit.name, tried)
            if at.commit in self.states or at.commit in self.skipped:
                commit = self._commit(at.commit)
                names.setdefault(at.commit, Tried(commit, self.skipped.get(at.commit, ""), merge))
        main = {at.commit for at in along.chain}
        yield from (replace(t, merge=merge) if n in main else t for n, t in names.items())

    def _thread(self, along: _Line, key: Key) -> Thread:
        verdicts = [self._at(along.chain, i).verdicts.get(key) for i in along.known]
        events: list[Event] = []
        settled = 0  # the last point that has a verdict that is not unknown, or none
        for n in range(1, len(verdicts)):
            if verdicts[n] is not verdicts[n - 1]:
                events += self._events(along, key, verdicts, n, settled)
            if verdicts[n] is not Verdict.UNKNOWN:
                settled = n
        return Thread(*key, tuple(verdicts), tuple(events))

    def _events(
        self, along: _Line, key: Key, verdicts: list[Verdict | None], n: int, settled: int
    ) -> Iterator[Event]:
        """What happened between point `n` and the one before it."""
        before, after = verdicts[n - 1], verdicts[n]
        states = [self._at(along.chain, along.known[i]) for i in (n - 1, n)]
        if before is Verdict.UNKNOWN and after is not None and after is not Verdict.UNKNOWN:
            turn = _decided(verdicts[settled], after)
            if turn is not Turn.DECIDED:
                since, at = (along.chain[along.known[i]].commit for i in (settled, n))
                yield self._event(turn, verdicts[settled], after, _Place(at, since, exact=False))
                return
            turns: tuple[Turn, ...] = (turn,)
        else:
            turns = tuple(_turns(key, before, after, states[0], states[1]))
        place = self._place(along, n, key)
        for turn in turns:
            yield self._event(turn, before, after, place)

    def _event(self, turn: Turn, before: Verdict | None, after: Verdict | None, place: _Place) -> Event:
        merge = self._commit(place.merge) if place.merge else None
        ends = self._commit(place.commit), self._commit(place.since)
        return Event(turn, before, after, *ends, place.exact, merge)

    def _place(self, along: _Line, n: int, key: Key) -> _Place:
        """Where a verdict turned that differs between point `n` and the one before."""
        chain, position = along.chain, along.known[n]
        since, at = chain[along.known[n - 1]], chain[position]
        here = _Place(at.commit, since.commit, along.certain[n])
        if self.asked.first_parent or not here.exact:
            return here
        before, after = (self.states[r.commit].verdicts.get(key) for r in (since, at))
        for base, tip in sides(chain[position - 1], at):
            side = self._side(base, tip, at)
            if side is None:
                continue
            there = [self._at(side.chain, i).verdicts.get(key) for i in side.known]
            if (there[0], there[-1]) != (before, after):
                continue
            turned = max(i for i in range(1, len(there)) if there[i] is not there[i - 1])
            if there[turned - 1] is before:
                return replace(self._place(side, turned, key), merge=at.commit)
        return here

    def _side(self, base: Revision, tip: Revision, merge: Revision) -> _Line | None:
        """What was found along the line that a merge brought in; None where its ends cannot be read."""
        if (base.commit, tip.commit) not in self.inside:
            self.inside[base.commit, tip.commit] = None
            with suppress(InputError):  # a shallow clone may lack the way between them
                side = self.along(line(base, tip))
                self.aside.setdefault(merge.commit, []).append(side)
                if {base.commit, tip.commit} <= self.states.keys():
                    self.inside[base.commit, tip.commit] = side
        return self.inside[base.commit, tip.commit]


def _decided(last: Verdict | None, after: Verdict) -> Turn:
    """What it is that something unknown is now known, whose last known verdict is `last`."""
    if last is None or last is after or last is Verdict.UNKNOWN:
        return Turn.DECIDED
    return Turn.BROKE if after is Verdict.VIOLATED else Turn.FIXED


def _turns(
    key: Key, before: Verdict | None, after: Verdict | None, old: _State, new: _State
) -> Iterator[Turn]:
    """What happened to a verdict that was not unknown before, or is gone."""
    if before is None:
        yield Turn.APPEARED
        if after is Verdict.VIOLATED and Verdict.UNKNOWN not in old.clause(key):
            yield Turn.BROKE
        elif after is Verdict.UNKNOWN:
            yield Turn.UNKNOWN
    elif after is None:
        if before is Verdict.VIOLATED and key[:2] in new.tables and not _OPEN & new.clause(key):
            yield Turn.FIXED
        yield Turn.GONE
    elif after is Verdict.UNKNOWN:
        yield Turn.UNKNOWN
    else:
        yield Turn.BROKE if after is Verdict.VIOLATED else Turn.FIXED


def _state(results: Iterable[Result]) -> _State:
    """The verdicts of one commit: of each object violated if any obligation is, else unknown if any is."""
    verdicts: dict[Key, Verdict] = {}
    tables = set()
    for r in results:
        tables.add((r.filesystem, r.table))
        key = (r.filesystem, r.table, r.clause, r.object)
        if r.verdict is Verdict.NOT_APPLICABLE:
            continue
        worse = (Verdict.PROVED, Verdict.UNKNOWN, Verdict.VIOLATED)
        verdicts[key] = max(verdicts.get(key, Verdict.PROVED), r.verdict, key=worse.index)
    return _State(verdicts, frozenset(tables))
