"""Bad input of every kind ends in one clear line or an unknown, and leaves everything else as it was."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_report import PROVED, UNKNOWN, VIOLATED, report
from test_model_schema import small
from toys import TREE, edit, small_tree

import dentryproof.proofs.vfs_check  # noqa: F401  (not imported by a thread while another one reads)
from dentryproof.commands.main import main
from dentryproof.errors import DentryproofError, ModelError
from dentryproof.mutation.mutant import Expected, Finding, Mutant, Mutation, Outcome
from dentryproof.proofs.engine import Request, TableRow, run
from dentryproof.proofs.verdict import (
    Change,
    Comparison,
    ContractAnswer,
    Difference,
    Kind,
    Report,
    SideCheck,
    Understood,
    Verdict,
    clause_verdicts,
)
from dentryproof.report import difference
from dentryproof.report.mutation import render_mutation, render_places
from dentryproof.report.tables import render_contract, render_tables
from dentryproof.report.terminal import coloured
from dentryproof.report.text import Detail, render
from dentryproof.spec.modelfile import load

DENTRY = "rcu-delay-dentry"
SECONDS = 120


def answers(root: Path, *names: str) -> dict[tuple[str, str], Verdict]:
    """What `DENTRY` comes to, by filesystem and table, in a tree in which each of `names` is asked for."""
    report = asked(root, *names)
    return {(v.filesystem, v.table): v.verdict for v in clause_verdicts(report.results)}


def asked(root: Path, *names: str) -> Report:
    return run(Request(filesystems=names, everything=not names, linux=root, clauses=(DENTRY,)))


# -- what is wrong with one file touches its own tables and no other -----------------------------------

GOOD = ("rcufree", "callrcu")
SOURCE = "fs/rcufree/rcufree.c"
RELEASE = "\tkfree_rcu(info, rcu);\n"


def change(path: Path, old: str, new: str) -> None:
    edit(path, old, new)


BAD: dict[str, Callable[[Path], None]] = {
    "conflict markers": lambda p: change(
        p, RELEASE, f"<<<<<<< ours\n\tkfree(info);\n=======\n{RELEASE}>>>>>>> theirs\n"
    ),
    "an #if without an end": lambda p: change(p, RELEASE, f"#ifdef CONFIG_A\n{RELEASE}"),
    "an #endif without an #if": lambda p: change(p, RELEASE, f"#endif\n{RELEASE}"),
    "a macro that opens a brace": lambda p: (
        change(p, "static void toy_release", "#define OPEN(x) if (x) {\nstatic void toy_release")
        or change(p, RELEASE, f"\tOPEN(info)\n{RELEASE}")
    ),
    "a callback that is nowhere": lambda p: change(p, ".d_release = toy_release", ".d_release = toy_nowhere"),
    "a table cut off": lambda p: p.write_text(
        p.read_text(encoding="utf-8").partition("\t.d_release")[0], encoding="utf-8"
    ),
    "a byte that is no UTF-8": lambda p: (
        p.write_bytes(p.read_bytes().replace(b"kfree_rcu(info", b"kfree_rcu(\xe2info")) and None
    ),
}

WHERE = {
    "conflict markers": "<<<<<<<",
    "an #if without an end": "#ifdef CONFIG_A",
    "an #endif without an #if": "#endif",
    "a macro that opens a brace": "\tOPEN(info)",
    "a callback that is nowhere": "toy_nowhere",
    "a table cut off": "dentry_operations toy_dentry_operations",
    "a byte that is no UTF-8": "\xe2",
}
"""What stands in the only line that the reason must name."""


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_makes_its_own_tables_unknown_and_no_other(what: str, tmp_path: Path) -> None:
    root = small_tree(tmp_path, *GOOD)
    whole = answers(root)
    assert set(whole.values()) == {Verdict.PROVED}
    BAD[what](root / SOURCE)
    report = asked(root)
    found = {v.filesystem: v.verdict for v in clause_verdicts(report.results)}
    assert found == {"rcufree": Verdict.UNKNOWN, "callrcu": Verdict.PROVED}
    lines = (root / SOURCE).read_text(encoding="latin-1").splitlines()
    (line,) = (n for n, text in enumerate(lines, 1) if WHERE[what] in text)
    reasons = [r.reason for r in report.results if r.verdict is Verdict.UNKNOWN]
    assert any(re.search(rf"{re.escape(SOURCE)}:{line}\b", r) for r in reasons), reasons


def test_what_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    root = small_tree(tmp_path, *GOOD)
    change(root / SOURCE, "struct toy_info {", "struct toy_info {\n\tint toy_mark;")
    raw = (root / SOURCE).read_bytes()
    (root / SOURCE).write_bytes(raw.replace(b"toy_mark", b"toy_\xe2mark"))
    line = raw[: raw.index(b"toy_mark")].count(b"\n") + 1
    reasons = [r.reason for r in asked(root).results if r.verdict is Verdict.UNKNOWN]
    assert any(f"{SOURCE}: not UTF-8 in line {line} (byte" in r for r in reasons), reasons


@pytest.mark.parametrize("order", [("a.c", "b.c"), ("b.c", "a.c")])
def test_a_callback_in_two_files_is_either_of_them(order: tuple[str, str], tmp_path: Path) -> None:
    """The Makefile chooses: what either does counts."""
    root = small_tree(tmp_path, *GOOD)
    change(root / SOURCE, "static void toy_release", "void toy_release(struct dentry *);\nvoid toy_unused")
    for name, how in zip(order, ("kfree(info)", "kfree_rcu(info, rcu)"), strict=True):
        (root / "fs/rcufree" / name).write_text(
            "#include <linux/dcache.h>\n\nvoid toy_release(struct dentry *dentry)\n{\n"
            f"\tstruct toy_info *info = dentry->d_fsdata;\n\n\t{how};\n}}\n",
            encoding="utf-8",
        )
    found = {fs: v for (fs, _), v in answers(root).items()}
    assert found["rcufree"] in (Verdict.UNKNOWN, Verdict.VIOLATED) and found["callrcu"] is Verdict.PROVED


@pytest.mark.parametrize("name", ["pipe.c", "pipe.h", "socket.c", "device.c"])
def test_what_is_no_file_does_not_hang_and_is_not_read(name: str, tmp_path: Path) -> None:
    root = small_tree(tmp_path / "t", *GOOD)
    place = root / "fs/rcufree" / name
    if name.startswith("pipe"):
        os.mkfifo(place)
    elif name == "socket.c":
        here = Path.cwd()
        os.chdir(place.parent)  # a socket's path has a short limit
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(name)
        finally:
            os.chdir(here)
    else:
        place.symlink_to("/dev/zero")
    if name == "pipe.h":
        change(root / SOURCE, "#include <linux/fs.h>", '#include <linux/fs.h>\n#include "pipe.h"')
    found = {fs: v for (fs, _), v in answers(root).items()}
    assert found["callrcu"] is Verdict.PROVED


@pytest.mark.parametrize("where", ["fs", "include", "fs/rcufree"])
def test_links_in_a_circle_and_out_of_the_tree_are_not_followed(where: str, tmp_path: Path) -> None:
    root = small_tree(tmp_path / "t", *GOOD)
    (root / where / "round").symlink_to(root)
    (root / where / "out").symlink_to("/")
    (root / where / "self").symlink_to("self")
    assert {fs: v for (fs, _), v in answers(root).items()}["callrcu"] is Verdict.PROVED


def test_an_include_that_climbs_out_of_the_tree_is_not_read(tmp_path: Path) -> None:
    outside = "static void toy_release(struct dentry *dentry)\n{\n\tkfree(dentry->d_fsdata);\n}\n"
    (tmp_path / "outside.h").write_text(outside, encoding="utf-8")
    root = small_tree(tmp_path / "t", "rcufree")
    change(root / SOURCE, "toy_release(struct dentry", "toy_other(struct dentry")
    change(root / SOURCE, "#include <linux/fs.h>", '#include "../../../outside.h"')
    assert set(answers(root).values()) == {Verdict.UNKNOWN}


def test_five_megabytes_of_generated_source_are_read(tmp_path: Path) -> None:
    root = small_tree(tmp_path, "rcufree")
    path = root / SOURCE
    rows = "".join(f"\t{{ 0x{i:06x}, {i % 7} }},\n" for i in range(300_000))
    table = f"static const unsigned int toy_generated[][2] = {{\n{rows}}};\n\n"
    change(path, "static void toy_release", table + "static void toy_release")
    assert path.stat().st_size > 5 << 20
    assert set(answers(root).values()) == {Verdict.PROVED}


@pytest.mark.parametrize("deep", [300, 20_000])
@pytest.mark.parametrize(
    "form",
    [
        pytest.param(("#if A\n", "#endif\n"), id="if"),
        pytest.param(("struct a { ", "} a;"), id="struct"),
        pytest.param(("{", "}"), id="braces"),
        pytest.param(("/*", "*/"), id="comments"),
        pytest.param(("[", "]"), id="brackets"),
    ],
)
def test_deep_nesting_at_the_top_ends(form: tuple[str, str], deep: int, tmp_path: Path) -> None:
    root = small_tree(tmp_path, "rcufree")
    opened, closed = form
    change(
        root / SOURCE,
        "static void toy_release",
        f"int toy_deep = \n{opened * deep}{closed * deep}\n;\nstatic void toy_release",
    )
    for verdict in answers(root).values():
        assert verdict in (Verdict.PROVED, Verdict.UNKNOWN)


# -- changed at random ---------------------------------------------------------------------------------

SEEDS = ("rcufree", "lockednull", "callrcu", "kreffree", "listfree", "configtwice", "superkref", "workfree")
TOKENS = (
    "{", "}", "(", ")", ";", "#if X\n", "\n#else\n", "\n#endif\n", "/*", "*/", '"', "'", "\\\n", "\0", "?",
    "goto out;", "out:", "if (", "else", "switch (", "for (;;)", "while (1)", "struct", "static", "return",
    "#define A(x) A(x) {\n", "__free(kfree)", "guard(", "=", "->", "*", "&", "\xff", "\ufeff", "\u202e",
    "<<<<<<< a\n", "\n=======\n", "\n>>>>>>> b\n", "dentry->d_fsdata", "kfree(", "toy_release", "case 1:",
)  # fmt: skip
EFFORT = int(os.environ.get("DENTRYPROOF_FUZZ", "20"))
"""Examples of each test below; set it higher to look longer."""

fuzz = settings(
    max_examples=EFFORT,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A fixture's source with some bytes or words put in, left out or doubled."""
    name = draw(st.sampled_from(SEEDS))
    text = (TREE / "fs" / name / f"{name}.c").read_text(encoding="utf-8")
    raw = text[text.index("*/") :].encode()
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        end = min(len(raw), at + draw(st.sampled_from((0, 0, 1, 4, 30, 200))))
        new = draw(st.one_of(st.sampled_from(TOKENS).map(str.encode), st.binary(max_size=3)))
        again = draw(st.sampled_from((0, 1, 1, 1, 2, 500)))
        raw = raw[:at] + new * again + raw[end:]
    return b"/*" + raw


