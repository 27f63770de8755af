"""The command line against an engine that proves nothing: grammar, exit statuses, errors, output."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import jsonschema
import pytest
from sample_report import DEBUG, NOT_APPLICABLE, PROVED, UNKNOWN, VIOLATED, report

from dentryproof import __version__
from dentryproof.commands import main as cli
from dentryproof.commands.formats import FORMS
from dentryproof.errors import InputError, InternalError
from dentryproof.proofs.names import unknown
from dentryproof.proofs.pool import Limits
from dentryproof.proofs.request import Request
from dentryproof.proofs.verdict import (
    ClauseEntry,
    ContractAnswer,
    ModelText,
    Overlap,
    OverlapAnswer,
    OverlapPair,
    Report,
    Result,
)
from dentryproof.report.json import schema
from dentryproof.spec.program import Source

CLAUSES = ("prune-keeps-locks", "prune-is-const", "rcu-delay-dentry", "null-inode", "no-blocking")
FILESYSTEMS = ("demo", "autofs", "ceph")


@dataclass
class Row:
    filesystem: str
    names: tuple[str, ...] = ("demo",)
    table: str = "demo_dentry_operations"
    file: str = "fs/demo/root.c"
    line: int = 21
    callbacks: tuple[tuple[str, str], ...] = (("d_manage", "demo_manage"), ("d_release", "demo_release"))
    places: tuple[tuple[str, Source], ...] = (("demo_manage", Source("fs/demo/root.c", 7, "demo_manage")),)


@dataclass
class Fake:
    """What the engine answers, and what it was asked."""

    answer: Report = field(default_factory=lambda: report(PROVED))
    error: BaseException | None = None
    asked: list[Request] = field(default_factory=list)

    def ask(self, request: Request) -> None:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        for name in request.filesystems:
            if name not in FILESYSTEMS:
                raise unknown("filesystem", name, FILESYSTEMS)
        if request.progress is not None:
            request.progress(1, 2, ("demo: deciding rcu-delay-dentry",))


def fake_engine(fake: Fake) -> ModuleType:
    """A module with the engine's interface that hands out what `fake` holds."""

    def run(request: Request) -> Report:
        fake.ask(request)
        return fake.answer

    def list_tables(request: Request) -> tuple[Row, ...]:
        fake.ask(request)
        return tuple(Row(f) for f in FILESYSTEMS if request.everything or f in request.filesystems)

    def contract_answer(request: Request) -> ContractAnswer:
        fake.ask(request)
        entry = ClauseEntry("null-inode", "d_inode is read once.", "always !a", ("d_revalidate",), "", "mail")
        return ContractAnswer("9.9.9", (entry,), ("method", "blocks"), (("d_hash", "no"), ("d_iput", "yes")))

    def overlap_answer(request: Request) -> OverlapAnswer:
        fake.ask(request)
        return OverlapAnswer(
            "9.9.9",
            ("d_prune", "d_hash", "d_iput"),
            (
                OverlapPair("d_prune", "d_hash", Overlap.OVERLAPS, "found while hashed"),
                OverlapPair("d_iput", "d_prune", Overlap.NEVER, "one teardown"),
                OverlapPair("d_hash", "d_iput", Overlap.UNKNOWN, "time-out"),
            ),
        )

    def extract_models(request: Request) -> tuple[ModelText, ...]:
        fake.ask(request)
        return tuple(ModelText(f"9.9.9/{f}.json", f'{{"filesystem": "{f}"}}\n') for f in request.filesystems)

    module: Any = ModuleType("dentryproof.proofs.engine")
    module.Request, module.clause_ids = Request, lambda: CLAUSES
    for function in (run, list_tables, contract_answer, overlap_answer, extract_models):
        setattr(module, function.__name__, function)
    made: ModuleType = module
    return made


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    fake = Fake()
    monkeypatch.setitem(sys.modules, "dentryproof.proofs.engine", fake_engine(fake))
    for name in ("COLUMNS", "NO_COLOR", "DENTRYPROOF_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DENTRYPROOF_CACHE", str(tmp_path / "cache"))
    return fake


