"""The VFS side of the specification against source: a miniature that agrees with it, the miniature with one
thing changed, and real kernels."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from toys import edit, small_tree

from dentryproof.commands.main import main
from dentryproof.proofs import scenarios
from dentryproof.proofs.doubt import checked, doubted
from dentryproof.proofs.engine import Request, run
from dentryproof.proofs.obligations import questions
from dentryproof.proofs.verdict import Difference, Kind, Result, SideCheck, Verdict
from dentryproof.proofs.vfs_check import check
from dentryproof.reader.locking_table import sections
from dentryproof.reader.source import SourceFile
from dentryproof.reader.tree import Tree
from dentryproof.spec.contract import clause, clauses
from dentryproof.spec.modelfile import load
from dentryproof.spec.program import Model
from dentryproof.spec.vfs import age, vfs

MINIATURE = Path(__file__).parent / "fixtures" / "vfs"
TOY = "rcufree"
"""A fixture whose ->d_release() frees after a grace period what lockless methods reach."""
MODELS = Path(__file__).parent.parent / "spec" / "models"


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    """The miniature, to be changed."""
    return shutil.copytree(MINIATURE, tmp_path / "linux")


def differences(root: Path, kernel: str = "6.12") -> tuple[Difference, ...]:
    """What differs between a tree and what is specified for `kernel`."""
    return check(Tree(root), vfs(kernel)).differences


def told(found: Iterable[Difference]) -> str:
    return "\n".join(d.text for d in found)


def test_the_miniature_agrees() -> None:
    found = check(Tree(MINIATURE), vfs("6.12"))
    assert told(found.differences) == ""
    assert found.places > 20
    assert found.absent == ()
    assert found.document == "Documentation/filesystems/locking.rst"


PRUNE = "\tif (victim->d_flags & DCACHE_OP_PRUNE)\n\t\tvictim->d_op->d_prune(victim);\n"
RELEASE = "\tif (victim->d_op && victim->d_op->d_release)\n\t\tvictim->d_op->d_release(victim);\n"
MARK_DEAD = "\tlockref_mark_dead(&victim->d_lockref);\n"
UNHASH = "\tunhash(victim);\n"
DROP = (
    "\tspin_unlock(&which->d_lock);\n\tspin_unlock(&ours->i_lock);\n\tif (which->d_op && which->d_op->d_iput)"
)
IN_RCU_MODE = "\tif (nd->flags & LOOKUP_RCU) {\n\t\tif (!settle(nd))\n\t\t\treturn -ECHILD;\n\t}\n"
PUT_SUPER = "\tif (sop->put_super)\n\t\tsop->put_super(sb);\n"

# What is changed, in which file, from what to what; which method or sequence differs then; how that is told.
CHANGES = [
    ("dcache.c", PRUNE + UNHASH, UNHASH + PRUNE, "d_prune", "after it unhashes the dentry"),
    (
        "dcache.c",
        PRUNE,
        "\tspin_unlock(&victim->d_lock);\n" + PRUNE + "\tspin_lock(&victim->d_lock);\n",
        "d_prune",
        "holding inode i_lock; specified: holding dentry d_lock, inode i_lock in __dentry_kill()",
    ),
    ("dcache.c", MARK_DEAD, "", "d_prune", "never marks the lockref dead"),
    ("dcache.c", MARK_DEAD + PRUNE, PRUNE + MARK_DEAD, "d_prune", "never marks the lockref dead"),
    ("dcache.c", PRUNE, "", "d_prune", "no call of ->d_prune() was found"),
    ("dcache.c", UNHASH, "", "d_release", "never unhashes the dentry"),
    ("dcache.c", "\twhich->d_inode = NULL;\n", "", "d_iput", "never sets d_inode to NULL"),
    (
        "dcache.c",
        "\tWRITE_ONCE(which->d_flags, kept);\n\twhich->d_inode = NULL;\n",
        "\twhich->d_inode = NULL;\n\tWRITE_ONCE(which->d_flags, kept);\n",
        "d_iput",
        "sets d_inode to NULL before it clears the type flags",
    ),
    ("dcache.c", DROP, DROP[DROP.index("\tif") :], "d_iput", "holding dentry d_lock, inode i_lock"),
    (
        "dcache.c",
        "\telse\n\t\tcall_rcu(&gone->d_u.d_rcu, bury);",
        "\telse\n\t\tbury(&gone->d_u.d_rcu);",
        "d_release",
        "bury() frees the dentry at once; specified: it is freed after a grace period",
    ),
    (
        "dcache.c",
        "\tif (gone->d_flags & DCACHE_NORCU)\n\t\tbury",
        "\tif (gone->d_flags & DCACHE_REFERENCED)\n\t\tbury",
        "d_release",
        "bury() frees the dentry at once",
    ),
    (
        "dcache.c",
        RELEASE,
        RELEASE.replace("d_release", "d_iput").replace("(victim);", "(victim, NULL);") + RELEASE,
        "d_iput",
        "for a second time; specified: once in __dentry_kill()",
    ),
    (
        "dcache.c",
        "\tif (victim->d_inode)\n\t\tpart_with_inode(victim);",
        RELEASE + "\tif (victim->d_inode)\n\t\tpart_with_inode(victim);",
        "d_release",
        "->d_release(): holding",
    ),
    (
        "dcache.c",
        "\t__hlist_del(&victim->d_sib);\n\tif (vic",
        "\tif (vic",
        "",
        "",
    ),
    (
        "dcache.c",
        "\tif (wanted(which, true)) {\n\t\tspin_unlock(&which->d_lock);\n",
        "\tspin_unlock(&which->d_lock);\n\tif (wanted(which, true)) {\n",
        "d_delete",
        "calls ->d_delete(): holding no lock",
    ),
    (
        "dcache.c",
        "\t\tspin_lock(&child->d_lock);\n",
        "",
        "d_compare",
        "no call of ->d_compare() is that of __d_lookup()",
    ),
    (
        "namei.c",
        "\t\tif (still_true(child, nd->flags) > 0)\n\t\t\treturn child;\n",
        "\t\tif (still_true(child, nd->flags & ~LOOKUP_RCU) > 0)\n\t\t\treturn child;\n",
        "d_revalidate",
        "not told of RCU mode; specified: told of RCU mode",
    ),
    (
        "namei.c",
        "\t\tif (still_true(child, nd->flags) > 0)\n\t\t\treturn child;\n",
        "",
        "d_revalidate",
        "no call of ->d_revalidate() is that of lockless path walk in RCU mode",
    ),
    (
        "namei.c",
        "\tstruct dentry *last = nd->path.dentry;\n\n" + IN_RCU_MODE,
        "\tstruct dentry *last = nd->path.dentry;\n\n",
        "d_weak_revalidate",
        "holding rcu; specified: holding no lock in path walk with references",
    ),
    ("namei.c", "d_manage(path, true)", "d_manage(path, false)", "d_manage", "not told of RCU mode"),
    ("namei.c", "get(NULL, inode", "get(path->dentry, inode", "get_link", "not told of RCU mode"),
    ("namei.c", "? MAY_NOT_BLOCK : 0", "? 0 : 0", "permission", "not told of RCU mode"),
    ("namei.c", "\tif (flags & LOOKUP_RCU)\n\t\trcu_read_lock();\n", "", "d_hash", "no call of ->d_hash()"),
    (
        "namei.c",
        "\tnd->flags &= ~LOOKUP_RCU;\n\trcu",
        "\trcu",
        "d_weak_revalidate",
        "told of RCU mode; specified: not told",
    ),
    ("posix_acl.c", "type, LOOKUP_RCU)", "type, false)", "get_inode_acl", "not told of RCU mode"),
    (
        "inode.c",
        "\tcall_rcu(&gone->i_rcu, last_rites);",
        "\tlast_rites(&gone->i_rcu);",
        "free_inode",
        "last_rites() calls ->free_inode(): directly; specified: from an RCU callback",
    ),
    (
        "inode.c",
        "\tif (sop->evict_inode)\n\t\tsop->evict_inode(gone);\n\tdestroy(gone);\n",
        "\tdestroy(gone);\n\tif (sop->evict_inode)\n\t\tsop->evict_inode(gone);\n",
        "evict_inode",
        "after it calls ->destroy_inode()",
    ),
    (
        "inode.c",
        "\t\tspin_unlock(&which->i_lock);\n\t\tevict(which);\n",
        "\t\tevict(which);\n\t\tspin_unlock(&which->i_lock);\n",
        "evict_inode",
        "holding inode i_lock; specified: holding no lock in iput()",
    ),
    (
        "super.c",
        "\tevict_inodes(sb);\n" + PUT_SUPER,
        PUT_SUPER + "\tevict_inodes(sb);\n",
        "put_super",
        "never calls ->evict_inode()",
    ),
    (
        "super.c",
        "\t\tbdi_unregister(sb->s_bdi);\n",
        "\t\t;\n",
        "generic-shutdown",
        "no call of bdi_unregister() after ->put_super()",
    ),
    ("super.c", "\t\tkfree_rcu(sb, rcu);", "\t\tkfree(sb);", "kill_sb", "frees the sb at once"),
]


@pytest.mark.parametrize(
    ("file", "old", "new", "about", "words"),
    [pytest.param(*change, id=f"{i}-{change[3] or 'nothing'}") for i, change in enumerate(CHANGES)],
)
def test_a_change_is_told(mini: Path, file: str, old: str, new: str, about: str, words: str) -> None:
    edit(mini / "fs" / file, old, new)
    found = differences(mini)
    if not about:  # that a dentry leaves its parent's list is no part of what verdicts rest on
        assert told(found) == ""
        return
    assert words in told(d for d in found if about in (*d.methods, *d.sequences)), told(found)
    assert {d.kind for d in found} == {Kind.CODE}


def test_a_difference_names_file_and_line(mini: Path) -> None:
    edit(mini / "fs" / "super.c", "\t\tkfree_rcu(sb, rcu);", "\t\tkfree(sb);")
    places = {(d.file, d.line) for d in differences(mini) if "at once" in d.says}
    line = (mini / "fs" / "super.c").read_text().splitlines().index("\t\tkfree(sb);") + 1
    assert places == {("fs/super.c", line)}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("\tvoid (*d_prune)(struct dentry *);\n", "", "struct dentry_operations has no d_prune"),
        ("(*d_prune)(struct dentry *)", "(*d_prune)(struct inode *)", "d_prune(struct inode *)"),
        ("\tvoid (*d_prune)", "\tvoid (*d_fresh)(int);\n\tvoid (*d_prune)", "has d_fresh"),
        (
            "struct dentry *, unsigned int);\n\tint (*d_weak",
            "struct dentry *);\n\tint (*d_weak",
            "d_revalidate(",
        ),
    ],
)
def test_what_the_header_declares_is_compared(mini: Path, old: str, new: str, says: str) -> None:
    edit(mini / "include" / "linux" / "dcache.h", old, new)
    assert says in told(differences(mini))


@pytest.mark.parametrize("file", ["dcache.c", "namei.c", "inode.c"])
def test_what_does_not_parse_is_not_agreement(mini: Path, file: str) -> None:
    path = mini / "fs" / file
    text = path.read_text()
    function = {
        "dcache.c": "static void unhash",
        "namei.c": "static int walk(",
        "inode.c": "static void evict(",
    }
    start = text.index("{", text.index(function[file])) + 1
    path.write_text(text[:start] + "\n<<<<<<< HEAD\n=======\n>>>>>>> other\n" + text[start:])
    found = [d for d in differences(mini) if d.kind is Kind.UNREAD]
    assert any("does not parse" in d.says and d.file == f"fs/{file}" for d in found)
    affected = {m for d in found for m in d.methods}
    assert {"dcache.c": "d_prune", "namei.c": "d_revalidate", "inode.c": "evict_inode"}[file] in affected


def test_too_many_paths_are_not_agreement(mini: Path) -> None:
    tests = "".join(f"\tif (chance()) spin_lock(&more{i}->d_lock);\n" for i in range(16))
    variables = "".join(f"\tstruct dentry *more{i} = some();\n" for i in range(16))
    edit(
        mini / "fs" / "dcache.c",
        "\tbool ours_to_free = true;\n",
        "\tbool ours_to_free = true;\n" + variables + tests,
    )
    assert "too many paths" in told(d for d in differences(mini) if d.kind is Kind.UNREAD)


@pytest.mark.parametrize("garbage", ["nested", "empty", "binary", "braces"])
def test_bad_source_is_a_difference_and_no_error(mini: Path, garbage: str) -> None:
    text = {
        "nested": "void dput(struct dentry *d)\n{\n\tx = "
        + "(" * 4000
        + "d"
        + ")" * 4000
        + ";\n\td->d_op->d_prune(d);\n}\n",
        "empty": "",
        "binary": "\x00\x01",
        "braces": "void dput(struct dentry *d) {{{{ d->d_op->d_prune(d);\n",
    }[garbage]
    raw = b"\xff\xfe\x00" if garbage == "binary" else text.encode()
    (mini / "fs" / "dcache.c").write_bytes(raw)
    assert any("d_prune" in d.methods for d in differences(mini))


# -- documentation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "d_prune:            no            yes",
            "d_prune:            no            no ",
            "d_prune with d_lock not held",
        ),
        ("d_compare:          no ", "d_compare:          yes", "d_compare with rename_lock held"),
        (
            "d_init:             no            no            yes",
            "d_init:             no            no            no ",
            "d_init may not block",
        ),
        (
            "d_dname:            no            no            no              no",
            "d_dname:            no            no            no              maybe",
            "d_dname in RCU mode: maybe",
        ),
        ("called from RCU callback", "", "free_inode may block"),
        (
            "get_link:      no (may not block if called in rcu-walk mode)",
            "get_link:      no",
            "get_link may block",
        ),
        (
            "(*d_iput)(struct dentry *,",
            "(*d_iput)(struct path *,",
            "d_iput takes (struct path *, struct inode *)",
        ),
        ("d_real:  ", "d_ideal: ", "d_real is not in the table"),
    ],
)
def test_documentation_is_compared(mini: Path, old: str, new: str, says: str) -> None:
    edit(mini / "Documentation" / "filesystems" / "locking.rst", old, new)
    found = differences(mini)
    assert {d.kind for d in found} == {Kind.DOCUMENTATION}
    assert says in told(found)


PLAIN = b"""
--------------------------- dentry_operations --------------------------
prototypes:
\tint (*d_hash)(const struct dentry *, const struct inode *,
\t\t\tstruct qstr *);
locking rules:
\t\trename_lock\t->d_lock\tmay block\trcu-walk
d_hash\t\tno\t\tno\t\tno\t\tmaybe
d_weak_revalidate:no\t\tno\t\tyes\t \tno
d_prune:        no              yes             no              no