@given(changed())
@fuzz
def test_no_source_makes_the_reader_fail(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    """No exception but the tool's own, and results of each clause's proper form."""
    root = small_tree(tmp_path_factory.mktemp("t"), "rcufree")
    (root / SOURCE).write_bytes(raw)
    try:
        report = run(Request(everything=True, linux=root))
    except DentryproofError as error:
        assert error.status == 2 and "\n" not in str(error)
    else:
        assert all(isinstance(r.verdict, Verdict) for r in report.results)


# -- models --------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
@settings(fuzz, max_examples=20 * EFFORT)
def test_no_model_makes_the_loader_fail(data: st.DataObject) -> None:
    document: Any = small()
    for _ in range(data.draw(st.integers(1, 3))):
        place, key = document, None
        while isinstance(place, (dict, list)) and place:
            parent = place
            keys = sorted(place) if isinstance(place, dict) else range(len(place))
            key = data.draw(st.sampled_from(list(keys)))
            place = place[key]
            if data.draw(st.integers(0, 2)) == 0:
                break
        parent[key] = data.draw(json_values)
    try:
        load(json.dumps(document), "demo")
    except ModelError as error:
        assert str(error).startswith("demo: ")


def nested(deep: int) -> dict[str, Any]:
    """A model in which one thing that is deferred defers the next."""
    document = small()
    event = document["programs"][0]["events"][1]
    for _ in range(deep):
        event = {**event, "via": None, "then": [event]}
    document["programs"][0]["events"][1] = event
    return document


def with_number(digits: int) -> str:
    return json.dumps(small()).replace('"fs/demo/root.c", 7', f'"fs/demo/root.c", {"7" * digits}')


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("null", id="null"),
        pytest.param("[" * 100_000, id="brackets"),
        pytest.param('{"a":' * 100_000, id="braces"),
        pytest.param(with_number(5_000), id="digits"),
        pytest.param(with_number(30), id="line"),
        pytest.param(json.dumps({**small(), "kernel": ""}), id="kernel"),
        pytest.param(json.dumps(nested(20)), id="deferred"),
        pytest.param(json.dumps(small())[:-1] + ', "table": "other"}', id="twice"),
        pytest.param(json.dumps(small()).replace('"f2"', '"n0"', 1), id="atoms"),
        pytest.param(json.dumps(small()).replace('"kind": "read"', '"kind": "call"'), id="via"),
        pytest.param(
            json.dumps(small()).replace('["d_release", "demo_release"]', '["d_release"]'), id="slot"
        ),
    ],
)
def test_a_model_that_is_none_is_one_line(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(text, "demo")
    assert str(caught.value).startswith("demo: ") and "\n" not in str(caught.value)


def test_a_huge_model_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dentryproof.spec.modelfile.MOST_TEXT", 100)
    with pytest.raises(ModelError, match="characters"):
        load(json.dumps(small()), "demo")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models for 6.12, with one good model in it."""
    monkeypatch.setattr("dentryproof.proofs.kept._folder", lambda: tmp_path)
    kept = tmp_path / "6.12"
    kept.mkdir()
    document = small()
    document["kernel"] = "6.12"
    (kept / "demo.demo_dentry_operations.json").write_text(_lines(document), encoding="utf-8")
    return kept


def _lines(document: dict[str, Any]) -> str:
    return "{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in document.items()) + "\n}\n"


@pytest.mark.parametrize("text", ["", "{}\n", "{\n", "\0" * 100])
def test_a_model_that_is_damaged_is_told_and_the_others_are_answered(folder: Path, text: str) -> None:
    (folder / "toy.toy_dentry_operations.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"toy\.toy_dentry_operations\.json"):
        run(Request(filesystems=("toy",), clauses=(DENTRY,)))
    good = run(Request(filesystems=("demo",), clauses=(DENTRY,)))
    assert {r.filesystem for r in good.results} == {"demo"}


# -- the command line ----------------------------------------------------------------------------------

ASK = ("plainfree", "--linux", str(TREE), "--clause", DENTRY, "--no-cache", "--jobs", "1")


def shell(tail: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, run by a shell that closes or redirects something."""
    return subprocess.run(
        ["sh", "-c", f'"$0" "$@" {tail}', sys.executable, "-m", "dentryproof", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_a_closed_output_is_an_error_and_not_a_defect() -> None:
    done = shell(">&-", *ASK)
    assert done.returncode == 2
    assert done.stderr == "prove: cannot write to standard output: Bad file descriptor\n"


@pytest.mark.parametrize(("tail", "status"), [("2>&-", 1), ("<&-", 1), (">&- 2>&- <&-", 2)])
def test_closed_streams_change_nothing_else(tail: str, status: int) -> None:
    done = shell(tail, *ASK)
    assert done.returncode == status and done.stderr == ""


def test_with_every_stream_closed_a_report_is_written_to_its_file(tmp_path: Path) -> None:
    target = tmp_path / "report.txt"
    done = shell(">&- 2>&- <&-", *ASK, "--output", str(target))
    assert done.returncode == 1
    assert target.read_text(encoding="utf-8").startswith("kernel 6.12")


@pytest.mark.parametrize("argument", ["--help", "--version"])
@pytest.mark.parametrize("tail", [">&-", ">/dev/full"])
def test_help_that_cannot_be_written_is_an_error(argument: str, tail: str) -> None:
    done = shell(tail, argument)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("--output", "/dev/full")])
def test_a_full_disk_is_an_error(arguments: tuple[str, ...]) -> None:
    done = shell("" if arguments else ">/dev/full", *ASK, *arguments)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr and done.stderr.count("\n") == 1


def test_a_report_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    """A file may not grow past its limit, as on a full disk: nothing half-written stays."""
    target = tmp_path / "report.txt"
    target.write_text("old", encoding="utf-8")
    command = ["sh", "-c", 'trap "" XFSZ; ulimit -f 1; exec "$0" "$@"', sys.executable, "-m", "dentryproof"]
    done = subprocess.run(
        [*command, *ASK, "--verbose", "--output", str(target)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 2 and "cannot write" in done.stderr and "Traceback" not in done.stderr
    assert target.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.txt"]


def test_another_name_for_a_tree_is_told() -> None:
    report = run(Request(filesystems=("plainfree",), linux=TREE, kernel="3.10", clauses=(DENTRY,)))
    assert any("3.10" in m and "6.12" in m for m in report.messages)
    report = run(Request(filesystems=("plainfree",), linux=TREE, kernel="6.12", clauses=(DENTRY,)))
    assert not any("--kernel" in m for m in report.messages)


DESTRUCTOR = """
import sys, time
from dentryproof.commands import main as command
from dentryproof.commands.main import main
import click

class Solver:
    def __del__(self):
        raise KeyboardInterrupt if {interrupt} else ValueError("the solver was freed already")

@click.command("prove")
def ask():
    Solver()
    time.sleep({interrupt} * 20)
    print("went on", flush=True)

command.prove = ask
sys.argv[1:] = []
sys.exit(main())
"""


@pytest.mark.parametrize(("interrupt", "status", "out"), [(True, 130, ""), (False, 0, "went on\n")])
def test_an_interrupt_in_a_destructor_is_not_lost(interrupt: bool, status: int, out: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DESTRUCTOR.format(interrupt=interrupt)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (status, out, "")


def test_an_interrupt_of_what_runs_in_this_process_says_nothing() -> None:
    """The overlap matrix is asked of the solver here and not in a worker."""
    with subprocess.Popen(
        [sys.executable, "-m", "dentryproof", "overlap"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until = time.monotonic() + SECONDS
        while "pysolvers" not in Path(f"/proc/{process.pid}/maps").read_text(encoding="ascii"):
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err.strip()) == (130, "", "")


# -- what a terminal would obey --------------------------------------------------------------------------

EVIL = "\x1b[2J\x1b]0;x\x07\x9b31m\u202e\u2066\0\r\n\u2028"
SEEN = r"\x1b[2J\x1b]0;x\x07\x9b31m\u202e\u2066\x00\r\n\u2028"


def printed(text: str) -> str:
    """`text`, in which there is nothing that a terminal would obey but the ends of lines."""
    assert text.replace("\n", "").isprintable(), ascii(text)
    return text


def evil_report() -> Report:
    """A report each string of which is out to take over the terminal."""
    results = tuple(
        replace(
            r,
            filesystem=f"fs{EVIL}",
            table=f"table{EVIL}",
            callbacks=(f"method{EVIL}",),
            object=f"object{EVIL}",
            reason=f"reason{EVIL}",
            summary=f"summary{EVIL}",
            fix=f"fix{EVIL}",
            bound=f"bound{EVIL}",
            core=(f"core{EVIL}",),
            assumptions=(f"assumption{EVIL}",),
            witness=f"witness{EVIL}",
            trace=tuple(
                replace(
                    s, function=f"function{EVIL}", file=f"file{EVIL}", object=f"on{EVIL}", note=f"n{EVIL}"
                )
                for s in r.trace
            ),
        )
        for r in (VIOLATED, UNKNOWN, PROVED)
    )
    change = Change(
        f"fs{EVIL}",
        "t",
        "null-inode",
        (f"m{EVIL}",),
        f"o{EVIL}",
        before=None,
        after=Verdict.VIOLATED,
        debug_only=False,
        worse=True,
    )
    return replace(
        report(*results),
        kind="tree",
        location=f"folder{EVIL}",
        messages=(f"message{EVIL}",),
        understood=(Understood(f"fs{EVIL}", f"t{EVIL}", 1, 1, 1, (), (f"call{EVIL}",), (f"gap{EVIL}",)),),
        comparison=Comparison(f"base{EVIL}", (change,), frozenset()),
    )


@pytest.mark.parametrize("detail", Detail)
@pytest.mark.parametrize("width", [40, 200])
def test_a_report_gives_the_terminal_nothing_to_obey(detail: Detail, width: int) -> None:
    shown = printed(render(evil_report(), detail, width, statistics=True))
    for word in ("fs", "table", "method", "object", "summary", "reason"):
        assert f"{word}{SEEN}" in shown
    if detail is Detail.QUIET:
        assert shown.count("\n") == 2
    else:
        for word in ("folder", "message", "gap", "call", "base", "fix"):
            assert f"{word}{SEEN}" in shown


def test_the_only_control_sequences_are_those_of_colours() -> None:
    shown = render(evil_report(), Detail.VERBOSE, 200, coloured, statistics=True)
    assert "\x1b[1;31m" in shown
    printed(re.sub(r"\x1b\[[0-9;]*m", "", shown))


@pytest.mark.parametrize("quiet", [False, True])
def test_a_difference_gives_the_terminal_nothing_to_obey(quiet: bool) -> None:
    shown = printed(difference.render(evil_report(), evil_report(), quiet))
    assert f"fs{SEEN}: t, null-inode: new" in shown
    assert f"from base{SEEN}" in shown or quiet


@pytest.mark.parametrize("quiet", [False, True])
def test_a_list_gives_the_terminal_nothing_to_obey(quiet: bool) -> None:
    row = TableRow(f"fs{EVIL}", (f"name{EVIL}",), f"t{EVIL}", f"file{EVIL}", 1, (("d_prune", f"f{EVIL}"),))
    shown = printed(render_tables((row,), quiet=quiet))
    assert shown.count("\n") == 2
    for word in ("fs", "name", "t", "file"):
        assert f"{word}{SEEN}" in shown


def test_what_is_said_of_a_tree_gives_the_terminal_nothing_to_obey() -> None:
    differs = Difference(Kind.CODE, ("d_prune",), (), f"file{EVIL}", 1, f"says{EVIL}", f"states{EVIL}")
    check = SideCheck((differs,), ((f"path{EVIL}", ("d_prune",)),), 1, f"document{EVIL}")
    answer = ContractAnswer(f"6{EVIL}", (), ("method",), (("d_prune",),), check, (f"message{EVIL}",))
    shown = printed(render_contract(answer, 400))
    for word in ("6", "file", "says", "states", "path", "document", "message"):
        assert f"{word}{SEEN}" in shown


def test_mutants_give_the_terminal_nothing_to_obey() -> None:
    mutant = Mutant("op", f"file{EVIL}", 1, f"f{EVIL}", f"change{EVIL}", (), Expected.MATTERS, f"why{EVIL}")
    finding = Finding(f"fs{EVIL}", mutant, Outcome.SURVIVED, reason=f"reason{EVIL}")
    answer = Mutation("6.12", f"tree{EVIL}", ((f"fs{EVIL}", mutant),), (finding,))
    shown = printed(render_mutation(answer))
    for word in ("fs", "file", "f", "change", "why", "reason", "tree"):
        assert f"{word}{SEEN}" in shown
    assert f"change{SEEN}" in printed(render_places(answer))


@pytest.mark.parametrize("listing", [(), ("--list",), ("--list", "--quiet"), ("--quiet",), ("--verbose",)])
def test_a_name_in_source_is_shown_and_not_obeyed(
    listing: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = small_tree(tmp_path / "\x1b[2Jtree", "rcufree")
    change(root / SOURCE, '.name = "rcufree"', '.name = "rcu\x1b[2J\u202efree"')
    change(root / SOURCE, "kfree_rcu(info, rcu)", "kfree(info)")
    main(["--all", "--linux", str(root), "--clause", DENTRY, "--no-cache", *listing])
    out, err = capsys.readouterr()
    assert r"rcu\x1b[2J\u202efree" in printed(out) and printed(err) == ""
    main(["--all", "--linux", str(root), "--clause", DENTRY, "--no-cache", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert {r["filesystem"] for r in found["results"]} == {"rcu\x1b[2J\u202efree"}


def test_a_model_of_a_stranger_is_shown_and_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.json"
    file.write_text(_lines({**small(), "filesystem": f"fs{EVIL}", "table": f"t{EVIL}"}), encoding="utf-8")
    main(["--model", str(file), "--no-cache"])
    out, err = capsys.readouterr()
    assert f"fs{SEEN}" in printed(out) and f"t{SEEN}" in out and printed(err) == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["no\x1b[2Jsuch"],
        ["fuse", "--clause", "no\x1b[2Jsuch"],
        ["fuse", "--linux", "/no\x1b[2Jsuch"],
        ["fuse", "--kernel", "6.\x1b[2J"],
        ["fuse", "--no\x1b[2Jsuch"],
        ["fuse", "--output", "/no\x1b[2Jsuch/file"],
        ["diff", "--linux", str(TREE), "--patch", "/no\x1b[2Jsuch"],
    ],
)
def test_an_error_shows_what_it_is_about(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and r"\x1b[2J" in printed(err) and err.startswith("prove: ") and err.count("\n") == 1


# -- solvers that misbehave ----------------------------------------------------------------------------

STUB = """
import sys
sys.path.insert(0, {tests!r})
from dentryproof.proofs import schedule
from dentryproof.commands.main import main
schedule.ANSWER = "unit_answers:{how}"
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("solver_spins", "processor time"),
        ("solver_hangs", "took more than"),
        ("solver_eats_memory", "memory"),
    ],
)
def test_a_solver_that_hangs_or_eats_memory_is_stopped(how: str, reason: str) -> None:
    """Where one filesystem is asked for, too: the verdict is unknown, with the reason."""
    code = STUB.format(tests=str(Path(__file__).parent), how=how)
    limits = ["--read-timeout", "2", "--memory", "700"]
    done = subprocess.run(
        [sys.executable, "-c", code, *ASK, *limits],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 3, done.stderr
    assert "unknown" in done.stdout and reason in " ".join(done.stdout.split()), done.stdout
