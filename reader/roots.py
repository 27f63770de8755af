"""The VFS's own objects, which have a name of their own (``dentry``, ``sb``...): what yields one of them."""

from __future__ import annotations

from .values import CType, Ptr


def well_known(place: Ptr) -> Ptr | None:
    """The VFS root that a load from `place` yields, if it is one of those that have a name."""
    last = place.field.rsplit(".", 1)[-1]
    if last in ("d_sb", "i_sb"):
        return Ptr("sb", None, "", "super_block", CType("super_block"))
    if place.path == "path" and last == "dentry":
        return Ptr("dentry", None, "", "dentry", CType("dentry"))
    if last == "d_parent" and place.path in ("dentry", "parent"):
        return Ptr("parent", None, "", "dentry", CType("dentry"))
    if last == "d_inode" and place.path in ("dentry", "parent"):
        return Ptr("inode" if place.path == "dentry" else "dir", None, "", "inode", CType("inode"))
    if place.ctype.known and place.ctype.depth == 1 and place.ctype.tag == "super_block":
        return Ptr("sb", None, "", "super_block", CType("super_block"))
    return None


def embedded(place: Ptr) -> Ptr:
    """`place`, seen as the inode itself where it is the inode that a filesystem's structure embeds."""
    if (
        place.path in ("inode", "dir")
        and place.ctype.known
        and place.ctype.depth == 0
        and place.ctype.tag == "inode"
    ):
        return Ptr(place.path, place.via, "", place.otype, CType("inode"))
    return place


__all__ = ["embedded", "well_known"]
