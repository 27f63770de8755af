"""All units of one run: what is known comes from the cache, the rest from workers, a task a unit.

A unit that does not come to its end (its worker died, or ran into a limit) leaves its tables unknown, with
the reason; the others are unaffected.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import DisagreementError, InternalError, ModelError
from .cache import Cache
from .pool import Ended, Phase
from .request import Request
from .schedule import Job, Workers, scheduler
from .sources import Item, Sources
from .verdict import Result, Verdict
from .work import Decided, Head, Noted, Read, Task, known_heads, known_results


@dataclass(slots=True)
class Answer:
    """What one unit came to: its tables that are meant, and the results by model and clause.

    lost        results for tables that it was cut off from before it was known what they are
    remembered  all of it comes from the cache
    reason      what cut it off; empty if nothing did
    """

    heads: tuple[Head, ...] = ()
    results: dict[tuple[str, str], tuple[Result, ...]] = field(default_factory=dict)
    lost: tuple[Result, ...] = ()
    remembered: bool = False
    reason: str = ""

    def all(self, clauses: Iterable[str]) -> Iterator[Result]:
        """Every result, table by table, in the order of `clauses`."""
        wanted = tuple(clauses)
        for head in self.heads:
            for name in wanted:
                yield from self.results.get((head.model, name), ())
        yield from self.lost


class Notes:
    """Hands lines on to the user, each once."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._told: set[str] = set()

    def __call__(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            if self._request.note is not None:
                self._request.note(text)


def gather(
    request: Request,
    read: Sources,
    task: Task,
    store: Cache | None,
    notes: Notes,
    aside: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """The answers of all units that the request means, in the order of `Sources.items`. `aside` begins, once
    it is known which these are, what this process does while workers read."""
    surely = read.tree is not None and (store is None or store.is_new)
    with closing(Workers(request, surely)) as ready:
        items = read.items(task)
        return _gathered(request, read, items, store, notes, aside, ready)


def _gathered(
    request: Request,
    read: Sources,
    items: Sequence[Item],
    store: Cache | None,
    notes: Notes,
    aside: Callable[[], None],
    ready: Workers,
) -> list[Answer]:
    answers = [_known(item, store) for item in items]
    missing = [i for i, a in enumerate(answers) if not a.remembered]
    missing.sort(key=lambda i: -items[i].size())
    tasks = [_with_models(items[i], answers[i]) for i in missing]
    for i in missing:
        answers[i] = Answer()
    busy: dict[int, str] = {}
    done = len(items) - len(missing)
    jobs = [Job(task, read.tree) for task in tasks]
    aside()
    with closing(scheduler(request, ready).distribute(jobs)) as messages:
        for index, message in messages:
            item, found = items[missing[index]], answers[missing[index]]
            if isinstance(message, Phase):
                busy[index] = f"{item.label}: {message.what}"
            elif isinstance(message, Ended):
                busy.pop(index, None)
                done += 1
                _end(item, found, message, alone=len(items) == 1)
            else:
                _take(item, found, message, read, notes)
                continue
            if request.progress is not None:
                request.progress(done, len(items), tuple(busy.values()))
    return answers


def _known(item: Item, store: Cache | None) -> Answer:
    """What the cache has of a unit; `remembered` if that is all there is to it."""
    models = item.models() if store is not None else None
    if store is None or models is None:
        return Answer()
    task, heads = item.task, known_heads(store, models)
    if heads is None:
        return Answer()
    found = Answer(tuple(h for h in heads if task.means(h.names, h.table)), remembered=not task.exports)
    for head in found.heads if task.clauses else ():
        results = known_results(store, head.model, task)
        found.results.update(((head.model, name), rows) for name, rows in results.items())
        found.remembered = found.remembered and results.keys() >= set(task.clauses)
    if task.texts:
        texts = [store.get("models", h.model) for h in found.heads]
        found.remembered = found.remembered and all(isinstance(t, str) for t in texts)
        found.heads = tuple(replace(h, text=str(t)) for h, t in zip(found.heads, texts, strict=True))
    return found


def _with_models(item: Item, known: Answer) -> Task:
    """The task, which need not read again what was read before."""
    return replace(item.task, models=(item.models() or ()) if known.heads else ())


def _take(item: Item, found: Answer, message: Any, read: Sources, notes: Notes) -> None:
    if isinstance(message, Read):
        found.heads = tuple(h for h in message.heads if item.task.means(h.names, h.table))
        if message.consulted is not None:
            read.learn(message.consulted)
    elif isinstance(message, Decided):
        found.results[message.model, message.clause] = message.results
    elif isinstance(message, Noted):
        notes(message.text)


def _end(item: Item, found: Answer, ended: Ended, alone: bool) -> None:
    """A unit is over; what it lacks is unknown. A defect of the tool, or of a model, ends the run where
    there is one unit, and is a reason like any other where it would take the answers about others along."""
    if ended.trace:
        sys.stderr.write(ended.trace)
    reason = ended.reason
    if ended.error is not None:
        told = isinstance(ended.error, InternalError | ModelError)
        if alone or isinstance(ended.error, DisagreementError) or not told:
            raise ended.error
        reason = str(ended.error)
        if isinstance(ended.error, InternalError):
            reason = f"internal error: {reason}"
    if not reason:
        return
    if ended.defect and alone:
        raise InternalError(reason.removeprefix("internal error: "))
    found.reason = reason = f"{item.label}: {reason}"
    clauses = item.task.clauses
    if found.heads:
        for head in found.heads:
            for name in clauses:
                unknown = Result(head.filesystem, head.table, name, (), "", Verdict.UNKNOWN, reason=reason)
                found.results.setdefault((head.model, name), (unknown,))
    else:
        found.lost = tuple(
            Result(filesystem, table, name, (), "", Verdict.UNKNOWN, reason=reason)
            for filesystem, table in item.tables()
            for name in clauses
        )
