"""Binary relations over the events ``0 .. n-1`` of an execution, a row of bits each.

The algebra is that of the cat language of herd (``r | s``, ``r & s``, ``r \\ s``, ``r ; s``, ``r^-1``,
``r+``, ``r*``, ``r?``), with ``-`` for difference and ``@`` for sequence. Sets of events are integers with a
bit an event; `Relation.within` is ``[A] ; r ; [B]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import final


def bits(members: int) -> Iterator[int]:
    """The members of a set, ascending."""
    while members:
        low = members & -members
        yield low.bit_length() - 1
        members ^= low


def members(events: Iterable[int]) -> int:
    """The set of these events."""
    found = 0
    for e in events:
        found |= 1 << e
    return found


@final
class Relation:
    """A relation over ``n`` events; immutable. ``rows[a]`` is the set of all ``b`` that ``a`` is related
    to."""

    __slots__ = ("rows",)

    def __init__(self, rows: Iterable[int]) -> None:
        self.rows = tuple(rows)

    @classmethod
    def empty(cls, n: int) -> Relation:
        return cls((0,) * n)

    @classmethod
    def identity(cls, n: int, among: int = -1) -> Relation:
        """``[among]``: each of these events with itself; all of them if not given."""
        return cls((1 << i) & among for i in range(n))

    @classmethod
    def pairs(cls, n: int, pairs: Iterable[tuple[int, int]]) -> Relation:
        rows = [0] * n
        for a, b in pairs:
            rows[a] |= 1 << b
        return cls(rows)

    @classmethod
    def product(cls, n: int, left: int, right: int) -> Relation:
        """``left * right``: all pairs."""
        return cls(right if left >> i & 1 else 0 for i in range(n))

    def __or__(self, other: Relation) -> Relation:
        return Relation([a | b for a, b in zip(self.rows, other.rows, strict=True)])

    def __and__(self, other: Relation) -> Relation:
        return Relation([a & b for a, b in zip(self.rows, other.rows, strict=True)])

    def __sub__(self, other: Relation) -> Relation:
        return Relation([a & ~b for a, b in zip(self.rows, other.rows, strict=True)])

    def __matmul__(self, other: Relation) -> Relation:
        """``self ; other``."""
        found = []
        rows = other.rows
        for row in self.rows:
            reached = 0
            while row:
                low = row & -row
                reached |= rows[low.bit_length() - 1]
                row ^= low
            found.append(reached)
        return Relation(found)

    def __bool__(self) -> bool:
        return any(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Relation) and self.rows == other.rows

    def __hash__(self) -> int:
        return hash(self.rows)

    def __contains__(self, pair: tuple[int, int]) -> bool:
        return bool(self.rows[pair[0]] >> pair[1] & 1)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The pairs, ascending."""
        for a, row in enumerate(self.rows):
            for b in bits(row):
                yield a, b

    def __repr__(self) -> str:
        return f"Relation({len(self.rows)}, {list(self)})"

    def within(self, left: int = -1, right: int = -1) -> Relation:
        """``[left] ; self ; [right]``."""
        if left == -1:
            return Relation([row & right for row in self.rows])
        return Relation([row & right if left >> i & 1 else 0 for i, row in enumerate(self.rows)])

    def inverse(self) -> Relation:
        rows = [0] * len(self.rows)
        for a, row in enumerate(self.rows):
            mark = 1 << a
            while row:
                low = row & -row
                rows[low.bit_length() - 1] |= mark
                row ^= low
        return Relation(rows)

    def domain(self) -> int:
        """The events that are related to something."""
        found = 0
        for i, row in enumerate(self.rows):
            if row:
                found |= 1 << i
        return found

    def range(self) -> int:
        """The events that something is related to."""
        found = 0
        for row in self.rows:
            found |= row
        return found

    def maybe(self) -> Relation:
        """``self?``: related or equal."""
        return Relation([row | 1 << i for i, row in enumerate(self.rows)])

    def transitive(self) -> Relation:
        """``self+``."""
        rows = list(self.rows)
        for k in range(len(rows)):
            via = rows[k]
            if via:
                for i, row in enumerate(rows):
                    if row >> k & 1:
                        rows[i] = row | via
        return Relation(rows)

    def star(self) -> Relation:
        """``self*``."""
        return self.transitive().maybe()

    def irreflexive(self) -> bool:
        return not any(row >> i & 1 for i, row in enumerate(self.rows))

    def acyclic(self) -> bool:
        """Whether no event leads back to itself."""
        rows = self.rows
        left = self.domain()
        while left:
            # An event none of whose successors are left is in no cycle.
            ended = 0
            row_left = left
            while row_left:
                low = row_left & -row_left
                row_left ^= low
                if not rows[low.bit_length() - 1] & left:
                    ended |= low
                    left ^= low
            if not ended:
                return False
        return True

    def cycle(self) -> tuple[int, ...]:
        """The events of one shortest cycle, each related to the next and the last to the first; empty if
        there is none."""
        best: tuple[int, ...] = ()
        for start in bits(self.domain()):
            if best and len(best) == 1:
                break
            found = self.path(start, start)
            if found and (not best or len(found) - 1 < len(best)):
                best = found[:-1]
        return best

    def path(self, start: int, end: int) -> tuple[int, ...]:
        """The events of one shortest path of at least one step; empty if there is none."""
        came: dict[int, int] = {}
        front = [start]
        while front:
            following = []
            for a in front:
                for b in bits(self.rows[a]):
                    if b not in came:
                        came[b] = a
                        following.append(b)
            if end in came:
                back = [end, came[end]]
                while back[-1] != start:
                    back.append(came[back[-1]])
                return tuple(reversed(back))
            front = following
        return ()
