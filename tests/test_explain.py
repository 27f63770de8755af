"""`prove explain`: every clause, its example and what is on record about it."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from dentryproof.commands.main import main
from dentryproof.proofs.engine import Request, extract_models
from dentryproof.proofs.explain import Explained, explain
from dentryproof.proofs.verdict import Verdict
from dentryproof.report.json import schema
from dentryproof.spec.contract import clauses
from dentryproof.spec.explanations import example, explanations
from dentryproof.spec.modelfile import load

HERE = Path(__file__).parent
CLAUSES = tuple(c.id for c in clauses())
SOURCES = ("mail", "2024 audit")


@cache
def explained(name: str) -> Explained:
    return explain(name)


def test_every_clause_is_explained() -> None:
    assert tuple(explanations()) == CLAUSES


@pytest.mark.parametrize("name", CLAUSES)
def test_the_example_breaks_the_clause_and_the_mended_one_keeps_it(name: str) -> None:
    found = explained(name)
    assert found.result.verdict is Verdict.VIOLATED and found.result.trace
    assert found.result.clause == name
    assert found.mended is Verdict.PROVED


EXAMPLES = sorted({n for e in explanations().values() for n in (e.example, e.mended)})


@cache
def extracted() -> dict[str, str]:
    """The models that the reader makes of the sources that explanations name."""
    tree = HERE / "fixtures" / "tree"
    texts = extract_models(Request(filesystems=tuple(EXAMPLES), linux=tree, cache=None, jobs=1))
    return {t.name.split("/")[1].split(".")[0]: t.text for t in texts}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_what_the_reader_reads(name: str) -> None:
    """`prove models --linux tests/fixtures/tree --write spec/examples NAME` makes one again."""
    assert load(extracted()[name], name).programs == example(name).programs


def _expected(kernel: str) -> set[tuple[str, str, str]]:
    path = HERE / "expected" / f"{kernel}.tsv"
    rows = csv.DictReader(path.read_text("utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {(r["filesystem"], r["table"], r["clause"]) for r in rows if r["verdict"] == "violated"}


def _disagreements() -> set[tuple[str, str, str, str]]:
    text = (HERE / "expected" / "disagreements.tsv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {(r["kernel"], r["filesystem"], r["table"], r["clause"]) for r in rows}


def test_who_broke_it_is_on_record_and_is_shown() -> None:
    """Each case that names a kernel was read there, and the tool agrees."""
    cases = [(name, case) for name, e in explanations().items() for case in e.broken]
    assert {case.source for _, case in cases} & {*SOURCES} == {*SOURCES}
    for name, case in cases:
        assert case.source in SOURCES or "as read" in case.source, case
        if case.seen:
            assert (case.who, case.table, name) in _expected(case.seen), case
            assert (case.seen, case.who, case.table, name) not in _disagreements(), case


def test_what_nobody_broke_says_so() -> None:
    assert all(bool(e.broken) != bool(e.none) for e in explanations().values())


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if line[:1].strip()][:-1] == list(CLAUSES)


@pytest.mark.parametrize("name", ["rcu-delay-dentry", "prune-keeps-locks"])
def test_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["explain", name]) == 0
    out = capsys.readouterr().out
    for head in (name, "Why", "Formula", "How it breaks", "Who broke it", "How to fix it"):
        assert f"\n{head}" in f"\n{out}", head
    assert all(len(line) <= 100 for line in out.splitlines())
    assert "=>" in out


def test_autofs_is_named_where_the_mail_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "rcu-delay-dentry"]) == 0
    out = capsys.readouterr().out
    assert "G (access(o) → ¬O destroyed(o))" in out
    assert "prove autofs --kernel 5.0.1 --clause rcu-delay-dentry" in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "null-inode", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["clause"], document["mended"]["verdict"]) == ("null-inode", "proved")
    result = {"$defs": schema()["$defs"], "$ref": "#/$defs/result"}
    jsonschema.validate(document["example"], result)
    assert main(["explain", "--format", "json"]) == 0
    assert [c["id"] for c in json.loads(capsys.readouterr().out)["clauses"]] == list(CLAUSES)


@pytest.mark.parametrize(("args", "says"), [(["null-inod"], "null-inode"), (["a", "b"], "unexpected extra")])
def test_bad_input(capsys: pytest.CaptureFixture[str], args: list[str], says: str) -> None:
    assert main(["explain", *args]) == 2
    out, err = capsys.readouterr()
    assert out == "" and says in err and err.count("\n") == 1
