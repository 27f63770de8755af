"""Operators that take a delay away: RCU callbacks, waits, hidden grace periods."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from .code import Call, Code, Function
from .mutant import Edit, Expected, Mutant
from .types import Touched

FREES = re.compile(
    r"\b(?:k[vz]?free(?:_sensitive|_const|_rcu\w*)?|kvfree(?:_rcu\w*)?|kzfree|vfree|kmem_cache_free\w*|mempool_free|"
    r"free_percpu|free_pages?|call_rcu\w*|call_srcu|queue_rcu_work)\s*\("
)
_FREE_LATER = re.compile(r"k(v?)free_rcu(?:_mightsleep)?")
_CALL_LATER = re.compile(r"call_rcu(?:_hurry|_sched|_bh|_tasks\w*)?")
_CALL_SRCU = re.compile(r"call_srcu")
_QUEUE_RCU = re.compile(r"queue_rcu_work")
_WAIT = re.compile(r"synchronize_(?:s?rcu|net)\w*|rcu_barrier\w*|srcu_barrier")
_BDI = re.compile(r"super_setup_bdi(?:_name)?")
_CONTAINER = re.compile(
    r"\bcontainer_of\s*\(\s*(?:\w+)\s*,\s*(?:struct\s+(\w+)|typeof\s*\(\s*\*\s*\w+\s*\))\s*,"
)
_KILLS = re.compile(r"\b(?:kill_\w+_super|generic_shutdown_super)\s*\(")
_ABOUT = {
    "rcu-delay-dentry": ("d_prune", "d_iput", "d_release"),
    "rcu-delay-inode": ("evict_inode", "destroy_inode", "free_inode"),
    "rcu-delay-super": ("put_super", "kill_sb"),
}
"""Which teardown methods each clause is about."""


def no_rcu_delay(code: Code) -> Iterator[Mutant]:
    """Every delayed free and call of an RCU callback that the text of a teardown leads to."""
    touched = Touched(code)
    followed = set(code.teardown)
    for function in code.below_teardown:
        for call, now, tag in _delayed(code, touched, function):
            expected, why = (
                touched.structure(tag) if tag else (Expected.UNDECIDED, "of what type it is is not told")
            )
            if expected is Expected.MATTERS and function not in followed:
                expected, why = Expected.UNDECIDED, f"{why}; whether a teardown gets here is not told"
            yield _call_changed(code, "no-rcu-delay", call, now, expected, why)


def _delayed(code: Code, touched: Touched, function: Function) -> Iterator[tuple[Call, str, str]]:
    """Each delayed free in a function, what it becomes, and the structure that it frees."""
    for call in function.calls(_FREE_LATER):
        free = "kvfree" if "kvfree" in call.name else "kfree"
        if call.arguments:
            yield call, f"{free}({call.arguments[0]})", touched.type_of(call.arguments[0], function)
    for call in function.calls(_CALL_LATER):
        if len(call.arguments) == 2:
            head, callback = call.arguments
            yield call, f"{callback.strip('& ')}({head})", _freed(code, touched, callback, head, function)
    for call in function.calls(_CALL_SRCU):
        if len(call.arguments) == 3:
            _, head, callback = call.arguments
            yield call, f"{callback.strip('& ')}({head})", _freed(code, touched, callback, head, function)
    for call in function.calls(_QUEUE_RCU):
        if len(call.arguments) == 2:
            queue, work = call.arguments
            yield call, f"queue_work({queue}, &({work})->work)", _owner(touched, work, function)


def _freed(code: Code, touched: Touched, callback: str, head: str, function: Function) -> str:
    """The structure that an RCU callback gets back from its head, else the one that bears the head."""
    for found in code.by_name.get(callback.strip("& "), ()):
        container = _CONTAINER.search(found.code)
        if container and container.group(1):
            return str(container.group(1))
    return _owner(touched, head, function)


def _owner(touched: Touched, member: str, function: Function) -> str:
    """The structure whose member's address `member` is."""
    base = re.fullmatch(r"\s*&\s*(.+?)(?:->|\.)\s*\w+\s*", member)
    return touched.type_of(base.group(1), function) if base else ""


