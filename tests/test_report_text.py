"""The text report: how a trace is laid out, and what is said of each verdict at each level of detail."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_report import DEBUG, NOT_APPLICABLE, PROVED, TRACE, UNKNOWN, VIOLATED, report

from dentryproof.proofs.verdict import Result, TraceStep, Understood, Verdict
from dentryproof.report.terminal import coloured
from dentryproof.report.text import Detail, render
from dentryproof.report.trace import draw, held, place, words

WIDE = """\
       CPU 0                                                    CPU 1
       ----------------------------------------------------     ----------------------------------------------
       lookup_fast()
   1 +   rcu_read_lock()                    fs/namei.c:1601
     | demo_manage()
   2 |   reads dentry->d_fsdata          fs/demo/root.c:412
     |                                                          __dentry_kill()
   3 |                                                            takes dentry->d_lock         fs/dcache.c:590
   4 |                                                            drops dentry->d_lock         fs/dcache.c:612
   5 ------------------------------------------ grace period starts ------------------------------------------
     |                                                          demo_free_info()
   6 |                                                            frees demo_info with kfree()
     |                                                            [dentry->d_fsdata]        fs/demo/inode.c:37
     | demo_expire_wait()
=> 7 |   reads dentry->d_fsdata->flags  fs/demo/expire.c:88
"""

NARROW = """\
     CPU 0   lookup_fast()
   1 CPU 0 +   rcu_read_lock()
     CPU 0 |             fs/namei.c:1601
     CPU 0 | demo_manage()
   2 CPU 0 |   reads dentry->d_fsdata
     CPU 0 |          fs/demo/root.c:412
       CPU 1   __dentry_kill()
   3   CPU 1     takes dentry->d_lock
       CPU 1             fs/dcache.c:590
   4   CPU 1     drops dentry->d_lock
       CPU 1             fs/dcache.c:612
   5 ------- grace period starts -------
       CPU 1   demo_free_info()
   6   CPU 1     frees demo_info with
       CPU 1     kfree()
       CPU 1     [dentry->d_fsdata]
       CPU 1          fs/demo/inode.c:37
     CPU 0 | demo_expire_wait()
=> 7 CPU 0 |   reads
     CPU 0 |   dentry->d_fsdata->flags
     CPU 0 |         fs/demo/expire.c:88
"""

GRID = """\
                              rcu-      null-   prune-  no-
                              delay-    inode   is-     blocking
                              dentry            const
----------------------------  --------  ------  ------  --------
demo                          violated  proved  -       -
other demo_dentry_operations  debug     proved  -       -
other second_ops              -         -       -       unknown
debug: violated (debug build only)
"""

MARKS = """\
                              1  2  3  4
demo                          V  .  -
other demo_dentry_operations  D  .
other second_ops                       ?

