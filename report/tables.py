"""The contract, the overlap matrix and the list of tables as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..proofs.verdict import ContractAnswer, Kind, Overlap, OverlapAnswer, SideCheck
from .escapes import all_visible, visible
from .terminal import MAX_WIDTH, Paint, plain

if TYPE_CHECKING:
    from ..proofs.engine import TableRow

_SIGNS = {Overlap.OVERLAPS: "x", Overlap.NEVER: ".", Overlap.UNKNOWN: "?"}


def aligned(rows: Sequence[Sequence[str]], paint: Paint = plain) -> list[str]:
    """Rows of cells as lines with aligned columns; the first row is the head."""
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, sizes)).rstrip() for row in rows]
    return [paint("head", lines[0]), *lines[1:]]


def render_tables(rows: Sequence[TableRow], paint: Paint = plain, quiet: bool = False) -> str:
    """``prove --list``: each operations table, and where each of its callbacks is defined; if `quiet`, the
    tables alone, one a line."""
    shown = all_visible(tuple(rows))
    return _table_lines(shown, paint) if quiet else _table_blocks(shown, paint)


def _table_blocks(rows: Sequence[TableRow], paint: Paint) -> str:
    blocks = []
    for r in rows:
        other = [n for n in r.names if n != r.filesystem]
        known = f"  (also {', '.join(other)})" if other else ""
        places = dict(r.places)
        cells = [[m, f, str(places[f]) if f in places else "not found"] for m, f in r.callbacks]
        lines = [f"{paint('head', r.filesystem)}  {r.table}  {paint('place', f'{r.file}:{r.line}')}{known}"]
        lines += [f"  {line}" for line in (aligned([["", "", ""], *cells])[1:] if cells else ["no callback"])]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _table_lines(rows: Sequence[TableRow], paint: Paint) -> str:
    cells = [["filesystem", "type names", "table", "callbacks", "defined"]]
    for r in rows:
        cells.append(
            [r.filesystem, ", ".join(r.names) or "-", r.table, str(len(r.callbacks)), f"{r.file}:{r.line}"]
        )
    return "\n".join(aligned(cells, paint)) + "\n"


def render_contract(
    answer: ContractAnswer,
    width: int = MAX_WIDTH,
    paint: Paint = plain,
    changes: Sequence[tuple[str, str]] | None = None,
) -> str:
    """``prove contract``: every clause, the callback table, the changes by kernel version if they were asked
    for, then how a tree compares."""
    lines = [f"The contract for kernel {visible(answer.kernel)}"]
    for c in answer.clauses:
        lines += ["", paint("head", c.id)]
        for name, text in (
            ("", c.statement),
            ("formula", c.formula),
            ("binds", ", ".join(c.callbacks)),
            ("kernels", c.kernels),
            ("source", c.source),
        ):
            head = "  " + (f"{name:<9}" if name else "")
            lines += textwrap.wrap(
                text,
                max(width, 40),
                initial_indent=head,
                subsequent_indent=" " * len(head),
                break_long_words=False,
                break_on_hyphens=False,
            )
    lines += ["", *aligned([answer.columns, *answer.rows], paint)]
    if changes is not None:
        lines += ["", paint("head", "Changes by kernel version")]
        for kernel, what in changes:
            lines += _wrapped(f"{kernel:<8}{what}", width, " " * 8)
        lines += [] if changes else ["none"]
    if answer.check is not None:
        lines += ["", *_compared(all_visible(answer.check), width, paint)]
    lines += [line for m in all_visible(answer.messages) for line in ("", *_wrapped(f"note: {m}", width))]
    return "\n".join(lines) + "\n"


_HEADS = {
    Kind.CODE: "The source does not do what is specified",
    Kind.UNREAD: "The source could not be followed",
    Kind.DOCUMENTATION: "The documentation does not say what is specified",
}


def _compared(check: SideCheck, width: int, paint: Paint) -> list[str]:
    """How the tree's source and its locking.rst compare with the VFS side of the specification."""
    said = f"Compared with the tree: {check.places} places where its source calls a method or frees an object"
    lines = _wrapped(f"{said}, and {check.document or 'no documentation (there is none)'}.", width)
    for path, about in check.absent:
        lines += _wrapped(f"Not compared, as the tree has no {path}: {', '.join(about)}.", width)
    for kind, head in _HEADS.items():
        found = [d for d in check.differences if d.kind is kind]
        if found:
            lines += ["", paint("head", f"{head}:")]
        for difference in found:
            lines += [f"  {line}" for line in _wrapped(difference.text, width - 2, "    ")]
    return lines if check.differences else [*lines, "They agree."]


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def render_overlap(
    answer: OverlapAnswer, width: int = MAX_WIDTH, paint: Paint = plain, verbose: bool = False
) -> str:
    """``prove overlap``: the matrix, then for each callback the others that it can overlap with."""
    names = answer.callbacks
    found = {frozenset((p.left, p.right)): p for p in answer.pairs}
    numbers = [str(i + 1) for i in range(len(names))]
    cells = [["", "", *numbers]]
    for number, left in zip(numbers, names, strict=True):
        pairs = (found.get(frozenset((left, right))) for right in names)
        cells.append([number, left, *(_SIGNS[p.overlap] if p else "" for p in pairs)])
    lines = [f"Who overlaps whom on one dentry, kernel {answer.kernel}", ""]
    lines += aligned(cells, paint)
    lines += ["", "x: there is a trace in which they overlap; .: proved that they never do; ?: unknown", ""]
    for left in names:
        for overlap, verb in ((Overlap.OVERLAPS, "overlaps only with"), (Overlap.UNKNOWN, "unknown against")):
            others = [
                right
                for right in names
                if (p := found.get(frozenset((left, right)))) and p.overlap is overlap
            ]
            if others or overlap is Overlap.OVERLAPS:
                lines += textwrap.wrap(
                    f"{left} {verb}: {', '.join(others) or 'nothing'}",
                    max(width, 40),
                    subsequent_indent="    ",
                    break_long_words=False,
                    break_on_hyphens=False,
                )
    if verbose:
        why = [[p.left, p.right, p.overlap.value, p.reason] for p in answer.pairs]
        lines += ["", *aligned([["callback", "callback", "", "why"], *why], paint)]
    return "\n".join(lines) + "\n"
