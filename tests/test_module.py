"""Filesystems outside the kernel tree: what their names mean, where their source is, what is not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toys import edit, small_tree

from dentryproof.commands.main import main
from dentryproof.proofs.engine import Request, list_tables, run
from dentryproof.proofs.verdict import Report, Verdict, clause_verdicts
from dentryproof.reader import files
from dentryproof.reader.tree import Tree
from dentryproof.reader.units import Survey

DENTRY = "rcu-delay-dentry"

# The release function frees at once what the walker reads without a lock: violated. It does so in another
# file, through a header of the module's own.
ROOT_C = """\
#include <linux/dcache.h>
#include "info.h"

static int mine_revalidate(struct dentry *dentry, unsigned int flags)
{
	struct mine_info *info = dentry->d_fsdata;

	if (info->flags)
		return 0;
	return 1;
}

static void mine_release(struct dentry *dentry)
{
	mine_forget(dentry);
}

static const struct dentry_operations mine_dentry_operations = {
	.d_release = mine_release,
	.d_revalidate = mine_revalidate,
};

static const struct file_system_type mine_type = {
	.name = "mine",
	.kill_sb = kill_anon_super,
};
"""
INFO_C = """\
#include "info.h"

void mine_forget(struct dentry *dentry)
{
	mine_free(dentry->d_fsdata);
}
"""
INFO_H = """\
struct mine_info {
	struct rcu_head rcu;
	unsigned int flags;
};

void mine_forget(struct dentry *dentry);

static inline void mine_free(struct mine_info *info)
{
	kfree(info);
}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel tree, whose files and those of the module count as settled at once."""
    monkeypatch.setattr(files, "SETTLED", -1.0)
    return small_tree(tmp_path / "tree", "rcufree", "twice")


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A module with one filesystem in two files, and a header in a folder that only its Makefile names."""
    found = tmp_path / "module"
    (found / "src" / "headers").mkdir(parents=True)
    (found / "src" / "root.c").write_text(ROOT_C)
    (found / "src" / "info.c").write_text(INFO_C)
    (found / "src" / "headers" / "info.h").write_text(INFO_H)
    return found


def ask(root: Path, module: Path, *names: str, **more: Any) -> Report:
    return run(Request(names, linux=root, module=module, clauses=(DENTRY,), **more))


def verdicts(report: Report) -> dict[str, Verdict]:
    return {v.filesystem: v.verdict for v in clause_verdicts(report.results)}


@pytest.mark.parametrize("names", [(), ("mine",), ("module",), ("mine_dentry_operations",)])
def test_a_filesystem_of_the_module(root: Path, module: Path, names: tuple[str, ...]) -> None:
    report = ask(root, module, *names)
    assert verdicts(report) == {"mine": Verdict.VIOLATED}
    assert report.module == str(module)
    # mine_free() is on line 10 of the header, relative to the module's folder.
    freed = next(s for r in report.results for s in r.trace if s.event == "free")
    assert (freed.file, freed.line, freed.function) == ("src/headers/info.h", 10, "mine_free")
    edit(module / "src/headers/info.h", "\tkfree(info);\n", "\tkfree_rcu(info, rcu);\n")
    assert verdicts(ask(root, module, *names)) == {"mine": Verdict.PROVED}


def test_names_that_the_module_has_not_mean_the_trees(root: Path, module: Path) -> None:
    assert verdicts(ask(root, module, "rcufree", "mine")) == {
        "rcufree": Verdict.PROVED,
        "mine": Verdict.VIOLATED,
    }


def test_names_that_both_have_mean_the_modules(root: Path, module: Path) -> None:
    edit(module / "src/root.c", '.name = "mine"', '.name = "rcufree"')
    assert verdicts(ask(root, module, "rcufree")) == {"rcufree": Verdict.VIOLATED}
    assert [
        (r.filesystem, r.file) for r in list_tables(Request(("rcufree",), linux=root, module=module))
    ] == [("rcufree", "src/root.c")]


def test_everything_is_both(root: Path, module: Path) -> None:
    found = verdicts(ask(root, module, everything=True))
    assert found.keys() == {"mine", "rcufree", "twice"} and found["mine"] is Verdict.VIOLATED


def test_a_function_of_the_module_comes_before_the_trees(root: Path, module: Path) -> None:
    # include/linux/dcache.h of the tree gets a mine_free() that waits; the module's own does not.
    header = root / "include/linux/dcache.h"
    header.write_text(header.read_text() + INFO_H.replace("kfree(info)", "kfree_rcu(info, rcu)"))
    assert verdicts(ask(root, module)) == {"mine": Verdict.VIOLATED}
    (module / "src/headers/info.h").unlink()
    edit(module / "src/info.c", '#include "info.h"', "#include <linux/dcache.h>")
    assert verdicts(ask(root, module)) == {"mine": Verdict.PROVED}


