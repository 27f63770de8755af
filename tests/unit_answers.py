"""What workers that come to a bad end say of a unit (`test_second_run.py`)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Never
from unittest.mock import patch

from dentryproof.errors import InternalError
from dentryproof.proofs.pool import Phase
from dentryproof.proofs.work import Decided, Message, Task, UnitName, answer_apart


def killed_while_reading(task: Task) -> Iterator[Message]:
    """One filesystem's worker is killed before anything is known."""
    yield Phase("reading")
    if _is(task, "fs/twotables"):
        os.kill(os.getpid(), signal.SIGKILL)
    yield from answer_apart(task)


def killed_while_deciding(task: Task) -> Iterator[Message]:
    """One filesystem's worker is killed after a clause."""
    for message in answer_apart(task):
        yield message
        if _is(task, "fs/twotables") and isinstance(message, Decided):
            os.kill(os.getpid(), signal.SIGKILL)


def contradicts_itself(task: Task) -> Iterator[Message]:
    """The tool finds itself wrong about one filesystem."""
    if _is(task, "fs/twotables"):
        raise InternalError("the trace does not replay")
    yield from answer_apart(task)


def breaks(task: Task) -> Iterator[Message]:
    """A defect that nobody foresaw."""
    if _is(task, "fs/twotables"):
        raise KeyError("x")
    yield from answer_apart(task)


def interrupts(task: Task) -> Iterator[Message]:
    """The user presses Ctrl-C when the worker is at its second filesystem."""
    asked.append(task)
    if len(asked) == 2:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(30)
    yield from answer_apart(task)


asked: list[Task] = []


def _is(task: Task, folder: str) -> bool:
    return isinstance(task.source, UnitName) and task.source.folder == folder


def solver_spins(task: Task) -> Iterator[Message]:
    """A solver that never comes back."""
    with patch("dentryproof.encodings.routes.Ways.find", _spin):
        yield from answer_apart(task)


def solver_hangs(task: Task) -> Iterator[Message]:
    """A solver that waits for ever and uses no processor time."""
    with patch("dentryproof.encodings.routes.Ways.find", _wait), patch("dentryproof.proofs.pool.PATIENCE", 1):
        yield from answer_apart(task)


def solver_eats_memory(task: Task) -> Iterator[Message]:
    """A solver that takes all memory that it can get."""
    with patch("dentryproof.encodings.routes.Ways.find", _eat):
        yield from answer_apart(task)


def _spin(*_: object, **__: object) -> Never:
    while True:
        pass


def _wait(*_: object, **__: object) -> Never:
    while True:
        time.sleep(60)


def _eat(*_: object, **__: object) -> Never:
    taken = []
    while True:
        taken.append(bytearray(16 << 20))
