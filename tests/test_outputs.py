"""Reports for other programs (SARIF, JUnit, GitHub), several files from one run, and baselines."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from sample_report import DEBUG, NOT_APPLICABLE, PROVED, UNKNOWN, VIOLATED, report
from test_cli import Fake, engine, one_line

from dentryproof.commands import main as cli
from dentryproof.commands.formats import FORMS, Style
from dentryproof.proofs.baseline import Baseline, compare, dump, load, merged, of
from dentryproof.proofs.verdict import ClauseEntry, Report, Result, TablePlace, Verdict

__all__ = ["engine"]

SARIF = Path(__file__).parent / "schemas" / "sarif-2.1.0.json"
"""The published schema: OASIS, sarif-v2.1.0 errata 01."""
HOSTILE = "a\nb\r%0A,:<b>&\"'\x00\x1b[31m\u202e"


def full(*results: Result) -> Report:
    """A report that also says what was asked and where the tables stand."""
    rule = ClauseEntry("rcu-delay-dentry", "Freed late.", "always !a", ("d_release",), "", "mail")
    place = TablePlace("demo", "demo_dentry_operations", "fs/demo/root.c", 12)
    return replace(report(*results), rules=(rule,), tables=(place,))


def sarif(found: Report) -> Any:
    document = json.loads(FORMS["sarif"](found, Style()))
    jsonschema.Draft4Validator(json.loads(SARIF.read_text())).validate(document)
    return document["runs"][0]


def hostile() -> Result:
    steps = tuple(replace(s, function=HOSTILE, file=HOSTILE, note=HOSTILE) for s in VIOLATED.trace)
    return replace(
        VIOLATED, filesystem=HOSTILE, table=HOSTILE, object=HOSTILE, summary=HOSTILE, fix=HOSTILE, trace=steps
    )


def test_sarif_tells_what_is_violated_and_what_is_unknown() -> None:
    run = sarif(full(VIOLATED, DEBUG, PROVED, UNKNOWN, NOT_APPLICABLE))
    assert [(r["ruleId"], r["kind"], r["level"]) for r in run["results"]] == [
        ("rcu-delay-dentry", "fail", "error"),
        ("rcu-delay-dentry", "fail", "warning"),
        ("no-blocking", "open", "none"),
    ]
    violated, _, unknown = run["results"]
    assert run["tool"]["driver"]["rules"][violated["ruleIndex"]]["id"] == "rcu-delay-dentry"
    assert "ruleIndex" not in unknown
    # The free that must be delayed is where the fix goes.
    at = violated["locations"][0]["physicalLocation"]
    assert at["artifactLocation"] == {"uri": "fs/demo/inode.c", "uriBaseId": "SRCROOT"}
    assert at["region"] == {"startLine": 37}
    # Without a trace there is still the table.
    table = unknown["locations"][0]["physicalLocation"]
    assert (table["artifactLocation"]["uri"], table["region"]) == ("fs/demo/root.c", {"startLine": 12})


def test_a_code_flow_has_one_thread_a_cpu_in_the_order_of_the_trace() -> None:
    (flow,) = sarif(full(VIOLATED))["results"][0]["codeFlows"]
    threads = {t["id"]: [at["executionOrder"] for at in t["locations"]] for t in flow["threadFlows"]}
    assert threads == {"kernel": [4], "CPU 0": [0, 1, 6], "CPU 1": [2, 3, 5]}


def test_fingerprints_do_not_depend_on_lines() -> None:
    moved = replace(
        VIOLATED, trace=tuple(replace(s, line=s.line + 9) for s in VIOLATED.trace), summary="else"
    )
    other = replace(VIOLATED, object="dentry->d_parent")
    one, two, three = sarif(full(VIOLATED, moved, other))["results"]
    assert one["partialFingerprints"] == two["partialFingerprints"] != three["partialFingerprints"]


def test_junit_has_one_case_an_obligation() -> None:
    text = FORMS["junit"](full(VIOLATED, DEBUG, PROVED, UNKNOWN, NOT_APPLICABLE), Style())
    read = JUnitXml.fromroot(JUnitXml.fromstring(text.encode())._elem)
    assert (read.tests, read.failures, read.errors, read.skipped) == (5, 2, 1, 1)
    (suite,) = read
    cases = list(suite)
    kinds = [type(c.result[0]) if c.result else None for c in cases]
    assert kinds == [Failure, Failure, None, Error, Skipped]
    assert cases[0].name == "rcu-delay-dentry[d_release against d_manage[rcu], on dentry->d_fsdata]"
    assert cases[0].classname == "demo.demo_dentry_operations"
    assert "fs/demo/inode.c:37" in cases[0].result[0].text  # the trace


def test_github_annotations_stand_where_the_fix_goes() -> None:
    lines = FORMS["github"](full(VIOLATED, DEBUG, PROVED, UNKNOWN), Style()).splitlines()
    assert [re.match(r"::(\w+) file=([^,]*),line=(\d+),", line).groups() for line in lines] == [  # type: ignore[union-attr]
        ("error", "fs/demo/inode.c", "37"),
        ("warning", "fs/demo/inode.c", "37"),
        ("warning", "fs/demo/root.c", "12"),
    ]


def test_hostile_names_are_data_in_every_form() -> None:
    found = full(hostile())
    run = sarif(found)
    assert run["results"][0]["properties"]["filesystem"] == HOSTILE
    assert "\n" not in run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    text = FORMS["junit"](found, Style())
    JUnitXml.fromstring(text.encode())
    assert "<b>" not in text and "\x00" not in text and "\x1b" not in text
    line = FORMS["github"](found, Style())
    assert line.count("\n") == 1 and line.endswith("\n") and "\r" not in line
    head = line.split("::", 2)[1]
    assert head.count(",") == 2  # file, line, title: no property that the name brought in


def test_several_files_from_one_run(engine: Fake, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    engine.answer = full(VIOLATED)
    sarif_file, junit_file, text_file = (tmp_path / n for n in ("o.sarif", "o.xml", "o.txt"))
    args = ["demo", "--output", f"sarif:{sarif_file}", "--output", f"junit:{junit_file}"]
    assert cli.main(args) == 1
    assert "violated" in capsys.readouterr().out  # text still goes to the terminal
    assert json.loads(sarif_file.read_text())["version"] == "2.1.0"
    assert junit_file.read_text().startswith("<?xml")
    assert cli.main([*args, "--output", str(text_file)]) == 1
    assert capsys.readouterr().out == "" and "violated" in text_file.read_text()
    assert len(engine.asked) == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--output", "a.txt", "--output", "b.txt"], "--output FILE can be given once"),
        (["--output", "sarif:a", "--output", "junit:a"], "cannot both go to a"),
        (["--output", "sarif:-"], "cannot both go to standard output"),
        (["--output", "sarif:"], "names no file"),
        (["--output", "sarif:no/such/folder/x"], "there is no folder"),
        (["--format", "sarf"], "sarf"),
        (["--update-baseline"], "--baseline FILE"),
        (["--list", "--format", "sarif"], "--list prints text or json"),
        (["--baseline", "absent.json"], "no such baseline"),
    ],
)
def test_bad_outputs_are_refused_before_anything_is_proved(
    engine: Fake,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    engine.answer = full(VIOLATED)
    assert cli.main(["demo", *args]) == 2
    captured = capsys.readouterr()
    assert said in one_line(captured.err) and captured.out == ""
    assert engine.asked == [] and [p.name for p in tmp_path.iterdir()] == []


def test_a_name_with_a_colon_is_a_name(engine: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine.answer = full(PROVED)
    assert cli.main(["demo", "--output", "a:b"]) == 0
    assert "proved" in (tmp_path / "a:b").read_text()


LOST = replace(PROVED, verdict=Verdict.UNKNOWN, core=(), reason="not followed")
ELSEWHERE = replace(VIOLATED, object="dentry->d_parent")
FIXED = replace(VIOLATED, verdict=Verdict.PROVED, trace=(), summary="", fix="")


@pytest.mark.parametrize(
    ("before", "after", "status", "worse"),
    [
        ((VIOLATED, UNKNOWN), (VIOLATED, UNKNOWN), 0, 0),
        ((PROVED,), (LOST,), 3, 1),
        ((FIXED,), (VIOLATED,), 1, 1),
        ((VIOLATED,), (FIXED,), 0, 0),
        ((), (VIOLATED,), 1, 1),
        ((), (UNKNOWN,), 3, 1),
        ((), (PROVED,), 0, 0),
        ((DEBUG,), (VIOLATED,), 1, 1),
        ((VIOLATED,), (DEBUG,), 1, 1),  # other callbacks: another violation
        ((VIOLATED,), (VIOLATED, ELSEWHERE), 1, 1),  # one more in a clause that is violated already
        ((NOT_APPLICABLE, PROVED), (NOT_APPLICABLE, PROVED), 0, 0),
        ((LOST,), (PROVED,), 0, 0),
    ],
)
def test_only_what_is_new_or_worse_fails(
    before: tuple[Result, ...], after: tuple[Result, ...], status: int, worse: int
) -> None:
    found = compare(of(before), after, "b.json", whole=True)
    assert found.status == status
    assert sum(c.worse for c in found.changes) == worse


def test_a_proof_without_anything_left_to_prove_is_gone_not_worse() -> None:
    gone = compare(of((PROVED, UNKNOWN)), (UNKNOWN, NOT_APPLICABLE), "b.json", whole=False)
    assert gone.status == 0 and gone.changes == ()  # the clause was not asked about
    none = replace(PROVED, verdict=Verdict.NOT_APPLICABLE)
    (change,) = compare(of((PROVED,)), (none,), "b.json", whole=False).changes
    assert (change.before, change.after, change.worse) == (Verdict.PROVED, None, False)


def test_a_partial_run_leaves_the_rest_of_a_baseline_alone() -> None:
    other = replace(VIOLATED, filesystem="other")
    before = of((VIOLATED, other, PROVED))
    after = merged(before, (FIXED,), whole=False)
    assert after == of((FIXED, other, PROVED))
    assert merged(before, (FIXED,), whole=True) == of((FIXED, PROVED))  # null-inode was not asked about


def test_a_baseline_reads_back_and_is_stable(tmp_path: Path) -> None:
    results = (VIOLATED, UNKNOWN, PROVED, DEBUG, hostile())
    text = dump(of(results))
    assert text == dump(of(tuple(reversed(results))))
    file = tmp_path / "b.json"
    file.write_text(text)
    assert load(file) == of(results)
    assert all(line.count('"filesystem"') <= 1 for line in text.splitlines())  # one entry a line
    file.write_text(dump(Baseline({}, {})))
    assert load(file) == Baseline({}, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no baseline"),
        ("[]", "does not name its schema"),
        ("{}", "does not name its schema"),
        ('{"schema": 2, "clauses": [], "open": []}', "has schema 2, this version reads 1"),
        ('{"schema": 1}', "is no baseline"),
        ('{"schema": 1, "clauses": [3], "open": []}', "is no baseline"),
        ('{"schema": 1, "clauses": [{"filesystem": 1}], "open": []}', "is no baseline"),
        ("[" * 100_000, "is no baseline"),
        ("\x00", "is no baseline"),
    ],
)
def test_what_is_no_baseline_is_refused(
    engine: Fake, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "b.json"
    file.write_text(text)
    engine.answer = full(VIOLATED)
    assert cli.main(["demo", "--baseline", str(file)]) == 2
    assert said in one_line(capsys.readouterr().err)
    assert cli.main(["demo", "--baseline", str(file), "--update-baseline"]) == 2
    assert file.read_text() == text and engine.asked == []


def test_a_baseline_from_the_command_line(
    engine: Fake, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "b.json"
    engine.answer = full(VIOLATED, UNKNOWN)
    assert cli.main(["demo", "--baseline", str(file), "--update-baseline"]) == 0
    capsys.readouterr()
    assert cli.main(["demo", "--baseline", str(file)]) == 0
    out = capsys.readouterr().out
    assert "2 violated or unknown as before, nothing else changed" in out
    assert "reads dentry->d_fsdata->flags" not in out  # known traces are not told again
    engine.answer = full(VIOLATED, UNKNOWN, ELSEWHERE)
    assert cli.main(["demo", "--baseline", str(file), "-q"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert "dentry->d_parent" in line
    assert cli.main(["demo", "--baseline", str(file), "--format", "sarif"]) == 1
    results = json.load(io.StringIO(capsys.readouterr().out))["runs"][0]["results"]
    assert [r["baselineState"] for r in results] == ["unchanged", "unchanged", "new"]
    assert cli.main(["demo", "--baseline", str(file), "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["summary"]["exit_status"] == 1
    assert [c["object"] for c in document["baseline"]["changes"]] == ["dentry->d_parent"]
