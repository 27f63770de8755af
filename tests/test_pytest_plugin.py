"""``pytest --dentryproof``, run as a user runs it, on small trees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from toys import small_tree

from dentryproof.commands.main import main

pytest_plugins = ["pytester"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """`inodetwice` fetches d_inode twice (null-inode violated), `rcufree` frees late (proved)."""
    return small_tree(tmp_path / "linux", "inodetwice", "rcufree")


def run(pytester: pytest.Pytester, tree: Path, *args: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(
        "-p",
        "no:cacheprovider",
        "--dentryproof",
        f"--dentryproof-linux={tree}",
        f"--dentryproof-cache-dir={tree.parent / 'cache'}",
        *args,
    )


def test_one_item_an_obligation(pytester: pytest.Pytester, tree: Path) -> None:
    pytester.makepyfile(test_own="def test_own(): pass")
    result = run(pytester, tree, "-v", "-rs")
    result.stdout.fnmatch_lines(
        [
            "*test_own.py::test_own PASSED*",
            "*dentryproof::inodetwice::*::null-inode[[]*d_inode*]*FAILED*",
            "*dentryproof::rcufree::*::rcu-delay-dentry[[]*]*PASSED*",
            "*=>*",  # the last step of the trace
        ]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_k_selects(pytester: pytest.Pytester, tree: Path) -> None:
    result = run(pytester, tree, "-k", "rcufree and rcu-delay-dentry")
    counts = result.parseoutcomes()
    assert counts["passed"] >= 1 and counts["deselected"] > 10 and "failed" not in counts
    assert result.ret == pytest.ExitCode.OK


def test_filesystems_and_clauses_can_be_named(pytester: pytest.Pytester, tree: Path) -> None:
    result = run(
        pytester,
        tree,
        "--dentryproof-filesystems=inodetwice",
        "--dentryproof-clauses=null-*,rcu-no-store",
        "-vv",
    )
    items = [
        line.split()[0].split("::")
        for line in result.outlines
        if re.match("dentryproof::.* (PASS|FAIL)", line)
    ]
    assert {parts[1] for parts in items} == {"inodetwice"}
    assert {parts[3].split("[")[0] for parts in items} == {"null-inode", "rcu-no-store"}


def test_what_a_baseline_has_is_expected(pytester: pytest.Pytester, tree: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "b.json"
    args = [
        "--linux",
        str(tree),
        "--all",
        "--no-cache",
        "--baseline",
        str(baseline),
        "--update-baseline",
        "-q",
    ]
    assert main(args) == 0
    result = run(pytester, tree, f"--dentryproof-baseline={baseline}")
    counts = result.parseoutcomes()
    assert counts["xfailed"] >= 1 and "failed" not in counts and result.ret == pytest.ExitCode.OK


def test_settings_come_from_pytests_configuration_too(pytester: pytest.Pytester, tree: Path) -> None:
    pytester.makeini(f"[pytest]\ndentryproof_linux = {tree}\ndentryproof_clauses = null-inode\n")
    result = pytester.runpytest_inprocess("--dentryproof", "-p", "no:cacheprovider")
    assert result.parseoutcomes().get("failed") == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--dentryproof-filesystems=nonesuch"], "nonesuch"),
        (["--dentryproof-clauses=nonesuch"], "unknown clause 'nonesuch'"),
        (["--dentryproof-baseline=absent.json"], "no such baseline"),
    ],
)
def test_bad_input_is_a_usage_error(
    pytester: pytest.Pytester, tree: Path, args: list[str], said: str
) -> None:
    result = run(pytester, tree, *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert any(said in line for line in result.errlines) and "Traceback" not in result.stderr.str()


def test_without_the_option_nothing_happens(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own="def test_own(): pass")
    counts = pytester.runpytest_inprocess("-p", "no:cacheprovider").parseoutcomes()
    counts.pop("warnings", None)
    assert counts == {"passed": 1}
