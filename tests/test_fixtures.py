"""Small filesystems in C, each wrong or right in a known way, and the verdicts in their first comments."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from dentryproof.bdd import TooLarge
from dentryproof.commands.main import main
from dentryproof.errors import InputError, UsageError
from dentryproof.proofs.engine import Request, run
from dentryproof.proofs.verdict import Report, Verdict, clause_verdicts
from dentryproof.reader.limits import MAX_FOLLOWED
from dentryproof.reader.recorder import Recorder
from dentryproof.spec.program import Event

TREE = Path(__file__).parent / "fixtures" / "tree"
_EXPECTED = re.compile(
    r"^ \* ([a-z]+(?:-[a-z]+)+): (proved|violated|unknown|not-applicable)( in a debug build only)?, ", re.M
)
_KERNEL = re.compile(r"^ \* Held to the rules of Linux ([\d.]+)\.$", re.M)


@dataclass(frozen=True)
class Expected:
    """What a fixture's first comment says of one clause."""

    filesystem: str
    clause: str
    verdict: Verdict
    debug_only: bool


def expected() -> list[Expected]:
    """Every verdict that a fixture states."""
    found = []
    for path in sorted((TREE / "fs").glob("*/*.c")):
        head = path.read_text(encoding="utf-8").partition("*/")[0]
        found += [
            Expected(path.parent.name, clause, Verdict(verdict), bool(debug))
            for clause, verdict, debug in _EXPECTED.findall(head)
        ]
    return found


@cache
def answer(filesystem: str) -> Report:
    """All clauses of one fixture, by the rules of the kernel that its comment names, else of the tree's."""
    kernel = _KERNEL.search((TREE / "fs" / filesystem / f"{filesystem}.c").read_text(encoding="utf-8"))
    return run(Request(filesystems=(filesystem,), linux=TREE, kernel=kernel.group(1) if kernel else None))


DENTRY, INODE, SUPER = "rcu-delay-dentry", "rcu-delay-inode", "rcu-delay-super"
KNOWN: dict[str, tuple[tuple[str, str], ...]] = {
    "a pointer stored in a global variable loses its name: unknown": (("globalfree", DENTRY),),
    "what was spliced to a list on the stack loses its name: unknown": (
        ("disposelist", DENTRY),
        ("spliceelement", INODE),
    ),
    "a wait for a grace period inside a work item is not counted: a false alarm": (("workwaits", DENTRY),),
}
"""Where the tool is known to be wrong: how, and in which (filesystem, clause)."""
DISAGREEMENTS = {case: why for why, known in KNOWN.items() for case in known}


def cases() -> list[object]:
    """One parameter set for each expected verdict."""
    found = []
    for e in expected():
        why = DISAGREEMENTS.get((e.filesystem, e.clause))
        marks = [pytest.mark.xfail(strict=True, reason=why)] if why else []
        found.append(pytest.param(e, id=f"{e.filesystem}-{e.clause}", marks=marks))
    return list(found)


@pytest.mark.parametrize("case", cases())
def test_verdict(case: Expected) -> None:
    results = tuple(r for r in answer(case.filesystem).results if r.clause == case.clause)
    found = clause_verdicts(results)
    reasons = [f"{r.callbacks} {r.object}: {r.verdict.value}, {r.reason}" for r in results]
    assert [(v.verdict, v.debug_only) for v in found] == [(case.verdict, case.debug_only)], "\n".join(reasons)


def test_every_fixture_states_a_verdict() -> None:
    stated = {e.filesystem for e in expected()}
    assert stated == {p.name for p in (TREE / "fs").iterdir() if p.is_dir()}


def test_every_disagreement_is_about_a_stated_verdict() -> None:
    assert DISAGREEMENTS.keys() <= {(e.filesystem, e.clause) for e in expected()}


# -- source that is broken -----------------------------------------------------------------------------

TWIN = "rcufree"
"""A fixture that is right; broken below, it must not stay proved where the break can hide a free."""
RELEASE = "\tkfree_rcu(info, rcu);\n"
CONFLICT = "<<<<<<< ours\n\tkfree(info);\n=======\n\tkfree_rcu(info, rcu);\n>>>>>>> theirs\n"


def toy_text(name: str = TWIN) -> str:
    """The source of a fixture."""
    return (TREE / "fs" / name / f"{name}.c").read_text(encoding="utf-8")