--------------------------- super_operations ---------------------------
prototypes:
locking rules:
\tAll may block [some do not]
\t\t\ts_umount
destroy_inode:
drop_inode:\t\t\t\t!!!inode->i_lock!!!
put_super:\t\twrite
"""


def test_plain_tables_are_read() -> None:
    found = sections(SourceFile("Locking", PLAIN))
    rows = found["dentry_operations"].rows
    assert rows["d_prune"].cells == {
        "rename_lock": "no",
        "->d_lock": "yes",
        "may block": "no",
        "rcu-walk": "no",
    }
    assert rows["d_weak_revalidate"].cells["may block"] == "yes"
    assert rows["d_hash"].line == 8
    assert found["dentry_operations"].prototypes["d_hash"][0][1] == "const struct inode *"
    others = found["super_operations"]
    assert others.general == "All may block [some do not]"
    assert others.rows["put_super"].cells == {"s_umount": "write"}
    assert others.rows["drop_inode"].cells == {"note": "!!!inode->i_lock!!!"}


# -- what follows for verdicts ---------------------------------------------------------------------------


def result(name: str, callbacks: tuple[str, ...] = (), verdict: Verdict = Verdict.PROVED) -> Result:
    return Result("demo", "demo_ops", name, callbacks, "", verdict, core=("because",), witness="seen")


def differing(methods: tuple[str, ...] = (), sequences: tuple[str, ...] = ()) -> SideCheck:
    return SideCheck((Difference(Kind.CODE, methods, sequences, "fs/dcache.c", 7, "it does", "it does not"),))


@pytest.mark.parametrize(
    ("side", "given", "unknown"),
    [
        (
            differing(("d_prune",), ("dentry-teardown",)),
            result("rcu-delay-dentry", ("d_release", "d_hash")),
            True,
        ),
        (differing(("d_hash",)), result("rcu-delay-dentry", ("d_release", "d_hash")), True),
        (differing(("d_hash",)), result("rcu-delay-dentry", ("d_release", "d_compare")), False),
        (differing(("d_manage",)), result("balanced-locks", ("d_manage[rcu]",)), True),
        (differing(("put_super",), ("generic-shutdown",)), result("rcu-delay-dentry", ("d_release",)), False),
        (
            differing(("put_super",), ("generic-shutdown",)),
            result("rcu-delay-super", ("kill_sb", "d_hash")),
            True,
        ),
        (differing(("d_prune",), ("dentry-teardown",)), result("null-inode", ("d_hash",)), False),
        (differing(("d_hash",)), result("null-inode", ("d_hash",), Verdict.VIOLATED), True),
        (differing(("d_hash",)), result("null-inode", ("d_hash",), Verdict.NOT_APPLICABLE), False),
    ],
)
def test_what_rests_on_a_difference_is_unknown(side: SideCheck, given: Result, unknown: bool) -> None:
    found = doubted(given, side, "6.12")
    assert (found.verdict is Verdict.UNKNOWN) == unknown
    if unknown:
        assert "fs/dcache.c:7: it does; specified: it does not" in found.reason
        assert given.verdict.value in found.reason
        assert (found.core, found.trace, found.witness) == ((), (), "")
    else:
        assert found == given


def test_what_the_documentation_says_changes_no_verdict() -> None:
    side = SideCheck((Difference(Kind.DOCUMENTATION, ("d_hash",), (), "locking.rst", 1, "a", "b"),))
    given = result("null-inode", ("d_hash",))
    assert doubted(given, side, "6.12") == given


def test_a_file_that_is_not_there_is_an_assumption(tmp_path: Path) -> None:
    report = run(Request(filesystems=(TOY,), linux=small_tree(tmp_path / "linux", TOY)))
    proved = [r for r in report.results if r.verdict is Verdict.PROVED]
    assert proved
    for r in proved:
        rests = set(clause(r.clause).rests) | {c.partition("[")[0] for c in r.callbacks}
        named = any("was not checked against this tree: it has no fs/" in a for a in r.assumptions)
        assert named == bool(rests), r


def fixture_tree(root: Path, *names: str) -> Path:
    """The fixtures named, with the miniature as their VFS."""
    shutil.copytree(MINIATURE, small_tree(root, *names), dirs_exist_ok=True)
    return root


def test_a_difference_reaches_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fixture_tree(tmp_path / "linux", TOY)
    report = run(Request(filesystems=(TOY,), linux=root))
    assert not any(r.verdict is Verdict.UNKNOWN for r in report.results)
    assert report.messages == ()
    edit(root / "fs" / "dcache.c", PRUNE + UNHASH, UNHASH + PRUNE)
    report = run(Request(filesystems=(TOY,), linux=root))
    unknown = {r.clause for r in report.results if r.verdict is Verdict.UNKNOWN}
    assert "rcu-delay-dentry" in unknown
    assert all("fs/dcache.c" in r.reason for r in report.results if r.verdict is Verdict.UNKNOWN)
    assert "differs from what is specified for 6.12" in report.messages[0]
    assert main(["--linux", str(root), TOY, "--no-cache", "--clause", "rcu-delay-dentry"]) == 3
    assert "rests on the VFS side, which differs" in capsys.readouterr().out


def test_the_check_is_remembered_until_a_file_changes(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dentryproof.proofs import vfs_check
    from dentryproof.proofs.cache import Cache

    store = Cache(tmp_path / "cache", lambda _: None)
    first = checked(mini, "6.12", store)
    monkeypatch.setattr(vfs_check, "read", lambda *_: pytest.fail("read again"))
    assert checked(mini, "6.12", store) == first
    monkeypatch.undo()
    edit(mini / "fs" / "super.c", "\t\tkfree_rcu(sb, rcu);", "\t\tkfree(sb);")
    assert checked(mini, "6.12", store) != first


def recorded(model: Model, name: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The sequences of which some step, other than a call, is in a scenario of a clause."""
    used: set[str] = set()
    original = scenarios.Builder._own

    def own(self, step, *rest):  # type: ignore[no-untyped-def]
        used.update(n for n, q in self.vfs.sequences.items() if step in q.steps)
        return original(self, step, *rest)

    monkeypatch.setattr(scenarios.Builder, "_own", own)
    for _ in questions(model, clause(name), vfs(model.kernel)):
        pass
    return used


