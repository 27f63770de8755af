"""What a change does to verdicts, as text."""

from __future__ import annotations

from collections.abc import Iterator

from ..proofs.verdict import Change, Report, Verdict
from .escapes import all_visible
from .summary import verdict_words
from .terminal import MAX_WIDTH, Paint, plain
from .text import block, told


def render(
    before: Report, after: Report, quiet: bool = False, width: int = MAX_WIDTH, paint: Paint = plain
) -> str:
    """What turned, one line a clause or obligation, what is worse first; then traces and reasons of what is
    new or worse. With `quiet` the lines alone. Ends in a newline unless empty."""
    before, after = all_visible(before), all_visible(after)
    changes = after.comparison.changes if after.comparison is not None else ()
    lines = [turned(c, paint) for c in sorted(changes, key=lambda c: not c.worse)]
    if quiet:
        return "".join(f"{line}\n" for line in lines)
    blocks = ["\n".join([_head(before, after), *(f"  {line}" for line in lines or ["nothing turned"])])]
    for wanted in (Verdict.VIOLATED, Verdict.UNKNOWN):
        blocks += ["\n".join(block(r, width, paint)) for r in told(after) if r.verdict is wanted]
    messages = dict.fromkeys((*before.messages, *after.messages))
    if messages:
        blocks.append("\n".join(f"note: {m}" for m in messages))
    return "\n\n".join(blocks) + "\n"


def turned(change: Change, paint: Paint = plain) -> str:
    """One change in a line: ``fuse: fuse_dentry_operations, rcu-delay-super: proved → violated``."""
    was = change.before.value if change.before else "new"
    now = verdict_words(change.after, change.debug_only) if change.after else "gone"
    shown = paint(change.after.value, now) if change.after else now
    head = f"{change.filesystem}: {change.table}, {change.clause}: {was} \N{RIGHTWARDS ARROW} {shown}"
    return ": ".join(filter(None, (head, ", ".join(_about(change)))))


def _about(change: Change) -> Iterator[str]:
    if change.callbacks:
        yield " against ".join(change.callbacks)
    if change.object:
        yield f"on {change.object}"


def _head(before: Report, after: Report) -> str:
    names = sorted({r.filesystem for r in (*before.results, *after.results)})
    what = f"{len(names)} filesystem{'' if len(names) == 1 else 's'}" if names else "no filesystem"
    listed = f": {', '.join(names)}" if names and len(names) <= 12 else ""
    base = after.comparison.baseline if after.comparison is not None else before.location
    return f"kernel {after.kernel}; from {base} the change can affect {what}{listed}"
