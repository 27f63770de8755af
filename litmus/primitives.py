"""The kernel's primitives: which events each comes to.

Source: ``linux-kernel.def`` and ``Documentation/herd-representation.txt`` of tools/memory-model, Linux 6.12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from ..encodings.execution import Tag


class Form(Enum):
    """What a primitive does with its arguments, in the order in which C has them."""

    LOAD = auto()  # address
    STORE = auto()  # address, value
    FENCE = auto()
    EXCHANGE = auto()  # address, value; what was there
    COMPARE = auto()  # address, expected, value; what was there
    UNLESS = auto()  # address, amount, unless; whether it was done
    MODIFY = auto()  # value, address, or address alone; nothing
    RETURN = auto()  # the same; the new value
    FETCH = auto()  # the same; the old value
    LOCK = auto()  # address
    UNLOCK = auto()  # address
    TRYLOCK = auto()  # address; whether it is taken
    IS_LOCKED = auto()  # address; whether it is
    SRCU_LOCK = auto()  # address; an index
    SRCU_UNLOCK = auto()  # address, index
    SRCU_SYNC = auto()  # address


@dataclass(frozen=True, slots=True)
class Primitive:
    """One primitive. `tag` is how its access is annotated, or the kind of fence; None is a plain access, and
    ``Tag.MB`` an operation between two full fences. `arguments` is how many C gives it.

    `lvalue`: C is given the object, not its address. `operator` is what an atomic operation does; `step` the
    amount where it has none for an argument; `test` compares the result with zero.
    """

    name: str
    form: Form
    tag: Tag | None
    arguments: int
    lvalue: bool = False
    operator: str = ""
    step: int | None = None
    test: str = ""


def _accesses() -> Iterator[Primitive]:
    once, acquire, release = Tag.ONCE, Tag.ACQUIRE, Tag.RELEASE
    yield Primitive("READ_ONCE", Form.LOAD, once, 1, lvalue=True)
    yield Primitive("rcu_dereference", Form.LOAD, once, 1, lvalue=True)
    yield Primitive("smp_load_acquire", Form.LOAD, acquire, 1)
    yield Primitive("atomic_read", Form.LOAD, once, 1)
    yield Primitive("atomic_read_acquire", Form.LOAD, acquire, 1)
    yield Primitive("WRITE_ONCE", Form.STORE, once, 2, lvalue=True)
    yield Primitive("rcu_assign_pointer", Form.STORE, release, 2, lvalue=True)
    yield Primitive("smp_store_release", Form.STORE, release, 2)
    yield Primitive("smp_store_mb", Form.STORE, Tag.MB, 2, lvalue=True)
    yield Primitive("atomic_set", Form.STORE, once, 2)
    yield Primitive("atomic_set_release", Form.STORE, release, 2)
    yield Primitive("spin_lock", Form.LOCK, None, 1)
    yield Primitive("spin_unlock", Form.UNLOCK, None, 1)
    yield Primitive("spin_trylock", Form.TRYLOCK, None, 1)
    yield Primitive("spin_is_locked", Form.IS_LOCKED, None, 1)
    for name in ("srcu_read_lock", "srcu_down_read"):
        yield Primitive(name, Form.SRCU_LOCK, Tag.SRCU_LOCK, 1)
    for name in ("srcu_read_unlock", "srcu_up_read"):
        yield Primitive(name, Form.SRCU_UNLOCK, Tag.SRCU_UNLOCK, 2)
    for name in ("synchronize_srcu", "synchronize_srcu_expedited"):
        yield Primitive(name, Form.SRCU_SYNC, Tag.SYNC_SRCU, 1)


FENCES = {
    "smp_mb": Tag.MB,
    "smp_rmb": Tag.RMB,
    "smp_wmb": Tag.WMB,
    "barrier": Tag.BARRIER,
    "smp_mb__before_atomic": Tag.BEFORE_ATOMIC,
    "smp_mb__after_atomic": Tag.AFTER_ATOMIC,
    "smp_mb__after_spinlock": Tag.AFTER_SPINLOCK,
    "smp_mb__after_unlock_lock": Tag.AFTER_UNLOCK_LOCK,
    "smp_mb__after_srcu_read_unlock": Tag.AFTER_SRCU_READ_UNLOCK,
    "rcu_read_lock": Tag.RCU_LOCK,
    "rcu_read_unlock": Tag.RCU_UNLOCK,
    "synchronize_rcu": Tag.SYNC_RCU,
    "synchronize_rcu_expedited": Tag.SYNC_RCU,
}

_ORDERS = {"": Tag.MB, "_relaxed": Tag.ONCE, "_acquire": Tag.ACQUIRE, "_release": Tag.RELEASE}


def _atomics() -> Iterator[Primitive]:
    for suffix, tag in _ORDERS.items():
        for prefix in ("", "atomic_"):
            yield Primitive(f"{prefix}xchg{suffix}", Form.EXCHANGE, tag, 2)
            yield Primitive(f"{prefix}cmpxchg{suffix}", Form.COMPARE, tag, 3)
        for name, operator, step in (
            *(("add", "+", None), ("sub", "-", None), ("inc", "+", 1), ("dec", "-", 1)),
            *(("and", "&", None), ("or", "|", None), ("xor", "^", None), ("andnot", "&~", None)),
        ):
            arguments = 1 if step else 2
            yield Primitive(
                f"atomic_fetch_{name}{suffix}", Form.FETCH, tag, arguments, operator=operator, step=step
            )
            if operator in "+-":
                yield Primitive(
                    f"atomic_{name}_return{suffix}", Form.RETURN, tag, arguments, operator=operator, step=step
                )
            if not suffix:
                yield Primitive(
                    f"atomic_{name}", Form.MODIFY, Tag.ONCE, arguments, operator=operator, step=step
                )
        yield Primitive(f"atomic_add_negative{suffix}", Form.RETURN, tag, 2, operator="+", test="<")
    yield Primitive("atomic_sub_and_test", Form.RETURN, Tag.MB, 2, operator="-", test="==")
    yield Primitive("atomic_dec_and_test", Form.RETURN, Tag.MB, 1, operator="-", step=1, test="==")
    yield Primitive("atomic_inc_and_test", Form.RETURN, Tag.MB, 1, operator="+", step=1, test="==")
    yield Primitive("atomic_add_unless", Form.UNLESS, Tag.MB, 3, operator="+")


PLAIN_LOAD = Primitive("plain read", Form.LOAD, None, 1, lvalue=True)
PLAIN_STORE = Primitive("plain write", Form.STORE, None, 2, lvalue=True)

PRIMITIVES: dict[str, Primitive] = {
    p.name: p
    for p in (
        *_accesses(),
        *_atomics(),
        *(Primitive(name, Form.FENCE, tag, 0) for name, tag in FENCES.items()),
    )
}
