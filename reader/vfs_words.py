"""What the words of the VFS's own code mean to the path analysis: locks, lists, frees, calls of methods.

Functions are known here by name where they are primitives that headers define (``spin_lock()``,
``call_rcu()``), never functions of the VFS files themselves: those are followed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .paths import Outcomes, Paths
from .pathstate import FLAGS, NEW, NO, NULL, UNKNOWN, YES, State, Value
from .steps import ANY, NEGATIVE, POSITIVE, ZERO, Address, Call, Expr, Member, Var

LOCKS = {"d_lock": "d_lock", "d_lockref.lock": "d_lock", "i_lock": "i_lock"}
"""Locks of objects, by the path of members that leads to them."""

GLOBAL = frozenset({"rename_lock", "vfsmount_lock"})
_RCU = ("", "rcu")
_RCU_AGAIN = ("", "rcu, entered again")


class Site(NamedTuple):
    """A call of a method, or the object's own end, as one path comes to it.

    what    ``call METHOD``, ``defer KIND`` (freed after a grace period), ``free KIND``, or ``gp FUNCTION``
            (waits for a grace period)
    root    the function that the path starts in; `entered`: it is an RCU callback
    locks   what is held: ``dentry d_lock``, ``parent d_lock``, ``inode i_lock``, ``rcu``, ``rename_lock``...
    order   what happened to the object before, in order, as steps of spec/vfs.toml name it
    known   what the path knows: ``no inode``, ``unhashed``, ``root``, ``new``, flags (``+F`` on, ``-F`` off)
    args    for each argument its possible signs, and the flags on and off
    """

    what: str
    file: str
    line: int
    function: str
    root: str
    entered: bool
    locks: frozenset[str]
    order: tuple[str, ...]
    known: frozenset[str]
    args: tuple[tuple[int, int, int], ...]


@dataclass
class VfsWords:
    """Gives calls their meaning and collects sites. `victims` says which argument of a method is the object
    that it is called for."""

    victims: Mapping[str, int]
    sites: dict[Site, None] = field(default_factory=dict)
    root: str = ""
    entered: bool = False

    @staticmethod
    def known(name: str) -> bool:
        """Whether a call of that name has a meaning of its own."""
        return name in _MEANINGS

    def call(self, paths: Paths, call: Call, state: State) -> Outcomes | None:
        """The outcomes of a primitive."""
        meaning = _MEANINGS.get(call.name)
        return meaning(self, paths, call, state) if meaning is not None else None

    def stored(self, paths: Paths, target: Member, object_: str, value: Value, state: State) -> State:
        """The state after ``object->...member = value``."""
        members: list[str] = []
        inner: Expr = target
        while isinstance(inner, Member) and not (members and inner.field in ("d_parent", "d_inode")):
            members.append(inner.field)
            inner = inner.base
        path = ".".join(reversed(members))
        if not object_ or object_[0] in "@&" or (path.startswith("d_") and not paths.tracked.cells & _CELLS):
            return state
        if path == "d_inode":
            return self._inode(paths, object_, value, state)
        if path == "d_hash.pprev" and value.sign == ZERO:
            return self._unhash(paths, object_, state)
        if path == "d_flags":
            held = state.cell(object_, "d_flags") or UNKNOWN
            if value.off & ~held.off & FLAGS["DCACHE_ENTRY_TYPE"]:
                state = self.mark(paths, object_, "write dentry d_flags", state)
            told = paths.tracked.flags
            known = Value("", ANY, value.on & told, value.off & told)
            return state.with_cell(object_, "d_flags", known if known.on or known.off else None)
        if path in paths.tracked.cells and path in _TOLD:
            told = _TOLD[path]
            return state.with_cell(object_, path, Value("", ANY, value.on & told, value.off & told))
        return state

    def _inode(self, paths: Paths, object_: str, value: Value, state: State) -> State:
        if value.sign == ZERO:
            held = state.cell(object_, "d_inode")
            if held is not None and held.object:
                state = state.with_cell(object_, "inode", held)
            state = self.mark(paths, object_, "write dentry d_inode", state)
        return state.with_cell(object_, "d_inode", value)

    def _unhash(self, paths: Paths, object_: str, state: State) -> State:
        return self.mark(paths, object_, "write dentry hashed", state).with_cell(object_, "hashed", NULL)

    def counted(
        self, paths: Paths, operator: str, count: Member, state: State
    ) -> tuple[list[State], list[State]]:
        """A reference count below zero is that of a dentry that was killed (the flag goes with it)."""
        if operator not in _KILLED or "d_flags" not in paths.tracked.cells:
            return [state], [state]
        found: tuple[list[State], list[State]] = ([], [])
        for s, base in paths.base(count, state):
            for into, killed in zip(found, _KILLED[operator], strict=True):
                if killed is None or not base.object or base.object[0] in "@&":
                    into.append(s)
                    continue
                held, flag = s.cell(base.object, "d_flags") or Value(off=0), FLAGS["DCACHE_DENTRY_KILLED"]
                on, off = (flag, 0) if killed else (0, flag)
                if not (held.on & off or held.off & on):
                    known = held._replace(on=held.on | on, off=held.off | off)
                    into.append(s.with_cell(base.object, "d_flags", known))
        return found

    def iterated(self, paths: Paths, call: Expr, name: str, object_: str, state: State) -> State:
        """An element of an inode's list of aliases has that inode."""
        known = paths.tracked.cells
        for s, value in paths.eval(call, state) if isinstance(call, Address) else ():
            owner, _, member = value.object[1:].partition("&")
            if member == "i_dentry":
                return (
                    s.with_cell(object_, "d_inode", Value(owner, POSITIVE)) if "d_inode" in known else state
                )
        return state

    def mark(self, paths: Paths, object_: str, what: str, state: State) -> State:
        """The state after `what` happened to an object."""
        return state.marked(object_, what) if paths.tracked.order else state

    # -- sites -------------------------------------------------------------------------------------

    def called(self, paths: Paths, method: str, call: Call, args: list[Value], state: State) -> Outcomes:
        """A method is called for the object that its prototype names."""
        if method == "alloc_inode":
            return [(state, Value(NEW, ZERO | POSITIVE))]
        index = self.victims.get(method, 0)
        object_ = args[index].object if index < len(args) else ""
        told = []
        for value in args:
            held = state.cell(value.object, "flags") if value.object else None
            told.append(
                (value.sign, held.on, held.off) if held is not None else (value.sign, value.on, value.off)
            )
        self._site(paths, f"call {method}", object_, tuple(told), call.at, state)
        if method == "d_prune" and object_.endswith("^"):
            return []  # from here on a parent dies as its child did
        if object_ and method not in _UNORDERED:
            state = self.mark(paths, object_, f"call {method}", state)
        return [(state, UNKNOWN)]

    def _site(
        self,
        paths: Paths,
        what: str,
        object_: str,
        args: tuple[tuple[int, int, int], ...],
        at: int,
        state: State,
    ) -> None:
        graph = paths.frames[-1].graph
        site = Site(
            what,
            graph.file.path,
            graph.file.line(at),
            graph.name,
            self.root,
            self.entered,
            frozenset(_held(object_, state, paths.tracked.order)),
            tuple(mark for owner, mark in state.marks if owner == object_ and object_),
            frozenset(_known(object_, state)),
            args,
        )
        self.sites[site] = None

    # -- primitives --------------------------------------------------------------------------------

    def _lock_of(self, paths: Paths, expr: Expr, state: State) -> list[tuple[State, tuple[str, str] | None]]:
        """The lock that an argument names: of an object, or a global one; None if it is not tracked."""
        place = expr.of if isinstance(expr, Address) else expr
        if isinstance(place, Var) and place.name in GLOBAL:
            return [(state, ("", place.name))]
        found: list[tuple[State, tuple[str, str] | None]] = []
        for s, value in self._bound(paths, expr, state):
            owner, _, member = value.object[1:].partition("&")
            known = value.object.startswith("&") and member in LOCKS
            found.append((s, (owner, LOCKS[member]) if known else None))
        return found

    def _bound(self, paths: Paths, expr: Expr, state: State) -> Outcomes:
        """``&variable->lock``: the variable gets an object of its own if it has none."""
        inner: Expr = expr
        while isinstance(inner, Address | Member):
            inner = inner.of if isinstance(inner, Address) else inner.base
        if isinstance(inner, Var) and not state.var(inner.name).object:
            if state.var(inner.name).sign == ZERO:
                return []  # nothing follows a NULL pointer
            state = paths.bind(inner.name, state)
        if isinstance(inner, Var) and inner is not expr:  # it is followed, hence not NULL
            state = state.with_var(inner.name, state.var(inner.name)._replace(sign=POSITIVE))
        return paths.eval(expr, state)

    def _lock(self, paths: Paths, call: Call, state: State) -> Outcomes:
        found = self._lock_of(paths, call.args[0], state)
        return [(s.locked(lock) if lock else s, UNKNOWN) for s, lock in found]

    def _unlock(self, paths: Paths, call: Call, state: State) -> Outcomes:
        found = [(_dropped(s, lock), lock) for s, lock in self._lock_of(paths, call.args[0], state)]
        if paths.tracked.order:
            return [(s, UNKNOWN) for s, _ in found]
        return [(s.nameless(lock[0]) if lock else s, UNKNOWN) for s, lock in found]

    def _trylock(self, paths: Paths, call: Call, state: State) -> Outcomes:
        """Also ``atomic_dec_and_lock()``, whose lock is the last argument."""
        found: Outcomes = []
        for s, lock in self._lock_of(paths, call.args[-1], state):
            found += [(s.locked(lock) if lock else s, YES), (s, NO)]
        return found

    def _put_or_lock(self, paths: Paths, call: Call, state: State) -> Outcomes:
        found: Outcomes = []
        for s, object_ in self._object(paths, call.args[0], state):
            found += [(s, YES), (s.locked((object_, "d_lock")) if object_ else s, NO)]
        return found

    def _guard(self, paths: Paths, call: Call, state: State) -> Outcomes:
        kind = call.args[0].name if call.args and isinstance(call.args[0], Var) else ""
        if kind == "rcu":
            return [(_entered(state)._replace(guards=state.guards | {_RCU}), UNKNOWN)]
        found: Outcomes = []
        for arg in call.args[1:]:
            for s, lock in self._lock_of(paths, arg, state):
                if lock and call.name == "guard":
                    s = s.locked(lock)._replace(guards=s.guards | {lock})
                elif lock:
                    graph = paths.frames[-1].graph
                    paths.problem(graph, call.at, f"{graph.name}() holds {lock[1]} by {call.name}()")
                found.append((s, UNKNOWN))
        return found or [(state, UNKNOWN)]

    def _enter(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return [(_entered(state), UNKNOWN)]

    def _leave(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return [(state.unlocked(_RCU_AGAIN if _RCU_AGAIN in state.locks else _RCU), UNKNOWN)]

    def _object(self, paths: Paths, expr: Expr, state: State) -> list[tuple[State, str]]:
        """The object that an argument points to, or into."""
        found = []
        for s, value in self._bound(paths, expr, state):
            inside = value.object.startswith("&")
            found.append((s, value.object[1:].partition("&")[0] if inside else value.object.lstrip("@")))
        return found

    def _mark_dead(self, paths: Paths, call: Call, state: State) -> Outcomes:
        found = self._object(paths, call.args[0], state)
        return [(self.mark(paths, o, "lock dentry refcount", s) if o else s, UNKNOWN) for s, o in found]

    def _unhashed(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return self._asked(paths, call, "hashed", NULL, YES, state)

    def _is_root(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return self._asked(paths, call, "root", YES, NO, state)

    def _asked(self, paths: Paths, call: Call, member: str, yes: Value, no: Value, state: State) -> Outcomes:
        """A question about an object that is answered by a cell, or answers it."""
        found: Outcomes = []
        for s, object_ in self._object(paths, call.args[0], state):
            if member not in paths.tracked.cells:
                found.append((s, UNKNOWN))
                continue
            held = s.cell(object_, member) if object_ else None
            if member == "root" and (object_ + "^", "d_lock") in s.locks:
                held = NO  # whoever holds the parent's lock keeps it the parent
            if held is None:
                known = [
                    (s.with_cell(object_, member, v) if object_ and (member, v) != _HASHED else s, v)
                    for v in (yes, no)
                ]
            else:
                known = [(s, held)]
            found += [(t, YES if v == yes else NO) for t, v in known]
        return found

    def _inode_of(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return paths.eval(Member(call.args[0], "d_inode"), state)

    def _negative(self, paths: Paths, call: Call, state: State) -> Outcomes:
        found = self._inode_of(paths, call, state)
        return [(s, YES if v.sign == ZERO else NO if not v.sign & ZERO else UNKNOWN) for s, v in found]

    def _positive(self, paths: Paths, call: Call, state: State) -> Outcomes:
        swap = {YES: NO, NO: YES}
        return [(s, swap.get(v, v)) for s, v in self._negative(paths, call, state)]

    def _delisted(self, paths: Paths, call: Call, state: State) -> Outcomes:
        """Something is taken off a list: the hash chain, the parent's list."""
        for arg in call.args:
            for s, value in self._bound(paths, arg, state):
                owner, _, member = value.object[1:].partition("&")
                last = member.rpartition(".")[2]
                if member == "d_hash":
                    return [(self._unhash(paths, owner, s), UNKNOWN)]
                if last in ("d_child", "d_sib"):
                    return [(self.mark(paths, owner, f"write dentry {last}", s), UNKNOWN)]
        return [(state, UNKNOWN)]

    def _call_rcu(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return self._ended(paths, call, "defer", call.args[0], state)

    def _kfree_rcu(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return self._ended(paths, call, "defer", call.args[0], state)

    def _free(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return self._ended(paths, call, "free", call.args[-1], state)

    def _ended(self, paths: Paths, call: Call, how: str, expr: Expr, state: State) -> Outcomes:
        inner: Expr = expr
        while isinstance(inner, Address | Member):
            inner = inner.of if isinstance(inner, Address) else inner.base
        whole = how == "defer" or isinstance(expr, Var)
        kind = paths.frames[-1].graph.types.get(inner.name, ("", 0))[0] if isinstance(inner, Var) else ""
        found: Outcomes = []
        for s, object_ in self._object(paths, expr, state):
            if object_ and whole and kind in _KINDS:
                what = f"{how} {_KINDS[kind]}"
                self._site(paths, what, object_, (), call.at, s)
                self.mark(paths, object_, what, s)
                s = s.without(object_)
            found.append((s, UNKNOWN))
        return found

    def _container(self, paths: Paths, call: Call, state: State) -> Outcomes:
        found: Outcomes = []
        for s, value in paths.eval(call.args[0], state):
            inside = value.object.startswith("&")
            found.append((s, Value(value.object[1:].partition("&")[0], POSITIVE) if inside else UNKNOWN))
        return found

    def _new(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return [(s, Value(NEW, ZERO | POSITIVE)) for s, _ in paths.values(call.args, state)]

    def _error(self, paths: Paths, call: Call, state: State) -> Outcomes:
        """An error, as a number or as a pointer, is negative."""
        return [(s, Value("", NEGATIVE)) for s, _ in paths.values(call.args, state)]

    def _error_of(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return [(s, v[0]._replace(object="") if v else UNKNOWN) for s, v in paths.values(call.args, state)]

    def _is_error(self, paths: Paths, call: Call, state: State) -> Outcomes:
        found: Outcomes = []
        arg = call.args[0]
        for s, value in paths.eval(arg, state):
            for signs, answer in ((NEGATIVE, YES), (ANY & ~NEGATIVE, NO)):
                if value.sign & signs:
                    known = value._replace(sign=value.sign & signs)
                    found.append((s.with_var(arg.name, known) if isinstance(arg, Var) else s, answer))
        return found

    def _bug_on(self, paths: Paths, call: Call, state: State) -> Outcomes:
        return [(s, UNKNOWN) for s in paths.truth(call.args[0], state)[1]] if call.args else []

    def _happens(self, paths: Paths, call: Call, state: State) -> Outcomes:
        """What the teardown of a superblock calls in other files, as the step that it is."""
        what = _HAPPENS[call.name]
        found: Outcomes = []
        for s, object_ in self._object(paths, _root(call.args[0]), state):
            if object_ and what == "gp":
                self._site(paths, f"gp {call.name}", object_, (), call.at, s)
            found.append((self.mark(paths, object_, what, s) if object_ else s, UNKNOWN))
        return found


def _root(expr: Expr) -> Expr:
    while isinstance(expr, Member):
        expr = expr.base
    return expr


def _entered(state: State) -> State:
    return state.locked(_RCU_AGAIN if _RCU in state.locks else _RCU)


def _dropped(state: State, lock: tuple[str, str] | None) -> State:
    """A lock is dropped: of a dentry to which nothing has happened yet, what d_lock held still is forgotten
    (its inode stays what it is while that inode's i_lock is held)."""
    if lock is None:
        return state
    state = state.unlocked(lock)
    if lock[1] == "d_lock" and not any(owner == lock[0] for owner, _ in state.marks):
        inode = state.cell(lock[0], "d_inode")
        if inode is None or (inode.object, "i_lock") not in state.locks:
            state = state.with_cell(lock[0], "d_inode", None)
        state = state.with_cell(lock[0], "root", None)
    return state


def _held(object_: str, state: State, exact: bool) -> list[str]:
    """The locks held, told by what they are to the object; any inode's are its inode's if not `exact`."""
    inodes = {v.object for m in ("d_inode", "inode") if (v := state.cell(object_, m)) is not None}
    found = []
    for owner, lock in state.locks:
        if not owner:
            found.append("rcu" if lock.startswith("rcu") else lock)
        elif lock == "d_lock":
            who = "dentry" if owner == object_ else "parent" if owner == object_ + "^" else "another"
            found.append(f"{who} d_lock")
        else:
            mine = not exact or owner in inodes or owner in (object_, object_ + ">")
            found.append(f"{'inode' if mine else 'another'} i_lock")
    return found


def _known(object_: str, state: State) -> list[str]:
    found = []
    if object_.startswith(NEW):
        found.append("new")
    for member, value, word in (
        ("d_inode", NULL, "no inode"),
        ("hashed", NULL, "unhashed"),
        ("root", YES, "root"),
    ):
        held = state.cell(object_, member)
        if held is not None and held.sign == value.sign:
            found.append(word)
    held = state.cell(object_, "d_flags")
    for flag, bit in FLAGS.items() if held is not None else ():
        if flag.startswith("DCACHE_") and held is not None:
            found += ["+" + flag] if held.on & bit else ["-" + flag] if held.off & bit else []
    return found


_KILLED: dict[str, tuple[bool | None, bool | None]] = {
    "<": (True, False),
    "!=": (None, False),
    ">": (False, None),
}
"""By comparison with zero: whether the dentry was killed if it is true, and if it is not; None: either."""

_HASHED = ("hashed", YES)
"""Not kept: it would only split paths."""

_TOLD = {"flags": FLAGS["LOOKUP_RCU"], "f_mode": FLAGS["FMODE_OPENED"] | FLAGS["FMODE_CREATED"]}
_CELLS = frozenset({"d_inode", "d_flags", "hashed", "root"})
_KINDS = {"dentry": "dentry", "inode": "inode", "super_block": "sb"}
_UNORDERED = frozenset({"d_delete", "d_init", "d_unalias_trylock", "d_unalias_unlock"})
"""Methods of which no other step needs to know whether they were called before."""

_HAPPENS = {
    "shrink_dcache_for_umount": "write dentry hashed",
    "evict_inodes": "call evict_inode",
    "bdi_unregister": "gp",
    "bdi_put": "gp",
}

_Meaning = Callable[[VfsWords, Paths, Call, State], Outcomes]


def _same(meaning: _Meaning, names: str) -> dict[str, _Meaning]:
    return dict.fromkeys(names.split(), meaning)


_MEANINGS: dict[str, _Meaning] = {
    **_same(VfsWords._lock, "spin_lock spin_lock_nested br_read_lock write_seqlock read_seqlock_excl"),
    **_same(VfsWords._unlock, "spin_unlock br_read_unlock write_sequnlock read_sequnlock_excl"),
    **_same(VfsWords._trylock, "spin_trylock atomic_dec_and_lock"),
    **_same(VfsWords._put_or_lock, "lockref_put_or_lock"),
    **_same(VfsWords._guard, "guard scoped_guard scoped_cond_guard"),
    **_same(VfsWords._enter, "rcu_read_lock"),
    **_same(VfsWords._leave, "rcu_read_unlock"),
    **_same(VfsWords._mark_dead, "lockref_mark_dead"),
    **_same(VfsWords._unhashed, "d_unhashed hlist_bl_unhashed"),
    **_same(VfsWords._is_root, "IS_ROOT"),
    **_same(VfsWords._inode_of, "d_inode d_inode_rcu d_backing_inode"),
    **_same(VfsWords._negative, "d_really_is_negative"),
    **_same(VfsWords._positive, "d_really_is_positive"),
    **_same(
        VfsWords._delisted,
        "__hlist_bl_del hlist_bl_del hlist_bl_del_init list_del list_del_init __list_del_entry __hlist_del "
        "hlist_del hlist_del_init list_del_rcu",
    ),
    **_same(VfsWords._call_rcu, "call_rcu"),
    **_same(VfsWords._kfree_rcu, "kfree_rcu"),
    **_same(VfsWords._free, "kmem_cache_free kfree kvfree"),
    **_same(VfsWords._container, "container_of"),
    **_same(VfsWords._new, "kmem_cache_alloc kmem_cache_zalloc kmem_cache_alloc_lru alloc_inode_sb kzalloc"),
    **_same(VfsWords._error, "ERR_PTR"),
    **_same(VfsWords._error_of, "PTR_ERR ERR_CAST PTR_ERR_OR_ZERO"),
    **_same(VfsWords._is_error, "IS_ERR"),
    **_same(VfsWords._bug_on, "BUG_ON"),
    **_same(VfsWords._happens, " ".join(_HAPPENS)),
}
