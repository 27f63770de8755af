"""Worker processes: every task ends, whatever becomes of its worker, and no worker outlives the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dentryproof.errors import InputError
from dentryproof.proofs.pool import Ended, Limits, Phase, distribute

LIMITS = Limits(20.0, 1 << 30)


def outcome(*tasks: str, jobs: int = 2, limits: Limits = LIMITS) -> list[list[Any]]:
    """What each task came to, but for its phases."""
    found: list[list[Any]] = [[] for _ in tasks]
    for index, message in distribute(tasks, "pool_answers:answer", jobs, limits):
        if not isinstance(message, Phase):
            found[index].append(message)
    return found


def test_every_task_is_answered() -> None:
    assert outcome("say a b", "say", "say c") == [["a", "b", Ended()], [Ended()], ["c", Ended()]]


def test_nothing_to_do() -> None:
    assert outcome() == []


def test_workers_are_used_again_and_no_more_than_wanted() -> None:
    pids = {answer[0] for answer in outcome(*["pid"] * 6)}
    assert 1 <= len(pids) <= 2 and os.getpid() not in pids


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("die 9", "its process was killed while doing die 9, perhaps for want of memory"),
        ("die 11", "its process ended by SIGSEGV while doing die 11: the last words"),
        ("exit", "its process ended with status 7 while doing exit"),
        ("hog", "it needs more than 1024 MiB of memory"),
        ("defect", "internal error: ZeroDivisionError: oops"),
    ],
)
def test_a_task_that_fails_says_why_and_the_others_are_answered(task: str, reason: str) -> None:
    bad, *good = outcome(task, "say a", "say b", "say c", jobs=1)
    assert [g[0] for g in good] == ["a", "b", "c"]
    assert bad[-1].reason == reason and bad[-1].defect is (task == "defect")
    assert bad[:-1] == (["half"] if task.startswith("die") else [])


def test_the_tools_own_errors_come_back_as_they_are() -> None:
    ((ended,),) = outcome("input")
    assert isinstance(ended.error, InputError) and str(ended.error) == "no such thing"


def test_a_phase_that_takes_too_long_is_cut_off() -> None:
    started = time.monotonic()
    spin, say = outcome("spin", "say a", limits=Limits(1.0, 1 << 30), jobs=1)
    assert spin[-1].reason == "doing spin took more than 1 s of processor time"
    assert say[0] == "a" and time.monotonic() - started < 15


def test_one_that_waits_for_ever_is_cut_off_as_well() -> None:
    ((ended,),) = outcome("sleep 60", limits=Limits(0.25, 1 << 30))
    assert ended.reason == "doing sleep 60 took more than 2 s"


def test_each_phase_has_its_own_clock() -> None:
    # Three phases of 1.2 s each, 3.6 s in all, under a limit of 2 s.
    assert outcome("again 1.2", limits=Limits(2.0, 1 << 30))[0] == ["done", Ended()]


def test_a_worker_that_has_grown_makes_room() -> None:
    grow, first, second = outcome("grow", "pid", "pid", jobs=1, limits=Limits(20.0, 2 << 30))
    assert grow[-1] == Ended(last=True) and first[0] == second[0]


def test_an_interrupt_is_left_to_the_parent() -> None:
    assert outcome("interrupt")[0][0] == "still here"


def running(pid: int) -> bool:
    """Whether there is such a process, other than one that is only waited for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pids: list[int]) -> bool:
    """Whether the processes end soon."""
    until = time.monotonic() + 10
    while any(map(running, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(running, pids))


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")


@needs_proc
def test_closing_it_ends_the_workers() -> None:
    with closing(distribute(["pid", "sleep 60"], "pool_answers:answer", 2, LIMITS)) as messages:
        pid = next(m for _, m in messages if isinstance(m, int))
    assert gone([pid])


PARENT = """
import sys
sys.path.insert(0, {tests!r})
from dentryproof.proofs.pool import Limits, distribute
tasks = ["pid", "pid", "spin", "sleep 60"]
for _, message in distribute(tasks, "pool_answers:answer", 2, Limits(60, 1 << 30)):
    if isinstance(message, int):
        print(message, flush=True)
"""


@needs_proc
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_parent(sent: signal.Signals) -> None:
    code = PARENT.format(tests=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        parent.send_signal(sent)
        parent.wait(10)
    assert gone(pids)
