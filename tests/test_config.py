"""Defaults from ``dentryproof.toml`` and ``pyproject.toml``."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_report import PROVED, report
from test_cli import Fake, engine, one_line

from dentryproof.commands import main as cli

__all__ = ["engine"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own below `tmp_path`, to be in."""
    folder = tmp_path / "project" / "sub"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_defaults_come_from_the_nearest_file(engine: Fake, here: Path) -> None:
    engine.answer = report(PROVED)
    (here.parent / "linux").mkdir()
    (here.parent / "dentryproof.toml").write_text(
        'linux = "linux"\njobs = 3\nread-timeout = 1.5\nclause = ["prune-*"]\nquiet = true\n'
    )
    assert cli.main(["demo"]) == 0
    asked = engine.asked[-1]
    assert asked.linux == here.parent / "linux"  # relative to the file, not to where one is
    assert (asked.jobs, asked.limits.seconds) == (3, 1.5)
    assert all(c.startswith("prune-") for c in asked.clauses) and asked.clauses
    (here / "pyproject.toml").write_text("[tool.other]\nx = 1\n")  # says nothing to this tool
    assert cli.main(["demo"]) == 0 and engine.asked[-1].jobs == 3
    (here / "pyproject.toml").write_text("[tool.dentryproof]\njobs = 5\n")
    assert cli.main(["demo"]) == 0
    assert engine.asked[-1].jobs == 5 and engine.asked[-1].linux is None


def test_the_command_line_wins(engine: Fake, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine.answer = report(PROVED)
    (here / "dentryproof.toml").write_text('jobs = 3\nquiet = true\nclause = ["null-inode"]\n')
    assert cli.main(["demo", "--jobs", "7", "--verbose", "--clause", "prune-is-const"]) == 0
    assert engine.asked[-1].jobs == 7 and engine.asked[-1].clauses == ("prune-is-const",)
    assert "printk() touches nothing" in capsys.readouterr().out  # verbose, not quiet


def test_a_file_can_be_named_or_none(engine: Fake, here: Path, tmp_path: Path) -> None:
    engine.answer = report(PROVED)
    (here / "dentryproof.toml").write_text("jobs = 3\n")
    other = tmp_path / "other.toml"
    other.write_text("jobs = 4\n")
    assert cli.main(["demo", "--config", str(other)]) == 0 and engine.asked[-1].jobs == 4
    assert cli.main(["demo", "--no-config", "--jobs", "1"]) == 0
    (here / "dentryproof.toml").write_text("nonsense = 1\n")
    assert cli.main(["demo", "--no-config"]) == 0
    assert cli.main(["--help"]) == 0  # help and version read no file


def test_a_table_is_for_one_command(engine: Fake, here: Path) -> None:
    (here / "dentryproof.toml").write_text('[overlap]\nkernel = "6.1"\n')
    engine.answer = report(PROVED)
    assert cli.main(["overlap"]) == 0 and engine.asked[-1].kernel == "6.1"
    assert cli.main(["demo"]) == 0 and engine.asked[-1].kernel is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kernal = '6.1'\n", "unknown key 'kernal'; nearest: kernel"),
        ("[overlapp]\nkernel = '6.1'\n", "unknown table [overlapp]"),
        ("[overlap]\njobs = 2\n", "unknown key 'jobs'"),
        ("all = true\n", "'all' can only be said on the command line"),
        ("quiet = 'yes'\n", "quiet is true or false, not 'yes'"),
        ("jobs = [1, 2]\n", "jobs is one value, not a list"),
        ("jobs = true\n", "jobs is a text or a number, not True"),
        ("jobs = 0\n", "--jobs"),
        ("linux = 'absent'\n", "--linux"),
        ("jobs = \n", "is no TOML"),
        ("x = " + "[" * 5000, "is no TOML"),
        ("\x00", "is no TOML"),
    ],
)
def test_a_bad_file_is_one_line(
    engine: Fake, here: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (here / "dentryproof.toml").write_text(text)
    assert cli.main(["demo"]) == 2
    assert said in one_line(capsys.readouterr().err) and engine.asked == []


def test_a_missing_file_is_one_line(engine: Fake, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--config", "absent.toml"]) == 2
    assert "absent.toml" in one_line(capsys.readouterr().err)
    (here / "pyproject.toml").write_text("[tool.other]\n")
    assert cli.main(["demo", "--config", "pyproject.toml"]) == 2
    assert "no settings for dentryproof" in one_line(capsys.readouterr().err)
    assert cli.main(["demo", "--config", "pyproject.toml", "--no-config"]) == 2
