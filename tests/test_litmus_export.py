"""Obligations as litmus tests: a reader that shares no code with the exporter must answer Never, under
sequential consistency, exactly where no trace breaks the clause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from test_agreement import effort, programs
from test_memory_models import LATE, hazard, passed
from test_promela import NASTY, obligations, only, without

from dentryproof.commands.main import main
from dentryproof.encodings.litmus import litmus
from dentryproof.encodings.models import MODELS
from dentryproof.encodings.routes import Ways
from dentryproof.encodings.scenario import Scenario, Step, Thread
from dentryproof.encodings.weak import lkmm
from dentryproof.errors import Unsayable
from dentryproof.litmus.answer import Verdict, answer
from dentryproof.litmus.read import read
from dentryproof.proofs.export import litmus_of
from dentryproof.spec.logic import Formula, parse

SECONDS = 20.0
"""For one test; what is not decided by then is not compared."""


def never(text: str) -> bool | None:
    """Whether the condition is never met under sequential consistency; None where that was not decided."""
    verdict = answer(read(text, "x.litmus"), MODELS["sc"], SECONDS).verdict
    assert verdict is not Verdict.UNSUPPORTED
    return None if verdict is Verdict.UNKNOWN else verdict is Verdict.NEVER


def kept_by_sc(scenario: Scenario, formula: Formula) -> bool:
    return Ways(scenario).find(formula, holds=False).status == "unsat"


def test_sc_answers_agree_with_verdicts() -> None:
    asked = [*obligations("5.0.1", "autofs"), *obligations("6.12", "autofs")]
    asked += only("5.0.1", "ceph", "null-inode") + only("6.1", "ceph", "null-inode")
    asked += [without(o, "gp-start", "gp-end") for o in asked if o.clause.id.startswith("rcu-delay")]
    seen: list[bool] = []
    for obligation in asked:
        try:
            text = litmus_of(obligation)
        except Unsayable:
            continue
        said = never(text)
        if said is not None:
            assert said == kept_by_sc(obligation.scenario, obligation.formula), text
            seen.append(said)
    assert len(seen) > 20 and set(seen) == {True, False}


@given(programs(weak=False))
@settings(effort, max_examples=40, phases=[Phase.explicit, Phase.generate])
def test_random_programs_are_answered_as_sc_answers_them(scenario: Scenario) -> None:
    for formula in (parse("always (use -> !once free)"), parse("always !null")):
        try:
            text = litmus(scenario, formula, name="random")
        except Unsayable:
            continue
        said = never(text)
        if said is not None:
            assert said == kept_by_sc(scenario, formula), text


BARRIERS = [
    (passed(), ["WRITE_ONCE(*c1, other)", "READ_ONCE(*c1)"]),
    (passed(acquire=True), ["smp_load_acquire(c1)", "WRITE_ONCE(*c1, other)"]),
    (passed(acquire=True, release=True), ["smp_load_acquire(c1)", "smp_store_release(c1, other)"]),
    (passed(between=("wmb", "")), ["smp_wmb()"]),
    (passed(between=("wmb", "rmb")), ["smp_wmb()", "smp_rmb()"]),
    (hazard("mb", "wmb"), ["smp_mb()", "smp_wmb()"]),
    (hazard("mb", "mb"), ["smp_mb()"]),
]


@pytest.mark.parametrize(("scenario", "words"), BARRIERS)
def test_barriers_are_the_kernels_own(scenario: Scenario, words: list[str]) -> None:
    """Under the kernel's model the litmus test is answered as the scenario is."""
    text = litmus(scenario, LATE, name="barriers")
    assert all(f"{word};" in text for word in words), text
    assert never(text)
    said = answer(read(text, "x.litmus"), MODELS["lkmm"], SECONDS).verdict
    kept = kept_by_sc(lkmm(scenario), LATE)
    assert said is (Verdict.NEVER if kept else Verdict.SOMETIMES), text


def simple(*steps: Step) -> Scenario:
    return Scenario((Thread("a", steps),))


@pytest.mark.parametrize(
    ("scenario", "formula", "why"),
    [
        (
            simple(Step("s", "call", labels=frozenset({("p", "any")}))),
            "eventually p",
            "more than that a step",
        ),
        (simple(Step("s", "call")), "always !p", "no step of it can break"),
        (
            Scenario(
                (
                    Thread(
                        "a",
                        (
                            Step("l", "lock", "dentry", "refcount", "shared"),
                            Step("s", "call", labels=frozenset({("p", "any")})),
                        ),
                    ),
                    Thread("b", (Step("m", "lock", "dentry", "refcount", "exclusive"),)),
                )
            ),
            "always !p",
            "shared",
        ),
        (
            Scenario(
                (
                    Thread(
                        "a",
                        (
                            Step("e", "enter", field="srcu:x"),
                            Step("s", "call", labels=frozenset({("p", "any")})),
                            Step("f", "leave", field="srcu:x"),
                        ),
                    ),
                    Thread("b", (Step("g", "gp-start", field="srcu:x"), Step("h", "gp-end", field="srcu:x"))),
                )
            ),
            "always !p",
            "SRCU",
        ),
    ],
)
def test_what_the_format_cannot_say_is_refused(scenario: Scenario, formula: str, why: str) -> None:
    with pytest.raises(Unsayable, match=why):
        litmus(scenario, parse(formula), name="x")


def test_identifiers_cannot_leave_comments() -> None:
    nasty = NASTY + " *) exists (true) (* // "
    step = Step(nasty, "call", nasty, nasty, note=nasty, labels=frozenset({("p", "any")}))
    text = litmus(simple(step), parse("always !p"), name=nasty, comments=[nasty])
    head, rest = text.split("\n *)\n", 1)
    assert head.count("(*") == 1 and "*)" not in head and "(*" not in rest
    assert never(text) is False


def test_the_index_says_why_there_is_no_file(tmp_path: Path) -> None:
    options = ["--kernel", "5.0.1", "--no-cache", "-q"]
    assert main(["autofs", "--export", "litmus", str(tmp_path / "made"), *options]) == 1
    rows = json.loads((tmp_path / "made" / "index.json").read_text())["obligations"]
    assert {r["file"] for r in rows if r["file"]} == {p.name for p in (tmp_path / "made").glob("*.litmus")}
    delay = [r for r in rows if r["clause"] == "rcu-delay-dentry"]
    assert delay and all(r["file"] and not r["reason"] for r in delay)
    balanced = [r for r in rows if r["clause"] == "balanced-locks"]
    assert balanced and all("formula asks for more" in r["reason"] for r in balanced)
