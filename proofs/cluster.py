"""Jobs done by a cluster: Dask's distributed scheduler, wherever it and its workers are.

What a worker needs travels with the work (`remote.py`), and what it finds comes back and is kept here. The
key of a job is a hash of all that its answer depends on: two runs that ask one scheduler the same share the
answer, and when a worker dies the scheduler has its jobs done by others.
"""

from __future__ import annotations

import logging
import pickle
import queue
import warnings
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ClusterError, InternalError
from ..reader.files import Sent
from ..reader.sent import needed
from .cache import Cache, digest
from .kept import given_text, kept_text
from .pool import Ended, Limits, Phase
from .remote import Asks, Done, Lacks, Made, Work, told
from .schedule import Job, Messages, view
from .work import GivenModel, Noted, Read, Task, Texts, UnitName, keep

if TYPE_CHECKING:
    from ..reader.tree import Tree

CONNECTING = 10.0
"""Seconds in which a scheduler must answer."""
WORKERS = 60.0
"""A scheduler may be without workers for so many seconds."""
THERE = f"__import__({__package__!r} + '.remote', fromlist=['perform']).perform(asking, work, texts)"
"""What a worker does. It would die of a function that it cannot import; this is an error that it reports."""
_LOGS = ("distributed", "distributed.client", "distributed.core", "distributed.comm", "tornado")


@dataclass
class Cluster:
    """The cluster whose scheduler has this address. Close it."""

    address: str
    limits: Limits

    @cached_property
    def client(self) -> Any:
        """The connection. ClusterError where Dask is not installed or no scheduler answers."""
        try:
            from distributed import Client
            from distributed.comm.addressing import resolve_address
        except ImportError:
            raise ClusterError("--scheduler needs Dask: pip install 'dentryproof[cluster]'") from None
        for name in _LOGS:  # what goes wrong is said once, by us
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # versions are compared by each worker
                resolve_address(self.address)  # the client would try what is no address for a long time
                start: Any = Client
                return start(self.address, timeout=CONNECTING, set_as_default=False)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            why = "this is no address" if isinstance(error, ValueError) else "no scheduler answers"
            raise ClusterError(
                f"--scheduler {self.address}: {why}; 'dask scheduler' starts one and says its address "
                "(tcp://HOST:8786), 'dask worker ADDRESS' starts workers"
            ) from None

    def close(self) -> None:
        """End the connection; the cluster goes on."""
        if "client" in self.__dict__:
            self.client.close(timeout=1)
            del self.__dict__["client"]

    def distribute(self, jobs: Sequence[Job]) -> Messages:
        """See `schedule.Scheduler`. ClusterError where the scheduler is gone, has no workers, or has one of
        another version."""
        if not jobs:
            return
        run = _Run(self, self.client)
        try:
            yield from run.messages(jobs)
        finally:
            run.call_off()


@dataclass
class _Run:
    """Jobs on their way: those with the scheduler, by what stands for their answers."""

    cluster: Cluster
    client: Any
    sent: dict[Any, tuple[int, _Parcel]] = field(default_factory=dict)
    ready: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    version: str = field(default_factory=told)

    def messages(self, jobs: Sequence[Job]) -> Messages:
        """What the jobs come to, as it comes."""
        waiting = deque(enumerate(jobs))
        while waiting or self.sent:
            while waiting and len(self.sent) < self._room():
                index, job = waiting.popleft()
                self._send(index, _Parcel(job, self.cluster.limits))
                yield index, Phase("with the cluster")
            future = self._next()
            index, parcel = self.sent.pop(future)
            answer = self._answer(future)
            if isinstance(answer, Done):
                yield from ((index, m) for m in parcel.home(answer))
            elif isinstance(answer, Ended):
                yield index, answer
            else:
                parcel.add(answer)
                self._send(index, parcel)

    def call_off(self) -> None:
        """Nobody waits for these any longer."""
        if self.sent:
            self.client.cancel(list(self.sent), force=False)

    def _room(self) -> int:
        """How many jobs to hand out: so many that no worker waits, few enough for the scheduler's memory."""
        return 2 + 2 * sum(int(w["nthreads"]) for w in self._workers())

    def _workers(self) -> list[dict[str, Any]]:
        """What the scheduler says of each of its workers; nothing where it is gone."""
        return list(self.client.scheduler_info(n_workers=-1).get("workers", {}).values())

    def _send(self, index: int, parcel: _Parcel) -> None:
        work, texts = parcel.packed()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that texts are large
            future = self.client.submit(
                eval,
                THERE,
                {"asking": self.version, "work": work, "texts": texts},
                key=f"dentryproof-{digest(self.version, parcel.key)}",
            )
        self.sent[future] = index, parcel
        future.add_done_callback(self.ready.put)

    def _next(self) -> Any:
        """The next job that is done, with or without success."""
        waited = 0.0
        while True:
            try:
                future = self.ready.get(timeout=1.0)
            except queue.Empty:
                gone = self.client.status != "running"
                waited = 0.0 if self._workers() and not gone else waited + 1.0
                if gone and waited > CONNECTING:
                    raise self._lost() from None
                if waited > WORKERS:
                    raise ClusterError(
                        f"--scheduler {self.cluster.address}: it has no workers; start some with "
                        f"'dask worker {self.cluster.address}'"
                    ) from None
                continue
            if future in self.sent:
                return future

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"--scheduler {self.cluster.address}: the connection is lost; what is finished is kept, and the "
            "next run goes on there"
        )

    def _answer(self, future: Any) -> Lacks | Asks | Done | Ended:
        """What became of a job."""
        from distributed import KilledWorker

        if future.status in ("cancelled", "lost"):
            raise self._lost()
        error = future.exception()
        if isinstance(error, KilledWorker):
            return Ended("each worker that was given it died")
        if isinstance(error, ImportError | AttributeError):
            raise self._foreign(f"a worker without this version of it ({error})")
        if error is not None:
            raise InternalError(f"a worker of the cluster: {type(error).__name__}: {error}")
        kind, said = future.result()
        if kind == "version":
            raise self._foreign(f"a worker with {said}")
        answer = pickle.loads(said)
        if not isinstance(answer, Lacks | Asks | Done):
            raise InternalError(f"a worker of the cluster answers {type(answer).__name__}")
        return answer

    def _foreign(self, what: str) -> ClusterError:
        return ClusterError(
            f"--scheduler {self.cluster.address}: {what}, where this is {self.version}: install the same on "
            "both; what is finished is kept"
        )


