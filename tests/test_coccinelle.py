"""Coccinelle, which parses C its own way, finds the same functions and the same tables as the reader.

It marks what it finds in a copy of the source. Where a mark stands is told by how many characters, blanks not
counted, come before it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path

import pytest

from dentryproof.reader.source import SourceFile
from dentryproof.reader.tables import marks, tables
from dentryproof.reader.tree import Tree

HERE = Path(__file__).parent
SCRIPTS = HERE / "coccinelle"
FIXTURES = HERE / "fixtures" / "tree"
SECONDS = 300

needs_spatch = pytest.mark.skipif(
    shutil.which("spatch") is None, reason="no spatch: install Debian's package coccinelle"
)

Function = tuple[str, str, int]
"""File, name, and how many characters that are no blanks come before the opening brace."""
Slot = tuple[str, str, str, str]
"""File, table, member, function; the last two empty for the table itself."""

FOLDERS = {
    "6.1": ("autofs", "fuse", "isofs", "nfs", "overlayfs", "proc"),
    "6.12": ("autofs", "ceph", "fuse", "isofs", "overlayfs", "proc"),
}
"""Whose functions are compared, by kernel: of the two big ones, ceph and nfs, each once."""

UNPARSED = {
    ("fs/overlayfs/namei.c", "ovl_lookup"): "an initialiser that is itself an assignment: .a = b = c",
}
"""The functions that Coccinelle says it cannot parse, and why."""


# -- what Coccinelle finds -----------------------------------------------------------------------------


def run_spatch(script: str, root: Path) -> None:
    """Apply a script of `SCRIPTS` to every C file below `root`."""
    command = ["spatch", "--very-quiet", "--no-includes", "--include-headers", "--no-show-diff", "--in-place"]
    done = subprocess.run(
        [
            *command,
            "--macro-file",
            str(SCRIPTS / "macros.h"),
            "--sp-file",
            str(SCRIPTS / script),
            "--dir",
            str(root),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr


def sources(root: Path) -> Iterator[Path]:
    """The C files below a folder."""
    return (p for p in sorted(root.rglob("*.[ch]")) if p.is_file())


def copied(tree: Path, paths: Iterable[Path], to: Path) -> Path:
    """A copy of files of a tree, each in its place."""
    for path in paths:
        target = to / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return to


def spatch_functions(marked: Path) -> set[Function]:
    """What functions.cocci marked in a copy of a tree."""
    found = set()
    for path in sources(marked):
        pieces = re.split(r"function_found\((\w+)\);", path.read_text(encoding="utf-8"))
        before = accumulate(len("".join(text.split())) for text in pieces[::2])
        for name, count in zip(pieces[1::2], before, strict=False):
            found.add((path.relative_to(marked).as_posix(), name, count - 1))
    return found


def spatch_slots(marked: Path) -> set[Slot]:
    """What tables.cocci marked in a copy of a tree."""
    found: set[Slot] = set()
    for path in sources(marked):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(marked).as_posix()
        found |= {(name, table, "", "") for table in re.findall(r"\btable_found_(\w+)", text)}
        for table, member, value in re.findall(r"\bslot_found\((\w+), (\w+), ([^,]*)\)", text):
            found.add((name, table, member, value))
    return found


# -- what the reader finds -----------------------------------------------------------------------------


def reader_functions(path: str, raw: bytes) -> set[Function]:
    file = SourceFile(path, raw)
    return {
        (path, d.name, len("".join(file.text[: d.body].split())))
        for found in file.definitions.values()
        for d in found
        if d.kind == "function"
    }


def reader_slots(path: str, raw: bytes) -> set[Slot]:
    """Those of a file that the reader's own search finds to have tables."""
    if "d" not in marks(raw):
        return set()
    found: set[Slot] = set()
    for table in tables(SourceFile(path, raw), "dentry_operations"):
        found.add((path, table.name, "", ""))
        found |= {(path, table.name, member, function) for member, function in table.slots}
    return found


# -- the tests -----------------------------------------------------------------------------------------


@cache
def trees() -> dict[str, Path]:
    """The kernel trees there are, by the first two numbers of their version."""
    folder = os.environ.get("DENTRYPROOF_TREES")
    found = sorted(Path(folder).iterdir()) if folder else []
    return {
        ".".join(Tree(path).version.split(".")[:2]): path for path in found if (path / "Makefile").is_file()
    }


def tree_of(kernel: str) -> Path:
    if kernel not in trees():
        pytest.skip(
            f"no tree of kernel {kernel}: see tests/get-trees, and name a folder in DENTRYPROOF_TREES"
        )
    return trees()[kernel]


