"""The table of kernel functions: what a call does that is not followed into its source.

The data is `spec/kernel_functions.toml`, one line a function, with its source. A function that is neither
there nor followed may do anything to what it is handed. An effect that not every kernel's function has stands
behind its range of kernels: ``[..5.2] free 0``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from ..errors import SpecificationError
from .vfs import Range, ranged

OPERATIONS = frozenset(
    {
        "pure",
        "value",
        "errptr",
        "load",
        "store",
        "read",
        "write",
        "removed",
        "free",
        "defer",
        "call",
        "block",
        "block-gfp",
        "lock",
        "unlock",
        "trylock",
        "enter",
        "leave",
        "wait",
        "get",
        "put",
        "returns",
        "debug",
        "noreturn",
        "last",
        "error",
        "container",
        "iterate",
        "exchange",
        "exchange-through",
        "store-through",
        "cmpxchg",
        "kref",
        "trace",
        "format",
        "teardown",
        "work",
        "nonnull",
        "unseen",
        "hold",
        "drop",
        "fence",
        "order",
    }
)


ALL = Range()


@dataclass(frozen=True, slots=True)
class Effect:
    """One operation of a function, e.g. ``free 0``: what, the arguments it is about, and in which kernels."""

    operation: str
    arguments: tuple[str, ...] = ()
    kernels: Range = ALL

    def index(self, position: int, default: int = 0) -> int:
        """The argument at `position` as an argument index of the call."""
        return int(self.arguments[position]) if position < len(self.arguments) else default


@dataclass(frozen=True, slots=True)
class KernelFunction:
    """What is stated of one function, and where that was read."""

    name: str
    effects: tuple[Effect, ...]
    source: str
    assumption: str = ""

    @property
    def order(self) -> str:
        """What the accesses of a ``value``, ``load`` or ``store`` are ordered like; "" for plain ones."""
        return next((e.arguments[0] for e in self.effects if e.operation == "order"), "")

    def has(self, operation: str) -> bool:
        """Whether one of the effects is `operation`."""
        return any(e.operation == operation for e in self.effects)


@cache
def table(kernel: str = "") -> dict[str, KernelFunction]:
    """Every function of the table by name, with the effects that it has in `kernel`; without one, with those
    of any kernel. SpecificationError for an operation that does not exist, UsageError where `kernel` is no
    version.
    """
    if kernel:
        return {
            name: replace(f, effects=tuple(e for e in f.effects if e.kernels.holds(kernel)))
            for name, f in table().items()
        }
    text = resources.files("dentryproof.spec").joinpath("kernel_functions.toml").read_text(encoding="utf-8")
    found: dict[str, KernelFunction] = {}
    for group, entries in tomllib.loads(text).items():
        for name, entry in entries.items():
            does = [entry] if isinstance(entry, str) else entry["does"]
            does = [does] if isinstance(does, str) else does
            effects = tuple(_effect(name, d) for line in does for d in line.split(";"))
            rest = {} if isinstance(entry, str) else entry
            found[name] = KernelFunction(name, effects, rest.get("source", group), rest.get("assumes", ""))
    return found


def _effect(name: str, text: str) -> Effect:
    kernels, rest = ranged(text.strip())
    words = rest.split()
    if not words or words[0] not in OPERATIONS:
        raise SpecificationError(f"spec/kernel_functions.toml: {name}: no operation {text!r}")
    return Effect(words[0], tuple(words[1:]), kernels)
