"""The memory models on executions put together by hand: what each axiom forbids, and what nothing does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dentryproof.encodings.execution import Builder, Execution, Tag
from dentryproof.encodings.models import AXIOMS, LKMM, MODELS, SC, broken, flags
from dentryproof.encodings.relations import Relation

ONCE, ACQUIRE, RELEASE = Tag.ONCE, Tag.ACQUIRE, Tag.RELEASE


def message(first: Tag | None, second: Tag | None, data: bool = True) -> Execution:
    """A message is passed: the reader sees the flag and not what was written before it. `first` is the fence
    between the writes, `second` that between the reads; the accesses to the flag are release and acquire."""
    b = Builder()
    tags = (ONCE,) if data else ()
    written = b.write(0, "data", 1, *tags)
    if first:
        b.fence(0, first)
    flag = b.write(0, "flag", 1, RELEASE if first is None else ONCE)
    seen = b.read(1, "flag", 1, ACQUIRE if second is None else ONCE)
    if second:
        b.fence(1, second)
    b.read(1, "data", 0, *tags)
    b.reads_from(flag, seen)
    b.coherence("data", [written])
    b.coherence("flag", [flag])
    return b.build()


def stores(fence: Tag | None) -> Execution:
    """Store buffering: both threads miss the other's write."""
    b = Builder()
    for thread, (mine, other) in enumerate((("a", "b"), ("b", "a"))):
        w = b.write(thread, mine, 1, ONCE)
        if fence:
            b.fence(thread, fence)
        b.read(thread, other, 0, ONCE)
        b.coherence(mine, [w])
    return b.build()


def back_in_time() -> Execution:
    """Two reads of one location in one thread see its writes in the wrong order."""
    b = Builder()
    w = b.write(0, "x", 1, ONCE)
    new = b.read(1, "x", 1, ONCE)
    b.read(1, "x", 0, ONCE)
    b.reads_from(w, new)
    b.coherence("x", [w])
    return b.build()


def lost_update() -> Execution:
    """Two atomic increments that both start from the initial value."""
    b = Builder()
    writes = []
    for thread in (0, 1):
        r = b.read(thread, "count", 0, ONCE, Tag.RMW)
        w = b.write(thread, "count", 1, ONCE, Tag.RMW)
        b.relate("rmw", r, w)
        b.relate("data", r, w)
        writes.append(w)
    b.coherence("count", writes)
    return b.build()


def removal(gp: bool = True, domain: str = "", other: str = "") -> Execution:
    """A reader sees the state before a removal, then what came after the grace period that follows it."""
    b = Builder()
    if domain:
        entered = b.srcu_lock(0, domain)
    else:
        b.fence(0, Tag.RCU_LOCK)
    late = b.read(0, "freed", 1, ONCE)
    b.read(0, "linked", 0, ONCE)
    if domain:
        b.coherence(domain, [b.srcu_unlock(0, domain, entered)])
    else:
        b.fence(0, Tag.RCU_UNLOCK)
    unlinked = b.write(1, "linked", 1, ONCE)
    if other:
        b.sync_srcu(1, other)
    else:
        b.fence(1, Tag.SYNC_RCU if gp else Tag.MB)
    freed = b.write(1, "freed", 1, ONCE)
    b.reads_from(freed, late)
    b.coherence("linked", [unlinked])
    b.coherence("freed", [freed])
    return b.build()


def deferred(inside: bool = True) -> Execution:
    """The same with the free in a callback. If not `inside`, what the reader misses comes after
    call_rcu()."""
    b = Builder()
    b.fence(0, Tag.RCU_LOCK)
    late = b.read(0, "freed", 1, ONCE)
    b.read(0, "linked", 0, ONCE)
    b.fence(0, Tag.RCU_UNLOCK)
    if inside:
        unlinked = b.write(1, "linked", 1, ONCE)
        b.call_rcu(1, 2)
    else:
        b.call_rcu(1, 2)
        unlinked = b.write(1, "linked", 1, ONCE)
    freed = b.write(2, "freed", 1, ONCE)
    b.reads_from(freed, late)
    b.coherence("linked", [unlinked])
    b.coherence("freed", [freed])
    return b.build()


FORBIDDEN: dict[str, Callable[[], Execution]] = {
    "coherence": back_in_time,
    "atomic": lost_update,
    "happens-before": lambda: message(Tag.WMB, Tag.RMB),
    "propagation": lambda: stores(Tag.MB),
    "rcu": removal,
    "plain-coherence": lambda: message(None, None, data=False),
}


@pytest.mark.parametrize("axiom", AXIOMS)
def test_each_axiom_of_lkmm_is_needed(axiom: str) -> None:
    execution = FORBIDDEN[axiom]()
    found = broken(LKMM(), execution)
    assert found is not None and found.axiom == axiom and found.cycle
    assert broken(LKMM(axioms=[a for a in AXIOMS if a != axiom]), execution) is None


@pytest.mark.parametrize("model", [LKMM(), SC()], ids=["lkmm", "sc"])
def test_what_both_models_forbid(model: LKMM | SC) -> None:
    for build in (back_in_time, lost_update, removal, deferred, lambda: stores(Tag.MB)):
        assert broken(model, build()) is not None


