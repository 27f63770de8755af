"""The table of kernel functions: every line can be read, and is about a function that exists."""

from __future__ import annotations

import os
import re
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from dentryproof.reader.tree import Tree
from dentryproof.spec.kernel_functions import KernelFunction, table
from dentryproof.spec.program import FENCES
from dentryproof.spec.vfs import version

TREES = os.environ.get("DENTRYPROOF_TREES")
HOW = frozenset({"now", "rcu", "work", "srcu"})
WORDS = {
    "lock": {"shared"},
    "unlock": {"shared"},
    "trylock": {"zero", "shared"},
    "last": {"free", "lock", "or-null", "rcu", "work", "unseen", "dentry"},
    "read": {"or-null"},
    "write": {"or-null"},
    "get": {"not-dead", "parent"},
    "enter": {"srcu"},
    "leave": {"srcu"},
    "wait": {"srcu"},
    "value": {"GFP_KERNEL"},
    "returns": {
        "bool",
        "scalar",
        "natural",
        "pointer",
        "error",
        "new",
        "must-new",
        "static",
        "parent",
        "config",
        "element",
        "next",
        "removed",
        "page",
    },
    "error": {"null"},
    "fence": set(FENCES),
    "order": {"once", "acquire", "release", "assign"},
    "teardown": {"litter", "anon", "block", "generic"},
}
"""The words that an operation may have besides argument positions."""
MEMBERS = frozenset({"lock", "unlock", "trylock", "read", "write", "free"})
"""Operations whose last word may name a member of the argument."""
OTHER_KERNELS = frozenset(
    {
        "ACCESS_ONCE",
        "bdi_destroy",
        "check_submounts_and_drop",
        "default_gfp",
        "have_submounts",
        "strnicmp",
        "VFS_BUG_ON",
        "VFS_WARN_ON",
        "VFS_WARN_ON_ONCE",
        "WARN_ON_FUNCTION_MISMATCH",
        "fput_file",
        "netfs_free_folioq_buffer",
        "getnstimeofday64",
        "lockless_dereference",
        "nd_set_link",
        "raw_seqcount_try_begin",
        "timer_container_of",
    }
)
"""Functions of kernels older or newer than the trees that the tests know."""
_MEMBER = re.compile(r"[a-z]\w*(\.\w+)*$")


def lines() -> list[KernelFunction]:
    """Every function of the table."""
    return list(table().values())


def test_no_function_stands_twice() -> None:
    text = resources.files("dentryproof.spec").joinpath("kernel_functions.toml").read_text(encoding="utf-8")
    names = [name for group in tomllib.loads(text).values() for name in group]
    assert sorted(names) == sorted(set(names))


def test_every_function_has_a_source() -> None:
    assert [f.name for f in lines() if not re.search(r"\w+/|compilers", f.source)] == []


def test_every_word_is_known() -> None:
    wrong = []
    for f in lines():
        for e in f.effects:
            if e.operation in ("defer", "call", "work", "exchange", "debug"):
                continue
            known = WORDS.get(e.operation, set())
            for word in e.arguments:
                if not (word.isdigit() or word in known or (e.operation in MEMBERS and _MEMBER.match(word))):
                    wrong.append((f.name, e.operation, word))
    assert wrong == []


def test_what_is_deferred_says_how() -> None:
    wrong = [
        (f.name, e)
        for f in lines()
        for e in f.effects
        if (e.operation == "defer" and not (len(e.arguments) == 2 and e.arguments[0] in HOW))
        or (e.operation == "call" and not (len(e.arguments) == 3 and e.arguments[2] in HOW))
        or (e.operation == "last" and {"rcu", "work"} & set(e.arguments) and "free" not in e.arguments)
    ]
    assert wrong == []


def test_pure_excludes_other_effects() -> None:
    """`pure` says that nothing handed is touched: only what is yielded may stand beside it."""
    assert [
        f.name
        for f in lines()
        if f.has("pure") and any(e.operation not in ("pure", "returns") for e in f.effects)
    ] == []


def test_only_waits_for_a_grace_period_wait() -> None:
    """Read in kernel/rcu/, fs/namespace.c, mm/backing-dev.c and kernel/rcu/srcutree.c: what else sleeps,
    flushes work or waits for callbacks promises no grace period."""
    assert {f.name for f in lines() if f.has("wait")} == {
        "synchronize_rcu",
        "synchronize_rcu_expedited",
        "synchronize_net",
        "synchronize_srcu",
        "bdi_destroy",
        "bdi_unregister",
        "kern_unmount_array",
    }


def test_an_effect_behind_a_range_is_that_range_s_alone() -> None:
    """5.2 turned the flag round: DCACHE_RCUACCESS of dentries that walks may see became DCACHE_NORCU of
    pipes' and sockets' (`undelayed` in spec/vfs.toml)."""
    assert {n for n, f in table("5.1").items() if f.has("unseen")} == {
        "d_alloc_anon",
        "d_alloc_pseudo",
        "d_obtain_alias",
        "d_obtain_root",
        "exportfs_decode_fh",
    }
    assert {n for n, f in table("5.2").items() if f.has("unseen")} == {"d_alloc_pseudo"}
    assert table("5.1").keys() == table("5.2").keys() == table().keys()


ONLY_OLD = frozenset(
    {
        "__builtin_frame_address",
        "__devcgroup_check_permission",
        "__page_symlink",
        "_cleanup_srcu_struct",
        "bh_submit_read",
        "call_rcu_bh",
        "call_rcu_sched",
        "container_of_safe",
        "del_singleshot_timer_sync",
        "find_get_pages_contig",
        "flush_kernel_dcache_page",
        "fsnotify_nameremove",
        "get_random_int",
        "get_seconds",
        "has_group_leader_pid",
        "hash_32_generic",
        "hlist_bl_del_init_rcu",
        "kzfree",
        "mapping_cap_writeback_dirty",
        "pr_warning",
        "smp_read_barrier_depends",
        "timespec_compare",
        "timespec_equal",
        "timespec_to_jiffies",
        "wait_on_page_bit",
    }
)
"""Names that 5.0.1 has and 6.1 has no longer: looked for only where a tree that old is at hand."""


@pytest.mark.skipif(not TREES, reason="no kernel trees: see tests/get-trees")
def test_every_function_exists_in_some_tree() -> None:
    """A misspelled name would state nothing: each must be called or defined in some tree."""
    missing = {f.name.removeprefix("->") for f in lines()} - OTHER_KERNELS
    trees = [Tree(p) for p in Path(TREES or "").glob("*/") if (p / "Makefile").is_file()]
    if not any(version(t.version) < version("6.1") for t in trees):
        missing -= ONLY_OLD
    for path in sorted(Path(TREES or "").glob("*/")):
        for folder in ("fs", "include", "lib", "mm", "kernel", "net"):
            for file in (path / folder).rglob("*.[ch]"):
                missing -= set(re.findall(r"\w+", file.read_text(encoding="utf-8", errors="replace")))
            if not missing:
                return
    assert missing == set()