def test_what_stands_at_a_path_of_the_tree_takes_its_place(root: Path, module: Path) -> None:
    copy = module / "fs" / "rcufree"
    copy.mkdir(parents=True)
    (module / "src/root.c").unlink()
    text = (root / "fs/rcufree/rcufree.c").read_text(encoding="utf-8")
    assert text.count("kfree_rcu(info, rcu)") == 1
    (copy / "rcufree.c").write_text(text.replace("kfree_rcu(info, rcu)", "kfree(info)"), encoding="utf-8")
    found = verdicts(ask(root, module, everything=True))
    assert found == {"rcufree": Verdict.VIOLATED, "twice": found["twice"]}


def test_each_folder_that_registers_a_type_is_a_filesystem(root: Path, module: Path) -> None:
    other = module / "other"
    other.mkdir()
    (other / "root.c").write_text(
        ROOT_C.replace("mine", "other").replace("other_forget(dentry)", "kfree_rcu(dentry->d_fsdata, rcu)")
        + INFO_H.replace("mine", "other")
    )
    assert [u.folder for u in Survey(Tree(root, module)).of_module()] == ["other", "src"]
    assert verdicts(ask(root, module)) == {"other": Verdict.PROVED, "mine": Verdict.VIOLATED}
    # What both share may stand outside both.
    (module / "src/info.c").rename(module / "info.c")
    (module / "src/headers").rename(module / "headers")
    assert verdicts(ask(root, module, "mine")) == {"mine": Verdict.VIOLATED}


def test_a_change_of_the_module_is_answered_anew(root: Path, module: Path, tmp_path: Path) -> None:
    first = ask(root, module, cache=tmp_path / "c")
    second = ask(root, module, cache=tmp_path / "c")
    assert second.statistics["units_remembered"] == 1 and second.results == first.results
    edit(module / "src/headers/info.h", "\tkfree(info);\n", "\tkfree_rcu(info, rcu);\n")
    assert verdicts(ask(root, module, cache=tmp_path / "c")) == {"mine": Verdict.PROVED}
    # A header that would be found first, a file that is nowhere included, and the tree's headers count too.
    (module / "src/info.h").write_text(INFO_H)
    assert ask(root, module, cache=tmp_path / "c").statistics["units_remembered"] == 0
    (module / "src/more.c").write_text("\n")
    assert ask(root, module, cache=tmp_path / "c").statistics["units_remembered"] == 0
    (root / "include/linux/dcache.h").write_text("#define kfree(p) mine_nothing(p)\n")
    assert ask(root, module, cache=tmp_path / "c").statistics["units_remembered"] == 0


@pytest.mark.parametrize("how", ["include", "link", "folder"])
def test_no_path_leaves_the_module(root: Path, module: Path, tmp_path: Path, how: str) -> None:
    # What lies outside would make the filesystem right.
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "info.h").write_text(INFO_H.replace("kfree(info)", "kfree_rcu(info, rcu)"))
    header = module / "src" / "headers" / "info.h"
    if how == "include":
        for name in ("root.c", "info.c"):
            edit(module / "src" / name, '#include "info.h"', '#include "../../outside/info.h"')
        header.unlink()
    elif how == "link":
        header.unlink()
        header.symlink_to(outside / "info.h")
    else:
        header.unlink()
        header.parent.rmdir()
        header.parent.symlink_to(outside)
    assert verdicts(ask(root, module)) != {"mine": Verdict.PROVED}
    consulted = Tree(root, module)
    for path in ("src/headers/info.h", "../outside/info.h", "src/../../outside/info.h"):
        file = consulted.file(path)
        assert file is None or (file.raw == b"" and file.problem)


def test_the_command_line(root: Path, module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--linux", str(root), "--module", str(module), "--no-cache"]
    assert main([*args, "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["source"]["module"] == str(module)
    assert {r["filesystem"] for r in document["results"]} == {"mine"}
    assert main([*args, "--list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mine  mine_dentry_operations  src/root.c:18  (also module)",
        "  d_release     mine_release     src/root.c:13",
        "  d_revalidate  mine_revalidate  src/root.c:4",
    ]
    (module / "src/root.c").unlink()
    assert main(args) == 2
    err = capsys.readouterr().err
    assert err == f"prove: {module}: there is no dentry operations table in what was named\n"
