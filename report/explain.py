"""A clause explained, as text and as JSON; and the list of clauses."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import formulas
from .json import envelope, result_document
from .terminal import MAX_WIDTH, Paint, plain
from .trace import draw, held

if TYPE_CHECKING:
    from ..proofs.explain import Explained

_SOURCES = "tests/fixtures/tree"
"""Where the sources of the made-up filesystems are."""


def _wrapped(text: str, width: int, indent: str = "", first: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def render_statements(
    statements: Sequence[tuple[str, str]], width: int = MAX_WIDTH, paint: Paint = plain
) -> str:
    """Every clause with what it says."""
    size = max((len(name) for name, _ in statements), default=0) + 2
    lines = []
    for name, statement in statements:
        first, *rest = _wrapped(statement, width - size) or [""]
        lines += [
            paint("head", name) + " " * (size - len(name)) + first,
            *(" " * size + line for line in rest),
        ]
    return "\n".join([*lines, "", "prove explain CLAUSE says more."]) + "\n"


def render_explained(explained: Explained, width: int = MAX_WIDTH, paint: Paint = plain) -> str:
    """The clause: statement, why, formula, trace, who broke it, fix."""
    clause, told, result = explained.clause, explained.explanation, explained.result
    used = {f.op for f in _operators(clause.formula)}
    letters = ", ".join(f"{x} {op}" for op, x in formulas.LETTERS.items() if op in used)
    lines = [paint("head", clause.id), *_wrapped(clause.statement, width, "  ")]
    lines += _wrapped(f"Kernels: {clause.kernels}. Source: {clause.source}.", width, "  ")
    lines += ["", paint("head", "Why"), *_wrapped(told.why, width, "  ")]
    lines += ["", paint("head", "Formula")]
    lines += _wrapped(formulas.unicode(clause.formula), width, "      ", "  ")
    lines += [f"  where {letters}"] if letters else []
    head = f"How it breaks, on a made-up filesystem ({_SOURCES}/fs/{told.example})"
    lines += ["", paint("head", head), "", *draw(result.trace, width, paint), ""]
    lines += _wrapped(result.summary, width, "  ")
    lines += _wrapped(held(result.trace), width, "  ")
    lines += ["", paint("head", "Who broke it")]
    for case in told.broken:
        said = f"{case.who}, {case.kernels}: {case.what}. Source: {case.source}."
        lines += _wrapped(said, width, "    ", "  ")
        lines += [f"    prove {case.who} --kernel {case.seen} --clause {clause.id}"] if case.seen else []
    lines += _wrapped(told.none, width, "  ")
    lines += ["", paint("head", "How to fix it"), *_wrapped(told.fix, width, "  ")]
    right = f"{told.mended}, which does it right ({_SOURCES}/fs/{told.mended}), is {explained.mended.value}."
    lines += _wrapped(right, width, "  ")
    return "\n".join(lines) + "\n"


def _operators(formula: Any) -> list[Any]:
    return [formula, *(f for a in formula.args for f in _operators(a))]


def statements_document(statements: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The list of clauses as plain data."""
    return envelope() | {"clauses": [{"id": name, "statement": text} for name, text in statements]}


def explained_document(explained: Explained) -> dict[str, Any]:
    """A clause explained as plain data."""
    clause, told = explained.clause, explained.explanation
    return envelope() | {
        "clause": clause.id,
        "statement": clause.statement,
        "why": told.why,
        "formula": str(clause.formula),
        "kernels": str(clause.kernels),
        "source": clause.source,
        "binds": list(clause.binds),
        "example": result_document(explained.result),
        "broken": [asdict(c) for c in told.broken],
        "none": told.none,
        "fix": told.fix,
        "mended": {"filesystem": told.mended, "verdict": explained.mended.value},
    }
