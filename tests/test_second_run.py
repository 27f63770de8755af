"""Whole runs: what the second one remembers, what it must not, and what becomes of runs that are cut off."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from toys import edit, small_tree

from dentryproof.commands.main import main
from dentryproof.errors import InternalError, UsageError
from dentryproof.proofs import schedule
from dentryproof.proofs.cache import edition
from dentryproof.proofs.engine import Request, extract_models, list_tables, run
from dentryproof.proofs.pool import Limits
from dentryproof.proofs.verdict import Report, Result, Verdict, clause_verdicts
from dentryproof.reader import files

NAMES = ("rcufree", "twice", "twotables")
SOURCE = "fs/rcufree/rcufree.c"
DENTRY = "rcu-delay-dentry"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree whose files count as settled at once."""
    monkeypatch.setattr(files, "SETTLED", -1.0)
    return small_tree(tmp_path / "tree", *NAMES)


@dataclass
class Seen:
    """A run and what it did."""

    report: Report
    doing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def remembered(self) -> float:
        return self.report.statistics["units_remembered"]

    @property
    def read(self) -> bool:
        """Whether any source was executed."""
        return any("reading" in what for what in self.doing)


def ask(root: Path, cache: Path | None, *names: str, **more: Any) -> Seen:
    """One run in this process, or in workers if `jobs` says so."""
    doing: list[str] = []
    notes: list[str] = []

    def progress(done: int, total: int, now: tuple[str, ...]) -> None:
        assert 0 <= done <= total
        doing.extend(now)

    asked: dict[str, Any] = {"everything": not names, "linux": root, "cache": cache} | more
    return Seen(run(Request(names, progress=progress, note=notes.append, **asked)), doing, notes)


def same(one: Report, other: Report) -> bool:
    """Whether two reports say the same, but for the times."""
    answers = [tuple(replace(r, seconds=0.0) for r in report.results) for report in (one, other)]
    return answers[0] == answers[1] and one.understood == other.understood


def verdict(seen: Seen, clause: str = DENTRY) -> Verdict:
    (found,) = clause_verdicts(tuple(r for r in seen.report.results if r.clause == clause))
    return found.verdict


# -- what is remembered, and what is not ---------------------------------------------------------------


@pytest.mark.parametrize("jobs", [0, 1, 2])
def test_the_second_run_says_the_same_and_does_nothing(root: Path, tmp_path: Path, jobs: int) -> None:
    first = ask(root, tmp_path / "c", jobs=jobs)
    second = ask(root, tmp_path / "c", jobs=jobs)
    assert first.read and first.remembered == 0 and first.report.statistics["units"] == 3
    assert second.doing == [] and second.remembered == 3
    assert same(first.report, second.report) and same(first.report, ask(root, None).report)
    assert first.notes == second.notes == []