def toy_tree(root: Path, source: str | bytes) -> Path:
    """A kernel tree of one filesystem, ``toy``."""
    shutil.copytree(TREE / "include", root / "include")
    shutil.copy(TREE / "Makefile", root / "Makefile")
    (root / "fs" / "toy").mkdir(parents=True)
    (root / "fs" / "toy" / "toy.c").write_bytes(source if isinstance(source, bytes) else source.encode())
    return root


def replaced(text: str, old: str, new: str) -> str:
    """`text` with its only `old` made `new`."""
    assert text.count(old) == 1
    return text.replace(old, new)


def table_first(text: str) -> str:
    """The fixture's text with its tables moved before its functions."""
    start, end = text.index("static const struct dentry_operations"), len(text)
    head = text.index("struct toy_info {")
    return text[:head] + text[start:end] + "\n" + text[head:start]


def verdict_of(root: Path, clause: str = DENTRY) -> tuple[Verdict, list[str]]:
    """What the clause comes to for ``toy``, and the reasons that are given for unknowns."""
    report = run(Request(filesystems=("toy",), linux=root, clauses=(clause,)))
    (verdict,) = clause_verdicts(report.results)
    return verdict.verdict, [r.reason for r in report.results if r.verdict is Verdict.UNKNOWN]


def line_of(text: str, what: str) -> int:
    """The 1-based line on which `what` first stands."""
    return text[: text.index(what)].count("\n") + 1


def test_the_twin_is_proved_before_it_is_broken(tmp_path: Path) -> None:
    assert verdict_of(toy_tree(tmp_path, toy_text())) == (Verdict.PROVED, [])


def test_conflict_markers_make_the_verdict_unknown(tmp_path: Path) -> None:
    text = replaced(toy_text(), RELEASE, CONFLICT)
    verdict, reasons = verdict_of(toy_tree(tmp_path, text))
    assert verdict is not Verdict.PROVED
    first, last = line_of(text, "<<<<<<<"), line_of(text, ">>>>>>>")
    assert any(f"fs/toy/toy.c:{n})" in reason for reason in reasons for n in range(first, last + 1))


def test_an_opened_brace_makes_the_verdict_unknown(tmp_path: Path) -> None:
    text = replaced(toy_text(), RELEASE, "\tif (info) {\n" + RELEASE)
    verdict, reasons = verdict_of(toy_tree(tmp_path, text))
    assert verdict is Verdict.UNKNOWN
    assert any("toy_release" in r and "fs/toy/toy.c:" in r for r in reasons)


def test_a_closed_brace_makes_the_verdict_unknown(tmp_path: Path) -> None:
    text = replaced(toy_text(), RELEASE, "\t}\n\tkfree(info);\n")
    verdict, reasons = verdict_of(toy_tree(tmp_path, text))
    assert verdict is Verdict.UNKNOWN
    assert any("fs/toy/toy.c" in r for r in reasons)


def test_a_broken_function_that_does_not_matter_changes_nothing(tmp_path: Path) -> None:
    text = toy_text() + "\nint toy_other(void)\n{\n<<<<<<< ours\n\treturn 1;\n>>>>>>> theirs\n}\n"
    assert verdict_of(toy_tree(tmp_path, text)) == (Verdict.PROVED, [])


def test_a_file_cut_off_in_a_function_that_matters_is_unknown(tmp_path: Path) -> None:
    text = table_first(toy_text())
    cut = text[: text.index(RELEASE)]
    verdict, reasons = verdict_of(toy_tree(tmp_path, cut))
    assert verdict is Verdict.UNKNOWN
    assert any("toy_release" in r for r in reasons)


def test_a_file_cut_off_in_a_comment_is_unknown(tmp_path: Path) -> None:
    text = table_first(toy_text())
    cut = text[: text.index("static void toy_release")] + "/* and then"
    verdict, reasons = verdict_of(toy_tree(tmp_path, cut))
    assert verdict is Verdict.UNKNOWN
    assert any("toy_release" in r for r in reasons)