@pytest.mark.parametrize("name", [c.id for c in clauses()])
def test_clauses_name_the_sequences_that_they_rest_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that several sequences have in common count for those that are named."""
    for file in ("autofs.autofs_dentry_operations", "nfs.nfs_dentry_operations", "ceph.ceph_dentry_ops"):
        (path,) = MODELS.glob(f"6.12*/{file}.json")
        model = load(path.read_text(encoding="utf-8"), path.name)
        side, rests = vfs(model.kernel), set(clause(name).rests)
        known = {str(s) for q in rests for s in side.sequence(q).steps}
        for sequence in recorded(model, name, monkeypatch) - rests:
            steps = {str(s) for s in side.sequence(sequence).steps if s.verb not in ("call", "get", "put")}
            assert steps & known or sequence == "ref-walk", (name, sequence)


# -- the command line ------------------------------------------------------------------------------------


def test_prove_contract_compares_a_tree(mini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contract", "--linux", str(mini)]) == 0
    assert "They agree." in capsys.readouterr().out
    edit(mini / "fs" / "super.c", "\t\tkfree_rcu(sb, rcu);", "\t\tkfree(sb);")
    assert main(["contract", "--linux", str(mini)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "The source does not do what is specified:" in said
    assert "drop_super() frees the sb at once; specified: it is freed after a grace period" in said
    assert main(["contract", "--linux", str(mini), "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["exit_status"] == 1
    assert {d["kind"] for d in document["tree"]["differences"]} == {"code"}
    assert document["tree"]["documentation"] == "Documentation/filesystems/locking.rst"


def test_prove_contract_names_what_it_could_not_compare(
    mini: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mini / "fs" / "dcache.c").unlink()
    (mini / "Documentation" / "filesystems" / "locking.rst").unlink()
    assert main(["contract", "--linux", str(mini)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Not compared, as the tree has no fs/dcache.c: d_delete, d_init" in said
    assert "no documentation" in said


def test_without_a_tree_there_is_nothing_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contract", "--kernel", "6.12", "--format", "json"]) == 0
    assert "tree" not in json.loads(capsys.readouterr().out)


# -- kernels by version ----------------------------------------------------------------------------------


def test_a_kernel_newer_than_the_rules_is_said_once(mini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(mini / "Makefile", "VERSION = 6\nPATCHLEVEL = 12", "VERSION = 8\nPATCHLEVEL = 3")
    main(["contract", "--linux", str(mini)])
    said = capsys.readouterr().out
    assert said.count("is newer than any that the rules were read from; those of 7.1 are used") == 1
    assert age("7.1.9") == age("6.12") == age("3.2") == ""
    assert "older than any" in age("3.1.4")


def test_a_tree_of_another_age_differs(mini: Path) -> None:
    """The rules of 6.7 are not those of 6.12: the parent's lock is held around ->d_prune() there."""
    found = differences(mini, "6.7")
    assert "specified: holding dentry d_lock, parent d_lock in __dentry_kill()" in told(found)


