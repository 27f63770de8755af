"""Whether a tree is still what it was: told by content, and by status where that is enough."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from toys import small_tree

from dentryproof.reader import files
from dentryproof.reader.files import Folder
from dentryproof.reader.search import Search
from dentryproof.reader.state import State
from dentryproof.reader.tree import ABSENT, Consulted, Tree
from dentryproof.reader.units import Survey, unit_at

SOURCE = "fs/rcufree/rcufree.c"
HEADER = "include/linux/dcache.h"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree whose files count as settled at once: a test cannot wait until they are."""
    monkeypatch.setattr(files, "SETTLED", -1.0)
    return small_tree(tmp_path / "tree", "rcufree", "twice")


def consulted(root: Path) -> Consulted:
    """What reading one unit asks for."""
    view = Tree(root)
    unit = unit_at(view, "fs/rcufree")
    assert unit.files
    view.headers(SOURCE)
    view.file("include/linux/missing.h")
    return view.consulted


def holds(root: Path, was: Consulted, remembered: Any = None) -> bool:
    """Whether the tree is the same, as a new run sees it."""
    return State(Tree(root), remembered).holds(was.files, was.listings)


def test_what_was_asked_for_is_remembered_with_what_was_not_there(root: Path) -> None:
    was = consulted(root)
    assert was.files["include/linux/missing.h"] == ABSENT and len(was.files[SOURCE]) == 64
    assert HEADER in was.files and "fs/twice/twice.c" not in was.files
    assert len(was.listings) == 1 and holds(root, was)


@pytest.mark.parametrize("remember", [False, True])
@pytest.mark.parametrize(
    "change",
    ["edit", "edit-header", "edit-same-size-and-time", "remove", "create-missing", "add-file", "out-of-tree"],
)
def test_a_change_of_what_was_asked_for_is_noticed(root: Path, change: str, remember: bool) -> None:
    was = consulted(root)
    state_ = State(Tree(root))
    state_.learn(was)
    source = root / SOURCE
    before = source.stat()
    match change:
        case "edit":
            source.write_bytes(source.read_bytes() + b"\n")
        case "edit-header":
            (root / HEADER).write_bytes(b"/* nothing */\n")
        case "edit-same-size-and-time":
            source.write_bytes(source.read_bytes().replace(b"kfree_rcu", b"kfree_RCU", 1))
            os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
            after = source.stat()
            assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        case "remove":
            source.unlink()
        case "create-missing":
            (root / "include/linux/missing.h").touch()
        case "add-file":
            (source.parent / "more.c").touch()
        case "out-of-tree":
            source.parent.rename(root.parent / "elsewhere")
            source.parent.symlink_to(root.parent / "elsewhere")
    assert not holds(root, was, state_.memory() if remember else None)


def test_what_nobody_asked_for_may_change(root: Path) -> None:
    was = consulted(root)
    (root / "fs/twice/twice.c").write_text("")
    (root / "include/linux/other.h").touch()
    assert holds(root, was)


def test_files_are_known_again_without_reading_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    was = consulted(root)
    first = State(Tree(root))
    first.learn(was)
    assert first.news
    read: list[str] = []
    real = files.read_below

    def watched(base: Path, path: str) -> Any:
        read.append(path)
        return real(base, path)

    monkeypatch.setattr(files, "read_below", watched)
    assert holds(root, was, first.memory()) and read == []
    (root / SOURCE).touch()
    second = State(Tree(root), first.memory())
    assert second.holds(was.files, was.listings) and read == [SOURCE] and second.news
    assert holds(root, was, second.memory()) and read == [SOURCE]


def test_a_file_that_changed_just_now_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SETTLED", 3600.0)
    was = consulted(root)
    assert was.signatures == {} and holds(root, was)


@pytest.mark.parametrize(
    "nonsense",
    [
        1,
        [],
        {"files": 1, "searched": 2},
        {"files": {SOURCE: [1, 2]}, "searched": {"fs": []}},
        {"files": {SOURCE: [1, 2, 3, 4, 5]}, "searched": {"fs": [1, 2]}},
    ],
)
def test_a_memory_that_is_none_is_none(root: Path, nonsense: Any) -> None:
    assert holds(root, consulted(root), nonsense)


def test_tables_are_looked_for_where_something_changed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def look(buffer: bytearray, size: int) -> str:
        asked.append(size)
        return "y" if buffer.find(b"dentry_operations", 0, size) >= 0 else ""

    seen: dict[str, tuple[str, tuple[str, ...]]] = {}

    def found(folder: str = "fs") -> list[str]:
        return sorted(path for path, _ in Search(Folder(root), seen, look).below(folder))

    both = ["fs/rcufree/rcufree.c", "fs/twice/twice.c"]
    assert found() == both and len(asked) == 2
    assert found() == both and len(asked) == 2
    (root / "fs/twice/twice.c").write_text("/* gone */")
    assert found() == both[:1] and len(asked) == 3
    (root / "fs/twice/new.c").write_text("dentry_operations")
    assert found() == [both[0], "fs/twice/new.c"]
    assert found("nowhere") == []


def test_files_larger_than_the_buffer_are_looked_through_to_the_end(root: Path) -> None:
    big = b"/* " + b"x" * (3 << 20) + b" dentry_operations */"
    (root / "fs/twice/big.c").write_bytes(big)
    sizes: dict[str, int] = {}

    def look(buffer: bytearray, size: int) -> str:
        return str(size) if buffer.find(b"dentry_operations", 0, size) >= 0 else ""

    sizes.update((path, int(word)) for path, word in Search(Folder(root), {}, look).below("fs"))
    assert sizes["fs/twice/big.c"] == len(big)


def test_tables_outside_the_tree_are_not_looked_at(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (root / "fs/twice").rename(outside)
    (root / "fs/twice").symlink_to(outside)
    (root / "fs/rcufree/link.c").symlink_to(outside / "twice.c")
    assert [u.folder for u in Survey(Tree(root)).units()] == ["fs/rcufree"]
