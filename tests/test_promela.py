"""Obligations as Promela models: spin must say of each what `sc` says, of its breach and of its witness."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_agreement import LATE, LOST, effort, formulas, programs, scenarios

from dentryproof.commands.main import main
from dentryproof.encodings import promela
from dentryproof.encodings.promela import CONTRACT, WITNESS, model
from dentryproof.encodings.routes import Ways
from dentryproof.encodings.scenario import Scenario, ScenarioAtom, Step, Thread
from dentryproof.encodings.spin import Said, ask
from dentryproof.errors import InternalError
from dentryproof.proofs.explore import explore
from dentryproof.proofs.export import promela_of
from dentryproof.proofs.kept import kept, kept_kernel, kept_text
from dentryproof.proofs.obligation import Obligation
from dentryproof.proofs.obligations import questions
from dentryproof.proofs.replay import evaluate
from dentryproof.proofs.witness import present
from dentryproof.spec.contract import clauses
from dentryproof.spec.logic import Formula, parse
from dentryproof.spec.modelfile import load
from dentryproof.spec.vfs import vfs

pytestmark = pytest.mark.skipif(
    shutil.which("spin") is None or shutil.which("gcc") is None, reason="spin or gcc is not installed"
)
FILESYSTEMS = ("autofs", "ceph", "nfs")
KERNELS = ("5.0.1", "6.1", "6.12")
CLAIMS = (CONTRACT, WITNESS)


@cache
def obligations(kernel: str, filesystem: str) -> tuple[Obligation, ...]:
    """The obligations of a filesystem, those of one scenario and formula once."""
    version = kept_kernel(kernel)
    found: dict[tuple[Scenario, Formula], Obligation] = {}
    for one in kept(version, (filesystem,)):
        loaded = load(kept_text(one.name), one.name)
        for clause in clauses():
            for question in questions(loaded, clause, vfs(version)):
                if isinstance(question, Obligation):
                    found.setdefault((question.scenario, question.formula), question)
    return tuple(found.values())


def only(kernel: str, filesystem: str, clause: str) -> list[Obligation]:
    return [o for o in obligations(kernel, filesystem) if o.clause.id == clause]


def body(text: str) -> str:
    """A model without its words: what spin sees of it."""
    return re.sub(r'printf\("[^"]*"\)', "skip", re.sub(r"/\*.*?\*/", "", text))


@dataclass
class Asked:
    """What spin said of models, each body asked once."""

    known: dict[str, Said]

    def all(self, texts: list[str]) -> list[Said]:
        new = {body(t): t for t in texts if body(t) not in self.known}
        with ThreadPoolExecutor(2) as pool:
            self.known |= zip(new, pool.map(spin, new.values()), strict=True)
        return [self.known[body(t)] for t in texts]


ASKED = Asked({})


def spin(text: str) -> Said:
    with TemporaryDirectory() as folder:
        return ask(text, Path(folder), CLAIMS)


def errors(said: Said) -> tuple[bool, bool]:
    """Whether spin found a breach, and a witness."""
    return said.of(CONTRACT).error, said.of(WITNESS).error


def expected(obligation: Obligation) -> tuple[bool, bool]:
    """The same as `sc` has it."""
    ways = Ways(obligation.scenario)
    broken = ways.find(obligation.formula, holds=False)
    wanted = present(obligation.clause.id, obligation.scenario)
    happens = tuple(Formula("eventually", (parse(w),)) for w in wanted)
    entries = [s.id for s in obligation.scenario.steps if s.id.endswith(":entry")]
    shown = ways.find(Formula("and", (Formula("true"), *happens)), entries)
    assert {broken.status, shown.status} <= {"sat", "unsat"}
    return broken.status == "sat", shown.status == "sat"


def names(found: list[Obligation]) -> list[str]:
    return [f"{o.model.kernel} {o.model.table} {o.clause.id} {o.callbacks} {o.object}" for o in found]


@pytest.mark.parametrize("kernel", KERNELS)
def test_spin_agrees_on_every_obligation(kernel: str) -> None:
    """Of obligations that come to one model but for its words, both are asked about one."""
    every = [o for filesystem in FILESYSTEMS for o in obligations(kernel, filesystem)]
    assert len(every) > 100
    models = {body(text): (text, o) for text, o in ((promela_of(o), o) for o in every)}
    new = [m for b, m in models.items() if b not in ASKED.known]
    asked = [o for _, o in new]
    said = [errors(s) for s in ASKED.all([text for text, _ in new])]
    differing = [(n, s) for n, s, o in zip(names(asked), said, asked, strict=True) if s != expected(o)]
    assert not differing
    said = [errors(s) for s in ASKED.all([text for text, _ in models.values()])]
    assert {broken for broken, _ in said} == {True, False}
    assert sum(shown for _, shown in said) > len(said) // 2


def test_the_bug_of_2019_and_its_repair() -> None:
    """autofs_free_ino() called kfree() until 5.2, and kfree_rcu() since (fs/autofs/inode.c)."""
    for kernel, broken in (("5.0.1", True), ("6.12", False)):
        said = ASKED.all([promela_of(o) for o in only(kernel, "autofs", "rcu-delay-dentry")])
        assert [errors(s) for s in said] == [(broken, True)]


def without(obligation: Obligation, *kinds: str) -> Obligation:
    """The obligation with all steps of some kinds taken out."""
    threads = tuple(
        replace(t, steps=tuple(s for s in t.steps if s.kind not in kinds))
        for t in obligation.scenario.threads
    )
    return replace(obligation, scenario=replace(obligation.scenario, threads=threads))


@pytest.mark.parametrize("kinds", [("gp-start", "gp-end"), ("enter", "leave")], ids=["periods", "sections"])
def test_a_proof_that_rests_on_a_grace_period_breaks_without_it(kinds: tuple[str, ...]) -> None:
    proved = [o for o in obligations("6.12", "autofs") if o.clause.id.startswith("rcu-delay")]
    proved += only("6.12", "ceph", "rcu-delay-inode")[:3]
    assert not any(expected(o)[0] for o in proved)
    bare = [without(o, *kinds) for o in proved]
    said = [errors(s) for s in ASKED.all([promela_of(o) for o in bare])]
    assert said == [expected(o) for o in bare]
    assert any(broken for broken, _ in said)


Effect = Callable[[promela._Writer, int, Step], tuple[list[str], list[str]]]


@pytest.mark.parametrize("forgotten", ["gp-end", "lock", "read"])
def test_an_export_that_forgets_a_rule_is_caught(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule matters to a verdict of the three filesystems: without it, spin and `sc` disagree."""
    honest: Effect = promela._Writer.effect

    def careless(self: promela._Writer, number: int, step: Step) -> tuple[list[str], list[str]]:
        needs, does = honest(self, number, step)
        if step.kind != forgotten:
            return needs, does
        return ([], []) if forgotten == "read" else ([], does)

    asked = only("6.12", "autofs", "rcu-delay-dentry") + only("6.12", "ceph", "dead-stays-dead")
    asked += only("5.0.1", "autofs", "rcu-delay-dentry")
    assert [errors(s) for s in ASKED.all([promela_of(o) for o in asked])] == [expected(o) for o in asked]
    monkeypatch.setattr(promela._Writer, "effect", careless)
    assert [errors(s) for s in ASKED.all([promela_of(o) for o in asked])] != [expected(o) for o in asked]


