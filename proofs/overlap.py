"""Who overlaps whom, as a theorem: for each pair of callbacks on one dentry a trace in which both are
running, or a proof that there is none. From the VFS side alone: locks, references, order, sections."""

from __future__ import annotations

from collections.abc import Iterator

from ..encodings.routes import Ways
from ..encodings.scenario import Scenario
from ..errors import InternalError
from ..spec.logic import parse
from ..spec.program import Event, Program, Source
from ..spec.vfs import Vfs, vfs
from .replay import evaluate, replay
from .scenarios import FOUND, SELF_ROLE, Builder, Label, Part
from .verdict import Overlap, OverlapAnswer, OverlapPair

APART = parse(
    "always (!(begin(right) & (!end(left) since begin(left)))"
    " & !(begin(left) & (!end(right) since begin(right))))"
)
"""Neither callback begins while the other runs."""

ONCE = frozenset({"dentry-teardown", "allocation"})
"""Sequences that one dentry goes through once in its life: two of them are the same one."""


def _mark(method: str, side: str) -> Part:
    events = (Event("call", note="begin"), Event("call", note="end"))
    program = Program(method, method, "", Source("", 0, method), events)

    def labels(event: Event, _: str) -> Iterator[Label]:
        if event.note in ("begin", "end"):
            yield f"{event.note}({side})", "any"

    return Part(program, SELF_ROLE, lambda e: True, labels, method)


def _scenario(side: Vfs, left: tuple[str, str], right: tuple[str, str]) -> Scenario:
    """`left`, `right`: (method, sequence). One sequence that is gone through once is one thread."""
    builder = Builder(side, {FOUND["dentry"]})

    def run(cpu: int, sequence: str, parts: dict[str, list[Part]]) -> None:
        if sequence == "rcu-walk" or sequence == "ref-walk":
            parts = {"*": [p for list_ in parts.values() for p in list_]}
        builder.run(
            sequence,
            cpu,
            parts,
            name=f"CPU {cpu}: {side.sequence(sequence).title}",
            victim="dentry",
            features=frozenset({"dentry"}),
            found=sequence in ("rcu-walk", "ref-lookup"),
            keep=lambda s: (
                s.verb in ("lock", "unlock", "get", "put", "enter", "leave", "defer")
                or (s.object, s.field) == FOUND["dentry"]
            ),
        )

    if left[1] == right[1] and left[1] in ONCE:
        run(
            0,
            left[1],
            {left[0]: [_mark(left[0], "left")], right[0]: [_mark(right[0], "right")]}
            if left[0] != right[0]
            else {left[0]: [_mark(left[0], "left")]},
        )
    else:
        run(0, left[1], {left[0]: [_mark(left[0], "left")]})
        run(1, right[1], {right[0]: [_mark(right[0], "right")]})
    return builder.scenario()


def _pair(side: Vfs, left: str, right: str) -> OverlapPair:
    reasons: list[str] = []
    for one in side.runs.get(left, ()):
        for other in side.runs.get(right, ()):
            scenario = _scenario(side, (left, one[0]), (right, other[0]))
            found = Ways(scenario).find(APART, holds=False)
            if found.status == "unknown":
                return OverlapPair(left, right, Overlap.UNKNOWN, found.reason)
            if found.trace is not None:
                replay(scenario, found.trace)
                if evaluate(APART, scenario, found.trace):
                    raise InternalError(f"overlap of {left} and {right}: the trace does not show it")
                names = [_mode(left, one), _mode(right, other)]
                return OverlapPair(
                    left, right, Overlap.OVERLAPS, " while ".join(f"->{n} runs" for n in names)
                )
            reasons += found.core
    return OverlapPair(left, right, Overlap.NEVER, "; ".join(dict.fromkeys(reasons)))


def _mode(method: str, run: tuple[str, str]) -> str:
    return f"{method}() in {'RCU mode' if run[1] == 'rcu' else run[0].replace('-', ' ')}"


def overlap(kernel: str) -> OverlapAnswer:
    """The matrix of kernel version `kernel`: every unordered pair of dentry callbacks on one dentry."""
    side = vfs(kernel)
    methods = tuple(c.method for c in side.callbacks if c.of == "dentry_operations" and c.method in side.runs)
    pairs = tuple(_pair(side, a, b) for i, a in enumerate(methods) for b in methods[i:])
    return OverlapAnswer(kernel, methods, pairs)