def one_line(text: str) -> str:
    """The one line that `text` is; every error looks like this."""
    assert text.startswith("prove: ") and text.endswith("\n") and text.count("\n") == 1, text
    return text.removeprefix("prove: ").rstrip()


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ((PROVED,), 0),
        ((NOT_APPLICABLE,), 0),
        ((PROVED, NOT_APPLICABLE), 0),
        ((VIOLATED, PROVED), 1),
        ((DEBUG, PROVED), 1),
        ((UNKNOWN, VIOLATED), 1),
        ((UNKNOWN, PROVED), 3),
        ((), 3),
    ],
)
def test_exit_status(engine: Fake, results: tuple[Result, ...], status: int) -> None:
    engine.answer = report(*results)
    for form in ("text", "json"):
        assert cli.main(["demo", "--format", form]) == status


def test_no_arguments_is_a_usage_error_with_a_short_usage(
    engine: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert not out and err.splitlines() == [
        "prove: name a filesystem, or give --all or --list",
        cli.SHORT_USAGE,
    ]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--nonsense", "demo"], "No such option"),
        (["demo", "--timeout", "0"], "positive number of seconds"),
        (["demo", "--timeout", "nan"], "positive number of seconds"),
        (["demo", "--timeout", "soon"], "--timeout"),
        (["demo", "--jobs", "0"], "--jobs"),
        (["demo", "--format", "xml"], "'text', 'json'"),
        (["demo", "--kernel"], "--kernel"),
        (["demo", "--linux", "/nowhere"], "'/nowhere' does not exist"),
        (["demo", "--all"], "exclude each other"),
        (["demo", "--quiet", "--verbose"], "exclude each other"),
        (["demo", "--output", "/nowhere/at/all"], "there is no folder"),
        (["demo", "--output", "/"], "it is a folder"),
        (["autos"], "unknown filesystem 'autos'; nearest: autofs"),
        (["zzzz"], "there are: autofs, ceph, demo"),
        (["two\nlines"], "unknown filesystem"),
        (["demo", "--clause", "prune-is-cosnt"], "unknown clause 'prune-is-cosnt'; nearest: prune-is-const"),
        (["demo", "--clause", "rune-*"], "unknown clause 'rune-*'"),
        (["contract", "demo"], "unexpected extra argument"),
        (["models", "demo"], "--linux"),
        (["models", "--linux", "/"], "name the filesystems to read"),
        (["demo", "--module", "/tmp"], "--module needs the kernel tree"),
        (["demo", "--module", "/nowhere"], "'/nowhere' does not exist"),
        (["demo", "--memory", "1"], "--memory"),
        (["demo", "--read-timeout", "-1"], "positive number of seconds"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    engine: Fake, capsys: pytest.CaptureFixture[str], args: list[str], says: str
) -> None:
    assert cli.main(args) == 2
    out, err = capsys.readouterr()
    assert not out and says in one_line(err)


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (InputError("fs/demo: no\nsuch table"), 2, "fs/demo: no such table"),
        (PermissionError(13, "Permission denied", "fs/demo/root.c"), 2, "fs/demo/root.c: Permission denied"),
        (InternalError("the trace does not replay"), 70, "the trace does not replay"),
        (ZeroDivisionError("oops"), 70, "internal error: ZeroDivisionError: oops"),
        (RecursionError("deep"), 70, "internal error: RecursionError"),
    ],
)
def test_errors_of_the_engine(
    engine: Fake, capsys: pytest.CaptureFixture[str], error: Exception, status: int, says: str
) -> None:
    engine.error = error
    assert cli.main(["demo"]) == status
    assert says in one_line(capsys.readouterr().err)


