"""What the workers of `test_pool.py` answer: well, badly, or not at all."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from dentryproof.errors import InputError
from dentryproof.proofs.pool import Phase


def answer(task: str) -> Iterator[Any]:
    """Do what the task says."""
    yield Phase(f"doing {task}")
    match task.split():
        case ["say", *words]:
            yield from words
        case ["pid"]:
            yield os.getpid()
        case ["die", number]:
            yield "half"
            print("the last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), int(number))
            time.sleep(30)
        case ["exit"]:
            os._exit(7)
        case ["spin"]:
            while True:
                pass
        case ["again", seconds]:
            for _ in range(3):
                yield Phase("a step")
                until = time.process_time() + float(seconds)
                while time.process_time() < until:
                    pass
            yield "done"
        case ["sleep", seconds]:
            time.sleep(float(seconds))
            yield "woke"
        case ["hog"]:
            yield len(bytearray(8 << 30))
        case ["grow"]:
            yield len(bytearray(400 << 20))
            kept.append(bytearray(400 << 20))
        case ["input"]:
            raise InputError("no such thing")
        case ["defect"]:
            raise ZeroDivisionError("oops")
        case ["interrupt"]:
            os.kill(os.getpid(), signal.SIGINT)
            yield "still here"


kept: list[bytearray] = []
