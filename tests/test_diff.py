"""`prove --git` and `prove diff`: revisions without a checkout, and patches."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from repositories import commit, git, init
from test_cli import one_line
from toys import edit, small_tree

from dentryproof.commands.main import main
from dentryproof.proofs import work
from dentryproof.proofs.difference import difference
from dentryproof.proofs.request import Request
from dentryproof.proofs.verdict import Change
from dentryproof.reader.files import Overlaid, Revision, files_of
from dentryproof.reader.git import changed, revision

SOURCE = "fs/rcufree/rcufree.c"
TURNED = "rcufree: toy_dentry_operations, rcu-delay-dentry: proved \u2192 violated\n"


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of two filesystems, in git. `rcufree` frees after a grace period."""
    monkeypatch.setenv("DENTRYPROOF_CACHE", str(tmp_path / "cache"))
    root = small_tree(tmp_path / "linux", "rcufree", "inodetwice")
    init(root)
    return root


def break_it(root: Path) -> None:
    """Free at once what was freed after a grace period."""
    edit(root / SOURCE, "kfree_rcu(info, rcu)", "kfree(info)")


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    status = main([str(a) for a in args])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_revision_is_read_without_a_checkout(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = git(repo, "rev-parse", "HEAD")
    break_it(repo)
    commit(repo, "break")
    args = ("--git", repo, "--no-cache", "--format", "json", "rcufree")
    before, after = run(capsys, "--rev", first, *args), run(capsys, *args)
    (repo / SOURCE).write_text("garbage {{{")  # the work tree is not looked at
    assert run(capsys, *args)[0] == after[0] == 1 and before[0] == 0
    from_disc = json.loads(run(capsys, "--linux", checkout(repo, first), *args[2:])[1])
    assert [(r["clause"], r["verdict"], r["reason"]) for r in json.loads(before[1])["results"]] == [
        (r["clause"], r["verdict"], r["reason"]) for r in from_disc["results"]
    ]


def checkout(repo: Path, name: str) -> Path:
    folder = repo.parent / f"at-{name[:8]}"
    git(repo, "worktree", "add", "-q", "--detach", str(folder), name)
    return folder


def test_files_of_a_revision_are_those_on_disc(repo: Path) -> None:
    (repo / "fs/rcufree/link.h").symlink_to("rcufree.c")
    (repo / "fs/rcufree/out.h").symlink_to("../../../elsewhere.h")
    (repo / "fs/rcufree/loop.h").symlink_to("loop.h")
    commit(repo, "links")
    stored, disc = files_of(revision(repo, "HEAD")), files_of(repo)
    for path in ("Makefile", SOURCE, "fs/rcufree/link.h", "fs/absent.c"):
        mine, its = stored.fetch(path)[0], disc.fetch(path)[0]
        assert (mine.raw if mine else None) == (its.raw if its else None), path
        assert stored.size(path) == disc.size(path), path
    for path in ("fs/rcufree/out.h", "fs/rcufree/loop.h"):
        file = stored.fetch(path)[0]
        assert file is not None and file.problem and not file.raw
    for deep in (False, True):
        for folder in ("fs", ".", "fs/rcufree", "absent"):
            names = [sorted(f.names(folder, (".c",), deep)) for f in (stored, disc)]
            assert names[0] == names[1], (folder, deep)
    mine, its = (f.listing("fs", (".c", ".h")) for f in (stored, disc))
    assert mine is not None and its is not None and mine.folders == its.folders
    assert stored.listing("absent", ()) is None


def test_texts_lie_over_files(repo: Path) -> None:
    files = Overlaid(files_of(repo), {SOURCE: None, "fs/new/new.c": "int new;", "fs/rcufree/b.c": "int b;"})
    assert files.fetch(SOURCE)[0] is None and files.size(SOURCE) == 0
    assert sorted(files.names("fs", (".c",), True)) == [
        "fs/inodetwice/inodetwice.c",
        "fs/new/new.c",
        "fs/rcufree/b.c",
    ]
    assert sorted(files.names("fs/rcufree", (".c",), False)) == ["fs/rcufree/b.c"]
    listing = files.listing("fs", ())
    assert listing is not None and listing.folders == ("inodetwice", "new", "rcufree")
    inside = files.listing("fs/rcufree", (".c",))
    assert inside is not None and [e.name for e in inside.entries] == ["b.c"]
    below = files_of(repo).listing("fs/rcufree", (".c",))
    assert below is not None and inside.looks != below.looks
    buffer = bytearray(4)
    assert buffer[: inside.entries[0].read_into(buffer)] == b"int b;"


def test_what_a_commit_turns(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it(repo)
    commit(repo, "break")
    status, out, _ = run(capsys, "diff", "--git", repo, "HEAD~1", "HEAD")
    assert status == 1
    assert "can affect 1 filesystem: rcufree" in out and TURNED.strip() in out
    assert "=>" in out and "inodetwice" not in out  # the trace of what is new, and nothing else
    status, out, _ = run(capsys, "diff", "--git", repo, "HEAD", "HEAD~1", "-q")
    assert (status, out) == (0, "rcufree: toy_dentry_operations, rcu-delay-dentry: violated \u2192 proved\n")


def test_a_patch_is_applied_to_copies(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    break_it(repo)
    mail = repo.parent / "0001.patch"
    mail.write_text(
        "From 0 Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\nSubject: [PATCH] break\n\nWhy.\n---\n"
        + git(repo, "diff")
        + "\n-- \n2.39\n"
    )
    git(repo, "checkout", "-q", ".")
    before = (repo / SOURCE).read_bytes()
    assert run(capsys, "diff", "--linux", repo, "--patch", mail, "-q") == (1, TURNED, "")
    assert (repo / SOURCE).read_bytes() == before
    # A second time everything that was not touched comes from the cache.
    assert run(capsys, "diff", "--linux", repo, "--patch", mail, "-q") == (1, TURNED, "")


def test_a_patch_that_adds_and_removes_filesystems(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(repo / "fs/inodetwice", repo / "fs/other")
    (repo / "fs/other/inodetwice.c").rename(repo / "fs/other/other.c")
    edit(repo / "fs/other/other.c", 'name = "inodetwice"', 'name = "other"') if 'name = "inodetwice"' in (
        repo / "fs/other/other.c"
    ).read_text() else None
    shutil.rmtree(repo / "fs/rcufree")
    git(repo, "add", "-A")
    patch = repo.parent / "p.diff"
    patch.write_text(git(repo, "diff", "--cached", "HEAD") + "\n")
    git(repo, "reset", "-q", "--hard")
    status, out, _ = run(capsys, "diff", "--linux", repo, "--patch", patch, "-q")
    lines = out.splitlines()
    assert status == 1
    assert any("null-inode: new \u2192 violated" in line for line in lines)
    assert "rcufree: toy_dentry_operations, rcu-delay-dentry: proved \u2192 gone" in lines


def test_only_what_can_be_affected_is_read(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = work._models

    def watched(task: Any, tree: Any) -> Any:
        read.append(task.source.folder)
        return real(task, tree)

    monkeypatch.setattr(work, "_models", watched)
    (repo / SOURCE).write_text((repo / SOURCE).read_text() + "\n/* nothing */\n")
    (repo / "README").write_text("nothing")
    commit(repo, "nothing")

    def diff(*names: str) -> tuple[Change, ...]:
        """In this process: workers have modules of their own."""
        old, new = (revision(repo, n) for n in names)
        paths = frozenset(changed(old, new))
        asked = Request(everything=True, linux=new, cache=repo.parent / "cache")
        after = difference(replace(asked, linux=old), asked, paths, "base")[1]
        assert after.comparison is not None
        return after.comparison.changes

    assert diff("HEAD~1", "HEAD") == ()
    assert read == ["fs/rcufree", "fs/rcufree"]
    read.clear()
    header = repo / "include/linux/fs.h"
    header.write_text(header.read_text() + "\n/* nothing */\n")
    commit(repo, "a header that both include")
    assert diff("HEAD~1", "HEAD") == () and set(read) == {"fs/rcufree", "fs/inodetwice"}
    read.clear()
    assert diff("HEAD~1", "HEAD") == () and read == []  # the cache has both


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("diff",), "name what to compare"),
        (("diff", "--git", "{repo}", "HEAD"), "name the two commits"),
        (("diff", "--git", "{repo}", "nonesuch", "HEAD"), "no commit 'nonesuch'"),
        (("diff", "--git", "{repo}", "HEAD", "HEAD:Makefile"), "no commit 'HEAD:Makefile'"),
        (("diff", "--git", "{repo}/fs", "HEAD", "HEAD"), "no git repository"),
        (("diff", "--git", "{repo}", "--linux", "{repo}", "HEAD", "HEAD"), "--git compares two commits"),
        (("diff", "--linux", "{repo}", "--patch", "{repo}/Makefile"), "no patch: it names no file"),
        (("diff", "--linux", "{repo}", "--patch", "{repo}/absent"), "absent"),
        (
            ("diff", "--linux", "{repo}", "--patch", "{bad}"),
            "does not apply: patch failed: fs/rcufree/rcufree.c:1",
        ),
        (("diff", "--linux", "{repo}", "--patch", "{out}"), "names no file"),
        (("--git", "{repo}", "--rev", "nonesuch", "--all"), "no commit 'nonesuch'"),
        (("--git", "{repo}/fs", "--all"), "no git repository"),
        (("--rev", "HEAD", "--all"), "--rev needs the repository"),
        (("--git", "{repo}", "--linux", "{repo}", "--all"), "--linux and --git exclude each other"),
    ],
)
def test_bad_input_is_one_line(
    repo: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], said: str
) -> None:
    bad, out = repo.parent / "bad.diff", repo.parent / "out.diff"
    bad.write_text(f"--- a/{SOURCE}\n+++ b/{SOURCE}\n@@ -1 +1 @@\n-not there\n+there\n")
    out.write_text("--- a/../../etc/passwd\n+++ b/../../etc/passwd\n@@ -1 +1 @@\n-a\n+b\n")
    named = [a.format(repo=repo, bad=bad, out=out) for a in args]
    status, printed, err = run(capsys, *named)
    assert (status, printed) == (2, "") and said in one_line(err)


def test_a_shallow_clone_says_so(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = git(repo, "rev-parse", "HEAD")
    break_it(repo)
    commit(repo, "break")
    clone = repo.parent / "clone"
    git(repo.parent, "clone", "-q", "--depth", "1", repo.as_uri(), str(clone))
    status, _, err = run(capsys, "diff", "--git", clone, first, "HEAD")
    assert status == 2 and "the clone is shallow: git fetch --unshallow" in one_line(err)


def test_a_bare_repository_will_do(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = repo.parent / "bare.git"
    git(repo.parent, "clone", "-q", "--bare", str(repo), str(bare))
    assert run(capsys, "--git", bare, "rcufree")[0] == 0
    assert isinstance(revision(bare, "main"), Revision)


def test_a_merge_with_conflicts_is_unknown_with_its_place(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (repo / SOURCE).read_text()
    line = next(i for i, row in enumerate(text.splitlines()) if row.startswith("\tkfree_rcu"))
    rows = text.splitlines()
    rows[line : line + 1] = ["<<<<<<< ours", rows[line], "=======", "\tkfree(info);", ">>>>>>> theirs"]
    (repo / SOURCE).write_text("\n".join(rows) + "\n")
    commit(repo, "conflict")
    status, out, _ = run(capsys, "diff", "--git", repo, "HEAD~1", "HEAD", "--format", "json")
    document = json.loads(out)
    assert status == 3
    lost = [r for r in document["results"] if r["verdict"] == "unknown"]
    assert lost and any(f"{SOURCE}:{line + 1}" in r["reason"] for r in lost)
