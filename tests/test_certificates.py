"""Certificates: written, checked, and rejected once anything in them is changed; hostile files."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dentryproof.checker.form import canonical, digest
from dentryproof.commands.main import main
from dentryproof.proofs.certificate import text
from dentryproof.proofs.evidence import write

KERNEL = "5.0.1"
Document = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of a filesystem whose proofs are of every kind: by grace periods, by locks, by guards,
    and because there is nothing to break."""
    folder = tmp_path_factory.mktemp("made") / "certificates"
    assert main(["ceph", "--kernel", KERNEL, "--certificate", str(folder), "--no-cache", "-q"]) == 1
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A folder with one certificate that has locks, grace periods, lemmas and a proof, and its index."""
    index = json.loads((made / "index.json").read_text())
    rows = [r for r in index["obligations"] if r["clause"] == "rcu-delay-inode" and r["file"]]
    row = max(rows, key=lambda r: len(json.loads((made / r["file"]).read_text())["lemmas"]))
    (tmp_path / row["file"]).write_bytes((made / row["file"]).read_bytes())
    (tmp_path / "index.json").write_text(json.dumps(index | {"obligations": [row]}))
    return tmp_path


def name_of(folder: Path) -> str:
    return str(json.loads((folder / "index.json").read_text())["obligations"][0]["file"])


def load(folder: Path) -> Document:
    found: Document = json.loads((folder / name_of(folder)).read_text())
    return found


def store(folder: Path, document: Document, seal: bool = True) -> None:
    """Put a changed certificate in place of the first. `seal`: with all hashes made right again, so that only
    what is wrong with it can be the reason."""
    import hashlib

    if seal:
        document["digest"] = digest(document)
    data = text(document).encode()
    (folder / name_of(folder)).write_bytes(data)
    index = json.loads((folder / "index.json").read_text())
    if seal:
        index["obligations"][0]["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / "index.json").write_text(json.dumps(index))


def rejected(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The reason, in one line, why the folder does not check."""
    capsys.readouterr()
    assert main(["check", str(folder), *options, "-q"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("prove: "), err
    return err


def test_every_proof_has_a_certificate_and_every_certificate_checks(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = json.loads((made / "index.json").read_text())
    proved = [r for r in index["obligations"] if r["verdict"] == "proved"]
    others = [r for r in index["obligations"] if r["verdict"] != "proved"]
    assert not any(r["file"] for r in others)
    # What never happens in one trace has no witness to replay: the index says so, without a certificate.
    stated = [r for r in proved if not r["file"]]
    begins = "its witness is only stated: no trace has all of"
    assert all(r["reason"].startswith(begins) for r in stated)
    proved = [r for r in proved if r["file"]]
    assert len(proved) > 10 * len(stated)
    assert len({r["clause"] for r in proved}) >= 8 and all(r["reason"] for r in others)
    assert main(["check", str(made), "--models"]) == 0
    assert capsys.readouterr().out.startswith(f"{len(proved)} of {len(proved)} certificates check")


def test_what_is_trivial_has_a_certificate_too(made: Path) -> None:
    documents = [json.loads(p.read_text()) for p in made.glob("*.json") if p.name != "index.json"]
    trivial = [d for d in documents if not d["proof"]]
    assert trivial and all([] in [c["literals"] for c in d["clauses"]] for d in trivial)
    assert any(d["lemmas"] for d in documents) and any(len(d["proof"]) > 1 for d in documents)


def test_certificates_are_the_same_each_time(made: Path, tmp_path: Path) -> None:
    """Whatever was decided before them, and in whichever process; but any witness will do."""
    again = tmp_path / "again"
    clause = "rcu-delay-dentry"
    main(["ceph", "--kernel", KERNEL, "--clause", clause, "--certificate", str(again), "--no-cache", "-q"])
    files = [p for p in again.iterdir() if p.name != "index.json"]
    assert files
    for path in files:
        one, other = (json.loads((at / path.name).read_text()) for at in (made, again))
        assert one.keys() == other.keys()
        assert all(one[k] == other[k] for k in one.keys() - {"witness", "digest"})


def test_the_checker_imports_no_encoder_and_no_solver(folder: Path) -> None:
    code = (
        "import sys\n"
        "from dentryproof.commands.main import main\n"
        f"status = main(['check', {str(folder)!r}])\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('pysmt', 'z3', 'pysat', 'cvc5') or m in (\n"
        "    'dentryproof.encodings.' + n for n in\n"
        "    ('trace', 'temporal', 'solver', 'terms', 'words', 'orders', 'clauses', 'sat', 'routes'))]\n"
        "print(status, bad)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


# -- tampered with: each change, and what the reason must say


def steps_of(document: Document) -> Iterator[Document]:
    for thread in document["scenario"]["threads"]:
        yield from thread["steps"]


def clause_added(d: Document) -> None:
    d["clauses"].append({"name": "lock:mine", "literals": [1]})


def clause_changed(d: Document) -> None:
    clause = next(c for c in d["clauses"] if c["name"] == "contract")
    clause["literals"] = [-x for x in clause["literals"]]


def clause_dropped(d: Document) -> None:
    d["clauses"] = [c for c in d["clauses"] if not c["name"].startswith("gp:")]


def guard_changed(d: Document) -> None:
    """The free would never happen."""
    next(s for s in steps_of(d) if ["destroyed(o)", "initial"] in s.get("labels", ()))["guard"] = []


def step_removed(d: Document) -> None:
    """The free is not even there."""
    for thread in d["scenario"]["threads"]:
        thread["steps"] = [
            s for s in thread["steps"] if ["destroyed(o)", "initial"] not in s.get("labels", ())
        ]


def steps_swapped(d: Document) -> None:
    """The free would come before the grace period."""
    for thread in d["scenario"]["threads"]:
        if any(s["kind"] == "gp-end" for s in thread["steps"]):
            thread["steps"].reverse()


def grace_period_claimed(d: Document) -> None:
    next(s for s in steps_of(d) if s["kind"] == "enter")["kind"] = "call"


def lemma_no_circle(d: Document) -> None:
    a, b = d["lemmas"][0]["edges"][0]
    d["lemmas"][0]["edges"][0] = [b, a]


def lemma_one_edge(d: Document) -> None:
    d["lemmas"][0]["edges"] = d["lemmas"][0]["edges"][:1]


def lemma_empty(d: Document) -> None:
    d["lemmas"][0]["edges"] = []


def lemmas_gone(d: Document) -> None:
    d["lemmas"] = []


def proof_cut(d: Document) -> None:
    d["proof"] = d["proof"][:-1]


def proof_skipped(d: Document) -> None:
    d["lemmas"], d["proof"] = [], [[]]


def proof_elsewhere(d: Document) -> None:
    d["proof"].insert(0, [len(d["variables"]) + 1])


def formula_other(d: Document) -> None:
    d["obligation"]["formula"] = "always (access(o) -> once destroyed(o))"


def formula_no_formula(d: Document) -> None:
    d["obligation"]["formula"] = "always ((("


def clause_id_other(d: Document) -> None:
    d["obligation"]["clause"] = "no-double-free"


def clause_id_none(d: Document) -> None:
    d["obligation"]["clause"] = "no-such-clause"


def witness_reordered(d: Document) -> None:
    d["witness"]["trace"]["order"].reverse()


def witness_cut(d: Document) -> None:
    d["witness"]["trace"]["order"] = d["witness"]["trace"]["order"][:-1]


def witness_wants_less(d: Document) -> None:
    d["witness"]["wanted"] = d["witness"]["wanted"][:-1]


def witness_runs_less(d: Document) -> None:
    d["witness"]["runs"] = d["witness"]["runs"][:-1]


def variables_merged(d: Document) -> None:
    d["variables"][1] = d["variables"][0]


CHANGES: dict[Callable[[Document], None], str] = {
    clause_added: "clause 'lock:mine' does not follow from the scenario",
    clause_changed: "clause 'contract' is not what the scenario says",
    clause_dropped: "is missing",
    guard_changed: "clause ",
    step_removed: "clause ",
    steps_swapped: "clause ",
    grace_period_claimed: "clause ",
    lemma_no_circle: "lemma cycle:1 is no circle: program order does not lead",
    lemma_one_edge: "lemma cycle:1 is no circle",
    lemma_empty: "lemma cycle:1 is no circle: it has no edge",
    lemmas_gone: "the proof does not follow by unit propagation",
    proof_cut: "the proof does not end in the empty clause",
    proof_skipped: "the proof does not follow by unit propagation",
    proof_elsewhere: "step 1 of the proof speaks of a variable that there is not",
    formula_other: "its formula is not that of rcu-delay-inode",
    formula_no_formula: "its formula cannot be read",
    clause_id_other: "its formula is not that of no-double-free",
    clause_id_none: "the contract has no clause 'no-such-clause'",
    witness_reordered: "its witness is no trace of the scenario",
    witness_cut: "its witness is no trace of the scenario",
    witness_wants_less: "its witness does not say of all that there is to happen that it does",
    witness_runs_less: "its witness does not say of every callback that it runs",
    variables_merged: "two of its variables have one name",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__)
def test_a_certificate_that_was_tampered_with_is_rejected(
    folder: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Document], None]
) -> None:
    document = load(folder)
    before = copy.deepcopy(document)
    change(document)
    assert canonical(document) != canonical(before)
    store(folder, document)
    assert CHANGES[change] in rejected(folder, capsys)


def test_a_source_that_was_changed_is_seen_by_its_digest_and_by_the_models(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a step stands has no part in a proof: only digest and models can tell."""
    document = load(folder)
    next(s for s in steps_of(document) if s.get("source", {}).get("line"))["source"]["line"] += 1
    store(folder, document, seal=False)
    assert "its digest is not that of its content" in rejected(folder, capsys)
    store(folder, document)
    assert main(["check", str(folder)]) == 0
    reason = rejected(folder, capsys, "--models")
    assert f"no obligation of the models of {KERNEL} has this scenario" in reason


def test_a_hash_of_a_source_is_compared_with_the_models(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = load(folder)
    document["sources"][0][1] = "0" * len(document["sources"][0][1])
    store(folder, document)
    assert main(["check", str(folder)]) == 0
    assert "its sources are not those that the model was read from" in rejected(folder, capsys, "--models")


def test_the_index_is_held_to_its_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = json.loads((folder / "index.json").read_text())

    def with_row(**changed: str) -> None:
        row = index["obligations"][0] | changed
        (folder / "index.json").write_text(json.dumps(index | {"obligations": [row]}))

    with_row(verdict="violated")
    assert "the index lists it as violated" in rejected(folder, capsys)
    with_row(clause="no-double-free")
    assert "the index lists it under another obligation" in rejected(folder, capsys)
    with_row(sha256="0" * 64)
    assert "its SHA-256 is not the one that the index has" in rejected(folder, capsys)
    stray = folder / ("x." + "0" * 16 + ".json")
    stray.write_text("{}")
    with_row()
    assert "the index does not list it" in rejected(folder, capsys)
    stray.unlink()
    with_row(file="", sha256="")
    (folder / name_of_any(folder)).unlink()
    assert "neither a file nor why there is none" in rejected(folder, capsys)


def name_of_any(folder: Path) -> str:
    return next(p.name for p in folder.iterdir() if p.name != "index.json")


# -- hostile: unreadable is status 2, in one line


def deep(kind: str) -> str:
    return "[" * 200_000 if kind == "list" else '{"a":' * 200_000


HOSTILE: dict[str, Callable[[str], str]] = {
    "nothing": lambda t: "",
    "cut off": lambda t: t[: len(t) // 2],
    "deep lists": lambda t: deep("list"),
    "deep objects": lambda t: deep("object"),
    "no object": lambda t: "[]",
    "huge number": lambda t: t.replace('"cpu": 1', '"cpu": ' + "9" * 100_000, 1),
    "no whole number": lambda t: t.replace('"cpu": 1', '"cpu": 1e400', 1),
    "not a number": lambda t: t.replace('"cpu": 1', '"cpu": NaN', 1),
    "negative": lambda t: t.replace('"cpu": 1', '"cpu": -1', 1),
    "truth for a number": lambda t: t.replace('"cpu": 1', '"cpu": true', 1),
    "text for a list": lambda t: t.replace('"lemmas": [', '"lemmas": "x", "y": [', 1),
    "another schema": lambda t: t.replace("dentryproof-certificate-2", "dentryproof-certificate-9", 1),
    "key twice": lambda t: t.replace('"schema":', '"schema": "x", "schema":', 1),
    "unknown field": lambda t: t.replace('"schema":', '"__class__": "os.system", "schema":', 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_read_is_an_input_error(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = folder / name_of(folder)
    before = path.read_text()
    path.write_text(HOSTILE[name](before))
    assert path.read_text() != before
    capsys.readouterr()
    assert main(["check", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and path.name in err and len(err) < 500, err


def test_bytes_that_are_no_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / name_of(folder)).write_bytes(b"\xff\xfe{")
    assert main(["check", str(folder)]) == 2
    assert "is not UTF-8" in capsys.readouterr().err


OUTSIDE = ("../x.0123456789abcdef.json", "/etc/passwd", "a/b.0123456789abcdef.json", "..", "index.json")


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_of_the_folder_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    index = json.loads((folder / "index.json").read_text())
    index["obligations"][0]["file"] = name
    (folder / "index.json").write_text(json.dumps(index))
    assert main(["check", str(folder)]) == 2
    assert "is no name of a certificate" in capsys.readouterr().err
    assert main(["check", str(folder), "../x.json"]) == 2


def test_a_folder_without_an_index_is_an_input_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path)]) == 2
    assert "index.json: No such file" in capsys.readouterr().err


# -- folders


def test_a_folder_with_something_else_in_it_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    for option in (["--certificate", str(tmp_path)], ["--export", "smt2", str(tmp_path)]):
        assert main(["autofs", *option, "--no-cache"]) == 2
        assert "is neither empty nor a folder that this tool wrote" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_certificates_of_an_earlier_run_are_replaced(folder: Path) -> None:
    old = name_of(folder)
    (folder / "note.txt").write_text("mine")
    status = main(["vboxsf", "--clause", "null-inode", "--certificate", str(folder), "--no-cache", "-q"])
    assert status == 0 and not (folder / old).exists() and (folder / "note.txt").exists()
    assert main(["check", str(folder)]) == 0


def test_a_name_that_there_is_not_costs_no_certificate(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert main(["nosuchfs", "--certificate", str(folder), "--no-cache"]) == 2
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_file_that_cannot_be_written_is_an_input_error_and_leaves_nothing(tmp_path: Path) -> None:
    from dentryproof.errors import InputError

    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "no" / "x.json", "x")
    (tmp_path / "x.json").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "x.json", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
