"""Memory models: which candidate executions there can be.

A `MemoryModel` is asked about an event structure once and then about every way in which memory may have
answered it. `SC` interleaves; `LKMM` follows, definition by definition and under the same names,
``linux-kernel.bell``, ``linux-kernel.cat`` and ``lock.cat`` of Linux 6.12's tools/memory-model. Both have RCU
and SRCU.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

from .execution import EventStructure, Execution, Kind, Tag
from .relations import Relation, bits


@dataclass(frozen=True, slots=True)
class Broken:
    """The axiom that an execution breaks. `relation` is the name of the relation that it is about, and `of`
    that relation: one that should have no cycle, or no pair at all."""

    axiom: str
    relation: str
    of: Relation
    empty: bool = False

    @property
    def cycle(self) -> tuple[int, ...]:
        """The events of a shortest cycle in `of`, each related to the next and the last to the first; the
        first pair, if there should be none."""
        return next(iter(self.of)) if self.empty else self.of.cycle()


class Judge(Protocol):
    """A memory model on one event structure."""

    def broken(self, rf: Relation, co: Relation) -> Broken | None:
        """The first axiom that the execution breaks; None if the model allows it."""

    def flags(self, rf: Relation, co: Relation) -> frozenset[str]:
        """What the model says of an execution that it allows, beyond allowing it: ``data-race``, or a misuse
        that leaves the execution without meaning."""


class MemoryModel(Protocol):
    """A memory model."""

    @property
    def name(self) -> str: ...

    def over(self, structure: EventStructure) -> Judge:
        """The model on this structure."""


def broken(model: MemoryModel, execution: Execution) -> Broken | None:
    """The first axiom that the execution breaks; None if the model allows it."""
    return model.over(execution.structure).broken(execution.rf, execution.co)


def flags(model: MemoryModel, execution: Execution) -> frozenset[str]:
    """`Judge.flags` of one execution."""
    return model.over(execution.structure).flags(execution.rf, execution.co)


AXIOMS = ("coherence", "atomic", "happens-before", "propagation", "rcu", "plain-coherence")
"""The axioms of LKMM, in the order in which they are looked at."""
SC_AXIOMS = ("sequential-consistency", "atomic", "rcu")


@dataclass(frozen=True, slots=True)
class LKMM:
    """The Linux kernel memory model. `axioms` are those that hold, all of them if not given: a test that
    leaves one out sees what it is there for."""

    axioms: Collection[str] = AXIOMS
    name: str = "lkmm"

    def over(self, structure: EventStructure) -> Judge:
        return _Lkmm(structure, frozenset(self.axioms))


@dataclass(frozen=True, slots=True)
class SC:
    """Sequential consistency: an interleaving of program orders, each read seeing the last write, with atomic
    read-modify-writes and the grace-period guarantee. It has no data races."""

    axioms: Collection[str] = SC_AXIOMS
    name: str = "sc"

    def over(self, structure: EventStructure) -> Judge:
        return _Sc(structure, frozenset(self.axioms))


MODELS: dict[str, MemoryModel] = {m.name: m for m in (LKMM(), SC())}


class _Sections:
    """Read-side critical sections and grace periods of a structure: what is the same in both models."""

    def __init__(self, s: EventStructure) -> None:
        self.rcu_lock, self.rcu_unlock = s.tagged(Tag.RCU_LOCK), s.tagged(Tag.RCU_UNLOCK)
        self.srcu_lock, self.srcu_unlock = s.tagged(Tag.SRCU_LOCK), s.tagged(Tag.SRCU_UNLOCK)
        self.sync_rcu, self.sync_srcu = s.tagged(Tag.SYNC_RCU), s.tagged(Tag.SYNC_SRCU)
        self.structure = s
        n = len(s)
        self.rcu_gp = Relation.identity(n, self.sync_rcu)
        self.srcu_gp = Relation.identity(n, self.sync_srcu)
        self.rcu_rscs = Relation.pairs(n, self._nested())

    def _nested(self) -> Iterator[tuple[int, int]]:
        """``rcu-rscs``: each rcu_read_lock() with the rcu_read_unlock() that it nests with."""
        po = self.structure.po
        here = self.rcu_lock | self.rcu_unlock
        opened: dict[int | None, list[int]] = {}
        # In program order an event comes after all that lead to it.
        before = po.inverse().rows
        for e in sorted(bits(here), key=lambda e: before[e].bit_count()):
            stack = opened.setdefault(self.structure.events[e].thread, [])
            if self.rcu_lock >> e & 1:
                stack.append(e)
            elif stack:
                yield stack.pop(), e

    def srcu_rscs(self, rf: Relation) -> Relation:
        """Each srcu_read_lock() with the srcu_read_unlock() that is handed what it returned."""
        s = self.structure
        if not self.srcu_lock:
            return Relation.empty(len(s))
        carry = (s.data.within(-1, ~self.srcu_unlock) @ rf).star()
        return (carry @ s.data).within(self.srcu_lock, self.srcu_unlock) & s.same_location

    def order(self, link: Relation, srcu_rscs: Relation) -> Relation:
        """``rcu-order``: sequences, joined by `link`, with at least as many grace periods as critical
        sections; of SRCU those of one domain count."""
        loc = self.structure.same_location
        rscsi, srcu_rscsi = self.rcu_rscs.inverse(), srcu_rscs.inverse()
        sides = [(self.rcu_gp, rscsi, False), (self.srcu_gp, srcu_rscsi, True)]
        order = self.rcu_gp | self.srcu_gp
        # Only these matter to what follows.
        ends = self.sync_rcu | self.sync_srcu | self.rcu_lock | self.srcu_lock
        starts = self.sync_rcu | self.sync_srcu | self.rcu_unlock | self.srcu_unlock
        link = link.within(ends, starts)
        inner = link
        while True:
            found = order | (order @ link @ order)
            for gp, sections, local in sides:
                if not gp or not sections:
                    continue
                around = (gp @ inner @ sections) | (sections @ inner @ gp)
                found |= around & loc if local else around
            if found == order:
                return order
            order = found
            inner = link | (link @ order @ link)

    def misuse(self, srcu_rscs: Relation) -> Iterator[str]:
        """What ``linux-kernel.bell`` flags."""
        if self.rcu_lock & ~self.rcu_rscs.domain():
            yield "unmatched-rcu-lock"
        if self.rcu_unlock & ~self.rcu_rscs.range():
            yield "unmatched-rcu-unlock"
        if self.srcu_lock & ~srcu_rscs.domain():
            yield "unmatched-srcu-lock"
        if self.srcu_unlock & ~srcu_rscs.range():
            yield "unmatched-srcu-unlock"
        back = srcu_rscs.inverse()
        if (back @ srcu_rscs) - Relation.identity(len(self.structure)):
            yield "multiple-srcu-matches"
        po = self.structure.po
        if self.sync_srcu and self.rcu_rscs & (po.within(-1, self.sync_srcu) @ po):
            yield "invalid-sleep"
        events = self.structure.events
        if any(events[a].value != events[b].value for a, b in srcu_rscs):
            yield "srcu-bad-value-match"


class _Locks:
    """What ``lock.cat`` flags."""

    def __init__(self, s: EventStructure) -> None:
        po_loc = s.po & s.same_location
        lkw, ul = s.tagged(Tag.LKW), s.tagged(Tag.UL)
        critical = po_loc.within(lkw, ul) - (po_loc.within(lkw, lkw | ul) @ po_loc)
        locks = (
            lkw
            | ul
            | s.tagged(Tag.LKR, Tag.LF, Tag.RL, Tag.RU, Tag.SRCU_LOCK, Tag.SRCU_UNLOCK, Tag.SYNC_SRCU)
        )
        others = s.kind(Kind.READ, Kind.WRITE) & ~locks & ~s.tagged(Tag.INIT)
        said = []
        if ul & ~critical.range():
            said.append("unmatched-unlock")
        if s.same_location.within(others, locks):
            said.append("mixed-lock-accesses")
        self.misuse = tuple(said)


def _irreflexive(axiom: str, name: str, relation: Relation) -> Broken | None:
    return None if relation.irreflexive() else Broken(axiom, name, relation)


def _acyclic(axiom: str, name: str, relation: Relation) -> Broken | None:
    return None if relation.acyclic() else Broken(axiom, name, relation)


def _empty(axiom: str, name: str, relation: Relation) -> Broken | None:
    return Broken(axiom, name, relation, empty=True) if relation else None


def _atomic(s: EventStructure, fr: Relation, co: Relation) -> Broken | None:
    """``empty rmw & (fre ; coe)``: nothing of another thread between the two halves."""
    if not s.rmw:
        return None
    return _empty("atomic", "rmw & (fre ; coe)", s.rmw & ((fr & s.external) @ (co & s.external)))


class _Sc:
    def __init__(self, s: EventStructure, axioms: frozenset[str]) -> None:
        self.s, self.axioms = s, axioms
        self.sections = _Sections(s)
        self.locks = _Locks(s)

    def broken(self, rf: Relation, co: Relation) -> Broken | None:
        s = self.s
        fr = rf.inverse() @ co
        order = s.po | rf | co | fr
        found = None
        if "sequential-consistency" in self.axioms:
            found = _acyclic("sequential-consistency", "po | rf | co | fr", order)
        if found is None and "atomic" in self.axioms:
            found = _atomic(s, fr, co)
        if found is None and "rcu" in self.axioms and (self.sections.sync_rcu or self.sections.sync_srcu):
            link = order.transitive()
            again = self.sections.order(link, self.sections.srcu_rscs(rf)) @ link
            found = _irreflexive("rcu", "rcu-order ; (po | rf | co | fr)+", again)
        return found

    def flags(self, rf: Relation, co: Relation) -> frozenset[str]:
        return frozenset((*self.sections.misuse(self.sections.srcu_rscs(rf)), *self.locks.misuse))


class _Lkmm:
    """LKMM on one structure. What depends neither on ``rf`` nor on ``co`` is computed once."""

    def __init__(self, s: EventStructure, axioms: frozenset[str]) -> None:
        self.s, self.axioms = s, axioms
        n = len(s)
        po = self.po = s.po
        tagged = s.tagged
        self.sections = _Sections(s)
        self.locks = _Locks(s)
        self.R = s.kind(Kind.READ)
        self.W = s.kind(Kind.WRITE)
        self.M = self.R | self.W
        self.init = tagged(Tag.INIT)
        self.ul, self.lkr = tagged(Tag.UL), tagged(Tag.LKR)
        self.acquire = tagged(Tag.ACQUIRE, Tag.LKR)
        self.release = tagged(Tag.RELEASE, Tag.UL)
        self.noreturn = tagged(Tag.NORETURN)
        everything = (1 << n) - 1
        self.marked = everything & (
            ~self.M
            | self.init
            | tagged(Tag.ONCE, Tag.RELEASE, Tag.ACQUIRE)
            | s.rmw.domain()
            | s.rmw.range()
            | tagged(Tag.LKR, Tag.LKW, Tag.UL, Tag.LF, Tag.RL, Tag.RU, Tag.SRCU_LOCK, Tag.SRCU_UNLOCK)
        )
        self.plain = self.M & ~self.marked
        self.po_loc = po & s.same_location
        self.int_, self.ext = s.internal, s.external

        def fencerel(*tags: Tag) -> Relation:
            return po.within(-1, tagged(*tags)) @ po

        M, rmw_events = self.M, tagged(Tag.RMW) & ~tagged(Tag.LKR, Tag.LKW, Tag.LF)
        maybe = po.maybe()
        self.acq_po = po.within(self.acquire, M)
        self.po_rel = po.within(M, self.release)
        r4rmb = self.R & ~self.noreturn
        self.rmb_from = fencerel(Tag.RMB)
        self.rmb = self.rmb_from.within(r4rmb, r4rmb)
        self.r4rmb = r4rmb
        self.wmb = fencerel(Tag.WMB).within(self.W, self.W)
        self.after_unlock_lock = po.within(tagged(Tag.AFTER_UNLOCK_LOCK), M)
        self.mb_static = (
            fencerel(Tag.MB).within(M, M)
            | (fencerel(Tag.BEFORE_ATOMIC).within(M, rmw_events) @ maybe.within(rmw_events, M))
            | (maybe.within(M, rmw_events) @ fencerel(Tag.AFTER_ATOMIC).within(rmw_events, M))
            | (maybe.within(M, tagged(Tag.LKW)) @ fencerel(Tag.AFTER_SPINLOCK).within(-1, M))
            | (maybe.within(M, tagged(Tag.SRCU_UNLOCK)) @ fencerel(Tag.AFTER_SRCU_READ_UNLOCK).within(-1, M))
        )
        grace = self.sections.sync_rcu | self.sections.sync_srcu
        self.has_grace = bool(grace)
        self.gp = po.within(-1, grace) @ maybe

    def broken(self, rf: Relation, co: Relation) -> Broken | None:
        d = _Derived(self, rf, co)
        axioms = self.axioms
        found = None
        if "coherence" in axioms:
            found = _acyclic("coherence", "po-loc | rf | co | fr", self.po_loc | rf | co | d.fr)
        if found is None and "atomic" in axioms:
            found = _atomic(self.s, d.fr, co)
        if found is not None:
            return found
        d.happens()
        if "happens-before" in axioms:
            found = _acyclic("happens-before", "hb", d.hb)
        if found is not None:
            return found
        d.propagate()
        if "propagation" in axioms:
            found = _acyclic("propagation", "pb", d.pb)
        if found is not None:
            return found
        d.grace()
        if "rcu" in axioms:
            found = _irreflexive("rcu", "rb", d.rb)
        if found is None and "plain-coherence" in axioms and self.plain:
            d.bound()
            for name, relation in (("wr", d.wr_incoh), ("rw", d.rw_incoh), ("ww", d.ww_incoh)):
                found = found or _empty("plain-coherence", f"{name}-incoh", relation)
        return found

    def flags(self, rf: Relation, co: Relation) -> frozenset[str]:
        found = [*self.sections.misuse(self.sections.srcu_rscs(rf)), *self.locks.misuse]
        if self.plain:
            d = _Derived(self, rf, co)
            d.happens()
            d.propagate()
            d.grace()
            d.bound()
            if d.race():
                found.append("data-race")
            if self._mixed():
                found.append("mixed-accesses")
        return frozenset(found)

    def _mixed(self) -> bool:
        """``mixed-accesses``: plain writes and marked accesses of one location with no barrier between."""
        tagged, po = self.s.tagged, self.po
        fences = tagged(
            *(Tag.BARRIER, Tag.RMB, Tag.WMB, Tag.MB, Tag.SYNC_RCU, Tag.SYNC_SRCU, Tag.BEFORE_ATOMIC),
            *(Tag.AFTER_ATOMIC, Tag.RCU_LOCK, Tag.RCU_UNLOCK, Tag.SRCU_LOCK, Tag.SRCU_UNLOCK),
        )
        between = fences | self.acquire | self.release
        barrier = (po.within(-1, between) @ po) | po.within(-1, self.release) | po.within(self.acquire)
        open_ = self.po_loc - barrier
        plain = self.plain & self.W
        return bool(open_.within(plain, self.marked) or open_.within(self.marked, plain))


class _Derived:
    """The derived relations of one execution, under the names that ``linux-kernel.cat`` has for them."""

    def __init__(self, on: _Lkmm, rf: Relation, co: Relation) -> None:
        self.on, self.rf, self.co = on, rf, co
        self.fr = rf.inverse() @ co

    def happens(self) -> None:
        """From dependencies to hb."""
        on, s, rf, co, fr = self.on, self.on.s, self.rf, self.co, self.fr
        po, marked = on.po, on.marked
        int_, ext = on.int_, on.ext
        rfe, rfi = rf & ext, rf & int_

        addr, data, ctrl = s.addr, s.data, s.ctrl
        carried = data.within(-1, ~on.sections.srcu_unlock) @ rfi
        if carried:
            carry_dep = carried.star()
            addr, data, ctrl = carry_dep @ addr, carry_dep @ data, carry_dep @ ctrl

        po_unlock_lock_po = po.within(-1, on.ul) @ (po | rf).within(on.ul, on.lkr) @ po if on.lkr else None
        mb = on.mb_static
        if po_unlock_lock_po is not None and on.after_unlock_lock:
            mb |= po_unlock_lock_po.within(on.M) @ on.after_unlock_lock
        self.strong_fence = strong_fence = mb | on.gp
        self.nonrw_fence = nonrw_fence = strong_fence | on.po_rel | on.acq_po
        self.fence = fence = nonrw_fence | on.wmb | on.rmb

        dep = addr | data
        overwrite = co | fr
        to_w = (dep | ctrl).within(-1, on.W) | (overwrite & int_)
        if on.plain:
            to_w |= addr.within(-1, on.plain) @ on.wmb
        to_r = addr.within(-1, on.R) | (dep.within(-1, marked) @ rfi)
        ppo = to_r | to_w | (fence & int_)
        cumulative = strong_fence | on.po_rel
        cumul_fence = cumulative | (rfe.within(-1, marked) @ cumulative) | on.wmb
        if po_unlock_lock_po is not None:
            ppo |= po_unlock_lock_po & int_
            cumul_fence |= po_unlock_lock_po
        self.rmw_sequence = rmw_sequence = (rf @ s.rmw).star() if s.rmw else None
        cumul_fence = cumul_fence.within(marked, marked)
        if rmw_sequence is not None:
            cumul_fence = cumul_fence @ rmw_sequence
        self.cumul_fences = cumul_fences = cumul_fence.star()
        # [Marked] ; (overwrite & ext)? ; cumul-fence* ; [Marked] ; rfe? ; [Marked]
        prop = (overwrite & ext).maybe().within(marked) @ cumul_fences
        prop = prop.within(-1, marked)
        self.rfe_maybe = rfe_maybe = rfe.maybe()
        prop = (prop @ rfe_maybe).within(-1, marked)
        self.prop = prop

        n = len(s)
        self.hb = (ppo | rfe | ((prop & int_) - Relation.identity(n))).within(marked, marked)

    def propagate(self) -> None:
        """pb: each link that is no rf needs a strong fence."""
        self.hbs = self.hb.star()
        self.pb = (self.prop @ self.strong_fence @ self.hbs).within(-1, self.on.marked)

    def grace(self) -> None:
        """rb: grace periods against critical sections."""
        on, po = self.on, self.on.po
        if not on.has_grace:
            self.rb = Relation.empty(len(on.s))
            return
        steps = self.hbs @ self.pb.star()
        rcu_link = po.maybe() @ steps @ self.prop @ po
        order = on.sections.order(rcu_link, on.sections.srcu_rscs(self.rf))
        rcu_fence = po @ order @ po.maybe()
        self.fence = self.fence | rcu_fence
        self.strong_fence = self.strong_fence | rcu_fence
        self.rb = (self.prop @ rcu_fence @ steps).within(-1, on.marked)

    def bound(self) -> None:
        """Visibility and boundaries of plain accesses."""
        on, rf, co, fr = self.on, self.rf, self.co, self.fr
        marked, int_ = on.marked, on.int_
        n = len(on.s)
        fence, nonrw_fence, strong_fence = self.fence, self.nonrw_fence, self.strong_fence
        addr = self._addr()

        xbstar = (self.hb | self.pb | self.rb).star()
        vis = (self.cumul_fences @ self.rfe_maybe).within(-1, marked) @ (
            (strong_fence.within(-1, marked) @ xbstar) | (xbstar & int_)
        )
        w_pre_bounded = (addr | fence).maybe().within(marked)
        after_rmb = on.rmb_from.within(on.r4rmb, ~on.noreturn)
        r_pre_bounded = (addr | nonrw_fence | after_rmb).maybe().within(marked)
        w_post_bounded = fence.maybe().within(-1, marked)
        if self.rmw_sequence is not None:
            w_post_bounded = w_post_bounded @ self.rmw_sequence
        before_rmb = on.rmb_from.within(~on.noreturn, on.r4rmb)
        r_post_bounded = (nonrw_fence | before_rmb).maybe().within(-1, marked)

        strongly = strong_fence @ xbstar
        seen = w_post_bounded @ vis
        self.ww_vis = fence | (strongly @ w_pre_bounded) | (seen @ w_pre_bounded)
        self.wr_vis = fence | (strongly @ r_pre_bounded) | (seen @ r_pre_bounded)
        self.rw_xbstar = fence | (r_post_bounded @ xbstar @ w_pre_bounded)

        product = Relation.product
        self.pre_race = on.ext & (product(n, on.plain, on.M) | product(n, on.M & ~on.init, on.plain))
        self.wr_incoh = self.pre_race & rf & self.rw_xbstar.inverse()
        self.rw_incoh = self.pre_race & fr & self.wr_vis.inverse()
        self.ww_incoh = self.pre_race & co & self.ww_vis.inverse()

    def _addr(self) -> Relation:
        """``addr``, carried through plain accesses."""
        on = self.on
        carried = on.s.data.within(-1, ~on.sections.srcu_unlock) @ (self.rf & on.int_)
        return carried.star() @ on.s.addr if carried else on.s.addr

    def race(self) -> bool:
        """Whether two accesses race."""
        on, n = self.on, len(self.on.s)
        product = Relation.product
        ww_nonrace = (
            self.ww_vis
            & (product(n, on.marked, on.W) | self.rw_xbstar)
            & (product(n, on.W, on.marked) | self.wr_vis)
        )
        if (self.pre_race & self.co) - ww_nonrace:
            return True
        reads_later = self.rf | (self.co @ self.rf)
        if (self.pre_race & reads_later) - self.wr_vis - self.rw_xbstar.inverse():
            return True
        return bool((self.pre_race & self.fr) - self.rw_xbstar)
