"""`prove --model FILE`: model files that somebody wrote by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_cli import one_line

from dentryproof.commands.main import main

EXAMPLES = Path(__file__).parent.parent / "spec" / "examples" / "6.12"
LATE, EARLY = (EXAMPLES / f"{n}.toy_dentry_operations.json" for n in ("evictrcu", "plainfree"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENTRYPROOF_CACHE", str(tmp_path / "cache"))


def decide(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, dict[tuple[str, str], str]]:
    status = main([*map(str, args), "--format", "json"])
    clauses = json.loads(capsys.readouterr().out)["summary"]["clauses"]
    return status, {(c["filesystem"], c["clause"]): c["verdict"] for c in clauses}


def test_a_model_is_decided_by_the_rules_of_its_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    """plainfree frees d_fsdata at once while ->d_revalidate() reads it: that is what it is an example of."""
    status, found = decide(capsys, "--model", EARLY)
    assert status == 1 and found["plainfree", "rcu-delay-dentry"] == "violated"
    assert decide(capsys, "--model", EARLY) == (status, found)  # from the cache


def test_several_models_and_a_name_among_them(capsys: pytest.CaptureFixture[str]) -> None:
    both = ("--model", EARLY, "--model", LATE)
    assert {f for f, _ in decide(capsys, *both)[1]} == {"plainfree", "evictrcu"}
    status, found = decide(capsys, *both, "evictrcu")
    assert {f for f, _ in found} == {"evictrcu"} and status == 0


def test_bad_models_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    document = json.loads(EARLY.read_text())
    other.write_text(json.dumps(document | {"kernel": "5.0"}))
    empty, wrong = tmp_path / "empty.json", tmp_path / "wrong.json"
    empty.write_text("")
    wrong.write_text(json.dumps(document | {"programs": 3}))
    for args, said in (
        (["--model", EARLY, "--model", other], "different kernels: 5.0, 6.12"),
        (["--model", EARLY, "nonesuch"], "unknown filesystem 'nonesuch'"),
        (["--model", empty], "empty.json"),
        (["--model", wrong], "wrong.json"),
        (["--model", tmp_path / "absent"], "absent"),
        (["--model", EARLY, "--all"], "--model goes with neither"),
    ):
        assert main([str(a) for a in args]) == 2
        assert said in one_line(capsys.readouterr().err)
