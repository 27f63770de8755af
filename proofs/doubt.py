"""What a difference between a tree and the VFS side of the specification does to verdicts.

A verdict rests on the sequences that its clause names (`Clause.rests`) and on what is stated of the callbacks
that it is about. Where the tree does something else there, or what it does could not be followed, the
verdict is unknown; where the tree lacks the file, that the VFS side is as specified is an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ..spec.contract import clause
from ..spec.vfs import vfs
from .cache import Cache, digest
from .verdict import Difference, Kind, Result, SideCheck, Verdict

if TYPE_CHECKING:
    from ..reader.files import Origin


def checked(
    linux: Origin,
    kernel: str,
    store: Cache | None,
    overlay: Mapping[str, str | None] | None = None,
) -> SideCheck:
    """The VFS side for `kernel` against the tree at `linux`, with some files replaced; from the cache if the
    files are the same."""
    from ..reader.state import State
    from ..reader.tree import Tree

    tree, key = Tree(linux, overlay=overlay), digest("side", kernel)
    known = store.recall("side", key, State(tree)) if store is not None else None
    found = _from_data(known)
    if found is None:
        from .vfs_check import check

        found = check(tree, vfs(kernel))
        if store is not None:
            store.keep("side", key, tree.consulted, _data(found))
    return found


def doubted(result: Result, check: SideCheck, kernel: str) -> Result:
    """`result` as it stands for the tree that was checked."""
    if result.verdict not in (Verdict.PROVED, Verdict.VIOLATED):
        return result
    rests = {*clause(result.clause).rests, *(c.partition("[")[0] for c in result.callbacks)}
    differing = [
        d
        for d in check.differences
        if d.kind is not Kind.DOCUMENTATION and rests.intersection((*d.methods, *d.sequences))
    ]
    if differing:
        more = f" (and {len(differing) - 1} more: prove contract --linux)" if len(differing) > 1 else ""
        reason = f"it would be {result.verdict.value}, but rests on the VFS side, which differs: "
        return replace(
            result,
            verdict=Verdict.UNKNOWN,
            debug_only=False,
            reason=f"{reason}{differing[0].text}{more}",
            core=(),
            trace=(),
            summary="",
            fix="",
            witness="",
            witness_trace=(),
            certificate="",
            repair=None,
        )
    missing = [path for path, about in check.absent if rests.intersection(about)]
    assumed = tuple(
        f"the VFS side of {kernel} was not checked against this tree: it has no {path}"
        for path in dict.fromkeys(missing)
    )
    return replace(result, assumptions=(*result.assumptions, *assumed)) if assumed else result


def _data(check: SideCheck) -> dict[str, Any]:
    """`check` as plain data."""
    rows = [asdict(d) | {"kind": d.kind.value} for d in check.differences]
    return {
        "differences": rows,
        "absent": [list(a) for a in check.absent],
        "places": check.places,
        "document": check.document,
    }


def _from_data(data: Any) -> SideCheck | None:
    """The check that `_data` made plain; None if it is none."""
    try:
        differences = tuple(
            Difference(
                **row
                | {
                    "kind": Kind(row["kind"]),
                    "methods": tuple(row["methods"]),
                    "sequences": tuple(row["sequences"]),
                }
            )
            for row in data["differences"]
        )
        absent = tuple((str(path), tuple(about)) for path, about in data["absent"])
        return SideCheck(differences, absent, int(data["places"]), str(data["document"]))
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