def test_what_only_interleaving_forbids() -> None:
    """Each breaks `sc`; nothing in the kernel's model orders these accesses."""
    for execution in (
        stores(None),
        stores(Tag.WMB),
        message(Tag.RMB, Tag.RMB),
        message(Tag.WMB, Tag.WMB),
        removal(gp=False),
    ):
        assert broken(LKMM(), execution) is None
        assert broken(SC(), execution) is not None


def test_a_callback_waits_only_from_its_call_on() -> None:
    """What comes after call_rcu() need not have happened when the callback runs."""
    assert broken(LKMM(), deferred(inside=False)) is None
    assert broken(SC(), deferred(inside=False)) is None


def test_the_cycle_of_store_buffering_names_its_events() -> None:
    found = broken(SC(), stores(None))
    assert found is not None
    events = stores(None).events
    assert sorted((events[i].kind, events[i].location) for i in found.cycle) == [
        ("R", "a"), ("R", "b"), ("W", "a"), ("W", "b"),
    ]  # fmt: skip


def test_a_domain_waits_for_its_own_readers_alone() -> None:
    assert broken(LKMM(), removal(domain="dom", other="dom")) is not None
    assert broken(LKMM(), removal(domain="dom", other="elsewhere")) is None
    assert broken(LKMM(), removal(domain="dom")) is None
    assert broken(LKMM(), removal(other="dom")) is None


def test_locks_order_what_they_protect() -> None:
    def execution(lock: str) -> Execution:
        b = Builder()
        _, held = b.lock(0, "lock")
        w = b.write(0, "x", 1, ONCE)
        y = b.write(0, "y", 1, ONCE)
        first = b.unlock(0, "lock")
        taken, second = b.lock(1, lock)
        r = b.read(1, "y", 1, ONCE)
        b.read(1, "x", 0, ONCE)
        last = b.unlock(1, lock)
        b.reads_from(y, r)
        b.coherence("x", [w])
        b.coherence("y", [y])
        if lock == "lock":
            b.coherence("lock", [held, first, second, last])
            b.reads_from(first, taken)
        else:
            b.coherence("lock", [held, first])
            b.coherence(lock, [second, last])
        return b.build()

    found = broken(LKMM(), execution("lock"))
    assert found is not None and found.axiom == "happens-before"
    assert broken(LKMM(), execution("other")) is None


def test_races_are_of_plain_accesses_that_nothing_orders() -> None:
    def execution(tag: Tag | None, late: int) -> Execution:
        b = Builder()
        w = b.write(0, "x", 1, *((tag,) if tag else ()))
        flag = b.write(0, "flag", 1, RELEASE)
        seen = b.read(1, "flag", late, ACQUIRE)
        r = b.read(1, "x", 1)
        b.reads_from(w, r)
        if late:
            b.reads_from(flag, seen)
        b.coherence("x", [w])
        b.coherence("flag", [flag])
        return b.build()

    assert flags(LKMM(), execution(None, 0)) == {"data-race"}
    assert flags(LKMM(), execution(ONCE, 0)) == {"data-race"}
    assert flags(LKMM(), execution(None, 1)) == frozenset()
    assert flags(SC(), execution(None, 0)) == frozenset()


def test_misuse_is_flagged() -> None:
    b = Builder()
    b.fence(0, Tag.RCU_LOCK)
    b.coherence("lock", [b.unlock(1, "lock")])
    assert flags(LKMM(), b.build()) == {"unmatched-rcu-lock", "unmatched-unlock"}


def test_a_candidate_must_be_one() -> None:
    b = Builder()
    b.read(0, "x", 7, ONCE)
    with pytest.raises(ValueError, match="cannot read from"):
        b.build()
    b = Builder()
    b.write(0, "x", 1, ONCE)
    with pytest.raises(ValueError, match="comes first"):
        b.build()
    b = Builder()
    b.write(2, "x", 1, ONCE)
    with pytest.raises(ValueError, match="before its callback"):
        b.call_rcu(0, 2)


def test_models_by_name() -> None:
    assert list(MODELS) == ["lkmm", "sc"]


SIZE = 6
relations = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=12).map(
    lambda pairs: Relation.pairs(SIZE, pairs)
)


@given(relations, relations)
def test_the_algebra_is_that_of_sets_of_pairs(r: Relation, s: Relation) -> None:
    a, b = set(r), set(s)
    assert set(r | s) == a | b and set(r & s) == a & b and set(r - s) == a - b
    assert set(r @ s) == {(x, z) for x, y in a for y2, z in b if y == y2}
    assert set(r.inverse()) == {(y, x) for x, y in a}
    closed = set(r.transitive())
    assert a <= closed and all((x, w) in closed for x, y in closed for z, w in closed if y == z)
    smaller = a
    while True:
        grown = smaller | {(x, w) for x, y in smaller for z, w in a if y == z}
        if grown == smaller:
            break
        smaller = grown
    assert closed == smaller
    assert r.acyclic() == all(x != y for x, y in closed)
    cycle = r.cycle()
    assert bool(cycle) != r.acyclic()
    assert all(p in r for p in zip(cycle, (*cycle[1:], *cycle[:1]), strict=True))