# By kernel: the arguments of a method, whether lockless walk calls it, and where it is called from.
# Established from include/linux/dcache.h, include/linux/fs.h and fs/ of trees on both sides of each change.
# (5.14, 5.15), (6.2, 6.3) and so on: the last kernel before a change and the first after it.
HISTORY = [
    ("3.5", "d_revalidate", ("dentry", "nameidata"), True),
    ("3.6", "d_revalidate", ("dentry", "flags"), True),
    ("6.13", "d_revalidate", ("dentry", "flags"), True),
    ("6.14", "d_revalidate", ("dir", "name", "dentry", "flags"), True),
    ("3.10", "d_hash", ("parent", "dir", "name"), True),
    ("3.11", "d_hash", ("parent", "name"), True),
    ("3.10", "d_compare", ("parent", "dir", "dentry", "inode", "length", "text", "name"), True),
    ("4.7", "d_compare", ("parent", "dentry", "length", "text", "name"), True),
    ("4.8", "d_compare", ("dentry", "length", "text", "name"), True),
    ("4.9", "d_manage", ("dentry", "rcu_walk"), True),
    ("4.10", "d_manage", ("path", "rcu_walk"), True),
    ("3.8", "d_weak_revalidate", None, False),
    ("3.9", "d_weak_revalidate", ("dentry", "flags"), False),
    ("4.7", "d_init", None, False),
    ("4.8", "d_init", ("dentry",), False),
    ("4.4", "follow_link", ("dentry", "cookie"), False),
    ("4.4", "get_link", None, False),
    ("4.5", "get_link", ("dentry", "inode", "done"), True),
    ("4.5", "follow_link", None, False),
    ("5.11", "permission", ("inode", "mask"), True),
    ("5.12", "permission", ("userns", "inode", "mask"), True),
    ("6.3", "permission", ("idmap", "inode", "mask"), True),
    ("5.14", "get_acl", ("inode", "type"), False),
    ("5.15", "get_acl", ("inode", "type", "rcu"), True),
    ("6.2", "get_acl", ("userns", "dentry", "type"), False),
    ("6.2", "get_inode_acl", ("inode", "type", "rcu"), True),
    ("5.1", "free_inode", None, False),
    ("5.2", "free_inode", ("inode",), False),
    ("6.8", "d_real", ("dentry", "inode"), False),
    ("6.9", "d_real", ("dentry", "real_type"), False),
    ("6.13", "d_unalias_trylock", None, False),
    ("6.14", "d_unalias_trylock", ("dentry",), False),
]