# -- random scenarios


few = settings(effort, max_examples=20, phases=[Phase.explicit, Phase.generate])
LIMIT = 1500


def agrees(scenario: Scenario, formula: Formula, wanted: Formula, steps: int) -> None:
    """Spin says of a breach, and of a trace with `wanted` and the first step, what the explorer says; where
    that would take too long, what `sc` says."""
    first = [s.id for s in scenario.steps][:1]
    shown = Formula("eventually", (wanted,))
    traces = list(explore(scenario, LIMIT)) if len(scenario.steps) <= steps else []
    if len(scenario.steps) <= steps and len(traces) < LIMIT:
        broken = any(not evaluate(formula, scenario, t) for t in traces)
        happens = any(evaluate(shown, scenario, t) and set(first) <= set(t.order) for t in traces)
    else:
        ways = Ways(scenario)
        broken = ways.find(formula, holds=False).status == "sat"
        happens = ways.find(shown, first).status == "sat"
    text = model(scenario, formula, wanted=[wanted], executed=first)
    assert errors(spin(text)) == (broken, happens)


@given(scenarios(weak=False), formulas(), formulas(1))
@few
def test_spin_agrees_on_random_scenarios(scenario: Scenario, formula: Formula, wanted: Formula) -> None:
    agrees(scenario, formula, wanted, 9)


@given(programs(weak=False), st.one_of(st.just(LATE), st.just(LOST), formulas()), formulas(1))
@few
def test_spin_agrees_on_random_programs(scenario: Scenario, formula: Formula, wanted: Formula) -> None:
    agrees(scenario, formula, wanted, 10)


