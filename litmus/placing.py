"""The accesses to one location: in which order its writes can come and what its reads can read, so that the
location by itself is coherent and its read-modify-writes are atomic.

Both hold in every memory model here, and neither asks about other locations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, product

from ..encodings.execution import Value

Accesses = tuple[tuple[bool, Value, int], ...]
"""What one thread does to one location, in program order: whether it writes, which value, and for the write
of a read-modify-write operation which of them is its read (else -1)."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which the accesses to a location may be placed: its writes in order and what each read
    reads, as positions among the location's accesses (0 is the initial write); and the value that is left
    there."""

    order: tuple[int, ...]
    reads: tuple[tuple[int, int], ...]
    final: Value


class Ways:
    """Ways, made when they are asked for and kept: there can be very many, and mostly few are looked at."""

    def __init__(self, source: Iterator[Way]) -> None:
        self._source = source
        self._made: list[Way] = []

    def first(self, n: int) -> list[Way]:
        """The first `n`, or as many as there are."""
        self._made += islice(self._source, max(0, n - len(self._made)))
        return self._made[:n]

    def __iter__(self) -> Iterator[Way]:
        at = 0
        while True:
            if at == len(self._made):
                self._made += islice(self._source, 1)
                if at == len(self._made):
                    return
            yield self._made[at]
            at += 1


class Placing:
    """The ways in which the accesses to one location can be placed so that it is coherent by itself and its
    read-modify-writes are atomic."""

    def __init__(self, initial: Value, threads: tuple[Accesses, ...], tick: Callable[[], None]) -> None:
        self.tick = tick
        self.value: list[Value] = [initial]
        self.thread = [-1]
        self.read_of: dict[int, int] = {}
        self.threads: list[list[int]] = []
        self.writes: list[list[int]] = []
        self.writing = {0}
        for number, accesses in enumerate(threads):
            start = len(self.value)
            self.threads.append(list(range(start, start + len(accesses))))
            for i, (writes, value, read) in enumerate(accesses):
                self.value.append(value)
                self.thread.append(number)
                if writes:
                    self.writing.add(start + i)
                if read >= 0:
                    self.read_of[start + i] = start + read
            self.writes.append([i for i in self.threads[-1] if i in self.writing])
        self.write_of = {r: w for w, r in self.read_of.items()}

    def ways(self) -> Iterator[Way]:
        for order in self._orders([0], [0] * len(self.writes)):
            self.tick()
            rank = {w: i for i, w in enumerate(order)}
            each = [list(self._thread(order, rank, t, 0, 0, ())) for t in self.threads]
            for reads in product(*each):
                yield Way(tuple(order), tuple(chain(*reads)), self.value[order[-1]])

    def _orders(self, placed: list[int], done: list[int]) -> Iterator[list[int]]:
        """The orders of the writes that agree with program order and in which the write of a
        read-modify-write follows one of the value that was read."""
        value = self.value[placed[-1]]
        ended = True
        for thread, writes in enumerate(self.writes):
            if done[thread] == len(writes):
                continue
            ended = False
            w = writes[done[thread]]
            r = self.read_of.get(w)
            if r is None or self.value[r] == value:
                now = list(done)
                now[thread] += 1
                yield from self._orders([*placed, w], now)
        if ended:
            yield placed

    def _thread(
        self,
        order: list[int],
        rank: dict[int, int],
        accesses: list[int],
        at: int,
        least: int,
        found: tuple[tuple[int, int], ...],
    ) -> Iterator[tuple[tuple[int, int], ...]]:
        """What the reads of one thread can read, each at or after `least` in the order of writes."""
        while at < len(accesses) and accesses[at] in self.writing:
            place = rank[accesses[at]]
            if place < least:
                return
            least = place
            at += 1
        if at == len(accesses):
            yield found
            return
        r = accesses[at]
        # It sees nothing that its own thread writes later.
        limit = min((rank[x] for x in accesses[at + 1 :] if x in self.writing), default=len(order))
        if r in self.write_of:
            # Another thread's write between the two halves would break atomicity, one of its own coherence.
            least = max(least, rank[self.write_of[r]] - 1)
        for place in range(least, limit):
            if self.value[order[place]] == self.value[r]:
                yield from self._thread(order, rank, accesses, at + 1, place, (*found, (r, order[place])))