def test_without_a_cache_nothing_is_kept(root: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    assert ask(root, None, "rcufree").read and ask(root, None, "rcufree").read
    assert set(tmp_path.rglob("*")) == before


def test_a_change_is_answered_anew_and_going_back_is_remembered(root: Path, tmp_path: Path) -> None:
    # rcufree frees with kfree_rcu(), which is what makes it right.
    assert verdict(ask(root, tmp_path / "c", "rcufree")) is Verdict.PROVED
    before = (root / SOURCE).read_text(encoding="utf-8")
    edit(root / SOURCE, "\tkfree_rcu(info, rcu);\n", "\tkfree(info);\n")
    changed = ask(root, tmp_path / "c", "rcufree")
    assert changed.read and verdict(changed) is Verdict.VIOLATED
    (root / SOURCE).write_text(before, encoding="utf-8")
    back = ask(root, tmp_path / "c", "rcufree")
    assert not back.doing and verdict(back) is Verdict.PROVED


def test_one_change_leaves_the_others_remembered(root: Path, tmp_path: Path) -> None:
    ask(root, tmp_path / "c")
    edit(root / SOURCE, "\tkfree_rcu(info, rcu);\n", "\tkfree(info);\n")
    second = ask(root, tmp_path / "c")
    assert second.remembered == 2 and {d.partition(":")[0] for d in second.doing} == {"fs/rcufree"}


def test_a_header_that_was_missing_counts(root: Path, tmp_path: Path) -> None:
    source = root / SOURCE
    source.write_text('#include "late.h"\n' + source.read_text(encoding="utf-8"), encoding="utf-8")
    assert verdict(ask(root, tmp_path / "c", "rcufree")) is Verdict.PROVED
    # The header makes the delayed free an immediate one.
    (source.parent / "late.h").write_text("#define kfree_rcu(p, member) kfree(p)\n", encoding="utf-8")
    second = ask(root, tmp_path / "c", "rcufree")
    assert second.read and verdict(second) is verdict(ask(root, None, "rcufree"))


def test_another_question_about_the_same_source_does_not_read_it_again(root: Path, tmp_path: Path) -> None:
    ask(root, tmp_path / "c", "rcufree", clauses=(DENTRY,))
    other = ask(root, tmp_path / "c", "rcufree", clauses=(DENTRY, "null-inode"))
    assert not other.read and {d.partition(": ")[2] for d in other.doing} == {"deciding null-inode"}
    assert same(other.report, ask(root, None, "rcufree", clauses=(DENTRY, "null-inode")).report)
    for more in ({"timeout": 99.0}, {"kernel": "6.1"}):
        assert ask(root, tmp_path / "c", "rcufree", clauses=(DENTRY,), **more).doing


def test_one_table_of_a_filesystem(root: Path, tmp_path: Path) -> None:
    with (root / SOURCE).open("a", encoding="utf-8") as source:
        source.write("static const struct dentry_operations other_table = { .d_release = toy_release };\n")
    one = ask(root, tmp_path / "c", "other_table")
    assert {r.table for r in one.report.results} == {"other_table"}
    both = ask(root, tmp_path / "c", "rcufree")
    assert not both.read and {r.table for r in both.report.results} == {
        "toy_dentry_operations",
        "other_table",
    }
    assert not ask(root, tmp_path / "c", "other_table").doing


def test_another_tree_with_the_same_source_is_known(root: Path, tmp_path: Path) -> None:
    first = ask(root, tmp_path / "c")
    copy = small_tree(tmp_path / "copy", *NAMES)
    second = ask(copy, tmp_path / "c")
    assert not second.read and same(first.report, second.report)


def test_another_state_of_the_tool_asks_anew(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(root, tmp_path / "c", "rcufree")
    monkeypatch.setattr("dentryproof.proofs.cache.edition", lambda: "0" * 20)
    assert ask(root, tmp_path / "c", "rcufree").read


def test_models_are_remembered_too(root: Path, tmp_path: Path) -> None:
    names, cache = ("autofs",), tmp_path / "c"
    first, second = (run(Request(names, cache=cache)) for _ in range(2))
    assert second.statistics["units_remembered"] == 1 and same(first, second)
    written = [extract_models(Request(("twice",), linux=root, cache=c)) for c in (None, cache, cache)]
    assert written[0] == written[1] == written[2]


def test_lists_are_remembered_and_say_where_callbacks_are(root: Path, tmp_path: Path) -> None:
    request = Request(everything=True, linux=root, cache=tmp_path / "c")
    first, second = list_tables(request), list_tables(request)
    assert first == second == list_tables(replace(request, cache=None))
    text = (root / SOURCE).read_text(encoding="utf-8").splitlines()
    for row in (r for r in first if r.filesystem == "rcufree"):
        assert row.callbacks and {f for _, f in row.callbacks} == dict(row.places).keys()
        for function, at in row.places:
            assert at.file == SOURCE and function in text[at.line - 1]
    edit(root / SOURCE, "struct toy_info {", "\n\nstruct toy_info {")
    moved = {f: at.line for r in list_tables(request) for f, at in r.places if r.filesystem == "rcufree"}
    was = {f: at.line for r in first for f, at in r.places if r.filesystem == "rcufree"}
    assert all(moved[f] == was[f] + 2 for f in was)


def entries(cache: Path) -> Iterator[Path]:
    return (p for p in (cache / edition()).rglob("*") if p.is_file())


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[: len(raw) // 2], lambda raw: raw[:-1] + b"\0", lambda _: b""]
)
def test_damaged_entries_are_made_again(root: Path, tmp_path: Path, damage: Any) -> None:
    cache = tmp_path / "c"
    first = ask(root, cache)
    for path in entries(cache):
        path.write_bytes(damage(path.read_bytes()))
    second = ask(root, cache)
    assert second.read and second.notes == [] and same(first.report, second.report)
    assert ask(root, cache).remembered == 3


def test_entries_of_the_wrong_form_are_made_again(root: Path, tmp_path: Path) -> None:
    from dentryproof.proofs.cache import _pack

    cache = tmp_path / "c"
    first = ask(root, cache)
    for nonsense in (None, 1, [], [1], {}, {"files": {}, "listings": {}, "answer": [1]}, {DENTRY: [{}]}):
        for path in entries(cache):
            path.write_bytes(_pack(nonsense))
        assert same(first.report, ask(root, cache).report), nonsense


def test_a_cache_that_cannot_be_written_is_a_note(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    args = ["--linux", str(root), "rcufree", "--cache-dir", str(tmp_path / "file" / "c")]
    assert main(args) == main([*args, "--no-cache"])
    err = capsys.readouterr().err
    assert err.startswith("prove: note: cannot write the cache in ") and err.count("\n") == 1
    main([*args, "-q"])
    assert capsys.readouterr().err == ""


# -- units that come to a bad end ----------------------------------------------------------------------


def broken(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(schedule, "ANSWER", f"unit_answers:{how}")


def results_of(report: Report, filesystem: str) -> list[Result]:
    return [r for r in report.results if r.filesystem == filesystem]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("killed_while_reading", "fs/twotables: its process was killed while reading"),
        ("contradicts_itself", "fs/twotables: internal error: the trace does not replay"),
        ("breaks", "fs/twotables: internal error: KeyError: 'x'"),
    ],
)
def test_a_unit_that_is_cut_off_is_unknown_and_no_other(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, reason: str
) -> None:
    whole = ask(root, None)
    broken(monkeypatch, how)
    cut = ask(root, tmp_path / "c", jobs=2)
    for name in ("rcufree", "twice"):
        assert [replace(r, seconds=0) for r in results_of(cut.report, name)] == [
            replace(r, seconds=0) for r in results_of(whole.report, name)
        ]
    lost = results_of(cut.report, "twotables")
    assert {(r.table, r.clause) for r in lost} == {
        (r.table, r.clause) for r in results_of(whole.report, "twotables")
    }
    assert all(r.verdict is Verdict.UNKNOWN and r.reason.startswith(reason) for r in lost)
    # Nothing of it is kept.
    monkeypatch.undo()
    assert same(ask(root, tmp_path / "c").report, whole.report)


def test_what_was_decided_before_the_end_counts(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(root, None, "twotables")
    broken(monkeypatch, "killed_while_deciding")
    cut = ask(root, tmp_path / "c", "twotables", jobs=1)
    first, *rest = cut.report.results
    assert replace(first, seconds=0) == replace(whole.report.results[0], seconds=0)
    assert rest and all(
        r.verdict is Verdict.UNKNOWN and "was killed while deciding" in r.reason for r in rest
    )


@pytest.mark.parametrize("how", ["contradicts_itself", "breaks"])
def test_a_defect_is_loud_where_only_one_unit_is_asked_about(
    root: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    broken(monkeypatch, how)
    with pytest.raises(InternalError):
        ask(root, None, "twotables", jobs=1)


def test_a_usage_error_of_a_worker_ends_the_run(root: Path) -> None:
    with pytest.raises(UsageError, match="unknown solver 'sorcery'"):
        ask(root, None, solver="sorcery", jobs=2)


def test_too_little_memory_is_unknown(root: Path) -> None:
    seen = ask(root, None, "rcufree", "twice", jobs=2, limits=Limits(60.0, 40 << 20))
    assert seen.report.results and all(r.verdict is Verdict.UNKNOWN for r in seen.report.results)


# -- as a process of its own ---------------------------------------------------------------------------


def prove(root: Path, cache: Path, *args: str) -> list[str]:
    return [sys.executable, "-m", "dentryproof", "--linux", str(root), "--cache-dir", str(cache), *args]


def document(command: list[str]) -> Any:
    done = subprocess.run(
        [*command, "--format", "json"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode in (0, 1, 3) and done.stderr == "", done.stderr
    found = json.loads(done.stdout)
    for result in found["results"]:
        result.pop("seconds")
    return found["results"], found["summary"]["counts"], found["summary"]["statistics"]


def test_the_second_run_loads_no_solver_and_no_parser(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom dentryproof.commands.main import main\nmain(sys.argv[1:])\n"
        "print(sorted({'z3', 'pysmt', 'tree_sitter', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *prove(root, tmp_path / "c", "--all")[3:]]
    outputs = []
    # The first run compares the VFS side with the tree beside the workers, which takes the parser.
    for loaded in ("['tree_sitter']\n", "[]\n"):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        assert done.stderr == loaded
        outputs.append(done.stdout.rpartition("(")[0])
    assert outputs[0] == outputs[1]


def test_two_runs_at_once(root: Path, tmp_path: Path) -> None:
    command = [*prove(root, tmp_path / "c", "--all"), "--format", "json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = []
    for process in running:
        out, _ = process.communicate(timeout=120)
        answers.append([{**r, "seconds": 0} for r in json.loads(out)["results"]])
    assert answers[0] == answers[1] == answers[2]
    assert document(prove(root, tmp_path / "c", "--all"))[2]["units_remembered"] == 3


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_killed_is_gone_on_with(root: Path, tmp_path: Path, sent: signal.Signals) -> None:
    cache = tmp_path / "c"
    kept = cache / edition() / "results"
    with subprocess.Popen(
        prove(root, cache, "--all", "--jobs", "1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 60
        # Three of the four tables have results: then one of the three filesystems is through.
        while not kept.is_dir() or sum(not p.name.startswith(".") for p in kept.iterdir()) < 3:
            assert time.monotonic() < until
            time.sleep(0.005)
        process.send_signal(sent)
        assert process.wait(10) == -sent
    results, counts, statistics = document(prove(root, cache, "--all"))
    fresh = document(prove(root, tmp_path / "other", "--all"))
    assert (results, counts) == fresh[:2]
    assert statistics["units_remembered"] >= 1 and fresh[2]["units_remembered"] == 0


INTERRUPTED = """
import sys
sys.path.insert(0, {tests!r})
from dentryproof.proofs import schedule
from dentryproof.commands.main import main
schedule.ANSWER = "unit_answers:interrupts"
sys.exit(main(sys.argv[1:]))
"""


def test_an_interrupt_ends_it_cleanly_and_keeps_what_is_finished(root: Path, tmp_path: Path) -> None:
    code = INTERRUPTED.format(tests=str(Path(__file__).parent))
    args = prove(root, tmp_path / "c", "--all", "--jobs", "1")[3:]
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 130 and done.stdout == ""
    assert done.stderr.strip() == "prove: note: 1 of 3 are finished and kept; the next run goes on there"
    assert document(prove(root, tmp_path / "c", "--all"))[2]["units_remembered"] == 1
