"""A task on another machine: what travels, and what a worker of a cluster does with it.

A worker needs this package and nothing else: neither the kernel tree nor the cache of whoever asks. Texts
that it had before are not sent again: it says what it lacks, and is asked once more. The work itself is done
in a process of its own (`pool.py`), under the limits that came along: none of it can take the worker down.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..reader.files import Sent
from ..reader.sent import LackingError
from .cache import edition
from .pool import Ended, Limits, Worker
from .schedule import ANSWER
from .work import Task, UnitName

_TEXTS = 256 << 20
"""A worker keeps so many bytes of texts, compressed."""


@dataclass(frozen=True, slots=True)
class Work:
    """A task that needs nothing of the machine that it comes from, and what a process may use for it."""

    task: Task
    limits: Limits


@dataclass(frozen=True, slots=True)
class Lacks:
    """Contents that the worker does not have."""

    contents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asks:
    """What the reader asked for that is not among what was named to it; see `LackingError`."""

    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class Made:
    """A file that was to be made beside a verdict: which of `Exports.folders`, its name and its text."""

    export: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """All messages of a task, `Ended` last."""

    messages: tuple[Any, ...]


def told() -> str:
    """What answers depend on beside the question: the state of the tool and of what it calls."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"dentryproof {__version__} ({edition()}), Python {python}, distributed {version('distributed')}"


def perform(asking: str, work: bytes, texts: bytes) -> tuple[str, bytes | str]:
    """What a worker does: ``("answer", A)`` with a pickled `Lacks`, `Asks` or `Done`, or ``("version", V)``
    with its own, if that is not the asking one. As the two may be of different versions, what this is handed
    and returns is plain data.
    """
    here = told()
    if here != asking:
        return "version", here
    return "answer", pickle.dumps(_answered(pickle.loads(work), pickle.loads(texts)))


def _answered(work: Work, texts: Mapping[str, bytes]) -> Lacks | Asks | Done:
    task = work.task
    if isinstance(task.source, UnitName) and isinstance(task.source.root, Sent):
        words = {w for w in task.source.root.files.values() if is_text(w)}
        found = _kept.take(texts, words)
        if len(found) < len(words):
            return Lacks(tuple(sorted(words - found.keys())))
        root = replace(task.source.root, texts=found)
        module = task.source.module
        if isinstance(module, Sent):
            module = replace(module, texts=found)
        task = replace(task, source=replace(task.source, root=root, module=module))
    with tempfile.TemporaryDirectory(prefix="dentryproof-") as folder:
        task = replace(task, exports=task.exports.below(Path(folder)))
        made = task.exports.folders
        for path in made.values():
            path.mkdir()
        messages = list(_hands.answers(task, work.limits, _wanted()))
        ended = messages.pop()
        if isinstance(ended.error, LackingError):
            return Asks(ended.error.kind, ended.error.what)
        for name, path in made.items():
            messages += [Made(name, p.name, p.read_text(encoding="utf-8")) for p in sorted(path.iterdir())]
    return Done((*messages, ended))


def is_text(word: str) -> bool:
    """Whether what `tree.content` says of a file is the hash of a text, which there is then."""
    return len(word) > 1 and not word.startswith("!")


def _wanted() -> Callable[[], bool]:
    """Asks whether somebody still waits for the task that this thread of a worker does."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        state = worker.state.tasks.get(key)
        return state is not None and state.state != "cancelled"

    return wanted


@dataclass(slots=True)
class _Kept:
    """Texts by content, those longest unused forgotten first."""

    texts: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    size: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, texts: Mapping[str, bytes], words: set[str]) -> dict[str, bytes]:
        """Those of the texts named that are there, once others were taken in."""
        with self.lock:
            for word, text in texts.items():
                if word not in self.texts:
                    self.texts[word] = text
                    self.size += len(text)
            found = {w: self.texts[w] for w in words if w in self.texts}
            for word in found:
                self.texts.move_to_end(word)
            while self.size > _TEXTS:
                self.size -= len(self.texts.popitem(last=False)[1])
        return found


@dataclass(slots=True)
class _Hands:
    """Processes that do the work, kept from task to task; as many as the worker has threads."""

    idle: dict[Limits, list[Worker]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answers(self, task: Task, limits: Limits, wanted: Callable[[], bool]) -> Iterator[Any]:
        """What the task comes to, `Ended` last, also where nobody wants it any longer."""
        with self.lock:
            free = self.idle.setdefault(limits, [])
            hand = free.pop() if free else None
        if hand is None or hand.process.poll() is not None:
            hand = Worker(ANSWER, limits)
        message: Any = None
        for message in hand.answers(task, wanted):
            yield message
        if not isinstance(message, Ended):
            yield Ended("it was called off")
        if hand.alive:
            with self.lock:
                self.idle[limits].append(hand)


_kept = _Kept()
_hands = _Hands()
