"""Temporal formulas (`spec/logic.py`) typeset from their syntax tree: LaTeX, MathML, and plain Unicode.

Parentheses stand only where the grammar needs them. The letters are the usual ones: G always, F eventually,
X next, U until; of the past, H historically, O once, Y previously, S since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from ..spec.logic import BINARY, Formula
from .escapes import latex as escape_latex

LETTERS = {
    "always": "G",
    "eventually": "F",
    "next": "X",
    "until": "U",
    "historically": "H",
    "once": "O",
    "previously": "Y",
    "since": "S",
}
_LEVELS = {"implies": 0, "or": 1, "and": 2, "since": 3, "until": 3}
_UNARY = 4
"""The level of an operand of a unary operator; predicates are above."""


@dataclass(frozen=True)
class _Style:
    """How the parts of a formula are written. `signs` are those of not, and, or, implies, true, false."""

    signs: Mapping[str, str]
    letter: Callable[[str], str]
    predicate: Callable[[str, tuple[str, ...]], str]
    between: str
    group: Callable[[str], str]


def _typeset(f: Formula, style: _Style, least: int = 0) -> str:
    """The formula, in parentheses if it binds less tightly than `least`."""
    if f.op == "pred":
        return style.predicate(f.name, f.params)
    if f.op == "true":
        return style.signs["true"]
    if f.op == "not" and f.args[0].op == "true":
        return style.signs["false"]
    if f.op == "not":
        return style.signs["not"] + _typeset(f.args[0], style, _UNARY)
    if f.op not in _LEVELS:
        return style.letter(f.op) + style.between + _typeset(f.args[0], style, _UNARY)
    level = _LEVELS[f.op]
    sign = style.letter(f.op) if f.op in BINARY else style.signs[f.op]
    # implies leans right, since and until lean left, and and or hold any number of operands
    floors = [level + 1] * len(f.args)
    if f.op == "implies":
        floors[-1] = level
    elif f.op in BINARY:
        floors[0] = level
    parts = [_typeset(a, style, floor) for a, floor in zip(f.args, floors, strict=True)]
    text = f"{style.between}{sign}{style.between}".join(parts)
    return style.group(text) if level < least else text


def unicode(f: Formula) -> str:
    """``G (access(o) → ¬O destroyed(o))``."""
    return _typeset(f, _UNICODE)


def latex(f: Formula) -> str:
    """What stands between dollar signs."""
    return _typeset(f, _LATEX)


def mathml(f: Formula) -> Markup:
    """A ``math`` element."""
    text = _typeset(f, _MATHML)
    return Markup(f"<math><mrow>{text}</mrow></math>")


def _call(name: str, params: tuple[str, ...]) -> str:
    return name + (f"({', '.join(params)})" if params else "")


_UNICODE = _Style(
    {"not": "¬", "and": "∧", "or": "∨", "implies": "→", "true": "true", "false": "false"},
    lambda op: LETTERS[op],
    _call,
    " ",
    lambda text: f"({text})",
)


def _latex_predicate(name: str, params: tuple[str, ...]) -> str:
    def word(text: str) -> str:
        return rf"\mathit{{{escape_latex(text, breaks=False)}}}"

    inner = ",".join(word(p) for p in params)
    return word(name) + (f"({inner})" if params else "")


_LATEX = _Style(
    {
        "not": r"\neg ",
        "and": r"\land",
        "or": r"\lor",
        "implies": r"\rightarrow",
        "true": r"\top",
        "false": r"\bot",
    },
    lambda op: rf"\,\mathbf{{{LETTERS[op]}}}\," if op in BINARY else rf"\mathbf{{{LETTERS[op]}}}\,",
    _latex_predicate,
    " ",
    lambda text: f"({text})",
)


def _mathml_predicate(name: str, params: tuple[str, ...]) -> str:
    inner = "<mo>,</mo>".join(f"<mi>{escape(p)}</mi>" for p in params)
    called = f'<mo stretchy="false">(</mo>{inner}<mo stretchy="false">)</mo>' if params else ""
    return f"<mi>{escape(name)}</mi>{called}"


_MATHML = _Style(
    {
        "not": '<mo form="prefix">¬</mo>',
        "and": "<mo>∧</mo>",
        "or": "<mo>∨</mo>",
        "implies": '<mo stretchy="false">→</mo>',
        "true": "<mo>⊤</mo>",
        "false": "<mo>⊥</mo>",
    },
    lambda op: f'<mspace width="0.3em"/><mi mathvariant="normal">{LETTERS[op]}</mi><mspace width="0.3em"/>',
    _mathml_predicate,
    "",
    lambda text: f'<mo stretchy="false">(</mo>{text}<mo stretchy="false">)</mo>',
)