@pytest.mark.parametrize(("kernel", "method", "prototype", "lockless"), HISTORY)
def test_history(kernel: str, method: str, prototype: tuple[str, ...] | None, lockless: bool) -> None:
    callback = vfs(kernel).callback(method)
    assert (callback.prototype if callback else None) == prototype
    assert bool(callback and callback.lockless) == lockless


@pytest.mark.parametrize(
    ("kernel", "sequence", "step", "there"),
    [
        ("3.12", "super-teardown", "free sb", True),
        ("3.13", "super-teardown", "defer sb", True),
        ("3.12", "rcu-walk", "lock vfs vfsmount_lock", True),
        ("3.13", "rcu-walk", "lock vfs vfsmount_lock", False),
        ("4.0", "dentry-teardown", "write dentry d_flags", False),
        ("4.1", "dentry-teardown", "write dentry d_flags", True),
        ("4.11", "generic-shutdown", "gp", False),
        ("4.12", "generic-shutdown", "gp", True),
        ("6.7", "dentry-teardown", "lock parent d_lock", True),
        ("6.7", "dentry-teardown", "write dentry d_child", True),
        ("6.8", "dentry-teardown", "write dentry d_sib", True),
    ],
)
def test_steps_by_kernel(kernel: str, sequence: str, step: str, there: bool) -> None:
    assert (step in map(str, vfs(kernel).sequence(sequence).steps)) == there


