"""A hand-made report for the tests of the renderers and of the command line. No kernel has this code."""

from __future__ import annotations

from dataclasses import replace

from dentryproof.proofs.verdict import Report, Result, TraceStep, Verdict

TRACE = (
    TraceStep(0, 1, "lookup_fast", "fs/namei.c", 1601, "enter", "", "rcu_read_lock()"),
    TraceStep(
        0, 2, "demo_manage", "fs/demo/root.c", 412, "read", "dentry->d_fsdata", "reads dentry->d_fsdata"
    ),
    TraceStep(1, 3, "__dentry_kill", "fs/dcache.c", 590, "lock", "dentry->d_lock", "takes dentry->d_lock"),
    TraceStep(1, 4, "__dentry_kill", "fs/dcache.c", 612, "unlock", "dentry->d_lock", "drops dentry->d_lock"),
    TraceStep(-1, 5, "", "", 0, "gp-start", "", "grace period starts"),
    TraceStep(
        1,
        6,
        "demo_free_info",
        "fs/demo/inode.c",
        37,
        "free",
        "dentry->d_fsdata",
        "frees demo_info with kfree()",
    ),
    TraceStep(0, 7, "demo_expire_wait", "fs/demo/expire.c", 88, "read", "dentry->d_fsdata->flags", ""),
)

VIOLATED = Result(
    "demo",
    "demo_dentry_operations",
    "rcu-delay-dentry",
    ("d_release", "d_manage[rcu]"),
    "dentry->d_fsdata",
    Verdict.VIOLATED,
    bound="7 steps: every step of both programs once",
    trace=TRACE,
    summary="demo_expire_wait() reads dentry->d_fsdata->flags after demo_free_info() freed demo_info.",
    fix="free demo_info with kfree_rcu() in demo_free_info()",
    seconds=0.02,
)

DEBUG = replace(VIOLATED, callbacks=("d_release", "d_revalidate[rcu]"), debug_only=True)

PROVED = Result(
    "demo",
    "demo_dentry_operations",
    "null-inode",
    ("d_revalidate[rcu]",),
    "dentry->d_inode",
    Verdict.PROVED,
    bound="9 steps: every step once",
    assumptions=("printk() touches nothing it is not handed",),
    core=("d_revalidate reads d_inode once", "and tests what it read"),
    witness="d_revalidate reads d_inode, unlink clears it",
    seconds=0.01,
)

UNKNOWN = Result(
    "demo",
    "demo_dentry_operations",
    "no-blocking",
    ("d_hash[rcu]",),
    "",
    Verdict.UNKNOWN,
    reason="fs/demo/root.c:77: a call through a pointer that was not followed",
)

NOT_APPLICABLE = Result(
    "demo", "demo_dentry_operations", "prune-is-const", (), "", Verdict.NOT_APPLICABLE, reason="no d_prune"
)


def report(*results: Result) -> Report:
    """A report of `results` from models of a made-up kernel."""
    return Report("models", "9.9.9", "", results, seconds=0.25)
