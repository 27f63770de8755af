"""Temporal operators on traces written as words: one letter a position, the letter the predicate there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dentryproof.encodings.scenario import Scenario, Step, Thread, Trace
from dentryproof.encodings.solver import solve
from dentryproof.encodings.temporal import holds
from dentryproof.encodings.trace import Encoding
from dentryproof.errors import SpecificationError
from dentryproof.proofs.replay import evaluate
from dentryproof.spec.logic import Formula, parse


def word(letters: str) -> tuple[Scenario, Trace]:
    """One thread whose n-th step bears the n-th letter as its label; "." bears none."""
    steps = tuple(
        Step(f"s{i}", "call", labels=frozenset({(c, "any")} if c != "." else ()))
        for i, c in enumerate(letters)
    )
    return Scenario((Thread("t", steps),)), Trace(tuple(s.id for s in steps), (), (), ())


def decided(formula: Formula, letters: str) -> tuple[bool, bool]:
    """What the evaluator and the encoding say of `formula` on the one trace that the word has."""
    scenario, trace = word(letters)
    encoding = Encoding(scenario)
    outcome = solve(encoding.constraints(), holds(encoding, formula), encoding.env)
    return evaluate(formula, scenario, trace), outcome.status == "sat"


CASES = [
    ("p", "p", True),
    ("p", "qp", False),  # a formula speaks of the first position
    ("always p", "ppp", True),
    ("always p", "ppq", False),
    ("always p", "", True),
    ("eventually p", "qqp", True),
    ("eventually p", "qqq", False),
    ("eventually p", "", False),
    ("next p", "qp", True),
    ("next p", "p", False),  # false at the last position
    ("next true", "p", False),
    ("!next true", "p", True),
    ("previously true", "p", False),  # false at the first
    ("next previously p", "pq", True),
    ("next previously p", "qq", False),
    ("once p", "p", True),
    ("once p", "qp", False),
    ("eventually (q & once p)", "p.q", True),
    ("eventually (q & once p)", "q.p", False),
    ("historically p", "", True),
    ("once p", "", False),
    ("p", "", False),
    ("!p", "", True),
    ("eventually (q & historically p)", "ppq", False),
    ("always historically !q", "pp", True),
    ("p until q", "ppq", True),
    ("p until q", "p.q", False),
    ("p until q", "q", True),
    ("p until q", "ppp", False),
    ("p until q", "", False),
    ("eventually (r & (!q since p))", "qp.r", True),
    ("eventually (r & (!q since p))", "pq.r", False),
    ("eventually (r & (!q since p))", "prq", True),
    ("p until q", "pqr", True),  # what is later is no matter
    ("p since p", "p", True),
    ("q since p", "q", False),
    ("true since p", "", False),
    ("always (p -> next q)", "pqpq", True),
    ("always (p -> next q)", "pqp", False),
    ("true -> false", "p", False),
    ("false", "", False),
    ("true", "", True),
    ("next next p", "..p", True),
    ("next next p", ".p", False),
]


@pytest.mark.parametrize(("text", "letters", "expected"), CASES, ids=[f"{t} on {w!r}" for t, w, _ in CASES])
def test_word(text: str, letters: str, expected: bool) -> None:
    assert decided(parse(text), letters) == (expected, expected)


def formulas(names: tuple[str, ...] = ("p", "q", "r")) -> st.SearchStrategy[Formula]:
    """Formulas of depth three at most."""
    tree = st.sampled_from(names).map(lambda n: Formula("pred", name=n)) | st.just(Formula("true"))
    for _ in range(3):
        one = st.sampled_from(("not", "always", "eventually", "next", "once", "historically", "previously"))
        both = st.sampled_from(("and", "or", "implies", "since", "until"))
        tree = (
            tree
            | st.builds(lambda op, a: Formula(op, (a,)), one, tree)
            | st.builds(lambda op, a, b: Formula(op, (a, b)), both, tree, tree)
        )
    return tree


@settings(deadline=None, database=None)
@given(formulas(), st.text(alphabet="pqr.", max_size=4))
def test_encoding_agrees_with_evaluator_on_words(formula: Formula, letters: str) -> None:
    direct, encoded = decided(formula, letters)
    assert direct == encoded


@settings(deadline=None, database=None)
@given(formulas())
def test_parse_inverts_str(formula: Formula) -> None:
    assert parse(str(formula)) == formula


@pytest.mark.parametrize(
    "text",
    [
        "a -> b -> c",
        "(a -> b) -> c",
        "a since b since c",
        "a & b & c",
        "a | b & c",
        "!always once p(x, y)",
        "free(dentry.d_fsdata)",
        "p->q",
        "no-blocking->p(a-b)",
        "!(a & b)",
        "false",
        "!false",
    ],
)
def test_round_trip_of_text(text: str) -> None:
    tree = parse(text)
    assert parse(str(tree)) == tree


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an operand expected before the end"),
        ("p q", "'q' left over"),
        ("p # q", "unexpected"),
        ("(p", r"\) expected before the end"),
        ("p(a", r"\) expected before the end"),
        ("p &", "an operand expected before the end"),
        ("-> p", "operand expected at '->'"),
        ("p & until", "operand expected at 'until'"),
    ],
)
def test_what_is_no_formula(text: str, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        parse(text)
