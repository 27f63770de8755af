"""Sources broken on purpose: each operator on fixtures whose answer was reasoned out from their text, and,
where DENTRYPROOF_TREES names a folder of kernels, on real filesystems."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from toys import TREE, edit, small_tree

from dentryproof.commands.main import main
from dentryproof.errors import InputError, UsageError
from dentryproof.mutation.mutant import Expected, Finding, Mutation, Outcome
from dentryproof.mutation.operators import NAMES
from dentryproof.mutation.score import explanations, mutate
from dentryproof.proofs.request import Request
from dentryproof.proofs.verdict import Verdict
from dentryproof.reader.tree import Tree

EXPECTED = Path(__file__).parent / "expected"
TREES = os.environ.get("DENTRYPROOF_TREES", "")
COLUMNS = "filesystem\toperator\tfile\tfunction\tnumber\tverdict\treason\n"


@cache
def answer(filesystem: str, operator: str, clause: str = "") -> Mutation:
    """The mutants of one filesystem of the fixtures by one operator, asked for one clause or all."""
    clauses = (clause,) if clause else ()
    return mutate(Request(filesystems=(filesystem,), linux=TREE, clauses=clauses), (operator,))


def finding(found: Mutation, operator: str, function: str, number: int = 1) -> Finding:
    """The only finding at that place."""
    (one,) = [f for f in found.findings if f.place[1] == operator and f.place[3:] == (function, number)]
    return one


DENTRY, INODE, SUPER = "rcu-delay-dentry", "rcu-delay-inode", "rcu-delay-super"
KILLED = (
    # filesystem, operator, function or table, number, expected, the clause that must be violated and why
    ("rcufree", "no-rcu-delay", "toy_release", 1, "matters", DENTRY),  # kfree() while toy_revalidate() reads
    ("callrcu", "no-rcu-delay", "toy_release", 1, "matters", DENTRY),  # toy_info_free() called at once
    (
        "workrcu",
        "no-rcu-delay",
        "toy_release",
        1,
        "undecided",
        DENTRY,
    ),  # a work item waits for no grace period
    ("managebail", "no-bail-out", "toy_manage", 1, "undecided", DENTRY),  # info->flags is read in RCU mode
    ("revalbail", "no-bail-out", "toy_revalidate", 1, "matters", "no-blocking"),  # msleep()
    ("revalbail", "no-bail-out", "toy_revalidate", 1, "matters", "rcu-no-store"),  # d_fsdata = NULL
    ("inodetested", "no-null-test", "toy_hash", 1, "matters", "null-inode"),  # dir->i_flags, dir may be NULL
    ("inodeonce", "no-null-test", "toy_revalidate", 1, "matters", "null-inode"),
    ("inodeonce", "double-read", "toy_revalidate", 1, "matters", "null-inode"),  # one read tested, one used
    ("lockednull", "no-lock-pair", "toy_revalidate", 1, "undecided", DENTRY),  # the free can come in between
    ("lockednull", "no-lock-pair", "toy_release", 1, "undecided", DENTRY),
    ("rcufree", "free-in-prune", "toy_dentry_operations", 1, "matters", "prune-frees-nothing"),
    ("pruneown", "unlock-in-prune", "toy_prune", 1, "matters", "prune-keeps-locks"),
    ("pruneown", "store-in-prune", "toy_prune", 1, "matters", "prune-is-const"),
    ("pruneown", "store-in-prune", "toy_prune", 2, "matters", "prune-is-const"),
    ("hashatomic", "block-in-hash", "toy_hash", 1, "matters", "no-blocking"),
    ("hashatomic", "block-in-hash", "toy_hash", 2, "undecided", "no-blocking"),  # GFP_ATOMIC to GFP_KERNEL
    ("freeinode", "free-to-evict", "toy_super_operations", 1, "matters", INODE),
    ("superkillwait", "no-hidden-grace-period", "toy_kill_sb", 1, "undecided", SUPER),
    ("superkillbdi", "no-hidden-grace-period", "toy_fill_super", 1, "undecided", SUPER),
    ("waitfree", "no-hidden-grace-period", "toy_release", 1, "undecided", DENTRY),
)


@pytest.mark.parametrize(("filesystem", "operator", "function", "number", "expected", "clause"), KILLED)
def test_killed(
    filesystem: str, operator: str, function: str, number: int, expected: str, clause: str
) -> None:
    found = finding(answer(filesystem, operator, clause), operator, function, number)
    assert found.outcome is Outcome.KILLED
    assert found.mutant.expected is Expected(expected)
    turned = {t.clause: (t.before, t.after) for t in found.turns}
    assert turned[clause][0] in (Verdict.PROVED, Verdict.NOT_APPLICABLE)
    assert turned[clause][1] is Verdict.VIOLATED


def test_every_operator_has_a_case() -> None:
    assert {row[1] for row in KILLED} == set(NAMES)


OTHERWISE = (
    # Only d_prune() takes this lock; nothing lockless is in the table.
    ("pruneown", "no-lock-pair", "toy_prune", Outcome.EQUIVALENT),
    # It is violated with call_srcu() as well: walkers are in no read-side section of that domain.
    ("callsrcu", "no-rcu-delay", "toy_release", Outcome.MASKED),
    # It is violated with rcu_barrier() as well, which with nothing queued waits for nothing.
    ("barrierfree", "no-hidden-grace-period", "toy_release", Outcome.MASKED),
    # It is unknown for the group as it is, and for the element that bears it besides.
    ("elementput", "no-rcu-delay", "toy_entries_free", Outcome.UNKNOWN),
)


@pytest.mark.parametrize(("filesystem", "operator", "function", "outcome"), OTHERWISE)
def test_not_killed(filesystem: str, operator: str, function: str, outcome: Outcome) -> None:
    assert finding(answer(filesystem, operator), operator, function).outcome is outcome


@pytest.mark.parametrize("clauses", [(), (SUPER,)])
def test_what_is_remembered_is_not_taken_for_all(clauses: tuple[str, ...], tmp_path: Path) -> None:
    request = Request(filesystems=("barrierfree",), linux=TREE, cache=tmp_path)
    operators = ("no-hidden-grace-period",)
    mutate(replace(request, clauses=clauses), operators, places_only=not clauses)
    (one,) = mutate(request, operators).findings
    assert one.outcome is Outcome.MASKED  # what the cache lacks of the unbroken source is decided


# -- survivors -------------------------------------------------------------------------------------


@pytest.fixture(name="twice")
def _twice(tmp_path: Path) -> Path:
    """A d_manage() that gives up twice: without either of the tests the other one is still there."""
    root = small_tree(tmp_path / "linux", "managebail")
    bail = "\tif (rcu_walk)\n\t\treturn -ECHILD;\n"
    edit(root / "fs/managebail/managebail.c", bail, bail + bail)
    return root


def table(path: Path, verdict: str, reason: str) -> Path:
    """A table that says this of the first of the two tests."""
    place = "managebail\tno-bail-out\tfs/managebail/managebail.c\ttoy_manage\t1"
    path.write_text(f"{COLUMNS}{place}\t{verdict}\t{reason}\n", encoding="utf-8")
    return path


def run(root: Path, *args: str) -> int:
    """The exit status of breaking the bail-outs of managebail."""
    command = ["mutate", "--linux", str(root), "managebail", "--operator", "no-bail-*", "--no-cache"]
    return main([*command, "--jobs", "1", *args])


def test_survivors(twice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.read_bytes() for p in twice.rglob("*") if p.is_file()}
    assert run(twice) == 1
    out = capsys.readouterr().out
    assert "Survived:\n  managebail  no-bail-out  fs/managebail/managebail.c:" in out
    assert "2 mutants: 1 equivalent, 1 survived" in out  # the second comes after RCU mode has given up
    assert {p: p.read_bytes() for p in twice.rglob("*") if p.is_file()} == before

    harmless = table(tmp_path / "harmless.tsv", "harmless", "the second test is there")
    assert run(twice, "--explained", str(harmless)) == 0
    out = capsys.readouterr().out
    assert "the second test is there" in out and "2 mutants: 1 equivalent, 1 explained" in out
    assert run(twice, "--explained", str(table(tmp_path / "blind.tsv", "blind", "not seen"))) == 1
    out = capsys.readouterr().out
    assert "2 mutants: 1 equivalent, 1 survived" in out and "not seen" in out


def test_stale_explanation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = small_tree(tmp_path / "linux", "managebail")
    explained = table(tmp_path / "both.tsv", "harmless", "the second test is there")
    assert run(root, "--explained", str(explained)) == 0
    out = capsys.readouterr().out
    assert "no survivor (any more):\n  managebail  no-bail-out  fs/managebail/managebail.c" in out


@pytest.mark.parametrize(
    "text",
    (
        "",
        "filesystem\toperator\n",
        COLUMNS + "toy\tno-bail-out\tf.c\tf\t1\tharmless\t\n",
        COLUMNS + "toy\tno-bail-out\tf.c\tf\tone\tharmless\twhy\n",
        COLUMNS + "toy\tno-bail-out\tf.c\tf\t1\tfine\twhy\n",
        COLUMNS + "toy\tno-bail-out\n",
    ),
)
def test_bad_explanations(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.tsv"):
        explanations([path])


# -- the command -----------------------------------------------------------------------------------


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(resources.files("dentryproof.report").joinpath("mutation.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    command = ["mutate", "--linux", str(TREE), "rcufree", "--format", "json", "--jobs", "1", "--no-cache"]
    texts = []
    for more in ([], [], ["--list"]):
        assert main([*command, *more]) == 0
        texts.append(capsys.readouterr().out)
        jsonschema.validate(json.loads(texts[-1]), schema)
    assert texts[0] == texts[1]
    ran, listed = json.loads(texts[0]), json.loads(texts[2])
    assert ran["counts"]["killed"] == len(ran["findings"]) == len(listed["mutants"]) > 0
    keys = ("operator", "file", "line", "function", "number", "change")
    assert [[f[k] for k in keys] for f in ran["findings"]] == [
        [m[k] for k in keys] for m in listed["mutants"]
    ]


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["mutate", "--linux", str(TREE), "rcufree", "--list", "--operator", "no-rcu-delay", "--jobs", "1"]
    assert main([*args, "--no-cache"]) == 0
    _, line = capsys.readouterr().out.splitlines()
    text = (TREE / "fs/rcufree/rcufree.c").read_text(encoding="utf-8").splitlines()
    number = 1 + next(i for i, t in enumerate(text) if "kfree_rcu" in t and "*" not in t)
    assert f"fs/rcufree/rcufree.c:{number} " in line and line.endswith(
        "kfree_rcu(info, rcu) becomes kfree(info)"
    )


@pytest.mark.parametrize(
    ("args", "said"),
    (
        (["mutate", "rcufree"], "--linux"),
        (["mutate", "--linux", str(TREE)], "name a filesystem"),
        (["mutate", "--linux", str(TREE), "rcufree", "--operator", "no-rcu"], "unknown operator 'no-rcu'"),
        (["mutate", "--linux", str(TREE), "nosuchfs"], "nosuchfs"),
        (["mutate", "--linux", str(TREE), "rcufree", "--explained", "/nonexistent"], "/nonexistent"),
    ),
)
def test_usage(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*args, "--no-cache"] if "--linux" in args else args) == 2
    out, err = capsys.readouterr()
    assert not out and said in err and err.count("\n") == 1


def test_nothing_to_break() -> None:
    with pytest.raises(UsageError):
        mutate(Request(filesystems=("rcufree",)))


# -- files in place of others ------------------------------------------------------------------------


def test_overlay(tmp_path: Path) -> None:
    root = small_tree(tmp_path / "linux", "rcufree")
    tree = Tree(root)
    path, new = "fs/rcufree/rcufree.c", "fs/rcufree/other.h"
    old = tree.file(path)
    over = tree.overlaid({path: "int x;\n", new: "int y;\n", "fs/rcufree/sub/deep.c": ""})
    assert over.list("fs/rcufree") == (new, path)
    assert over.list("fs/rcufree", deep=True) == (new, path, "fs/rcufree/sub/deep.c")
    changed, added = over.file(path), over.file(new)
    assert old is not None and changed is not None and added is not None
    assert (changed.text, added.text) == ("int x;\n", "int y;\n")
    assert over.file("include/linux/fs.h") is tree.file("include/linux/fs.h")
    assert over.consulted.files[path] != tree.consulted.files[path]
    assert tree.file(path) is old and tree.list("fs/rcufree") == (path,)
    assert (over.version, over.file("fs/none.c")) == (tree.version, None)


# -- real kernels ------------------------------------------------------------------------------------

REAL = (
    ("6.12", "autofs", "no-rcu-delay", 2),  # autofs_free_ino() and autofs_kill_sb()
    ("6.12", "autofs", "no-bail-out", 5),
    ("6.12", "autofs", "double-read", 1),  # inode in autofs_d_manage()
    ("6.12", "autofs", "no-lock-pair", 5),
    ("6.12", "hfs", "no-bail-out", 1),
    ("6.12", "9p", "free-in-prune", 2),
    ("6.1", "autofs", "no-rcu-delay", 2),
    ("5.0.1", "9p", "no-rcu-delay", 1),  # the inode itself, freed below ->destroy_inode()
)
"""Version, filesystem, operator, and how many places reading its source finds."""


@pytest.mark.parametrize(("version", "filesystem", "operator", "places"), REAL)
def test_every_survivor_is_explained(version: str, filesystem: str, operator: str, places: int) -> None:
    tree = Path(TREES) / f"linux-source-{version}"
    if not TREES or not tree.is_dir():
        pytest.skip(f"no kernel tree {version}: set DENTRYPROOF_TREES")
    known = explanations([EXPECTED / f"survivors-{version}.tsv"])
    found = mutate(Request(filesystems=(filesystem,), linux=tree), (operator,), known)
    assert len(found.findings) == places
    assert not found.survivors and not found.stale
    assert not [f for f in found.findings if f.unexpected]


@pytest.mark.parametrize("path", sorted(EXPECTED.glob("survivors-*.tsv")), ids=lambda p: p.stem)
def test_explanations_are_sorted_and_about_survivable_places(path: Path) -> None:
    places = list(explanations([path]))
    assert places and places == sorted(places)
    assert {p[1] for p in places} <= set(NAMES)
