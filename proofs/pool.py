"""Tasks spread over worker processes that are started afresh, with limits on time and memory.

Each worker has a pipe of its own and shares nothing, so that one that dies harms nobody: its task ends with
a reason, and another worker takes its place. Workers are never forked (the solver's library does not
survive that), end by themselves when the parent is gone, and leave Ctrl-C to the parent.

A task is anything that can be pickled; a generator function, named as ``module:name``, answers it. What it
yields reaches the parent as it comes. A `Phase` is no part of the answer: it starts the clock anew.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import math
import os
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ..errors import DentryproofError

RETIRE = 320 << 20
"""A worker that holds more bytes than this after a task makes room for a fresh one."""
PATIENCE = 8
"""A phase may last so many times longer than the processor time that it may take."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Processor time in seconds that a phase may take, and memory (address space) in bytes of a worker."""

    seconds: float = 120.0
    memory: int = 2 << 30


USUAL = Limits()
_NO_MEMORY = ("out of memory", "annot allocate memory", "failed to map segment")
"""What solver, kernel and loader say where there is no more memory."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What a worker does from now on; `seconds` if it may take longer than `Limits` says."""

    what: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """The last message about a task.

    reason   what cut it off, in one line; empty if nothing did
    error    what it raised, where that is one of the tool's own errors
    defect   `reason` is an exception that nobody foresaw
    trace    where that happened, if DENTRYPROOF_TRACEBACK is set
    last     the worker takes no further task
    """

    reason: str = ""
    error: DentryproofError | None = None
    defect: bool = False
    trace: str = ""
    last: bool = False


class Ready:
    """`count` workers that get ready for tasks which are still being made out: each runs the function
    `prepare` of the module of `answer`. Close it if they come to nothing."""

    def __init__(self, answer: str, prepare: str, count: int, limits: Limits) -> None:
        self.workers = [Worker(answer, limits, prepare) for _ in range(count)]

    def close(self) -> None:
        """End those that nobody took."""
        for worker in self.workers:
            worker.end()
        self.workers = []


def distribute(
    tasks: Sequence[Any], answer: str, jobs: int, limits: Limits, ready: Ready | None = None
) -> Generator[tuple[int, Any], None, None]:
    """What the tasks come to, as it comes: pairs of a task's index and `Phase`, a part of its answer, or
    `Ended`. Tasks are started in the order given, `jobs` at a time, on the workers that are `ready` first.
    Closing the generator ends the workers.
    """
    waiting = deque(range(len(tasks)))
    workers: list[Worker] = []
    if ready is not None:
        workers, ready.workers = ready.workers, []
    try:
        while waiting or any(w.busy for w in workers):
            while waiting and (worker := _free(workers, answer, jobs, limits)):
                index = waiting.popleft()
                worker.give(index, tasks[index])
            for worker in _ready(workers):
                index = worker.task
                message = worker.hear()
                yield index, message
                if not worker.alive:
                    workers.remove(worker)
    finally:
        for worker in workers:
            worker.end()


def _free(workers: list[Worker], answer: str, jobs: int, limits: Limits) -> Worker | None:
    """A worker without a task: one that is there, or a new one; None if all are busy."""
    for worker in [w for w in workers if not w.busy]:
        if worker.process.poll() is None:
            return worker
        worker.end()
        workers.remove(worker)
    if len(workers) >= jobs:
        return None
    workers.append(Worker(answer, limits))
    return workers[-1]


def _ready(workers: list[Worker]) -> list[Worker]:
    """The workers that have said something or are overdue; waits for the first."""
    busy = [w for w in workers if w.busy]
    soonest = min(w.deadline for w in busy) - time.monotonic()
    said = wait([w.pipe for w in busy], max(0.0, soonest))
    now = time.monotonic()
    return [w for w in busy if w.pipe in said or w.deadline <= now]