class _Parcel:
    """A job made ready to travel, and what comes back of it. `key` is a hash of all that the answer depends
    on; `enclosed` are the contents of the texts that go along."""

    def __init__(self, job: Job, limits: Limits) -> None:
        self.job, self.limits = job, limits
        self.enclosed: set[str] = set()
        self._notes: list[str] = []
        folder = job.task.cache
        self._store = Cache(folder, self._notes.append) if folder is not None else None
        self._models = self._known_models()
        self._task = self._portable()

    @cached_property
    def view(self) -> Tree:
        """The tree, once it was asked for all that the worker may need."""
        task, tree = self.job.task, view(self.job)
        if tree is None or not isinstance(task.source, UnitName):
            raise InternalError("a unit without its tree")
        return needed(tree, task.source.folder, task.source.own)

    @property
    def key(self) -> str:
        """See above."""
        task = self._task
        enough = sorted(task.enough) if task.enough is not None else None
        return digest(replace(task, enough=None), enough, self.limits, sorted(self.enclosed))

    def packed(self) -> tuple[bytes, bytes]:
        """The work, and the texts enclosed."""
        texts = {}
        for path, word in self.view.consulted.files.items() if self.enclosed else ():
            if word in self.enclosed and (file := self.view.file(path)) is not None:
                texts[word] = zlib.compress(file.raw, 1)
        return pickle.dumps(Work(self._task, self.limits)), pickle.dumps(texts)

    def add(self, answer: Lacks | Asks) -> None:
        """Enclose, or name, what the worker lacks."""
        before = self.key
        if isinstance(answer, Lacks):
            self.enclosed.update(answer.contents)
        elif answer.kind == "file":
            self.view.headers(answer.what)
        else:
            self.view.list_of(answer.what)
        self._task = self._portable()
        if self.key == before:
            raise InternalError(f"a worker of the cluster asks again for what it has: {answer}")

    def home(self, done: Done) -> Iterator[Any]:
        """What the worker found; first it is kept here, where the worker's own cache is not."""
        task = self.job.task
        messages = [self._checked(m) if isinstance(m, Read) else m for m in done.messages]
        if self._store is not None:
            keep(task, self._store, messages)
        for message in messages:
            if isinstance(message, Made):
                self._write(message)
            elif isinstance(message, Read) and not task.texts:
                yield replace(message, heads=tuple(replace(h, text="") for h in message.heads))
            elif isinstance(message, Ended):
                yield from map(Noted, self._notes)
                yield message
            else:
                yield message

    def _known_models(self) -> Texts | None:
        """The models, where these are known; None where a tree must be read."""
        task = self.job.task
        texts = [self._store.get("models", m) for m in task.models] if self._store is not None else []
        if texts and all(isinstance(t, str) for t in texts):
            return Texts(tuple(zip(task.models, map(str, texts), strict=True)))
        if isinstance(task.source, GivenModel):
            return Texts(((str(task.source.path), given_text(task.source.path)),))
        if isinstance(task.source, str):
            return Texts(((task.source, kept_text(task.source)),))
        return None

    def _portable(self) -> Task:
        """The task, which names nothing of this machine."""
        task = self.job.task
        source: Any = self._models
        if source is None and isinstance(task.source, UnitName):
            consulted = self.view.consulted
            files = dict(sorted(consulted.files.items()))
            listings = {key: self.view.list_of(key) for key in sorted(consulted.listings)}
            sent = Sent(digest(*files.items(), *listings.items()), files, listings)
            module = None
            if isinstance(task.source.module, Path):
                module = replace(sent, where="module", name=task.source.module.name)
            source = replace(task.source, root=sent, module=module)
        exports = task.exports.below(Path())
        return replace(task, source=source, models=(), texts=True, cache=None, overlay=(), exports=exports)

    def _checked(self, read: Read) -> Read:
        """What was read, if it was what was sent; as this machine knows the files."""
        if read.consulted is None:
            return read
        here = self.view.consulted
        if any(here.files.get(path) != word for path, word in read.consulted.files.items()):
            raise InternalError("a worker of the cluster read other files than it was sent")
        return replace(read, consulted=replace(read.consulted, signatures=here.signatures))

    def _write(self, made: Made) -> None:
        from .evidence import write

        folder = self.job.task.exports.folders.get(made.export)
        if folder is None or Path(made.name).name != made.name:
            raise InternalError(f"a worker of the cluster made {made.name}, for which nobody asked")
        write(folder / made.name, made.text)
