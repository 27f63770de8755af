"""Repairs: the smallest set of changes, proved again, and its diff."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path

import jsonschema
import pytest
from random_models import random_model
from repositories import commit, git, init
from test_cli import one_line
from test_outputs import SARIF
from toys import edit, small_tree

from dentryproof.commands.main import main
from dentryproof.encodings.smallest import Smallest
from dentryproof.paper.page import page as html_page
from dentryproof.proofs.candidates import candidates
from dentryproof.proofs.changes import changed, switched
from dentryproof.proofs.decide import Decisions, decide
from dentryproof.proofs.engine import run
from dentryproof.proofs.obligation import Obligation
from dentryproof.proofs.obligations import questions
from dentryproof.proofs.patch import patched
from dentryproof.proofs.repair import MOST, Repairs
from dentryproof.proofs.request import Exports, Request
from dentryproof.proofs.rewrite import Rewriter
from dentryproof.proofs.verdict import Edit, Repair, Report, Verdict
from dentryproof.proofs.work import UnitName
from dentryproof.reader.extract import models
from dentryproof.reader.tree import Tree
from dentryproof.reader.units import unit_at
from dentryproof.report.json import dump, report_document, schema
from dentryproof.report.sarif import sarif_document
from dentryproof.report.text import render
from dentryproof.spec import modelfile
from dentryproof.spec.modelfile import load
from dentryproof.spec.program import Model, Program, ProgramBuilder, Source
from dentryproof.spec.vfs import vfs

TREE = Path(__file__).parent / "fixtures" / "tree"
MODELS = Path(__file__).parent.parent / "spec" / "models"


# -- what the smallest repair is, from reading the source ----------------------------------------------


@dataclass(frozen=True)
class Expected:
    """The smallest repair of the violated results of one clause: kinds of changes, none for no repair, and a
    part of what is said of it. `why` is from reading the fixture."""

    filesystem: str
    clause: str
    kinds: tuple[str, ...]
    told: str
    why: str
    walker: str = ""


EXPECTED = (
    Expected(
        "plainfree",
        "rcu-delay-dentry",
        ("delay",),
        "kfree_rcu() instead of kfree() in toy_release()",
        "one free, and nothing else clears the pointer or frees",
    ),
    Expected(
        "evictfree",
        "rcu-delay-inode",
        ("move",),
        "from toy_evict_inode() (fs/evictfree/evictfree.c:29)",
        "free_inode() runs from an RCU callback and still finds the pointer",
    ),
    Expected(
        "evicthelper",
        "rcu-delay-inode",
        ("move",),
        "without the store of NULL that goes with it (line 45)",
        "with the store left behind, free_inode() would find NULL",
    ),
    Expected(
        "movedother",
        "rcu-delay-inode",
        ("delay",),
        "kfree_rcu() instead of kfree()",
        "free_inode() would find what was stored in its place, and never free the right one",
    ),
    Expected(
        "superfreednull",
        "rcu-delay-super",
        ("delay", "test"),
        "test sb->s_fs_info, as read in toy_compare()",
        "what is freed is read, and the pointer that is then NULL is followed untested",
    ),
    Expected(
        "supertwicefreed",
        "rcu-delay-super",
        ("delay", "delay"),
        "in toy_kill_sb()",
        "put_super() and kill_sb() each free it at once",
        walker="d_compare",
    ),
    Expected(
        "inodetwice",
        "null-inode",
        ("once",),
        "use that value in toy_revalidate() (fs/inodetwice/inodetwice.c:12)",
        "the first read is tested, the second is followed",
    ),
    Expected(
        "inodelate",
        "null-inode",
        ("test",),
        "test dentry->d_inode",
        "there is one read, never tested in time",
    ),
    Expected(
        "clearedagain",
        "rcu-delay-inode",
        ("once",),
        "(fs/clearedagain/clearedagain.c:28)",
        "the free waits already; the second read yields NULL untested",
    ),
    Expected(
        "clearedread",
        "rcu-delay-inode",
        ("test",),
        "before it is followed",
        "the free waits already; the only read is never tested",
    ),
    Expected(
        "storefsdata", "rcu-no-store", ("drop",), "store to dentry->d_fsdata", "nothing needs the store"
    ),
    Expected("prunewrite", "prune-is-const", ("drop",), "store to dentry->d_time", "nothing needs the store"),
    Expected(
        "permissionsleeps", "no-blocking", ("bail",), "before toy_permission()", "only RCU mode may not sleep"
    ),
    Expected(
        "macrofree",
        "rcu-delay-dentry",
        ("bail",),
        "before toy_revalidate()",
        "it also sets the pointer to NULL, which the walker does not test: without leaving RCU mode, two",
    ),
    Expected(
        "locknone",
        "rcu-delay-super",
        ("lock",),
        "take sb->s_fs_info->lock in toy_hash()",
        "vfree() may sleep, an RCU callback may not; d_hash() cannot return early; the owner has the lock",
    ),
    Expected(
        "bailheld",
        "rcu-delay-dentry",
        ("bail",),
        "at the beginning of toy_revalidate()",
        "a return before the read, under the lock, would keep the lock: balanced-locks",
    ),
    Expected(
        "prunenull",
        "prune-is-const",
        (),
        "rcu-delay-dentry is then violated",
        "without the store of NULL, a walker that comes later finds what is being freed",
    ),
    Expected("twice", "no-double-free", (), "bears on it", "no change of the list makes it free less often"),
    Expected("leaky", "balanced-locks", (), "bears on it", "no change of the list drops a lock"),
    Expected(
        "prunefree",
        "prune-frees-nothing",
        (),
        "bears on it",
        "delayed or not: it has to go elsewhere than the list can move it",
    ),
    Expected("hashkernel", "no-blocking", (), "bears on it", "d_hash() has no RCU mode to leave"),
)


@cache
def report(filesystem: str) -> Report:
    return run(Request(filesystems=(filesystem,), linux=TREE, exports=Exports(repair=True)))


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: f"{e.filesystem}-{e.clause}")
def test_the_smallest_repair_of_a_fixture(expected: Expected) -> None:
    found = [
        r
        for r in report(expected.filesystem).results
        if r.clause == expected.clause
        and r.verdict is Verdict.VIOLATED
        and (not expected.walker or r.callbacks[-1] == expected.walker)
    ]
    assert found
    for result in found:
        assert result.repair is not None
        assert tuple(sorted(e.kind for e in result.repair.edits)) == tuple(sorted(expected.kinds))
        assert expected.told in result.repair.sentence, result.repair.sentence
        assert bool(result.repair.edits) != bool(result.repair.reason)


def test_only_what_is_violated_has_a_repair() -> None:
    for result in report("plainfree").results:
        assert (result.repair is not None) == (result.verdict is Verdict.VIOLATED)
    without = run(Request(filesystems=("plainfree",), linux=TREE))
    assert all(r.repair is None for r in without.results)
    assert [replace(r, seconds=0, repair=None) for r in report("plainfree").results] == [
        replace(r, seconds=0) for r in without.results
    ]


# -- real kernels --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Real:
    """A violation of a real kernel whose models are kept, and its repair."""

    model: str
    clause: str
    callbacks: tuple[str, ...]
    object: str
    kinds: tuple[str, ...]
    place: str
    why: str


REAL = (
    Real(
        "5.0.1/autofs.autofs_dentry_operations",
        "rcu-delay-dentry",
        ("d_release", "d_manage"),
        "dentry->d_fsdata",
        ("delay",),
        "fs/autofs/inode.c:39",
        "as mended by ce285c267a00",
    ),
    Real(
        "5.0.1/debugfs.debugfs_dops",
        "rcu-delay-inode",
        ("evict_inode", "get_link"),
        "inode->i_link",
        ("delay",),
        "fs/debugfs/inode.c:171",
        "5.0 has no ->free_inode() that it could go to",
    ),
    Real(
        "5.0.1/ceph.ceph_dentry_ops",
        "null-inode",
        ("d_revalidate",),
        "dentry->d_inode",
        ("once",),
        "include/linux/dcache.h:517",
        "d_really_is_positive() tested another read than d_inode() made",
    ),
    Real(
        "6.1/affs.affs_dentry_operations",
        "rcu-delay-super",
        ("kill_sb", "d_hash"),
        "sb->s_fs_info",
        ("delay",),
        "fs/affs/super.c:645",
        "as mended in 6.8 by kfree_rcu()",
    ),
    Real(
        "6.1/proc.pid_dentry_operations",
        "rcu-delay-inode",
        ("evict_inode", "permission"),
        "inode->pid",
        ("move",),
        "fs/proc/base.c:1932",
        "as mended in 6.8: put_pid() in ->free_inode()",
    ),
    Real(
        "6.1/proc.pid_dentry_operations",
        "rcu-delay-inode",
        ("evict_inode", "get_link"),
        "inode->pde",
        ("move",),
        "fs/proc/generic.c:43",
        "as mended in 6.8: the pde is dropped in ->free_inode()",
    ),
    Real(
        "6.1/proc.pid_dentry_operations",
        "rcu-delay-super",
        ("kill_sb", "permission"),
        "sb->s_fs_info",
        ("delay",),
        "fs/proc/root.c:274",
        "as mended in 6.8 by kfree_rcu()",
    ),
    Real(
        "6.1/cifs.cifs_dentry_ops",
        "no-blocking",
        ("get_link",),
        "",
        ("bail",),
        "fs/smb/client/cifsfs.c:1189",
        "as mended in 6.8: it returns -ECHILD without a dentry",
    ),
)


def _repairs(model: Model) -> Repairs:
    found = Repairs(model, vfs(model.kernel), Decisions())
    for _ in found.prepare():
        pass
    return found


@cache
def _kept(name: str) -> Repairs:
    kernel, _, rest = name.partition("/")
    (path,) = [
        p
        for p in MODELS.glob(f"{kernel}*/{rest}.json")
        if p.parent.name.split(".")[:2] == kernel.split(".")[:2]
    ]
    return _repairs(load(path.read_text(encoding="utf-8"), path.name))


@pytest.mark.parametrize("real", REAL, ids=lambda r: f"{r.model}-{r.clause}-{r.object}")
def test_the_smallest_repair_of_a_real_violation(real: Real) -> None:
    repairs = _kept(real.model)
    violated = [p.result for p in repairs.before if p.result.verdict is Verdict.VIOLATED]
    results = [
        r for r in violated if (r.clause, r.callbacks, r.object) == (real.clause, real.callbacks, real.object)
    ]
    assert results
    for result in results:
        edits = repairs.of(result).repair.edits
        assert tuple(e.kind for e in edits) == real.kinds
        assert f"{edits[0].file}:{edits[0].line}" == real.place


# -- the search, told by other means -------------------------------------------------------------------


def _fixture(name: str) -> Model:
    tree = Tree(TREE)
    (model,) = models(tree, unit_at(tree, f"fs/{name}"), tree.version)
    return model


@pytest.mark.parametrize(
    "name",
    ["superfreednull", "supertwicefreed", "macrofree", "bailheld", "prunenull", "inodetwice", "locknone"],
)
def test_nothing_smaller_is_a_repair(name: str) -> None:
    """All sets of fewer changes, each through the ordinary proofs, with no use of the search."""
    assert _nothing_smaller(_fixture(name))


@pytest.mark.parametrize("seeds", [range(20), range(20, 40), range(40, 60), (260, 660)], ids=str)
def test_nothing_smaller_is_a_repair_of_a_random_model(seeds: Iterable[int]) -> None:
    """In the last two, reading once goes past a test that alone is a repair."""
    assert sum(_nothing_smaller(random_model(seed)) for seed in seeds)


def _nothing_smaller(model: Model) -> int:
    """How many violations of a model were looked at: no smaller set than was found mends one."""
    repairs = _repairs(model)
    results = {p.result.key: p.result for p in repairs.before if p.result.verdict is Verdict.VIOLATED}
    for result in results.values():
        found = repairs.of(result)
        violated = [
            p.question
            for p in repairs.before
            if p.result.verdict is Verdict.VIOLATED
            and isinstance(p.question, Obligation)
            and (p.clause, p.result.object, p.result.callbacks[-1:])
            == (result.clause, result.object, result.callbacks[-1:])
        ]
        changes = dict(enumerate(candidates(model, vfs(model.kernel), violated)))
        # What is moved may no longer be found where it was moved to, which is no repair and may prove.
        tried = [n for n, c in changes.items() if c.kind != "move"]
        for size in range(len(found.changes) if found.changes else MOST + 1):
            for chosen in combinations(tried, size):
                repairs.extend(60.0)
                assert repairs.compared(result, changed(model, changes, chosen)), (result.key, chosen)
    return len(results)


@pytest.mark.parametrize(
    "name", ["plainfree", "evicthelper", "inodetwice", "inodelate", "prunewrite", "bailheld"]
)
def test_a_model_in_which_nothing_is_made_is_the_model(name: str) -> None:
    model = _fixture(name)
    repairs = _repairs(model)
    for proved in repairs.before:
        if proved.result.verdict is Verdict.VIOLATED and isinstance(proved.question, Obligation):
            changes = dict(enumerate(candidates(model, vfs(model.kernel), [proved.question])))
            assert changed(model, changes, ()) == model
            for obligation in questions(switched(model, changes), proved.question.clause, vfs(model.kernel)):
                if isinstance(obligation, Obligation) and obligation.callbacks == proved.question.callbacks:
                    assert decide(obligation).result.verdict is Verdict.VIOLATED


def test_a_changed_model_is_a_model() -> None:
    """What is made of a model can be written and read, and no switch is left in it."""
    for name in ("evicthelper", "inodetwice", "inodelate", "bailheld", "locknone"):
        model = _fixture(name)
        repairs = _repairs(model)
        for proved in repairs.before:
            if proved.result.verdict is Verdict.VIOLATED and isinstance(proved.question, Obligation):
                changes = dict(enumerate(candidates(model, vfs(model.kernel), [proved.question])))
                for number in changes:
                    made = changed(model, changes, [number])
                    assert made != model
                    text = modelfile.dump(made)
                    assert load(text, name) == made and "repair:" not in text


def test_smallest_sets_come_first_and_each_once() -> None:
    with Smallest({n: 1000 + n for n in range(4)}) as smallest:
        seen = []
        while (chosen := smallest.next()) is not None:
            seen.append(chosen)
            smallest.exclude(chosen)
    assert len(seen) == len(set(seen)) == 16
    assert [len(s) for s in seen] == sorted(len(s) for s in seen)
    assert seen[1:5] == [frozenset({n}) for n in range(4)]


def test_a_demand_is_heeded() -> None:
    with Smallest({n: 1000 + n for n in range(3)}) as smallest:
        assert smallest.demand([1, 2])
        assert smallest.next() == {1}
        assert smallest.demand([], [1])
        assert smallest.next() == {2}
        assert not smallest.demand([])


def _by_hand(*programs: Program) -> Model:
    slots = tuple((p.method, p.function) for p in programs)
    return Model("6.12", "byhand", ("byhand",), "ops", Source(), programs, slots)


def test_a_model_without_lines_is_mended_by_its_events() -> None:
    walker = ProgramBuilder("d_revalidate", "rcu", "walk")
    pointer = walker.add("read", "dentry", "d_fsdata")
    walker.add("read", "dentry->d_fsdata", "flags", via=pointer)
    walker.add("return")
    release = ProgramBuilder("d_release", "", "release")
    pointer = release.add("read", "dentry", "d_fsdata")
    release.add("free", "dentry->d_fsdata", via=pointer, value="now")
    release.add("return")
    repairs = _repairs(_by_hand(walker.build(), release.build()))
    (result,) = [p.result for p in repairs.before if p.result.verdict is Verdict.VIOLATED]
    assert [e.kind for e in repairs.of(result).repair.edits] == ["delay"]


def test_a_search_that_takes_too_long_claims_nothing() -> None:
    repairs = Repairs(_fixture("plainfree"), vfs("6.12"), Decisions(), seconds=0.0)
    for _ in repairs.prepare():
        pass
    (result,) = [p.result for p in repairs.before if p.result.verdict is Verdict.VIOLATED]
    repair = repairs.of(result).repair
    assert not repair.edits and "given up" in repair.reason


# -- diffs ---------------------------------------------------------------------------------------------


def _applied(root: Path, diff: str) -> None:
    """Apply a diff with git, strictly."""
    subprocess.run(["git", "apply", "--check", "-"], cwd=root, input=diff.encode(), check=True)
    subprocess.run(["git", "apply", "-"], cwd=root, input=diff.encode(), check=True)


PATCHABLE = (
    "plainfree",
    "superkill",
    "movedother",
    "headerfree",
    "superfreedonce",
    "storefsdata",
    "prunewrite",
)


@pytest.mark.parametrize("name", PATCHABLE)
def test_a_diff_applies_and_the_patched_source_is_proved(name: str, tmp_path: Path) -> None:
    root = small_tree(tmp_path / "linux", name)
    before = run(Request(filesystems=(name,), linux=root, exports=Exports(repair=True)))
    broken = [r for r in before.results if r.repair is not None and r.repair.diff]
    assert broken
    for result in broken:
        assert result.repair is not None
        shutil.rmtree(tmp_path / "patched", ignore_errors=True)
        shutil.copytree(root, tmp_path / "patched")
        _applied(tmp_path / "patched", result.repair.diff)
        after = run(Request(filesystems=(name,), linux=tmp_path / "patched"))
        mine = [r for r in after.results if r.key == result.key]
        assert mine and {r.verdict for r in mine} == {Verdict.PROVED}
        had = {r.key for r in before.results if r.verdict not in (Verdict.PROVED, Verdict.NOT_APPLICABLE)}
        assert {r.key for r in after.results if r.verdict is Verdict.VIOLATED} <= had


BODY = "\tkfree(toy_info(dentry));"
RELEASE = "static void toy_release"


@pytest.mark.parametrize(
    "edits, diff",
    [
        # The structure has no rcu_head: it gets one, at its end.
        ([("\tstruct rcu_head rcu;\n", "")], "\tunsigned int flags;\n+\tstruct rcu_head rcu;\n };"),
        # Somebody else queues the one that there is: it gets its own, under another name.
        (
            [
                (
                    RELEASE,
                    f"static void toy(struct toy_info *info)\n{{\n\tkfree_rcu(info, rcu);\n}}\n\n{RELEASE}",
                )
            ],
            "+\tstruct rcu_head free_rcu;",
        ),
        # A name that is taken by something else is not used.
        ([("struct rcu_head rcu;", "unsigned int rcu;")], "+\tstruct rcu_head rcu_head;"),
        # A variable of the right type.
        (
            [(BODY, "\tstruct toy_info *info = toy_info(dentry);\n\n\tkfree(info);")],
            "+\tkfree_rcu(info, rcu);",
        ),
        # kfree_rcu() of a void * does not compile.
        ([(BODY, "\tkfree(dentry->d_fsdata);")], ""),
        ([(BODY, "\tvoid *info = toy_info(dentry);\n\n\tkfree(info);")], ""),
        # An expression is no statement of its own.
        (
            [
                (BODY, f"{BODY[:-1]}, toy_nothing();"),
                (RELEASE, f"static void toy_nothing(void)\n{{\n}}\n\n{RELEASE}"),
            ],
            "",
        ),
        # Nothing can follow a flexible array.
        (
            [
                ("\tstruct rcu_head rcu;\n", ""),
                ("\tunsigned int flags;\n", "\tunsigned int flags;\n\tchar name[];\n"),
            ],
            "",
        ),
    ],
)
def test_what_is_a_local_edit(edits: list[tuple[str, str]], diff: str, tmp_path: Path) -> None:
    root = small_tree(tmp_path / "linux", "plainfree")
    for old, new in edits:
        edit(root / "fs/plainfree/plainfree.c", old, new)
    found = run(Request(filesystems=("plainfree",), linux=root, exports=Exports(repair=True)))
    (result,) = [r for r in found.results if r.verdict is Verdict.VIOLATED]
    assert result.repair is not None and [e.kind for e in result.repair.edits] == ["delay"]
    if diff:
        assert diff in result.repair.diff
        _applied(root, result.repair.diff)
    else:
        assert not result.repair.diff


@pytest.mark.parametrize(
    "kernel, said",
    [("5.11", "+\tif (info)\n+\t\tkfree_rcu(info, rcu);"), ("5.12", "+\tkfree_rcu(info, rcu);")],
)
def test_kfree_rcu_of_null_is_an_oops_before_5_12(kernel: str, said: str, tmp_path: Path) -> None:
    root = small_tree(tmp_path / "linux", "plainfree")
    edit(
        root / "fs/plainfree/plainfree.c",
        BODY,
        "\tstruct toy_info *info = toy_info(dentry);\n\n\tkfree(info);",
    )
    found = run(Request(filesystems=("plainfree",), linux=root, kernel=kernel, exports=Exports(repair=True)))
    (result,) = [r for r in found.results if r.verdict is Verdict.VIOLATED]
    assert result.repair is not None and said in result.repair.diff
    _applied(root, result.repair.diff)


@pytest.mark.parametrize(
    "store, diff",
    [
        ("\tdentry->d_time = 1;", "-\tdentry->d_time = 1;\n"),
        ("\tdentry->d_time++;", ""),
        ("\tdentry->d_time = toy_now();", ""),  # the call may do more
        ("\tif (dentry->d_sb)\n\t\tdentry->d_time = 1;", ""),  # an if needs its statement
    ],
)
def test_a_store_that_is_dropped(store: str, diff: str, tmp_path: Path) -> None:
    root = small_tree(tmp_path / "linux", "prunewrite")
    source = root / "fs/prunewrite/prunewrite.c"
    (old,) = re.findall(r"^\tdentry->d_time = .*;$", source.read_text(), re.MULTILINE)
    edit(source, old, store)
    edit(
        source,
        "static void toy_prune",
        "static long toy_now(void)\n{\n\treturn 1;\n}\n\nstatic void toy_prune",
    )
    found = run(Request(filesystems=("prunewrite",), linux=root, exports=Exports(repair=True)))
    (result,) = [r for r in found.results if r.verdict is Verdict.VIOLATED]
    assert result.repair is not None and [e.kind for e in result.repair.edits] == ["drop"]
    assert diff in result.repair.diff and bool(diff) == bool(result.repair.diff)
    if diff:
        _applied(root, result.repair.diff)


def test_a_patch_that_does_not_prove_is_no_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader may see in the patched source what the changed model has not: then the next is tried."""
    tree = Tree(TREE)
    model = _fixture("plainfree")
    rewriter = Rewriter(tree, UnitName(TREE, None, "fs/plainfree", False), tree.version)
    monkeypatch.setattr(Rewriter, "_models", lambda self, texts: (model,))  # as if nothing had changed
    repairs = Repairs(model, vfs(model.kernel), Decisions(), rewriter)
    for _ in repairs.prepare():
        pass
    (result,) = [p.result for p in repairs.before if p.result.verdict is Verdict.VIOLATED]
    found = repairs.of(result).repair
    assert [e.kind for e in found.edits] == ["bail"] and not found.diff