. proved, V violated, D violated (debug build only),
? unknown, - not-applicable
1 rcu-delay-dentry, 2 null-inode, 3 prune-is-const,
4 no-blocking
"""

LONG = "a_function_whose_name_does_not_fit_into_half_of_a_narrow_terminal_at_all"


def without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.mark.parametrize(("width", "golden"), [(110, WIDE), (200, WIDE), (40, NARROW)])
def test_trace_on_paper(width: int, golden: str) -> None:
    assert "\n".join(draw(TRACE, width)) + "\n" == golden


@pytest.mark.parametrize("width", [20, 40, 58, 60, 80, 100, 110, 240])
def test_every_place_once_in_order_and_the_access_last(width: int) -> None:
    lines = draw(TRACE, width)
    text = "\n".join(lines)
    places = [place(s) for s in TRACE if s.file]
    assert re.findall(r"\S+\.c:\d+", text) == places
    assert place(TRACE[-1]) in lines[-1]
    assert [line.split()[1] for line in lines if line.startswith("=>")] == ["7"]
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("width", [60, 80, 100, 110])
def test_it_fits_where_it_can(width: int) -> None:
    assert max(map(len, draw(TRACE, width))) <= width


def test_the_read_side_section_is_a_bar() -> None:
    leave = replace(TRACE[0], step=7, event="leave", note="rcu_read_unlock()")
    lines = draw((*TRACE[:6], leave, replace(TRACE[5], step=8)), 110)[2:]
    assert "".join(line[5] for line in lines if "-----" not in line) == " +|||||||||+  "


def test_names_are_never_cut() -> None:
    long = TraceStep(0, 1, LONG, f"fs/{LONG}.c", 1234567, "read", f"dentry->{LONG}", "")
    other = TraceStep(1, 2, "free_it", "fs/x.c", 1, "free", f"dentry->{LONG}", "frees it")
    for width in (20, 80, 110):
        text = "\n".join(draw((long, other), width))
        assert f"{LONG}()" in text and f"fs/{LONG}.c:1234567" in text
        assert text.count(f"dentry->{LONG}") == 2


def test_three_cpus_and_a_grace_period_with_a_place() -> None:
    third = TraceStep(2, 8, "demo_unlink", "fs/demo/dir.c", 5, "write", "dentry->d_inode", "clears it")
    end = TraceStep(-1, 9, "rcu_do_batch", "kernel/rcu/tree.c", 2130, "gp-end", "", "")
    lines = draw((*TRACE[:6], third, end, replace(TRACE[6], step=10)), 110)
    assert lines[0].split() == ["CPU", "0", "CPU", "1", "CPU", "2"]
    across = next(line for line in lines if "rcu_do_batch" in line)
    assert "- grace period ends (rcu_do_batch(), kernel/rcu/tree.c:2130) -" in across


def test_a_trace_of_nothing_is_nothing() -> None:
    assert draw(()) == [] and held(()) == ""


def test_words_name_the_object() -> None:
    assert words(TRACE[6]) == "reads dentry->d_fsdata->flags"
    assert words(TRACE[5]) == "frees demo_info with kfree() [dentry->d_fsdata]"
    assert words(TRACE[1]) == "reads dentry->d_fsdata"


def test_what_is_held_at_the_last_step() -> None:
    inside = "CPU 0: a read-side critical section, no lock"
    assert held(TRACE) == f"Held at the last step: {inside}; CPU 1: no lock."
    assert "CPU 1: dentry->d_lock." in held(TRACE[:3])
    got = TraceStep(1, 8, "f", "f.c", 1, "get", "dentry", "")
    assert "CPU 1: a reference to dentry." in held((*TRACE, got))


def test_a_violation_is_headline_trace_sentence_fix() -> None:
    text = render(report(VIOLATED))
    order = [
        "kernel 9.9.9, from models",
        "demo: demo_dentry_operations, rcu-delay-dentry violated: "
        "d_release against d_manage[rcu], on dentry->d_fsdata",
        WIDE,
        VIOLATED.summary,
        "Fix: free demo_info with kfree_rcu()",
        "1 clause: 1 violated (0.25 s)",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_a_debug_only_violation_says_so_everywhere() -> None:
    for detail in Detail:
        for line in render(report(DEBUG), detail).splitlines():
            if "violated" in line and "clause:" not in line:
                assert "violated (debug build only)" in line


def test_a_proof_says_by_what_it_holds() -> None:
    wide = render(report(PROVED), width=200)
    assert "holds by: d_revalidate reads d_inode once; and tests what it read" in wide
    text = render(report(PROVED), Detail.VERBOSE)
    for part in (*PROVED.core, *PROVED.assumptions, PROVED.bound, PROVED.witness):
        assert part in text


def test_unknown_is_shown_with_its_reason_and_never_as_proved() -> None:
    for detail in Detail:
        text = render(report(UNKNOWN), detail)
        assert UNKNOWN.reason in text and "unknown" in text and "proved" not in text


def test_quiet_is_one_line_for_what_is_not_good() -> None:
    lines = render(report(VIOLATED, PROVED, UNKNOWN, NOT_APPLICABLE), Detail.QUIET).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "demo_dentry_operations, rcu-delay-dentry violated",
        "demo_dentry_operations, no-blocking unknown",
    ]
    assert render(report(PROVED), Detail.QUIET) == ""


def test_several_results_decide_a_clause_together() -> None:
    mixed = (replace(PROVED, clause="null-inode", object="a"), replace(UNKNOWN, clause="null-inode"))
    line = next(x for x in render(report(*mixed)).splitlines() if "null-inode" in x)
    assert line.split()[0] == "unknown"
    both = render(report(replace(PROVED, object="a"), replace(PROVED, object="b")))
    assert "2 obligations, on a, b; holds by:" in both


def many() -> tuple[Result, ...]:
    """Two filesystems, one with two tables."""
    return (
        VIOLATED,
        PROVED,
        NOT_APPLICABLE,
        replace(DEBUG, filesystem="other"),
        replace(PROVED, filesystem="other"),
        replace(UNKNOWN, filesystem="other", table="second_ops"),
    )


def test_more_than_one_filesystem_is_a_table() -> None:
    assert render(report(*many())).split("\n\n")[1] == GRID.rstrip()


def test_in_marks_where_words_are_too_wide() -> None:
    assert render(report(*many()), width=62).split("\n\n")[1:3] == MARKS.rstrip().split("\n\n")


def test_every_table_has_a_row_of_marks_and_every_clause_a_column() -> None:
    clauses = [f"clause-{n}" for n in range(14)]
    names = [f"fs{n}" for n in range(40)]
    verdicts = [PROVED, UNKNOWN, VIOLATED, DEBUG, NOT_APPLICABLE]
    results = [
        replace(verdicts[(i + j) % 5], filesystem=name, clause=clause)
        for i, name in enumerate(names)
        for j, clause in enumerate(clauses)
    ]
    head, *rows = render(report(*results), width=80).split("\n\n")[1].splitlines()
    assert head.split() == [str(n + 1) for n in range(14)]
    assert [r.split() for r in rows] == [
        [name, *(".?VD-"[(i + j) % 5] for j in range(14))] for i, name in enumerate(names)
    ]


def test_how_much_was_understood() -> None:
    understood = (
        Understood("demo", "demo_ops", 3, 12, 345, ("kfree", "spin_lock"), ("demo_send",), tuple("abcdefg")),
        Understood("other", "other_ops", 1, 1, 5),
    )
    asked = replace(report(PROVED), understood=understood)
    text = render(asked, statistics=True)
    rows = [line.split() for line in text.splitlines() if "_ops " in line]
    assert rows == [
        ["demo", "demo_ops", "3", "12", "345", "2", "1", "7"],
        ["other", "other_ops", "1", "1", "5", "0", "0", "0"],
    ]
    assert "  not followed: demo_send\n  gap: a\n" in text and "  gap: e\n  and 2 more\n" in text
    assert "demo_send" not in render(asked) and "demo_send" in render(asked, Detail.VERBOSE)
    assert render(asked, Detail.QUIET, statistics=True) == ""


def test_a_module_is_named() -> None:
    both = replace(report(PROVED), kind="tree", location="/src/linux", module="/src/mine")
    assert render(both).startswith("kernel 9.9.9, read from /src/linux and /src/mine\n")


def test_and_a_list_where_that_is_too_wide() -> None:
    assert (
        render(report(*many()), width=50).split("\n\n")[1]
        == """\
