"""Patches: the files of a tree as they are once a patch, or a mailbox of patches, is applied.

git applies it (``git apply``), to copies of the files that it names, in a folder of its own: offsets,
renames and several patches to one file are as a maintainer's own git has them. The tree is not touched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path, PurePosixPath

from ..errors import InputError
from ..reader.tree import Tree

_NAMED = re.compile(
    r"^(?:--- |\+\+\+ |rename from |rename to |copy from |copy to )(?:[ab]/)?([^\t\r\n]+)", re.MULTILINE
)
_GIT_HEAD = re.compile(r"^diff --git a/(\S+) b/(\S+)$", re.MULTILINE)
LONGEST = 600.0
"""Seconds that git may take."""


def patched(tree: Tree, patch: bytes, name: str) -> dict[str, str | None]:
    """By path, the text of every file that the patch changes, None for one that it deletes.

    `name` is what messages call the patch. InputError if it is no patch, does not apply, or git is not there.
    """
    text = patch.decode("utf-8", "surrogateescape")
    found = {m.group(1) for m in _NAMED.finditer(text)}
    found |= {p for m in _GIT_HEAD.finditer(text) for p in m.groups()}
    paths = sorted(p for p in found if p != "/dev/null" and _inside(p))
    if not paths:
        raise InputError(f"{name}: no patch: it names no file")
    git = shutil.which("git")
    if git is None:
        raise InputError("git is not installed: it applies patches")
    with tempfile.TemporaryDirectory(prefix="dentryproof-") as folder:
        base = Path(folder) / "tree"
        base.mkdir()
        before = {p: raw for p in paths if (raw := _raw(tree, p)) is not None}
        for path, raw in before.items():
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (base / path).write_bytes(raw)
        file = Path(folder) / "patch"
        file.write_bytes(patch)
        done = subprocess.run(
            [git, "apply", "--whitespace=nowarn", "-p1", str(file)],
            cwd=base,
            env=os.environ
            | {"GIT_CEILING_DIRECTORIES": folder, "LC_ALL": "C", "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            timeout=LONGEST,
            check=False,
        )
        if done.returncode:
            raise InputError(f"{name} does not apply: {_first_error(done.stderr)}")
        after = {p: _text(base / p) for p in paths}
    return {p: after[p] for p in paths if after[p] is not None or p in before}


def _inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and ".git" not in parts


def _raw(tree: Tree, path: str) -> bytes | None:
    """The file as it is now; None if there is none. InputError for one that cannot be read."""
    file, _ = tree.files.fetch(path)
    if file is not None and file.problem and not file.raw:
        raise InputError(f"{path}: {file.problem}")
    return None if file is None else file.raw


def _text(path: Path) -> str | None:
    if path.is_symlink() or not path.is_file():
        return None
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _first_error(stderr: bytes) -> str:
    """What git says first, in one line."""
    lines = [line.removeprefix("error: ") for line in stderr.decode("utf-8", "replace").splitlines()]
    return next((line for line in lines if line), "git gives no reason")