def test_interrupted(engine: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    engine.error = KeyboardInterrupt()
    assert cli.main(["demo"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_options_before_and_after_names(engine: Fake, tmp_path: Path) -> None:
    before = ["--kernel", "6.1", "--linux", str(tmp_path), "--jobs", "2", "--timeout", "1.5", "demo", "ceph"]
    after = ["demo", "--jobs", "2", "ceph", "--timeout=1.5", "--kernel", "6.1", "--linux", str(tmp_path)]
    assert cli.main(before) == cli.main(after) == 0
    first, second = (replace(r, progress=None, note=None) for r in engine.asked)
    asked = Request(("demo", "ceph"), linux=tmp_path, kernel="6.1", timeout=1.5, jobs=2)
    assert first == second == replace(asked, cache=tmp_path / "cache")


def test_limits_and_cache_come_from_options_and_environment(
    engine: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["demo", "--read-timeout", "3", "--memory", "100", "--cache-dir", str(tmp_path)]) == 0
    monkeypatch.delenv("DENTRYPROOF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cli.main(["demo"]) == 0
    # The XDG Base Directory Specification: a relative path is invalid and to be ignored.
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["demo"]) == cli.main(["demo", "--no-cache"]) == 0
    assert engine.asked[0].limits == Limits(3.0, 100 << 20)
    assert [r.cache for r in engine.asked] == [
        tmp_path,
        tmp_path / "xdg/dentryproof/answers",
        tmp_path / ".cache/dentryproof/answers",
        None,
    ]


def test_names_are_asked_for_once_and_all_means_everything(engine: Fake) -> None:
    assert cli.main(["demo", "demo"]) == cli.main(["--all"]) == 0
    assert [(r.filesystems, r.everything) for r in engine.asked] == [(("demo",), False), ((), True)]


def test_clauses_may_be_repeated_and_be_patterns(engine: Fake) -> None:
    assert cli.main(["demo", "--clause", "null-inode", "--clause", "prune-*"]) == 0
    assert engine.asked[0].clauses == ("prune-keeps-locks", "prune-is-const", "null-inode")


@pytest.mark.parametrize(
    "args", [["contract", "--kernel", "6.1"], ["--kernel", "6.1", "contract"], ["--kernel=6.1", "contract"]]
)
def test_a_command_is_the_first_positional(
    engine: Fake, capsys: pytest.CaptureFixture[str], args: list[str]
) -> None:
    assert cli.main(args) == 0
    assert engine.asked[0].kernel == "6.1"
    out = capsys.readouterr().out
    assert "d_inode is read once." in out and "d_hash  no" in out


@pytest.mark.parametrize("args", [["demo", "contract"], ["--", "contract"]])
def test_later_or_after_two_dashes_it_is_a_filesystem(
    engine: Fake, capsys: pytest.CaptureFixture[str], args: list[str]
) -> None:
    assert cli.main(args) == 2
    assert "unknown filesystem 'contract'" in one_line(capsys.readouterr().err)


def test_json_is_what_the_schema_says(engine: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    engine.answer = report(VIOLATED, DEBUG, PROVED, UNKNOWN, NOT_APPLICABLE)
    assert cli.main(["demo", "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(document, schema(), cls=jsonschema.Draft202012Validator)
    assert list(document) == ["schema", "tool", "source", "memory_model", "results", "summary", "understood"]
    assert list(document["results"][0]) == [
        "filesystem",
        "table",
        "clause",
        "callbacks",
        "object",
        "verdict",
        "debug_only",
        "reason",
        "bound",
        "assumptions",
        "core",
        "trace",
        "seconds",
        "summary",
        "fix",
        "witness",
        "witness_trace",
        "certificate",
        "cross_check",
    ]
    assert list(document["results"][0]["trace"][0]) == [
        "cpu",
        "step",
        "function",
        "file",
        "line",
        "event",
        "object",
        "note",
    ]
    summary = document["summary"]
    assert summary["counts"] == {"proved": 1, "violated": 1, "unknown": 1, "not-applicable": 1}
    assert summary["obligations"]["violated"] == 2 and summary["exit_status"] == 1
    assert [(c["clause"], c["verdict"], c["debug_only"]) for c in summary["clauses"]] == [
        ("rcu-delay-dentry", "violated", False),
        ("null-inode", "proved", False),
        ("no-blocking", "unknown", False),
        ("prune-is-const", "not-applicable", False),
    ]


@pytest.mark.parametrize(
    "change",
    [{"verdict": "maybe"}, {"trace": []}, {"extra": 1}, {"verdict": "unknown"}, {"callbacks": "d_release"}],
)
def test_the_schema_refuses_what_is_no_report(
    engine: Fake, capsys: pytest.CaptureFixture[str], change: dict[str, object]
) -> None:
    engine.answer = report(VIOLATED)
    cli.main(["demo", "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    document["results"][0].update(change)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema())


def test_list(engine: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list"]) == 0
    assert engine.asked[0].everything
    out = capsys.readouterr().out
    assert out.split("\n\n")[2].splitlines() == [
        "ceph  demo_dentry_operations  fs/demo/root.c:21  (also demo)",
        "  d_manage   demo_manage   fs/demo/root.c:7",
        "  d_release  demo_release  not found",
    ]
    assert cli.main(["--list", "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "fs/demo/root.c:21" in lines[1]
    assert cli.main(["--list", "ceph", "--format", "json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [t["filesystem"] for t in tables] == ["ceph"]
    assert tables[0]["callbacks"] == {"d_manage": "demo_manage", "d_release": "demo_release"}
    assert tables[0]["places"] == [
        {"callback": "d_manage", "function": "demo_manage", "file": "fs/demo/root.c", "line": 7},
        {"callback": "d_release", "function": "demo_release", "file": "", "line": 0},
    ]


def test_overlap(engine: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["overlap"]) == 0
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines()[2:6]] == [
        ["1", "2", "3"],
        ["1", "d_prune", "x", "."],
        ["2", "d_hash", "x", "?"],
        ["3", "d_iput", ".", "?"],
    ]
    assert "d_prune overlaps only with: d_hash\n" in out and "d_iput unknown against: d_hash\n" in out
    assert cli.main(["overlap", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"][1]["overlap"] == "never"


def test_models_are_printed_or_written(
    engine: Fake, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["models", "--linux", str(tmp_path), "demo"]) == 0
    assert capsys.readouterr().out == '{"filesystem": "demo"}\n'
    assert cli.main(["models", "demo", "--linux", str(tmp_path), "--write", str(tmp_path / "m")]) == 0
    assert (tmp_path / "m/9.9.9/demo.json").read_text() == '{"filesystem": "demo"}\n'


def test_output_replaces_the_file_in_one_step(
    engine: Fake, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.txt"
    target.write_text("old")
    replaced: list[str] = []
    real = Path.replace

    def watched(self: Path, other: Path) -> Path:
        assert target.read_text() == "old" and self.parent == target.parent
        replaced.append(self.read_text())
        return real(self, other)

    monkeypatch.setattr(Path, "replace", watched)
    engine.answer = report(VIOLATED)
    assert cli.main(["demo", "--output", str(target)]) == 1
    assert replaced == [target.read_text()] and "violated" in replaced[0]
    assert [p.name for p in tmp_path.iterdir()] == ["report.txt"]
    assert capsys.readouterr().out == ""


def test_output_is_left_alone_when_the_engine_fails(engine: Fake, tmp_path: Path) -> None:
    target = tmp_path / "report.txt"
    target.write_text("old")
    engine.error = InputError("no such table")
    assert cli.main(["demo", "--output", str(target)]) == 2
    assert target.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_quiet_and_verbose(engine: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    engine.answer = report(PROVED, UNKNOWN, DEBUG)
    assert cli.main(["demo", "-q"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "unknown" in lines[0] and "violated (debug build only)" in lines[1]
    cli.main(["demo", "--verbose"])
    assert "printk() touches nothing" in capsys.readouterr().out


# What follows runs the command as a process of its own, with the same fake engine.

RUN = """
import sys
sys.path.insert(0, {tests!r})
from test_cli import Fake, fake_engine
from sample_report import VIOLATED, report
sys.modules["dentryproof.proofs.engine"] = fake_engine(Fake(report(*[VIOLATED] * {times})))
from dentryproof.commands.main import main
sys.exit(main({args!r}))
"""


def command(*args: str, times: int = 1) -> list[str]:
    code = RUN.format(tests=str(Path(__file__).parent), args=list(args), times=times)
    return [sys.executable, "-c", code]


def environment(**extra: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | extra


def on_terminal(argv: list[str], **extra: str) -> str:
    """All that `argv` writes when stdout and stderr are a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(argv, stdout=theirs, stderr=theirs, env=environment(**extra)) as process:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:  # the other side is closed
            pass
        process.wait(30)
    os.close(ours)
    return written.decode()


def test_colour_and_progress_on_a_terminal_only() -> None:
    shown = on_terminal(command("demo"))
    assert "\x1b[1;31mviolated\x1b[0m" in shown
    assert "1/2" in shown and "demo: deciding rcu-delay-dentry" in shown
    bare = subprocess.run(command("demo"), capture_output=True, text=True, env=environment(), check=False)
    assert bare.returncode == 1 and "\x1b" not in bare.stdout and bare.stderr == ""


@pytest.mark.parametrize(("value", "colour"), [("1", False), ("", True)])
def test_no_color_and_nothing_that_moves(value: str, colour: bool) -> None:
    shown = on_terminal(command("demo"), NO_COLOR=value)
    assert ("\x1b[1;31m" in shown) is ("demo: deciding" in shown) is ("\x1b" in shown) is colour


@pytest.mark.parametrize(("args", "extra"), [(["-q"], {}), ([], {"TERM": "dumb"})])
def test_nothing_moves_where_it_is_not_wanted(args: list[str], extra: dict[str, str]) -> None:
    assert "demo: deciding" not in on_terminal(command("demo", *args), **extra)


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen(
        command("demo", times=400), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"kernel 9.9.9")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_output_in_an_encoding_that_lacks_a_character() -> None:
    code = "from dentryproof.report.output import emit; emit('\\u2192\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env=environment(PYTHONIOENCODING="ascii"),
        check=True,
    )
    assert done.stdout == b"\\u2192\n"


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_help_and_version_answer_without_the_heavy_modules(flag: str) -> None:
    code = (
        "import sys\nfrom dentryproof.commands.main import main\nstatus = main([sys.argv[1]])\n"
        "heavy = {'z3', 'pysmt', 'tree_sitter', 'jinja2', 'rich', 'dentryproof.proofs.engine'}\n"
        "sys.exit(status or bool(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, flag], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert __version__ in done.stdout or "prove contract" in done.stdout


def test_the_help_names_every_option_of_the_specified_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for option in (
        "--all",
        "--list",
        "--linux DIR",
        "--module DIR",
        "--read-timeout SECONDS",
        "--memory MIB",
        "--cache-dir DIR",
        "--no-cache",
        "--stats",
        "--kernel VERSION",
        "--clause ID",
        "--solver NAME",
        "--timeout SECONDS",
        "--jobs N",
        "--format",
        "--output FILE",
        "--quiet",
        "--verbose",
        "--version",
        "--help",
        *(f"prove {name}" for name in cli.COMMANDS),
    ):
        assert option in shown, option


def test_help_fits_a_window_and_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 50 and max(map(len, lines)) <= 80
    words = set("\n".join(lines).replace("/", " ").replace(",", " ").split())
    every = [n for p in cli.prove.params if isinstance(p, click.Option) for n in p.opts]
    assert len(every) > 30 and not set(every) - words
    assert {"Examples:", *cli.COMMANDS, *FORMS} <= {w.rstrip(".") for w in words | set(lines)}


def test_the_full_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help-all"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for param in cli.prove.params:
        if isinstance(param, click.Option):
            assert param.help and " ".join(param.help.split()) in said, param.name


def test_short_help_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-h"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert all(name in text for name in cli.COMMANDS) and "prove --help" in text