def status(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the command line."""
    code = main([*arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def test_a_file_cut_off_in_the_table_is_unknown(tmp_path: Path) -> None:
    text = toy_text()
    cut = text[: text.index("\t.d_release")]
    verdict, reasons = verdict_of(toy_tree(tmp_path, cut))
    line = line_of(text, "static const struct dentry_operations")
    assert verdict is Verdict.UNKNOWN
    assert any(f"fs/toy/toy.c:{line}" in r for r in reasons)


def test_a_byte_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    raw = toy_text().encode().replace(b"grace period", b"gr\xe2ce period")
    verdict, reasons = verdict_of(toy_tree(tmp_path, raw))
    assert verdict is Verdict.UNKNOWN
    assert any("fs/toy/toy.c" in r and "UTF-8" in r for r in reasons)


@pytest.mark.parametrize("name", ["plainfree", "macrofree", "rcufree", "configright"])
def test_line_ends_do_not_matter(tmp_path: Path, name: str) -> None:
    stated = next(e.verdict for e in expected() if (e.filesystem, e.clause) == (name, DENTRY))
    assert verdict_of(toy_tree(tmp_path, toy_text(name).replace("\n", "\r\n")))[0] is stated


def test_zero_bytes_are_no_traceback(tmp_path: Path) -> None:
    verdict, _ = verdict_of(toy_tree(tmp_path, toy_text().replace("queued", "q\0ueued")))
    assert verdict in (Verdict.PROVED, Verdict.UNKNOWN)


DEEP = 10_000
FREE = "\tkfree(toy_info(dentry));\n"


def before_release(text: str, more: str) -> str:
    """`text` with `more` in front of its d_release()."""
    return replaced(text, "static void toy_release", more + "\nstatic void toy_release")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("(" * DEEP + "info" + ")" * DEEP + ";", id="parentheses"),
        pytest.param("{" * DEEP + "}" * DEEP, id="braces"),
        pytest.param("if (info) " * DEEP + ";", id="ifs"),
        pytest.param("if (info) ; " + "else if (info) ; " * DEEP, id="else-ifs"),
        pytest.param("flags = 0" + " + 1" * DEEP + ";", id="operators"),
        pytest.param("flags = " + "!" * DEEP + "info;", id="negations"),
        pytest.param("flags = " + "info ? 1 : " * DEEP + "0;", id="conditionals"),
        pytest.param("info" + "->next" * DEEP + ";", id="arrows"),
        pytest.param("flags = 0;" * DEEP, id="statements"),
    ],
)
@pytest.mark.parametrize("where", ["release", "revalidate"])
def test_absurd_nesting_is_never_proved_away(tmp_path: Path, body: str, where: str) -> None:
    """The free at once that follows must not get lost behind it."""
    here = body if where == "release" else ""
    head = "\tstruct toy_info *info = toy_info(dentry);\n\tint flags;\n\n"
    text = replaced(toy_text("plainfree"), FREE, head + here + "\n\tkfree(info);\n")
    if where == "revalidate":
        text = replaced(text, "\tif (info->flags)\n", body + "\n\tif (info->flags)\n")
    verdict, _ = verdict_of(toy_tree(tmp_path, text))
    assert verdict in (Verdict.UNKNOWN, Verdict.VIOLATED)


def test_calls_that_double_are_never_proved_away(tmp_path: Path) -> None:
    call = "\ttoy_step{1}(info);\n"
    step = "static void toy_step{0}(struct toy_info *info)\n{{\n" + call + call + "}}\n"
    functions = "static void toy_step0(struct toy_info *info)\n{\n}\n"
    functions += "".join(step.format(i, i - 1) for i in range(1, 23))
    text = before_release(toy_text("plainfree"), functions)
    text = replaced(text, FREE, "\ttoy_step22(toy_info(dentry));\n" + FREE)
    verdict, _ = verdict_of(toy_tree(tmp_path, text))
    assert verdict in (Verdict.UNKNOWN, Verdict.VIOLATED)


def test_macros_that_double_are_never_proved_away(tmp_path: Path) -> None:
    macros = "#define TOY0(x) (x)\n"
    macros += "".join(f"#define TOY{i}(x) (TOY{i - 1}(x) + TOY{i - 1}(x))\n" for i in range(1, 13))
    text = before_release(toy_text("plainfree"), macros)
    text = replaced(text, FREE, "\tunsigned int sum = TOY12(dentry->d_flags);\n\n" + FREE)
    verdict, _ = verdict_of(toy_tree(tmp_path, text))
    assert verdict in (Verdict.UNKNOWN, Verdict.VIOLATED)


@pytest.mark.parametrize(
    "macros",
    [
        pytest.param("#define TOY_A TOY_B\n#define TOY_B TOY_A\n", id="objects"),
        pytest.param("#define TOY_A (TOY_F(1))\n#define TOY_F(x) (TOY_A + TOY_F(x))\n", id="functions"),
    ],
)
def test_macros_that_go_round_end(tmp_path: Path, macros: str) -> None:
    text = before_release(toy_text("plainfree"), macros)
    text = replaced(text, FREE, "\tif (TOY_A)\n\t\tdentry->d_time = 0;\n" + FREE)
    assert verdict_of(toy_tree(tmp_path, text))[0] in (Verdict.UNKNOWN, Verdict.VIOLATED)


def test_headers_that_include_each_other_end(tmp_path: Path) -> None:
    root = toy_tree(tmp_path, '#include <linux/a.h>\n#include "toy.c"\n' + toy_text())
    (root / "include/linux/a.h").write_text("#include <linux/b.h>\n", encoding="utf-8")
    (root / "include/linux/b.h").write_text("#include <linux/a.h>\n", encoding="utf-8")
    assert verdict_of(root)[0] is Verdict.PROVED


def test_symbolic_links_that_go_round_end(tmp_path: Path) -> None:
    root = toy_tree(tmp_path, "#include <linux/loop.h>\n" + toy_text())
    (root / "fs/toy/up").symlink_to("..")
    (root / "include/linux/loop.h").symlink_to("loop.h")
    assert verdict_of(root)[0] is not Verdict.VIOLATED
    (root / "fs/toy/self.c").symlink_to("self.c")
    verdict, reasons = verdict_of(root)
    assert verdict is Verdict.UNKNOWN
    assert any("fs/toy/self.c" in r for r in reasons)


def test_a_link_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    root = toy_tree(tmp_path / "tree", toy_text())
    (tmp_path / "outside.c").write_text("int outside;\n", encoding="utf-8")
    (root / "fs/toy/outside.c").symlink_to(tmp_path / "outside.c")
    verdict, reasons = verdict_of(root)
    assert verdict is Verdict.UNKNOWN
    assert any("fs/toy/outside.c" in r for r in reasons)


BIG = 9 << 20


def test_a_huge_file_beside_is_told(tmp_path: Path) -> None:
    root = toy_tree(tmp_path, toy_text())
    (root / "fs/toy/big.c").write_bytes(b"/" * BIG)
    verdict, reasons = verdict_of(root)
    assert verdict is Verdict.UNKNOWN
    assert any("fs/toy/big.c" in r and "larger" in r for r in reasons)


@pytest.mark.xfail(strict=True, reason="the message says there is no table, not that a file was too large")
def test_a_huge_file_with_the_table_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = toy_tree(tmp_path, toy_text() + "/*" + " " * BIG + "*/\n")
    code, out, err = status(capsys, "--linux", str(root), "toy")
    assert code in (2, 3)
    assert "fs/toy/toy.c" in out + err


def test_a_self_include_and_an_unreadable_header_are_no_traceback(tmp_path: Path) -> None:
    root = toy_tree(tmp_path, "#include <linux/odd.h>\n" + toy_text())
    (root / "include/linux/odd.h").mkdir()
    assert verdict_of(root)[0] is Verdict.PROVED


@pytest.mark.parametrize("make", ["nothing", "empty", "file", "no-makefile", "no-version"])
def test_what_is_no_kernel_tree_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: str
) -> None:
    root = tmp_path / "tree"
    if make == "file":
        root.write_text("no folder\n", encoding="utf-8")
    elif make == "empty":
        root.mkdir()
    elif make == "no-makefile":
        (root / "fs").mkdir(parents=True)
    elif make == "no-version":
        (root / "fs").mkdir(parents=True)
        (root / "Makefile").write_text("all:\n", encoding="utf-8")
    code, out, err = status(capsys, "--linux", str(root), "toy")
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1


def test_a_filesystem_that_the_tree_lacks_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((InputError, UsageError)):
        run(Request(filesystems=("plainfre",), linux=TREE))
    code, out, err = status(capsys, "--linux", str(TREE), "plainfre")
    assert (code, out) == (2, "")
    assert "plainfree" in err


def test_the_same_source_gives_the_same_report_twice(tmp_path: Path) -> None:
    root = toy_tree(tmp_path, toy_text("lockednull"))
    request = Request(filesystems=("toy",), linux=root)
    first, second = run(request), run(request)
    assert [(r.clause, r.object, r.verdict, r.reason, r.trace) for r in first.results] == [
        (r.clause, r.object, r.verdict, r.reason, r.trace) for r in second.results
    ]


def test_path_conditions_too_large_to_write_down_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = Recorder.finished

    def give_up(record: Recorder, *matters: Callable[[Event], bool]) -> object:
        if matters:
            raise TooLarge
        return finished(record)

    monkeypatch.setattr(Recorder, "finished", give_up)
    verdict, reasons = verdict_of(toy_tree(tmp_path, toy_text()))
    assert verdict is Verdict.UNKNOWN
    assert any("toy_release() is too large to follow" in r and "fs/toy/toy.c:" in r for r in reasons)


# -- what a teardown does elsewhere, late, or with what lost its name ---------------------------------


def test_a_global_that_is_stored_to_on_some_paths_keeps_what_it_held(tmp_path: Path) -> None:
    """The free of what it held before must not get lost behind the store."""
    body = "\tif (dentry->d_flags)\n\t\ttoy_last = NULL;\n\tkfree(toy_last);\n"
    text = before_release(toy_text("plainfree"), "static struct toy_info *toy_last;\n")
    text = replaced(text, FREE, body)
    text = replaced(text, "\tif (info->flags)\n", "\ttoy_last = info;\n\tif (info->flags)\n")
    assert verdict_of(toy_tree(tmp_path, text))[0] in (Verdict.UNKNOWN, Verdict.VIOLATED)


UNICODE = """
struct unicode_map {
	unsigned int seed;
	struct rcu_head rcu;
};

void utf8_unload(struct unicode_map *um);
"""
UNLOAD = """
#include <linux/unicode.h>

void utf8_unload(struct unicode_map *um)
{
	if (um)
		HOW;
}
"""


@pytest.mark.parametrize(
    ("how", "expected"), [("kfree(um)", Verdict.VIOLATED), ("kfree_rcu(um, rcu)", Verdict.PROVED)]
)
def test_a_shared_file_of_the_kernel_is_read(tmp_path: Path, how: str, expected: Verdict) -> None:
    """What a function of fs/unicode/utf8-core.c frees is what d_hash() reads through the superblock."""
    text = toy_text("superput")
    start, end = text.index("struct toy_sb_info {"), text.index("static inline struct toy_sb_info")
    text = text[:start] + "#include <linux/unicode.h>\n\n" + text[end:]
    text = replaced(text, "kfree(sb->s_fs_info)", "utf8_unload(sb->s_fs_info)")
    root = toy_tree(tmp_path, text.replace("toy_sb_info", "unicode_map"))
    (root / "include/linux/unicode.h").write_text(UNICODE, encoding="utf-8")
    (root / "fs/unicode").mkdir()
    (root / "fs/unicode/utf8-core.c").write_text(UNLOAD.replace("HOW", how), encoding="utf-8")
    assert verdict_of(root, SUPER) == (expected, [])


@pytest.mark.parametrize(
    ("how", "expected"), [("kfree(sbi)", Verdict.VIOLATED), ("kfree_rcu(sbi, rcu)", Verdict.PROVED)]
)
def test_what_is_short_is_followed_late_in_a_teardown(tmp_path: Path, how: str, expected: Verdict) -> None:
    drop = f"static void toy_drop(struct toy_sb_info *sbi)\n{{\n\t{how};\n}}\n\n"
    body = "\tint step;\n\n" + "\tstep = 1;\n" * (MAX_FOLLOWED + 1) + "\ttoy_drop(sb->s_fs_info);\n"
    text = replaced(toy_text("superput"), "\tkfree(sb->s_fs_info);\n", body)
    text = replaced(text, "static void toy_put_super", drop + "static void toy_put_super")
    assert verdict_of(toy_tree(tmp_path, text), SUPER) == (expected, [])


UNPUBLISHED = sorted({e.filesystem for e in expected() if e.filesystem.startswith("unpublish")})


@pytest.mark.parametrize("filesystem", UNPUBLISHED)
def test_order_of_loads_and_stores_is_nothing_where_nothing_is_reordered(filesystem: str) -> None:
    """d_inode is cleared before ->d_iput(), and the walkers load it after d_fsdata: in program order, all of
    these find d_fsdata set where d_inode is."""
    request = Request(filesystems=(filesystem,), linux=TREE, clauses=(DENTRY,), memory_model="sc")
    verdicts = {r.verdict for r in run(request).results}
    assert verdicts == {Verdict.PROVED}


def test_a_plain_store_is_told_to_come_too_soon(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["unpublishplain", "--linux", str(TREE), "--clause", DENTRY, "--memory-model"]
    assert main([*asked, "sc"]) == 0
    capsys.readouterr()
    assert main([*asked, "lkmm"]) == 1
    text = " ".join(capsys.readouterr().out.split())
    told = [
        "sets d_inode to NULL",
        "sets dentry->d_fsdata to NULL",
        "the store to dentry->d_fsdata reaches lockless path walk",
        "reads dentry->d_fsdata: NULL",
        "reads dentry->d_inode: not NULL",
        "through a NULL pointer",
        "only where steps are reordered",
    ]
    places = [text.find(t) for t in told]
    assert -1 not in places and places == sorted(places), text
    assert "the store to dentry->d_inode reaches" not in text
