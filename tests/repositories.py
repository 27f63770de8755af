"""Small git repositories of the fixtures, for tests that read revisions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"), ("DATE", "2024-01-01T00:00:00Z"))
}


def git(folder: Path, *args: str) -> str:
    """What git prints, run in `folder` as nobody in particular."""
    env = os.environ | _WHO | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *args], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def init(folder: Path) -> None:
    """Make `folder`, as it is, the first commit of a repository."""
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "start")


def commit(folder: Path, message: str) -> str:
    """Commit everything; the commit's full name."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")
