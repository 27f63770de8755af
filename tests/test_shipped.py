"""What is shipped beside the package: man pages, CI examples, the pre-commit hook."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from sample_report import PROVED, report
from test_cli import Fake, engine

from dentryproof.commands import main as cli
from dentryproof.proofs.baseline import dump, of

__all__ = ["engine"]

ROOT = Path(__file__).parent.parent
EXAMPLES = ("docs/ci/github.yml", "docs/ci/gitlab.yml", ".pre-commit-hooks.yaml")


def test_man_pages_say_what_help_says() -> None:
    """docs/make-man writes them."""
    done = subprocess.run(
        [sys.executable, "docs/make-man", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_man_pages_have_no_mistakes() -> None:
    for page in (ROOT / "docs" / "man").glob("*.1"):
        text = page.read_text()
        assert text.startswith(".TH ") and "\\b" not in text and "\x08" not in text, page


@pytest.mark.parametrize("name", EXAMPLES)
def test_commands_in_ci_examples_are_understood(
    engine: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    text = re.sub(r"\n\s+(?=--)", " ", (ROOT / name).read_text())  # folded lines of YAML
    commands = [m.group(1) for m in re.finditer(r"(?:^|[-:] |>-\s+)prove (.*)$", text, re.MULTILINE)]
    assert commands, "the example runs no prove"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dentryproof.json").write_text(dump(of((PROVED,))))
    engine.answer = report(PROVED)
    for command in commands:
        assert cli.main(shlex.split(command)) == 0, command
