"""Documents from the templates beside this file. Everything that a template prints is escaped for its kind of
document, but for what is `Raw`: text that a renderer made for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .. import __version__
from ..proofs.verdict import ContractAnswer, Overlap, OverlapAnswer
from ..report import escapes, formulas, pictures
from ..report.svg import STYLE, Link, svg
from ..report.tikz import PREAMBLE, tikz
from ..spec.logic import parse

if TYPE_CHECKING:
    from ..proofs.handbook import CallbackEntry, Handbook


class Raw(str):
    """Text that is what it should be already."""

    __slots__ = ()


def _finalize(escape: Callable[[str], str]) -> Callable[[Any], str]:
    def finalize(value: Any) -> str:
        return value if isinstance(value, Raw) else escape(str(value))

    return finalize


_LATEX_MARKS: dict[str, Any] = {
    "block_start_string": "<%",
    "block_end_string": "%>",
    "variable_start_string": "<<",
    "variable_end_string": ">>",
    "comment_start_string": "<#",
    "comment_end_string": "#>",
}


def _environment(form: str) -> Environment:
    """Where the templates of one kind of document are read, with what escapes for it."""
    common: dict[str, Any] = {
        "loader": PackageLoader("dentryproof.paper"),
        "undefined": StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
        "keep_trailing_newline": True,
    }
    if form == "html":
        return Environment(autoescape=True, **common)
    escape = {"latex": escapes.latex, "rst": escapes.rst, "markdown": escapes.markdown}[form]
    marks = _LATEX_MARKS if form == "latex" else {}
    return Environment(finalize=_finalize(escape), autoescape=False, **common, **marks)


def document(form: str, template: str, **values: Any) -> str:
    """The template as `form` (``latex``, ``rst``, ``markdown``, ``html``), with these values."""
    return _environment(form).get_template(template).render(version=__version__, **values)


# ------------------------------------------------------------------------------------------ the contract

FORMS = ("latex", "rst", "markdown", "html")
"""The forms of the contract that come from templates."""
_ENDINGS = {"latex": "tex", "rst": "rst", "markdown": "md", "html": "html"}
_HELD = {"yes": "yes", "no": "no", "sometimes": "some"}
_SIGNS = {Overlap.OVERLAPS: "x", Overlap.NEVER: ".", Overlap.UNKNOWN: "?"}


def contract(book: Handbook, form: str) -> str:
    """The contract as a whole document in one of `FORMS`."""
    return document(form, f"contract.{_ENDINGS[form]}.j2", **contract_values(book, form))


def contract_values(book: Handbook, form: str) -> dict[str, Any]:
    """What the templates of the contract use; the parts below ``latex/`` can stand in other documents too."""
    locks = [lock for lock, _ in book.callbacks[0].held]
    return {
        "book": book,
        "kernel": book.kernel,
        "clauses": [(c, _formula(c.formula, form)) for c in book.answer.clauses],
        "letters": sorted((letter, op) for op, letter in formulas.LETTERS.items()),
        "locks": locks,
        "callbacks": [_callback(c) for c in book.callbacks],
        "structures": [(of, list(group)) for of, group in itertools.groupby(book.callbacks, lambda c: c.of)],
        "matrix": _matrix(book.overlap),
        "stages": _stages(book),
        "changes": book.changes,
        "span": _span(book),
        "differences": _differences(book.answer),
        **_pictures(book, form),
        **({"preamble": Raw(PREAMBLE)} if form == "latex" else {}),
        **({"literal": _literal, "locking": _locking, "heading": _heading} if form == "rst" else {}),
        **({"code": _code} if form == "markdown" else {}),
        **({"picture_style": Markup(STYLE)} if form == "html" else {}),
    }


def _formula(text: str, form: str) -> str:
    tree = parse(text)
    if form == "html":
        return formulas.mathml(tree)
    return Raw(formulas.unicode(tree) if form == "markdown" else formulas.latex(tree))


def _callback(c: CallbackEntry) -> dict[str, Any]:
    """A row of the callback table, in words."""
    const = ", ".join(c.const) or ("by the contract" if c.kept else "no")
    return {
        "method": c.method,
        "of": c.of,
        "held": [_HELD[word] for _, word in c.held],
        "blocks": c.blocks,
        "lockless": "yes" if c.lockless else "no",
        "const": const,
        "overlaps": "" if c.overlaps is None else ", ".join(c.overlaps) or "nothing",
        "purpose": c.purpose,
    }


def _matrix(answer: OverlapAnswer) -> list[tuple[str, list[str]]]:
    pairs = {frozenset((p.left, p.right)): _SIGNS[p.overlap] for p in answer.pairs}
    return [(a, [pairs.get(frozenset((a, b)), "") for b in answer.callbacks]) for a in answer.callbacks]


def _stages(book: Handbook) -> list[dict[str, str]]:
    return [
        {
            "step": s.step,
            "function": f"{s.function}()" if s.function else "",
            "callback": s.callback,
            "alive": "dead" if s.dead else "alive",
            "locks": ", ".join(s.locks) or "none",
            "published": "hashed" if s.hashed else "unhashed",
            "inode": "yes" if s.inode else "NULL",
            "memory": s.memory,
        }
        for s in book.stages
    ]


def _span(book: Handbook) -> str:
    """Which kernels the table of changes is about, in words."""
    parts = [f"from {book.since}" if book.since else "", f"to {book.until}" if book.until else ""]
    return " ".join(filter(None, parts)) or "all kernels"


def _differences(answer: ContractAnswer) -> list[str]:
    """Where a tree differs, if there is one, and what else is to be said."""
    found = [d.text for d in answer.check.differences] if answer.check is not None else []
    return [*found, *answer.messages]


def _pictures(book: Handbook, form: str) -> dict[str, str]:
    drawn = {
        "lifecycle": pictures.lifecycle_picture(book.stages, book.kernel, book.besides),
        "overlaps": pictures.overlap_picture(book.overlap),
    }
    if form == "latex":
        return {f"{name}_picture": Raw(tikz(p)) for name, p in drawn.items()}
    if form == "html":
        return {f"{name}_picture": Markup(svg(p, name)) for name, p in drawn.items()}
    return {}


def _code(text: str) -> Raw:
    """A Markdown code span that may stand in a table."""
    return Raw("`" + text.replace("`", "'").replace("|", "\\|") + "`")


def _heading(text: str) -> Raw:
    """An RST section's title: plain words, so that a line of its length fits."""
    return Raw(f"{text}\n{'=' * len(text)}")


def _literal(lines: Iterable[str]) -> Raw:
    """An RST literal block's lines."""
    return Raw("\n".join(f"\t{line}" for line in lines))


def _locking(callbacks: Sequence[CallbackEntry]) -> Raw:
    """The rules of one structure's methods, in the columns of locking.rst."""
    head = ("ops", "rename_lock", "->d_lock", "may block", "rcu-walk")
    rows = [
        (
            f"{c.method}:",
            "yes" if "rename_lock" in c.told else "no",
            "yes" if "d_lock" in c.told else "no",
            {"yes": "yes", "no": "no", "ref-walk": "yes (ref-walk)"}[c.blocks],
            "maybe" if c.lockless else "no",
        )
        for c in callbacks
    ]
    sizes = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    border = "  ".join("=" * size for size in sizes)
    lines = ["  ".join(map(str.ljust, row, sizes)).rstrip() for row in (head, *rows)]
    return Raw("\n".join([border, lines[0], border, *lines[1:], border]))


__all__ = ["FORMS", "Link", "Raw", "contract", "contract_values", "document"]