@needs_spatch
@pytest.mark.parametrize(("kernel", "folder"), [(k, f) for k, folders in FOLDERS.items() for f in folders])
def test_functions_of_a_filesystem(kernel: str, folder: str, tmp_path: Path) -> None:
    tree = tree_of(kernel)
    paths = list(sources(tree / "fs" / folder))
    copied(tree, paths, tmp_path)
    run_spatch("functions.cocci", tmp_path)
    theirs = spatch_functions(tmp_path)
    ours = {f for p in paths for f in reader_functions(p.relative_to(tree).as_posix(), p.read_bytes())}
    assert len(theirs) > 50
    assert theirs - ours == set()
    stated = {(path, name) for path, name in UNPARSED if path.startswith(f"fs/{folder}/")}
    assert {(path, name) for path, name, _ in ours - theirs} == stated


@needs_spatch
@pytest.mark.parametrize("kernel", FOLDERS)
def test_tables_of_a_tree(kernel: str, tmp_path: Path) -> None:
    """Of every file that names the structure, wherever it stands."""
    tree = tree_of(kernel)
    paths = [p for p in sources(tree) if b"dentry_operations" in p.read_bytes()]
    copied(tree, paths, tmp_path)
    run_spatch("tables.cocci", tmp_path)
    theirs = spatch_slots(tmp_path)
    ours = {s for p in paths for s in reader_slots(p.relative_to(tree).as_posix(), p.read_bytes())}
    assert len({(path, table) for path, table, _, _ in theirs}) > 40
    assert theirs == ours


C = """
#include <linux/dcache.h>

static int plain(struct dentry *dentry)
{
	return 0;
}

static void releases(struct inode *inode)
	__releases(&inode->i_lock)
{
	if (inode) { drop(inode); }
}

#ifdef CONFIG_A
static int either(void) { return 1; }
#else
static inline int either(void)
{
	return 2;
}
#endif

static const struct dentry_operations one = {
	.d_delete = always_delete_dentry,
	.d_release = plain,
};

const struct dentry_operations many[] = {
	{ .d_hash = first_hash },
	{
		.d_hash = second_hash,
		.d_compare = second_compare,
	},
};

const struct dentry_operations empty = {
};
"""
FUNCTIONS = ["either", "either", "plain", "releases"]
SLOTS = {
    ("t.c", "one", "", ""),
    ("t.c", "one", "d_delete", "always_delete_dentry"),
    ("t.c", "one", "d_release", "plain"),
    ("t.c", "many", "", ""),
    ("t.c", "many", "d_hash", "first_hash"),
    ("t.c", "many", "d_hash", "second_hash"),
    ("t.c", "many", "d_compare", "second_compare"),
    ("t.c", "empty", "", ""),
}


@needs_spatch
def test_what_one_side_lacks_shows(tmp_path: Path) -> None:
    """Both find all of a file, each in its place; what either does not see is a difference."""
    for script in ("functions", "tables"):
        (tmp_path / script).mkdir()
        (tmp_path / script / "t.c").write_text(C, encoding="utf-8")
        run_spatch(f"{script}.cocci", tmp_path / script)
    functions, slots = spatch_functions(tmp_path / "functions"), spatch_slots(tmp_path / "tables")
    assert sorted(name for _, name, _ in functions) == FUNCTIONS
    assert slots == SLOTS
    assert reader_functions("t.c", C.encode()) == functions
    assert reader_slots("t.c", C.encode()) == slots

    without = C.replace("static int plain(struct dentry *dentry)", "struct plain")
    assert "plain" in {name for _, name, _ in functions - reader_functions("t.c", without.encode())}
    without = C.replace("\t.d_release = plain,\n", "")
    assert slots - reader_slots("t.c", without.encode()) == {("t.c", "one", "d_release", "plain")}
    without = C.replace("dentry_operations many", "other_operations many")
    assert {table for _, table, _, _ in slots - reader_slots("t.c", without.encode())} == {"many"}


@needs_spatch
def test_a_reader_that_overlooks_a_function_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "t.c").write_text(C, encoding="utf-8")
    run_spatch("functions.cocci", tmp_path)
    monkeypatch.setattr("dentryproof.reader.source._TRAILING_ATTRIBUTES", frozenset())
    missed = spatch_functions(tmp_path) - reader_functions("t.c", C.encode())
    assert [name for _, name, _ in missed] == ["releases"]
