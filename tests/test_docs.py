"""Every command in the documentation, run as it stands."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from pathlib import Path

import pytest
from toys import small_tree

from dentryproof.commands.main import main

DOCS = Path(__file__).parent.parent / "docs"
BROKEN = {"tutorial.md": {0, 5, 7, 8}, "models.md": {1}, "repair.md": {0, 1}}
"""By page, the numbers of the commands that find a violation, as the page says."""


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for b in blocks for line in b.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("name", ["tutorial.md", "models.md", "extending.md", "repair.md"])
def test_commands_do_what_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`linux` is a small tree with a filesystem that frees at once, `fix.patch` delays that free."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DENTRYPROOF_CACHE", str(tmp_path / "cache"))
    root = small_tree(tmp_path / "linux", "plainfree")
    source = (root / "fs/plainfree/plainfree.c").read_text()
    late = re.sub(r"\bkfree\((.+)\);", r"kfree_rcu(\1, rcu);", source)
    assert late != source
    path = "fs/plainfree/plainfree.c"
    lines = (text.splitlines(keepends=True) for text in (source, late))
    (tmp_path / "fix.patch").write_text("".join(difflib.unified_diff(*lines, f"a/{path}", f"b/{path}")))
    found = commands(DOCS / name)
    assert len(found) >= 2
    for i, command in enumerate(found):
        program, *args = shlex.split(command)
        assert program == "prove"
        expected = 1 if i in BROKEN.get(name, set()) else 0
        assert main(args) == expected, command
        said = capsys.readouterr()
        assert said.err == "" or "note:" in said.err, said.err
        if args[0] == "diff":
            assert "rcu-delay-dentry: violated \u2192 proved" in said.out
    if name == "tutorial.md":
        assert "<html" in (tmp_path / "report.html").read_text()
        assert json.loads((tmp_path / "report.sarif").read_text())["version"] == "2.1.0"


def test_the_readme_names_every_page() -> None:
    readme = (DOCS.parent / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert f"docs/{page.name}" in readme, page.name
