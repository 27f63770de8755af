"""Who does the work of a run: this process, processes of this machine, or a cluster (`cluster.py`).

They have one interface, and whoever hands out work does not learn which it is.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .pool import Ended, Limits, Ready, distribute
from .work import Task, answer

if TYPE_CHECKING:
    from ..reader.tree import Tree
    from .request import Request

ANSWER = f"{__package__}.work:answer_apart"
"""What answers a task in a process of its own."""

Messages = Generator[tuple[int, Any], None, None]
"""Pairs of a job's index and `Phase`, a part of its answer, or `Ended`, its last."""


@dataclass(frozen=True, slots=True)
class Job:
    """A task, and the tree that it is about as this process sees it; None where it is about no tree."""

    task: Task
    tree: Tree | None


class Scheduler(Protocol):
    """Has jobs done."""

    def distribute(self, jobs: Sequence[Job]) -> Messages:
        """What the jobs come to, as it comes. Every job ends, whatever becomes of those who work on it.
        Closing the generator ends the work."""


class Here:
    """This process, one job after the other, without limits."""

    def distribute(self, jobs: Sequence[Job]) -> Messages:
        """See `Scheduler`."""
        for index, job in enumerate(jobs):
            for message in answer(job.task, view(job)):
                yield index, message
            yield index, Ended()


def view(job: Job) -> Tree | None:
    """The tree of a job, with the texts that its task reads instead."""
    if job.tree is None:
        return None
    return job.tree.overlaid(dict(job.task.overlay)) if job.task.overlay else job.tree.afresh()


@dataclass(frozen=True, slots=True)
class Processes:
    """So many processes of this machine at once, each with its limits."""

    number: int
    limits: Limits
    ready: Ready | None = None

    def distribute(self, jobs: Sequence[Job]) -> Messages:
        """See `Scheduler`."""
        number = min(self.number, max(1, len(jobs)))
        return distribute([j.task for j in jobs], ANSWER, number, self.limits, self.ready)


class Workers(Ready):
    """The processes of this machine that get ready while it is made out what a request means, if there is
    `surely` something to read: as many as there are to be, but one where single filesystems are named."""

    def __init__(self, request: Request, surely: bool) -> None:
        here = surely and request.cluster is None
        count = (request.jobs if request.everything else min(1, request.jobs)) if here else 0
        super().__init__(ANSWER, "prepare", count, request.limits)


def scheduler(request: Request, ready: Ready | None = None) -> Scheduler:
    """Who does the work of a request; processes that are `ready` first."""
    if request.cluster is not None:
        return request.cluster
    return Processes(request.jobs, request.limits, ready) if request.jobs > 0 else Here()