def free_to_evict(code: Code) -> Iterator[Mutant]:
    """The work of each ->free_inode() done by ->destroy_inode(), which runs without a delay."""
    for table in code.unit.tables("super_operations"):
        if table.file not in code.files:
            continue
        for d in table.file.definitions.get(table.name, ()):
            text = table.file.code[d.start : d.end]
            free = re.search(r"\.free_inode\s*=\s*&?(\w+)\s*,?", text)
            destroy = re.search(r"\.destroy_inode\s*=\s*&?(\w+)", text)
            if free is None or d.kind != "variable":
                continue
            at = d.start + free.start()
            edits = []
            if destroy is None:
                change = f"destroy_inode = {free.group(1)}, no free_inode"
                edits.append(Edit(table.file.path, at, at + len(".free_inode"), ".destroy_inode"))
            else:
                change = f"{destroy.group(1)}() ends with {free.group(1)}(), no free_inode"
                edits.append(Edit(table.file.path, at, d.start + free.end(), ""))
                for function in code.by_name.get(destroy.group(1), ()):
                    last = function.definition.end - 1
                    call = f"{free.group(1)}({function.parameters[0]}); "
                    edits.append(Edit(function.file.path, last, last, call))
                if len(edits) == 1:
                    continue
            line = table.file.line(at)
            expected, why = _frees_inodes(code, free.group(1))
            yield Mutant(
                "free-to-evict", table.file.path, line, table.name, change, tuple(edits), expected, why
            )


def _frees_inodes(code: Code, function: str) -> tuple[Expected, str]:
    """Whether a ->free_inode() frees something. Lockless walk itself looks into every inode that it passes
    (fs/namei.c, may_lookup() and pick_link())."""
    if any(FREES.search(f.code) for f in code.by_name.get(function, ())):
        return Expected.MATTERS, "it frees, and lockless walk looks into inodes"
    return Expected.UNDECIDED, "whether it frees the inode is not told"


def no_hidden_grace_period(code: Code) -> Iterator[Mutant]:
    """Each wait for a grace period, or for RCU callbacks, that the text of a teardown leads to, and each
    private backing device, whose end waits for one."""
    for function in code.below_teardown:
        for call in function.calls(_WAIT):
            rest = function.file.code[call.span.end : function.definition.end]
            if "barrier" in call.name:
                expected, why = (
                    Expected.UNDECIDED,
                    "it waits for callbacks that were queued, if there are any",
                )
            elif FREES.search(rest):
                expected, why = (
                    Expected.UNDECIDED,
                    "the same function frees after it; whether walkers reach that is not told",
                )
            else:
                expected, why = Expected.UNDECIDED, "what its callers free after it is not told"
            yield _call_changed(code, "no-hidden-grace-period", call, "(void)0", expected, why)
    if not any(p.method == "kill_sb" for p in code.programs):
        return
    expected, why = _after_shutdown(code)
    for function in code.functions:
        for call in function.calls(_BDI):
            found = _call_changed(code, "no-hidden-grace-period", call, "0", expected, why)
            yield replace(found, aims=("rcu-delay-super",))


def _after_shutdown(code: Code) -> tuple[Expected, str]:
    """Whether a ->kill_sb() frees, after the superblock was shut down, what walkers look into."""
    own = code.methods("kill_sb")
    if not own:
        return (
            Expected.HARMLESS,
            "the filesystem has no ->kill_sb() of its own that could free after the wait",
        )
    for function in own:
        shut = _KILLS.search(function.code)
        rest = function.code[shut.end() :] if shut else ""
        if FREES.search(rest):
            break
        if any(FREES.search(f.code) for f in code.named_by(_named(code, rest))):
            return Expected.UNDECIDED, "what ->kill_sb() calls after the wait frees something"
    else:
        return Expected.HARMLESS, "no ->kill_sb() of the filesystem frees anything after the wait"
    if any(re.search(r"\bs_fs_info\b", text) for text in code.lockless_texts.values()):
        return Expected.UNDECIDED, "->kill_sb() frees after the wait, and lockless methods read s_fs_info"
    return Expected.HARMLESS, "no lockless method reads s_fs_info"


def _named(code: Code, text: str) -> Iterator[Function]:
    for word in dict.fromkeys(re.findall(r"\w+", text)):
        yield from code.by_name.get(word, ())


def _call_changed(code: Code, operator: str, call: Call, now: str, expected: Expected, why: str) -> Mutant:
    function = call.inside
    path, line = function.file.path, function.line(call.span.start)
    was = " ".join(function.text(call.span).split())
    edit = Edit(path, call.span.start, call.span.end, now)
    change = f"{was} becomes {' '.join(now.split())}"
    aims = tuple(
        c for c, methods in _ABOUT.items() if function in code.followed(code.teardown_programs(*methods))
    )
    return Mutant(operator, path, line, function.name, change, (edit,), expected, why, aims=aims)