def test_every_kernel_has_one_side() -> None:
    """Ranges of signatures and sequences do not overlap, and nothing is missing, in any version."""
    last = {3: 19, 4: 20, 5: 19, 6: 19, 7: 1}
    for major, minor in ((m, n) for m in last for n in range(2 if m == 3 else 0, last[m] + 1)):
        side = vfs(f"{major}.{minor}")
        for method, runs in side.runs.items():
            assert runs, (side.kernel, method)
        for c in side.callbacks:
            assert c.method in side.runs, (side.kernel, c.method)
            assert not c.told[0] or c.told[0] in c.prototype, (side.kernel, c.method)


def test_dead_stays_dead_is_not_asked_where_the_kernel_breaks_it() -> None:
    kernels = clause("dead-stays-dead").kernels
    assert [kernels.holds(k) for k in ("3.11", "3.12", "3.17", "3.18")] == [True, False, False, True]
    assert str(kernels) == "from 3.2, but not 3.12 to before 3.18"


# -- real kernels ----------------------------------------------------------------------------------------


BACKPORTED = {"d_real", "d_select_inode"}
"""Some stable kernels before 4.6 (3.18, 4.4) have what overlayfs needed; no clause is about it."""


def trees() -> list[object]:
    """Every tree that DENTRYPROOF_TREES has."""
    named = os.environ.get("DENTRYPROOF_TREES")
    found = sorted(p for p in Path(named).iterdir() if (p / "fs" / "dcache.c").is_file()) if named else []
    if not found:
        return [
            pytest.param(None, marks=pytest.mark.skip(reason="DENTRYPROOF_TREES names no folder of trees"))
        ]
    return [pytest.param(p, id=p.name) for p in found]


