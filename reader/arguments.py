"""What the VFS hands to a method, and what is known of the mode that it is called in.

Prototypes changed over the years; what a parameter is follows from the method, the parameter's type and its
place among those of the same type:

- d_hash(parent[, inode of parent], name), d_compare([parent, its inode,] dentry[, its inode], ...): without
  the inodes from 3.11 on, without the parent from 4.8 on
- d_revalidate(dentry, nameidata) before 3.6, (dentry, flags), ([dir, name,] dentry, flags) from 6.14 on
- d_manage(dentry, rcu_walk) before 4.10, (path, rcu_walk)
- permission([user namespace or idmap,] inode, mask), get_acl(inode, type[, rcu])
"""

from __future__ import annotations

from collections.abc import Sequence

from ..bdd import TRUE
from ..spec.program import Event, Source
from ..spec.vfs import Vfs
from .execute import Executor
from .values import NULL, Const, CType, Multi, Ptr, Sym, Value

Facts = dict[tuple[object, ...], bool]

DENTRY = Ptr("dentry", None, "", "dentry", CType("dentry"))
PARENT = Ptr("parent", None, "", "dentry", CType("dentry"))
INODE = Ptr("inode", None, "", "inode", CType("inode"))
DIR = Ptr("dir", None, "", "inode", CType("inode"))
SUPER = Ptr("sb", None, "", "super_block", CType("super_block"))
PATH = Ptr("path", None, "", "path", CType("path"))
NAMEIDATA = Ptr("static:nameidata", None, "", "nameidata", CType("nameidata"))
_FLAGS = Sym(("param", "flags"))
_FLAG_METHODS = frozenset({"d_revalidate", "d_weak_revalidate"})


def known(mode: str, vfs: Vfs) -> Facts:
    """The truth of tests of the flags, or the mask, that tell a method its mode."""
    if mode == "rcu":
        mask: Facts = {("&", ("c", name), ("param", "mask")): truth for name, truth in vfs.rcu_mask.items()}
        walking: Facts = {
            ("&", ("c", "LOOKUP_RCU"), ("param", "flags")): True,
            ("nonzero", NAMEIDATA.path): True,  # a walk with references may have none
        }
        return {**walking, **mask}
    if mode == "ref":
        return {
            ("&", ("c", "LOOKUP_RCU"), ("param", "flags")): False,
            ("&", ("c", "MAY_NOT_BLOCK"), ("param", "mask")): False,
        }
    return {}


def arguments(
    method: str, mode: str, parameters: Sequence[tuple[str, CType]], executor: Executor, at: Source
) -> list[Multi]:
    """The values of the parameters. What the VFS itself reads to have one becomes an event of the program."""
    executor.memory.cells[(NAMEIDATA.path, "flags")] = [(TRUE, _FLAGS)]
    pointers = [t.tag if t.depth == 1 else "" for _, t in parameters]
    values: list[Multi] = []
    for position, (_, ctype) in enumerate(parameters):
        before = pointers[:position].count(pointers[position])
        total = pointers.count(pointers[position])
        value: Value | None = _of_type(method, mode, pointers[position], before, total, executor, at)
        if value is None and not ctype.depth:
            value = _scalar(method, mode, position == len(parameters) - 1) or Sym(("param", position))
        elif value is None:
            of = CType(ctype.tag) if ctype.tag else CType()
            value = Ptr(f"static:argument{position}", None, "", ctype.tag, of)
        values.append([(TRUE, value)])
    return values


def _of_type(
    method: str, mode: str, tag: str, before: int, total: int, executor: Executor, at: Source
) -> Ptr | Const | None:
    """A pointer that has a role, told by its type and how many of the type come before it."""
    if tag == "dentry":
        if method == "get_link" and mode == "rcu":
            return NULL
        parent = method == "d_hash" or (method == "d_compare" and total == 2 and before == 0)
        return PARENT if parent else DENTRY
    if tag == "inode":
        if method in ("d_revalidate", "d_hash") or (method == "d_compare" and before == 0):
            return DIR
        if method == "d_compare":
            return _sampled(executor, at)
        return INODE
    return {"super_block": SUPER, "path": PATH, "nameidata": NAMEIDATA}.get(tag)


def _sampled(executor: Executor, at: Source) -> Ptr:
    """The inode of the dentry that is compared, which lookup read once and did not test."""
    read = Event("read", "dentry", "d_inode", source=at, type="dentry", note="the inode argument")
    return INODE._replace(via=executor.record.emit(read))


def _scalar(method: str, mode: str, last: bool) -> Sym | Const | None:
    """A number that tells the mode, or bears the flags that do."""
    if method == "d_manage":
        return Const(int(mode == "rcu"))
    if method in ("get_acl", "get_inode_acl") and last:
        return Const(1)
    if method in _FLAG_METHODS:
        return _FLAGS
    return Sym(("param", "mask")) if method == "permission" else None