demo
  violated: rcu-delay-dentry
  proved: null-inode
  not-applicable: prune-is-const
other demo_dentry_operations
  violated (debug build only): rcu-delay-dentry
  proved: null-inode
other second_ops
  unknown: no-blocking"""
    )


def test_no_results_are_no_proof() -> None:
    assert render(report()).endswith("Nothing was decided.\n")


def test_messages_are_notes() -> None:
    noted = replace(report(PROVED), messages=("fs/demo/x.c is cut off",))
    assert "note: fs/demo/x.c is cut off\n" in render(noted)


@pytest.mark.parametrize("width", [40, 80, 110])
@pytest.mark.parametrize("results", [(VIOLATED, PROVED, UNKNOWN, NOT_APPLICABLE), many()])
def test_colours_change_no_visible_character(width: int, results: tuple[Result, ...]) -> None:
    for detail in Detail:
        shown = render(report(*results), detail, width, coloured)
        assert "\x1b[" in shown
        assert without_colour(shown) == render(report(*results), detail, width)


names = st.from_regex(r"[a-z_]{1,40}", fullmatch=True)
events = st.sampled_from(["read", "write", "free", "enter", "leave", "lock", "unlock", "gp-start"])
steps = st.lists(
    st.builds(
        TraceStep,
        st.integers(-1, 2),
        st.integers(1, 99),
        names,
        names.map("fs/{}.c".format),
        st.integers(1, 99999),
        events,
        names,
        st.text("abc ->", max_size=60),
    ),
    min_size=1,
    max_size=12,
).map(tuple)


@given(steps, st.integers(20, 200))
def test_any_trace_keeps_every_place_in_order(trace: tuple[TraceStep, ...], width: int) -> None:
    text = "\n".join(draw(trace, width))
    assert re.findall(r"fs/\S+\.c:\d+", text) == [place(s) for s in trace]
    assert all(f"{s.function}()" in text for s in trace)


@given(st.sampled_from(list(Verdict)), st.booleans())
def test_every_verdict_renders(verdict: Verdict, debug_only: bool) -> None:
    result = replace(UNKNOWN, verdict=verdict, debug_only=debug_only)
    for detail in Detail:
        render(report(result), detail)