def test_a_patch_file_of_a_diff_is_understood_by_prove_diff(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = small_tree(tmp_path / "linux", "plainfree")
    (result,) = [
        r
        for r in run(Request(filesystems=("plainfree",), linux=root, exports=Exports(repair=True))).results
        if r.verdict is Verdict.VIOLATED
    ]
    assert result.repair is not None
    (tmp_path / "repair.patch").write_text(result.repair.diff)
    texts = patched(Tree(root), result.repair.diff.encode(), "repair")
    assert list(texts) == ["fs/plainfree/plainfree.c"]
    assert main(["diff", "--linux", str(root), "--patch", str(tmp_path / "repair.patch"), "--no-cache"]) == 0
    assert "violated \u2192 proved" in capsys.readouterr().out


# -- how it is told ------------------------------------------------------------------------------------


def test_json_has_the_repair_and_keeps_the_schema() -> None:
    for name in ("plainfree", "twice", "superfreednull"):
        document = json.loads(dump(report_document(report(name))))
        jsonschema.Draft202012Validator(schema()).validate(document)
        for result in document["results"]:
            assert ("repair" in result) == (result["verdict"] == "violated")
    (found,) = [r["repair"] for r in report_document(report("plainfree"))["results"] if "repair" in r]
    (made,) = found["changes"]
    assert (made["kind"], made["file"], made["line"]) == ("delay", "fs/plainfree/plainfree.c", 40)
    assert found["sentence"] == made["text"] and found["reason"] == ""
    assert "+\tkfree_rcu(toy_info(dentry), rcu);\n" in found["diff"]


@pytest.mark.parametrize(
    "change",
    [
        {"changes": [], "sentence": "x", "diff": "", "reason": ""},
        {"changes": [], "sentence": "x", "diff": "y", "reason": "z"},
        {
            "changes": [{"kind": "pray", "text": "x", "file": "", "line": 0, "function": ""}],
            "sentence": "x",
            "diff": "",
            "reason": "",
        },
    ],
)
def test_the_schema_refuses_half_a_repair(change: dict[str, object]) -> None:
    document = json.loads(dump(report_document(report("plainfree"))))
    violated = next(r for r in document["results"] if "repair" in r)
    violated["repair"] = change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(document)


def test_the_text_has_the_sentence_in_place_of_the_fix_and_the_diff_as_it_is() -> None:
    text = render(report("plainfree"))
    assert "Fix:" not in text and "Repair: free dentry->d_fsdata with kfree_rcu() instead of kfree()" in text
    assert "\n--- a/fs/plainfree/plainfree.c\n+++ b/fs/plainfree/plainfree.c\n@@" in text
    assert "\n-\tkfree(toy_info(dentry));\n+\tkfree_rcu(toy_info(dentry), rcu);\n" in text
    assert "Repair: no repair from the list was found" in render(report("twice"))


def test_control_characters_of_a_diff_do_not_reach_the_terminal() -> None:
    (result,) = [r for r in report("plainfree").results if r.verdict is Verdict.VIOLATED]
    diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-\tx\n+\t\x1b[2Jy\n"
    hostile = Repair((Edit("delay", "a\x1b[2Jb"),), diff)
    text = render(replace(report("plainfree"), results=(replace(result, repair=hostile),)))
    assert "\x1b" not in text and "\n+\t\\x1b[2Jy\n" in text


def test_the_page_has_the_repair_escaped() -> None:
    (result,) = [r for r in report("plainfree").results if r.verdict is Verdict.VIOLATED]
    hostile = Repair((Edit("delay", "<b>free</b>"),), "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-\t<script>\n+\ty\n")
    page = html_page(replace(report("plainfree"), results=(replace(result, repair=hostile),)))
    assert "&lt;b&gt;free&lt;/b&gt;" in page and "<b>free" not in page
    assert "-\t&lt;script&gt;\n+\ty\n" in page


def test_sarif_has_the_diff_as_a_fix(tmp_path: Path) -> None:
    document = sarif_document(report("plainfree"))
    jsonschema.Draft4Validator(json.loads(SARIF.read_text())).validate(document)
    (fix,) = next(r["fixes"] for r in document["runs"][0]["results"] if "fixes" in r)
    root = small_tree(tmp_path / "linux", "plainfree")
    (change,) = fix["artifactChanges"]
    path = root / change["artifactLocation"]["uri"]
    lines = path.read_text().splitlines(keepends=True)
    for replacement in reversed(change["replacements"]):
        region = replacement["deletedRegion"]
        assert (region["startColumn"], region["endColumn"]) == (1, 1)
        lines[region["startLine"] - 1 : region["endLine"] - 1] = [replacement["insertedContent"]["text"]]
    (result,) = [r for r in report("plainfree").results if r.verdict is Verdict.VIOLATED]
    assert result.repair is not None
    _applied(root, result.repair.diff)
    assert path.read_text() == "".join(lines)


def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    args = ["--linux", str(TREE), "plainfree", "--clause", "rcu-delay-dentry", "--cache-dir", str(tmp_path)]
    assert main([*args, "--repair"]) == 1
    assert "\nRepair: free dentry->d_fsdata with kfree_rcu()" in capsys.readouterr().out
    assert main(args) == 1  # what was found is not kept in place of what is asked for now
    assert "Fix: " in capsys.readouterr().out
    assert main([*args, "--repair"]) == 1
    assert "\nRepair: " in capsys.readouterr().out


def test_a_list_has_nothing_to_repair(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--repair"]) == 2
    assert "--list" in one_line(capsys.readouterr().err)


def test_diff_mends_what_a_change_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = small_tree(tmp_path / "linux", "rcufree")
    init(root)
    base = git(root, "rev-parse", "HEAD")
    edit(root / "fs/rcufree/rcufree.c", "kfree_rcu(info, rcu)", "kfree(info)")
    commit(root, "break")
    args = ["diff", "--git", str(root), base, "HEAD", "--no-cache"]
    assert main([*args, "--repair"]) == 1
    out = capsys.readouterr().out
    assert "Repair: " in out and "+\tkfree_rcu(info, rcu);" in out
    assert main(args) == 1
    assert "Repair: " not in capsys.readouterr().out


def test_a_result_that_is_doubted_has_no_repair() -> None:
    from dentryproof.proofs.doubt import doubted
    from dentryproof.proofs.verdict import Difference, Kind, SideCheck

    (result,) = [r for r in report("plainfree").results if r.verdict is Verdict.VIOLATED]
    check = SideCheck((Difference(Kind.CODE, ("d_release",), (), "fs/dcache.c", 1, "says"),))
    assert doubted(result, check, "6.12").repair is None
