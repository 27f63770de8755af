"""Scripts for other solvers; second opinions, with solvers that lie, hang or die."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from test_agreement import effort, formulas, scenarios

from dentryproof.commands.main import main
from dentryproof.encodings.routes import Found, Ways
from dentryproof.encodings.scenario import Scenario, ScenarioAtom, Step, Thread
from dentryproof.encodings.second import Cvc5, Said
from dentryproof.encodings.smtlib import escaped, script
from dentryproof.encodings.solver import decode
from dentryproof.errors import DisagreementError
from dentryproof.proofs.engine import run
from dentryproof.proofs.replay import evaluate, replay
from dentryproof.proofs.request import Exports, Request
from dentryproof.proofs.verdict import Verdict
from dentryproof.spec.logic import Formula, parse


def z3_says(path: Path) -> str:
    """What z3's own command line says of a file."""
    program = shutil.which("z3", path=str(Path(sys.executable).parent)) or shutil.which("z3")
    assert program is not None, "z3-solver brings the program"
    done = subprocess.run([program, "-smt2", str(path)], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def cvc5_says(text: str) -> str:
    pytest.importorskip("cvc5")
    cvc5 = Cvc5()
    try:
        return cvc5.ask(text).status
    finally:
        cvc5.end()


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "scripts"
    assert main(["autofs", "--kernel", "5.0.1", "--export", "smt2", str(folder), "--no-cache", "-q"]) == 1
    return folder


def test_each_obligation_is_a_script_that_z3_and_cvc5_decide_alike(scripts: Path) -> None:
    pytest.importorskip("cvc5")
    rows = [r for r in json.loads((scripts / "index.json").read_text())["obligations"] if r["file"]]
    assert {r["file"] for r in rows} == {p.name for p in scripts.iterdir()} - {"index.json"}
    seen = set()
    cvc5 = Cvc5()
    for row in rows:
        text = (scripts / row["file"]).read_text()
        stated = re.search(r"^\(set-info :status (\w+)\)$", text, re.MULTILINE)
        assert stated is not None and z3_says(scripts / row["file"]) == stated[1]
        assert cvc5.ask(text).status == stated[1]
        assert (row["verdict"] == "proved") == (stated[1] == "unsat")
        seen.add(stated[1])
    cvc5.end()
    assert seen == {"sat", "unsat"}


def test_a_script_says_what_it_is_about(scripts: Path) -> None:
    text = next(p for p in scripts.iterdir() if "rcu-delay-dentry" in p.name).read_text()
    head = text[: text.index("(set-info")].replace("\n; ", " ")
    assert "destroyed only after a grace period" in head and "fs/autofs/root.c:" in head
    assert "always (access(o) -> !once destroyed(o))" in head
    assert "(set-logic QF_IDL)" in text and "(set-info :smt-lib-version 2.6)" in text
    assert ":named |use:gp:" in text or ":named use:gp:" in text or ":named |use:order:" in text


NASTY = 'a|b\\c"; (exit)\n(assert false) é\x00%7C'


def test_identifiers_cannot_leave_their_quotes(tmp_path: Path) -> None:
    """The names would end a symbol, a comment or the script, each in its own way."""
    step = Step(NASTY, "call", NASTY, note=NASTY, guard=(((NASTY, True),),), labels=frozenset({("p", "any")}))
    scenario = Scenario(
        (Thread(NASTY, (step,)), Thread("b" + NASTY, (Step("q", "call"),), after=NASTY)),
        (ScenarioAtom(NASTY, "free", text=NASTY),),
    )
    ways = Ways(scenario)
    for text, status in (("always !p", "sat"), ("eventually p | always !p", "unsat")):
        goal = ways.goal(parse(text), (), False)
        made = script(ways.encoding.constraints(), goal, status=status, comments=[NASTY], source=NASTY).text
        (tmp_path / "x.smt2").write_text(made)
        assert z3_says(tmp_path / "x.smt2") == status
        assert cvc5_says(made) == status
    assert escaped("%7C") != escaped("|")


@given(scenarios(), formulas())
@settings(effort, max_examples=40)
def test_cvc5_and_the_clauses_agree_with_z3(scenario: Scenario, formula: Formula) -> None:
    pytest.importorskip("cvc5")
    ways = Ways(scenario)
    first = ways.find(formula, holds=False)
    assert ways.find(formula, holds=False, solver="sat").status == first.status
    asked = script(
        ways.encoding.constraints(), ways.goal(formula, (), False), status="unknown", comments=(), source=""
    )
    said = CVC5.ask(asked.text)
    assert said.status == first.status
    if said.status == "sat":
        trace = decode(ways.encoding, asked.model(said.values))
        replay(scenario, trace)
        assert not evaluate(formula, scenario, trace)


CVC5 = Cvc5()


# -- whole runs


def checked(clause: str = "rcu-delay-dentry", **more: Any) -> Any:
    """A run in this process, so that a solver can be replaced."""
    exports = Exports(cross_check=True)
    return run(Request(("autofs",), kernel="5.0.1", clauses=(clause,), jobs=0, exports=exports, **more))


def test_all_three_agree_and_say_so() -> None:
    pytest.importorskip("cvc5")
    results = checked().results
    assert {r.verdict for r in results} == {Verdict.VIOLATED}
    for r in results:
        said = [(o.solver, o.answer) for o in r.cross_check]
        assert said == [("sat", "sat"), ("z3", "sat"), ("cvc5", "sat")]
    proved = [r for r in checked("rcu-delay-super").results if r.verdict is Verdict.PROVED]
    assert proved and all({o.answer for o in r.cross_check} == {"unsat"} for r in proved)


@pytest.mark.parametrize("solver", ["z3", "cvc5"])
def test_another_solver_may_decide(solver: str) -> None:
    if solver == "cvc5":
        pytest.importorskip("cvc5")
    results = checked(solver=solver).results
    assert {r.verdict for r in results} == {Verdict.VIOLATED}
    assert all(r.cross_check[0].solver == solver and r.cross_check[0].answer == "sat" for r in results)


def saved(error: DisagreementError) -> Path:
    """The folder that the message names."""
    found = re.search(r"saved in (\S+)$", str(error))
    assert found is not None and "\n" not in str(error) and error.status == 70
    return Path(found[1])


def test_a_solver_that_lies_about_a_violation_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cvc5, "ask", lambda self, text: Said("unsat"))
    with pytest.raises(DisagreementError, match="sat says sat, z3 says sat, cvc5 says unsat") as caught:
        checked()
    folder = saved(caught.value)
    assert {p.name for p in folder.iterdir()} == {"obligation.json", "obligation.smt2", "clauses.json"}
    assert z3_says(folder / "obligation.smt2") == "sat"
    answers = json.loads((folder / "obligation.json").read_text())["answers"]
    assert answers["z3"]["trace"]["order"] and answers["cvc5"]["trace"] is None
    assert json.loads((folder / "clauses.json").read_text())["status"] == "sat"
    shutil.rmtree(folder)