def test_what_reaches_another_object_touches_none_that_is_gone() -> None:
    gone = frozenset({("destroyed(o)", "initial")})
    late = frozenset({("access(o)", "initial")})
    teardown = Step("w", "write", "inode", "p", "other"), Step("f", "free", "inode->p", labels=gone)
    walk = Step("r", "read", "inode", "p"), Step("a", "read", "inode->p", "x", via="r", labels=late)
    formula = parse("always (access(o) -> !once destroyed(o))")
    after = Scenario((Thread("teardown", teardown), Thread("walk", walk, after="f")))
    assert errors(spin(model(after, formula, wanted=[parse("destroyed(o)")]))) == (False, True)
    before = Scenario((Thread("teardown", teardown[1:]), Thread("walk", walk, after="f")))
    assert errors(spin(model(before, formula, wanted=[parse("access(o)")]))) == (True, True)


def test_what_threads_have_to_agree_on() -> None:
    """An atom of two threads has one truth, and a read's outcome is the same before it is read."""
    a = Step("a", "call", guard=((("f", True),),), labels=frozenset({("p", "any")}))
    b = Step("b", "call", guard=((("f", False),),), labels=frozenset({("q", "any")}))
    early = Step("e", "call", guard=((("n", True),),), labels=frozenset({("p", "any")}))
    read = Step("r", "read", "dentry", "d_inode")
    clear = Step("c", "write", "dentry", "d_inode", "null", labels=frozenset({("q", "any")}))
    atoms = (ScenarioAtom("f", "free"), ScenarioAtom("n", "nonnull", "r"))
    both = Scenario((Thread("x", (a,)), Thread("y", (b,))), atoms[:1])
    never_both = parse("!(eventually p & eventually q)")
    assert errors(spin(model(both, never_both, wanted=[parse("p")]))) == (False, True)
    foretold = Scenario((Thread("x", (early,)), Thread("y", (clear, read))), atoms[1:])
    assert errors(spin(model(foretold, parse("always !p"), wanted=[parse("q")]))) == (False, True)


NASTY = 'a*/b"; } init { assert(0) } %s \\ é\x00\n#define x\n/* '


def test_identifiers_cannot_leave_comments_and_strings() -> None:
    step = Step(NASTY, "read", NASTY, NASTY, note=NASTY, labels=frozenset({("p", "any")}))
    through = Step("t", "call", NASTY, NASTY, via=NASTY, labels=frozenset({("p", "initial")}))
    scenario = Scenario((Thread(NASTY, (step, through)), Thread("b", (replace(through, id="u", via=None),))))
    for formula, broken in (("always !p", True), ("eventually p", False)):
        text = model(scenario, parse(formula), comments=[NASTY], executed=[NASTY], titles={"": NASTY})
        assert errors(spin(text)) == (broken, True)


def test_a_search_that_was_cut_off_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="not searched all"):
        ask("int x; active proctype A() { do :: x++ od } never contract { do :: x < 0 -> break :: else od }",
            tmp_path, [CONTRACT])  # fmt: skip
    with pytest.raises(InternalError, match="refuses the model"):
        ask("proctype {", tmp_path, [CONTRACT])


# -- the command


def test_files_are_checked_as_they_say(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    more = ["--export", "smt2", str(tmp_path / "scripts")]
    more += ["--clause", "rcu-delay-dentry", "--no-cache", "-q"]
    assert main(["autofs", "--kernel", "5.0.1", "--export", "promela", str(folder), *more]) == 1
    (row,) = [r for r in json.loads((folder / "index.json").read_text())["obligations"] if r["file"]]
    text = (folder / row["file"]).read_text()
    assert row["file"].endswith(".pml") and len(list((tmp_path / "scripts").glob("*.smt2"))) == 1
    said = re.sub(r" \*/\n/\* ", " ", text)
    assert "Known to this tool: in 'contract' an error" in said
    (command,) = re.findall(r"Check it: (spin .* contract); \./pan -N witness", said)
    command = f"{command.replace('FILE', row['file'])}; spin -t {row['file']}"
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert "errors: 1" in done.stdout, done.stdout + done.stderr
    freed, used = (done.stdout.index(at) for at in ("kfree() (fs/autofs/inode.c:39)", "fs/autofs/root.c:461"))
    assert freed < used, "the trace has the access after the free"


def test_bad_folders_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    same = str(tmp_path / "same")
    for options, said in (
        (["--export", "promela", str(tmp_path / "mine")], "is neither empty nor a folder that this tool"),
        (["--export", "litmus", "/proc/nothing/here"], "cannot write"),
        (["--export", "promela", same, "--export", "litmus", same], "two forms cannot both go to one folder"),
        (["--export", "promela", same, "--export", "promela", same + "2"], "each form goes to one folder"),
        (["--export", "promela", same, "--certificate", same], "cannot both go to one folder"),
        (["--export", "tla", same], "'tla' is not one of"),
    ):
        assert main(["autofs", *options, "--no-cache", "-q"]) == 2
        err = capsys.readouterr().err
        assert said in err and "Traceback" not in err
    assert not (tmp_path / "same").exists()
