"""What a change of a tree does to verdicts: only what it can affect is proved, before and after."""

from __future__ import annotations

from dataclasses import replace

from ..errors import UsageError
from .baseline import compare, of
from .engine import run, side_check, the_kernel
from .request import NOTHING, Request
from .verdict import Report


def difference(before: Request, after: Request, changed: frozenset[str], name: str) -> tuple[Report, Report]:
    """The reports before and after a change of these paths, the latter compared with the former, called
    `name`.

    Both have only the tables of units that can rest on one of the paths. Where the change makes the VFS side
    differ from the specification, or agree with it, that is everything.
    """
    checks = [side_check(r, the_kernel(r)) for r in (before, after)]
    sides = [(c.differences, c.absent) if c else None for c in checks]
    narrow = changed if sides[0] == sides[1] and the_kernel(before) == the_kernel(after) else None
    old, new = _both(replace(before, changed=narrow, exports=NOTHING), replace(after, changed=narrow))
    return old, replace(new, comparison=compare(of(old.results), new.results, name, whole=True))


def _both(before: Request, after: Request) -> tuple[Report, Report]:
    """Both reports. A filesystem that is named and is there only before, or only after, is gone, or new."""
    found: list[Report | UsageError] = []
    for request in (before, after):
        try:
            found.append(run(request))
        except UsageError as error:
            found.append(error)
    old, new = found
    if isinstance(new, UsageError):
        if isinstance(old, UsageError):
            raise new
        return old, replace(old, results=(), understood=(), location=str(after.linux))
    return (replace(new, results=(), understood=()), new) if isinstance(old, UsageError) else (old, new)