def test_a_trace_that_was_made_up_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every clock 0 and every atom false is no trace that breaks anything."""
    monkeypatch.setattr(Cvc5, "ask", lambda self, text: Said("sat"))
    with pytest.raises(DisagreementError, match=r"^cvc5: ") as caught:
        checked("rcu-delay-super")
    shutil.rmtree(saved(caught.value))


@pytest.mark.parametrize("solver", ["z3", "sat"])
def test_a_route_that_lies_about_a_proof_is_found_out(monkeypatch: pytest.MonkeyPatch, solver: str) -> None:
    honest = Ways.find

    def lying(self: Ways, *args: Any, **options: Any) -> Found:
        lies = options.get("solver") == solver and options.get("holds") is False
        return Found("unsat") if lies else honest(self, *args, **options)

    monkeypatch.setattr(Ways, "find", lying)
    monkeypatch.setattr(Cvc5, "ask", lambda self, text: Said("", "not asked"))
    with pytest.raises(DisagreementError, match=f"{solver} says unsat") as caught:
        checked()
    shutil.rmtree(saved(caught.value))


def test_a_proof_that_the_clauses_refute_gets_no_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    honest = Ways.find

    def lying(self: Ways, *args: Any, **options: Any) -> Found:
        return Found("unsat") if options.get("holds") is False else honest(self, *args, **options)

    monkeypatch.setattr(Ways, "find", lying)
    exports = Exports(certificates=tmp_path / "c")
    with pytest.raises(DisagreementError, match="sat says unsat, the proof in clauses says sat") as caught:
        run(Request(("autofs",), kernel="5.0.1", clauses=("rcu-delay-dentry",), jobs=0, exports=exports))
    shutil.rmtree(saved(caught.value))


def test_no_second_opinion_is_said_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cvc5, "ask", lambda self, text: Said("", "out of time (10 s)"))
    for r in checked().results:
        assert r.verdict is Verdict.VIOLATED
        assert (r.cross_check[2].answer, r.cross_check[2].reason) == ("", "out of time (10 s)")


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("import time; time.sleep(100)", "out of time"),
        ("raise SystemExit(7)", "its process ended with 7"),
        ("print('nonsense', flush=True); input()", "its process ended"),
        ("print('{}', flush=True); input()", "its process ended"),
    ],
)
def test_a_process_that_hangs_dies_or_babbles_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, does: str, reason: str
) -> None:
    pytest.importorskip("cvc5")
    stub = Cvc5(seconds=0.2, command=(sys.executable, "-c", does))
    monkeypatch.setattr("dentryproof.encodings.second.GRACE", 0.5)
    said = stub.ask("(check-sat)")
    assert said.status == "" and said.reason.startswith(reason)
    stub.end()
    assert stub.ask("(check-sat)").status == ""  # and it may be asked again
    stub.end()


def test_what_is_no_script_is_a_reason() -> None:
    pytest.importorskip("cvc5")
    cvc5 = Cvc5()
    assert cvc5.ask("(assert (nonsense))").status == ""
    assert cvc5.ask("(set-logic QF_IDL)(check-sat)").status == "sat"
    cvc5.end()
