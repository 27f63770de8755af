"""What is held around a callback, and what is alive, locked and published at each step of a dentry's
teardown.

Both follow from the sequences of `spec/vfs.toml`; nothing is stated here a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .vfs import Sequence, Vfs, VfsStep

LOCKS = {
    ("vfs", "rename_lock"): "rename_lock",
    ("dentry", "d_lock"): "d_lock",
    ("parent", "d_lock"): "parent's d_lock",
    ("inode", "i_lock"): "i_lock",
}
"""The locks that tables speak of, by what they are members of."""
COUNT = ("dentry", "refcount")
"""Taken for good when the lockref is marked dead; no lock that anybody holds."""
TEARDOWN = "dentry-teardown"


@dataclass(frozen=True, slots=True)
class Stage:
    """The dentry after one step of its teardown, or while a callback runs.

    step, function  what happens, in words, and in which function; of a callback, its name alone
    callback        the method that runs; "" for a step of the VFS's own
    locks           what the thread that tears down holds
    dead            no counted reference can be taken any more
    hashed          a walk can find it
    inode           d_inode is what it was
    memory          whether it is there: ``yes``, ``until a grace period ends`` or ``no``
    """

    step: str
    function: str
    callback: str
    locks: tuple[str, ...]
    dead: bool
    hashed: bool
    inode: bool
    memory: str

    @property
    def state(self) -> tuple[bool, bool, bool, str]:
        """What of the dentry others can tell."""
        return self.dead, self.hashed, self.inode, self.memory


START = Stage("the last reference is dropped", "", "", (), False, True, True, "yes")


def lifecycle(side: Vfs) -> tuple[Stage, ...]:
    """The teardown of a dentry step by step, from the last reference on."""
    stages = [START]
    locks: tuple[str, ...] = ()
    dead, hashed, inode, memory = START.state
    for step in side.sequence(TEARDOWN).steps:
        cell = (step.object, step.field)
        if step.verb == "call":
            if side.callback(step.object) is None:
                continue
            stages.append(
                Stage(f"->{step.object}()", "", step.object, locks, dead, hashed, inode, memory),
            )
            continue
        locks = _held(locks, step)
        dead = dead or (step.verb == "lock" and cell == COUNT)
        written = step.verb == "write" and step.value == "null"
        hashed = hashed and not (written and cell == ("dentry", "hashed"))
        inode = inode and not (written and cell == ("dentry", "d_inode"))
        if step.object == "dentry" and step.verb in ("defer", "free"):
            memory = "until a grace period ends" if step.verb == "defer" else "no"
        stages.append(Stage(step.note, step.function, "", locks, dead, hashed, inode, memory))
    return tuple(stages)


def _held(locks: tuple[str, ...], step: VfsStep) -> tuple[str, ...]:
    """The locks held after a step."""
    name = LOCKS.get((step.object, step.field))
    if name is None or step.verb not in ("lock", "unlock"):
        return locks
    return (*locks, name) if step.verb == "lock" else tuple(x for x in locks if x != name)


def besides(sequence: Sequence) -> tuple[str, ...]:
    """The locks of `LOCKS` that some callers of a sequence hold besides."""
    found = (("vfs", *a.split()) if " " not in a else tuple(a.split()) for a in sorted(sequence.also))
    return tuple(LOCKS[(c[0], c[1])] for c in found if (c[0], c[1]) in LOCKS)


def held(side: Vfs, method: str) -> dict[str, str]:
    """Whether each lock of `LOCKS` is held when the VFS calls `method`: ``yes``, ``no`` or ``sometimes``.

    Of the locks that only some callers hold, those of the parent and the inode go no later than d_lock does
    (dentry_unlink_inode(), __dentry_kill()).
    """
    calls: list[set[str]] = []
    some: set[str] = set()
    for name, _ in side.runs.get(method, ()):
        sequence = side.sequence(name)
        for locks in _at_calls(sequence, method):
            calls.append(set(locks))
            some |= {x for x in besides(sequence) if x == "rename_lock" or "d_lock" in locks}
    some = some.union(*calls)
    always = set.intersection(*calls) if calls else set()
    return {x: "yes" if x in always else "sometimes" if x in some else "no" for x in LOCKS.values()}


def _at_calls(sequence: Sequence, method: str) -> Iterator[tuple[str, ...]]:
    """What is held at each place of a sequence that calls the method."""
    locks: tuple[str, ...] = ()
    for step in sequence.steps:
        locks = _held(locks, step)
        if step.verb == "call" and step.object in ("*", method):
            yield locks