@pytest.mark.parametrize("root", trees())
def test_real_kernels_agree(root: Path) -> None:
    """Source and specification agree; locking.rst does not in a few places, which were looked up in each."""
    tree = Tree(root)
    found = check(tree, vfs(tree.version))
    code = [d for d in found.differences if d.kind is not Kind.DOCUMENTATION]
    assert told(d for d in code if set(d.methods) - BACKPORTED) == ""
    assert found.places > 25
    documented = {(d.methods[0], d.says) for d in found.differences}
    # __d_lookup() compares under d_lock; d_lookup() retries if rename_lock's count changed, holding nothing.
    assert ("d_compare", "d_compare with rename_lock held") in documented or not found.document


# What is changed in which file, as a pattern and its replacement, and the method that differs then.
REAL = [
    (
        "fs/dcache.c",
        r"(\w+)->d_op->d_prune\(\1\);",
        r"{ spin_unlock(&\1->d_lock); \1->d_op->d_prune(\1); spin_lock(&\1->d_lock); }",
        "d_prune",
    ),
    ("fs/namei.c", r"(d_manage\([^;]*?), true\)", r"\1, false)", "d_manage"),
    ("fs/inode.c", r"call_rcu\((&\w+->i_rcu), (\w+)\);", r"\2(\1);", "destroy_inode"),
    ("fs/super.c", r"->put_super\((\w+)\);", r"->put_super(\1), evict_inodes(\1);", ""),
]


@pytest.mark.parametrize(("file", "old", "new", "about"), REAL)
@pytest.mark.parametrize("root", trees())
def test_a_change_to_a_real_kernel_is_told(
    root: Path, file: str, old: str, new: str, about: str, tmp_path: Path
) -> None:
    copy = tmp_path / "linux"
    for path in ("Makefile", "fs/dcache.c", "fs/namei.c", "fs/super.c", "fs/inode.c", "fs/posix_acl.c"):
        if (root / path).is_file():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, copy / path)
    text, count = re.subn(old, new, (copy / file).read_text(encoding="utf-8"))
    assert count
    (copy / file).write_text(text, encoding="utf-8")
    tree = Tree(copy)
    found = {m for d in check(tree, vfs(tree.version)).differences for m in d.methods}
    assert about in found if about else not found - BACKPORTED


def test_no_difference_is_lost_on_the_way_through_the_cache() -> None:
    from dentryproof.proofs.doubt import _data, _from_data

    side = replace(
        differing(("d_hash",), ("rcu-walk",)), absent=(("fs/super.c", ("kill_sb",)),), places=3, document="d"
    )
    assert _from_data(json.loads(json.dumps(_data(side)))) == side
    assert _from_data({"differences": 3}) is None