class Worker:
    """A worker process, seen from the parent. `task` is the index of its task, -1 if it has none; it takes no
    more once it is not `alive`."""

    def __init__(self, answer: str, limits: Limits, prepare: str = "") -> None:
        self.limits = limits
        self.task = -1
        self.alive = True
        self.phase = Phase("starting")
        self.deadline = math.inf
        self.pipe, theirs = Pipe()
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        call = f"serve({theirs.fileno()}, {answer!r}, {limits!r}, {prepare!r})"
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import Limits, serve; {call}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()

    @property
    def busy(self) -> bool:
        """Whether it has a task."""
        return self.task >= 0

    def give(self, index: int, task: Any) -> None:
        """Hand it a task. If it is no longer there, `hear` says so."""
        self.task = index
        self._enter(Phase("starting"))
        try:
            self.pipe.send(task)
        except OSError:
            self.deadline = 0.0

    def answers(self, task: Any, wanted: Callable[[], bool]) -> Iterator[Any]:
        """What one task comes to, as it comes, `Ended` last. Where it is no longer `wanted`, which is asked
        every second, the worker ends and nothing more is said."""
        self.give(0, task)
        while self.busy:
            rest = self.deadline - time.monotonic()
            if self.pipe.poll(max(0.0, min(1.0, rest))) or rest <= 0:
                yield self.hear()
            elif not wanted():
                self.end()

    def hear(self) -> Any:
        """Its next message; `Ended` if it is gone, or kept silent for too long."""
        if not self.pipe.poll():
            self.end()
            return Ended(f"{self.phase.what} took more than {self._allowed() * PATIENCE:g} s")
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            message = Ended(self._why(), last=True)
        if isinstance(message, Phase):
            self._enter(message)
        elif isinstance(message, Ended):
            self.task = -1
            if message.last:
                self.end()
        return message

    def end(self) -> None:
        """End the process, whatever it does."""
        self.task, self.alive = -1, False
        self.process.kill()
        self.process.wait()
        self.pipe.close()
        self.output.close()

    def _allowed(self) -> float:
        return max(self.phase.seconds, self.limits.seconds)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.deadline = time.monotonic() + self._allowed() * PATIENCE

    def _why(self) -> str:
        """What ended the process."""
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return "its process closed its pipe"
        if status == -signal.SIGXCPU:
            return f"{self.phase.what} took more than {self._allowed():g} s of processor time"
        if status == -signal.SIGKILL:
            return f"its process was killed while {self.phase.what}, perhaps for want of memory"
        self.output.seek(0)
        said = self.output.read()[-4096:].decode("utf-8", "replace").strip().splitlines()
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return f"its process ended {how} while {self.phase.what}" + (f": {said[-1]}" if said else "")


# -- in the worker -------------------------------------------------------------------------------------


_COLLECT = (50_000, 20, 20)
"""When a worker looks for cycles: a reader makes millions of small objects, hardly any in a cycle."""


def serve(descriptor: int, answer: str, limits: Limits, prepare: str = "") -> None:
    """The worker's whole life: tasks come in and answers go out through the pipe at `descriptor`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_AS, limits.memory)
    pipe = Connection(descriptor)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, tasks), daemon=True).start()
    module, _, name = answer.partition(":")
    gc.set_threshold(*_COLLECT)
    if prepare:
        with contextlib.suppress(Exception):  # the first task meets it again, and says so
            getattr(importlib.import_module(module), prepare)()
    while True:
        ended = _attempt(module, name, tasks.get(), pipe, limits)
        pipe.send(ended)
        if ended.last:
            os._exit(0)


def _listen(pipe: Connection, tasks: queue.SimpleQueue[Any]) -> None:
    """Take in tasks; when the parent is gone, so is the worker, whatever it is doing."""
    try:
        while True:
            tasks.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(1)
    except BaseException as error:  # nobody would ever hand on a task again
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)


def _attempt(module: str, name: str, task: Any, pipe: Connection, limits: Limits) -> Ended:
    """Answer one task."""
    try:
        _allow(limits.seconds)
        for message in getattr(importlib.import_module(module), name)(task):
            if isinstance(message, Phase):
                _allow(max(message.seconds, limits.seconds))
            pipe.send(message)
    except DentryproofError as error:
        return Ended(error=error)
    except Exception as error:
        if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
            return Ended(f"it needs more than {limits.memory >> 20} MiB of memory", last=True)
        trace = traceback.format_exc() if os.environ.get("DENTRYPROOF_TRACEBACK") else ""
        return Ended(f"internal error: {type(error).__name__}: {error}", defect=True, trace=trace)
    return Ended(last=_held() > RETIRE)


def _allow(seconds: float) -> None:
    """Let the process use so much more processor time; then the kernel ends it with SIGXCPU."""
    used = time.process_time()
    _lower(resource.RLIMIT_CPU, math.ceil(used + seconds))


def _lower(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _held() -> int:
    """Bytes of memory that this process holds, or held at most where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10
