"""Small kernel trees of a few of the fixtures, for tests that change or break them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

TREE = Path(__file__).parent / "fixtures" / "tree"
LONG_AGO = 1_500_000_000.0


def small_tree(root: Path, *names: str) -> Path:
    """A tree of the fixtures named."""
    shutil.copytree(TREE / "include", root / "include")
    shutil.copy(TREE / "Makefile", root / "Makefile")
    for name in names:
        shutil.copytree(TREE / "fs" / name, root / "fs" / name)
    (root / "fs").mkdir(exist_ok=True)
    return root


def edit(path: Path, old: str, new: str) -> None:
    """`path` with its only `old` made `new`."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def age(root: Path) -> None:
    """Make every file look old. Its status was changed just now, so that nothing trusts its times yet."""
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (LONG_AGO, LONG_AGO))
