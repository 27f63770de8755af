"""Operators that change what a lockless method does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .code import NEVER_BLOCK, Call, Code, Function
from .mutant import Edit, Expected, Mutant
from .types import Touched

if TYPE_CHECKING:
    from tree_sitter import Node

_RCU_MODE = re.compile(
    r"\bLOOKUP_RCU\b|\bMAY_NOT_BLOCK\b|\bIPERM_FLAG_RCU\b|\brcu(?:_walk|_mode)?\b|!\s*dentry\b"
)
_TESTS_MODE = re.compile(
    r"(?:likely|unlikely)?\(*(?:[\w>.-]*flags&LOOKUP_RCU|mask&MAY_NOT_BLOCK|flags&IPERM_FLAG_RCU|rcu(?:_walk|_mode)?|!dentry)\)*"
)
_GIVES_UP = re.compile(r"\breturn\s*\(?\s*(?:ERR_PTR\s*\(\s*)?-\s*ECHILD\b")
_SLEEPS = re.compile(
    r"\b(?:mutex_lock\w*|down_(?:read|write)\w*|msleep\w*|schedule\w*|wait_(?:event|on|for)\w*|might_sleep\w*|"
    r"dget_parent|dput|iput|cond_resched|inode_lock\w*|sb_bread|read_mapping_page|synchronize_\w+)\s*\(|"
    r"\bGFP_(?:KERNEL|NOFS|NOIO|USER)\b"
)
_ATOMIC = re.compile(r"\bGFP_(?:ATOMIC|NOWAIT)\b")
_READS_INODE = re.compile(
    r"\s*(?:d_inode_rcu\s*\(.*\)|d_inode\s*\(.*\)|(?:READ_ONCE|ACCESS_ONCE)\s*\(.*->\s*d_inode\s*\)|[\w.>-]*->\s*d_inode)\s*",
    re.S,
)
_CONDITIONS = frozenset(
    {"parenthesized_expression", "unary_expression", "binary_expression", "argument_list"}
)
_COMPARES = re.compile(r"^[^&|]*$")
_LOCKLESS_READ = re.compile(r"_rcu\b|_ONCE\b")
_LOCK = re.compile(r"(?:raw_)?(?:spin|read|write)_lock(?:_irq|_irqsave|_bh|_nested)?")
_UNLOCK = re.compile(r"(?:raw_)?(?:spin|read|write)_unlock(?:_irq|_irqrestore|_bh)?")
_ALLOCATION = " kfree(kmalloc(16, GFP_KERNEL));"


def no_bail_out(code: Code) -> Iterator[Mutant]:
    """Each test in a lockless method that ends in -ECHILD, taken away; one of the inode for NULL is not among
    them."""
    for function in code.lockless:
        tested = _inode_variables(function)
        for node in function.of("if_statement"):
            condition, then = node.child_by_field_name("condition"), node.child_by_field_name("consequence")
            if condition is None or then is None or not _is_bail_out(function, condition, then):
                continue
            if any(_tests(function, condition, name) for name in tested):
                continue
            span, other = function.span(node), node.child_by_field_name("alternative")
            end, now = span.end, ";"
            if other is not None and other.named_children:
                end, now = function.span(other.named_children[-1]).start, ""
            change = f"if {_short(function, condition)} gives up no more"
            expected, why = _what_follows(code, function, span.end)
            if _given_up(function, span.start):
                expected, why = _EARLIER
            yield _changed("no-bail-out", function, span.start, end, now, change, expected, why)
        for node in function.of("conditional_expression"):
            arms = node.child_by_field_name("consequence"), node.child_by_field_name("alternative")
            for arm, other in (arms, arms[::-1]):
                if (
                    arm is None
                    or other is None
                    or not re.search(r"-\s*ECHILD\b", function.text(function.span(arm)))
                ):
                    continue
                span = function.span(node)
                now = function.text(function.span(other))
                change = f"{_short(function, node)} becomes {now}"
                why = "what callers do with the answer is not told"
                yield _changed(
                    "no-bail-out", function, span.start, span.end, now, change, Expected.UNDECIDED, why
                )


def _is_bail_out(function: Function, condition: Node, then: Node) -> bool:
    """Whether the branch does nothing but give up: return -ECHILD, or leave, where RCU mode is tested."""
    last = then.named_children[-1] if then.type == "compound_statement" and then.named_children else then
    nested = any(c.type in ("if_statement", "for_statement", "while_statement") for c in then.named_children)
    if last.type == "return_statement" and not nested:
        return bool(_GIVES_UP.match(function.text(function.span(last))))
    mode = _RCU_MODE.search(function.text(function.span(condition)))
    return last.type == "goto_statement" and not nested and mode is not None


def _given_up(function: Function, at: int) -> bool:
    """Whether RCU mode, and nothing else, is tested and given up on every way to a place of a function."""
    for node in function.of("if_statement"):
        condition, then = node.child_by_field_name("condition"), node.child_by_field_name("consequence")
        outer = node.parent.parent if node.parent is not None else None
        if condition is None or then is None or outer is None or outer.type != "function_definition":
            continue
        test = "".join(function.text(function.span(condition)).split())
        if function.span(node).end > at or not _TESTS_MODE.fullmatch(test):
            continue
        if _is_bail_out(function, condition, then):
            return True
    return False


_EARLIER = Expected.HARMLESS, "RCU mode has given up before"


def _what_follows(code: Code, function: Function, at: int) -> tuple[Expected, str]:
    """Whether what a function does from `at` on may not be done in RCU mode."""
    rest = function.file.code[at : function.definition.end]
    found = _SLEEPS.search(rest)
    if found:
        return Expected.MATTERS, f"what follows may sleep: {found.group().strip(' (')}"
    called = [f for w in dict.fromkeys(re.findall(r"\w+", rest)) for f in code.by_name.get(w, ())]
    if not re.search(r"->|\(", re.sub(r"\b(?:if|while|ERR_PTR|return)\s*\(", "", rest)):
        return Expected.HARMLESS, "what follows calls nothing and looks into nothing"
    if any(_SLEEPS.search(f.code) for f in called):
        return Expected.UNDECIDED, "a function that is called afterwards may sleep"
    return Expected.UNDECIDED, "what follows may be allowed in RCU mode or not"


# -- the inode -------------------------------------------------------------------------------------


def _inode_variables(function: Function) -> dict[str, list[tuple[Node, Node]]]:
    """Variables that d_inode is read into: by name, the nodes that do so and the expressions that read."""
    found: dict[str, list[tuple[Node, Node]]] = {}
    for node in function.of("init_declarator", "assignment_expression"):
        target = node.child_by_field_name("declarator") or node.child_by_field_name("left")
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        while target is not None and target.type == "pointer_declarator":
            target = target.child_by_field_name("declarator")
        if target is not None and target.type == "identifier" and value is not None:
            name = function.text(function.span(target))
            if _READS_INODE.fullmatch(function.text(function.span(value))):
                found.setdefault(name, []).append((node, value))
    return found


def _tests(function: Function, condition: Node, name: str) -> list[tuple[Node, str]]:
    """Where a condition tests a variable for NULL, and the constant that says "not NULL" in its place."""
    found: list[tuple[Node, str]] = []
    todo = [condition]
    while todo:
        node = todo.pop()
        text = "".join(function.text(function.span(node)).split())
        if text in (f"!{name}", f"{name}==NULL", f"NULL=={name}"):
            found.append((node, "0"))
        elif text in (name, f"{name}!=NULL", f"NULL!={name}") and node.type != "parenthesized_expression":
            found.append((node, "1"))
        elif node.type in _CONDITIONS and not (node.type == "binary_expression" and _COMPARES.search(text)):
            todo += node.named_children
        elif node.type == "call_expression" and text.startswith(("likely(", "unlikely(")):
            todo += [c for c in node.named_children if c.type == "argument_list"]
    return found


def no_null_test(code: Code) -> Iterator[Mutant]:
    """Each test for NULL of what a lockless method read from d_inode, decided as if it never is."""
    for function in code.lockless:
        for name in _inode_variables(function):
            for node in function.of("if_statement", "conditional_expression"):
                condition = node.child_by_field_name("condition")
                if condition is None:
                    continue
                for test, now in _tests(function, condition, name):
                    span = function.span(test)
                    rest = function.file.code[span.end : function.definition.end]
                    expected, why = _EARLIER if _given_up(function, span.start) else _used(name, rest)
                    change = f"{_short(function, test)} becomes {now} in if {_short(function, condition)}"
                    yield _changed("no-null-test", function, span.start, span.end, now, change, expected, why)


def _used(name: str, rest: str) -> tuple[Expected, str]:
    if re.search(rf"\b{name}\s*->", rest):
        return Expected.MATTERS, f"{name} is looked into afterwards"
    if re.search(rf"\b{name}\b", rest):
        return Expected.UNDECIDED, f"{name} is used afterwards; whether it is looked into is not told"
    return Expected.HARMLESS, f"{name} is not used afterwards"


def double_read(code: Code) -> Iterator[Mutant]:
    """Each single read of d_inode into a variable of a lockless method, read anew at every use."""
    for function in code.lockless:
        for name, reads in _inode_variables(function).items():
            if len(reads) != _assigned(function, name):
                continue
            places = [(function.span(node), function.text(function.span(v)).strip()) for node, v in reads]
            last, first = places[-1][0], places[0][0]
            uses = [
                function.span(n)
                for n in function.of("identifier")
                if function.text(function.span(n)) == name
                and function.span(n).start >= first.end
                and not any(s.start <= function.span(n).start < s.end for s, _ in places)
            ]
            if not uses:
                continue
            lockless = next((read for _, read in places if _LOCKLESS_READ.search(read)), places[-1][1])
            edits = []
            for use in uses:
                before = [read for span, read in places if span.end <= use.start]
                read = lockless if use.start >= last.end else before[-1]
                edits.append(Edit(function.file.path, use.start, use.end, f"({read})"))
            expected, why = _used(name, function.file.code[uses[0].end : function.definition.end])
            if _given_up(function, last.start):
                expected, why = _EARLIER
            elif len(uses) == 1:
                expected, why = Expected.HARMLESS, f"{name} is used once: it is read once all the same"
            change = f"{name} = {' '.join(lockless.split())} is read anew at {len(uses)} uses"
            path, line = function.file.path, function.line(first.start)
            yield Mutant("double-read", path, line, function.name, change, tuple(edits), expected, why)


def _assigned(function: Function, name: str) -> int:
    """How often a variable is set, or its address taken."""
    pattern = rf"(?:\b{name}\s*=(?!=)|&\s*{name}\b(?!\s*->))"
    return len(re.findall(pattern, function.code))


# -- locks and sleeping ----------------------------------------------------------------------------


def no_lock_pair(code: Code) -> Iterator[Mutant]:
    """Each spinlock that a lockless or a teardown method takes and drops in one function, not taken."""
    touched = Touched(code)
    lockless = set(code.lockless)
    taken = {True: _locks(code.lockless, touched), False: _locks(code.teardown, touched)}
    for function in dict.fromkeys((*code.lockless, *code.teardown)):
        for lock, calls in _pairs(function).items():
            path, walks = function.file.path, function in lockless
            edits = tuple(Edit(path, c.span.start, c.span.end, "(void)0") for c in calls)
            first = next(c for c in calls if _LOCK.fullmatch(c.name))
            expected, why = _excludes(function, lock, calls, taken[not walks], touched)
            if walks and function not in code.teardown and _given_up(function, first.span.start):
                expected, why = _EARLIER
            line, change = function.line(first.span.start), f"{lock} is not taken"
            yield Mutant("no-lock-pair", path, line, function.name, change, edits, expected, why)


def _pairs(function: Function) -> dict[str, list[Call]]:
    """The spinlocks that a function takes and drops, by the argument's text, with the calls that do so."""
    found: dict[str, list[Call]] = {}
    for call in function.calls(re.compile(f"{_LOCK.pattern}|{_UNLOCK.pattern}")):
        if call.arguments:
            found.setdefault("".join(call.arguments[0].split()), []).append(call)
    return {
        lock: calls
        for lock, calls in found.items()
        if 0 < sum(bool(_LOCK.fullmatch(c.name)) for c in calls) < len(calls)
    }


def _locks(functions: tuple[Function, ...], touched: Touched) -> set[tuple[str, str]]:
    """The locks that functions take, each as its member's name and the structure that it is a member of, ""
    where that is not told. What lockless methods take after RCU mode has given up is not among them."""
    return {
        _lock("".join(call.arguments[0].split()), function, touched)
        for function in functions
        for call in function.calls(_LOCK)
        if call.arguments and not _given_up(function, call.span.start)
    }


def _lock(text: str, function: Function, touched: Touched) -> tuple[str, str]:
    base = re.fullmatch(r"&?(.+?)(?:->|\.)\w+", text)
    return re.findall(r"\w+", text)[-1], touched.type_of(base.group(1), function) if base else ""


def _excludes(
    function: Function, lock: str, calls: list[Call], others: set[tuple[str, str]], touched: Touched
) -> tuple[Expected, str]:
    """Whether a lock may keep walkers and teardowns apart."""
    member, owner = _lock(lock, function, touched)
    inside = function.file.code[calls[0].span.end : calls[-1].span.start]
    if member == "d_lock" and re.search(r"->\s*d_(?!time\b|lock\b)\w+\s*=(?!=)", inside):
        return Expected.UNDECIDED, "a member of a dentry is stored to under it"
    if any(m == member and (not owner or not o or o == owner) for m, o in others):
        return Expected.UNDECIDED, f"the other side takes what may be the same lock ({member}) too"
    return Expected.HARMLESS, f"the other side never takes that lock ({member} of struct {owner or '?'})"


def block(code: Code) -> Iterator[Mutant]:
    """An allocation that may sleep at the start of each function that runs where nothing may, and each
    allocation there that may not sleep turned into one that may."""
    programs = (*code.lockless_programs, *code.teardown_programs(*NEVER_BLOCK))
    methods = {p.function for p in programs}
    for function in code.followed(programs):
        at = function.opening
        change = f"{function.name}() starts with {_ALLOCATION.strip()}"
        if function.name in methods:
            expected, why = Expected.MATTERS, "the method itself does it, on every path"
        else:
            expected, why = Expected.UNDECIDED, "whether it is called in RCU mode is not told"
        if function.file.path.endswith(".c"):
            yield _changed("block-in-hash", function, at, at, _ALLOCATION, change, expected, why)
        for found in _ATOMIC.finditer(function.file.code, at, function.definition.end):
            change = f"{found.group()} becomes GFP_KERNEL"
            why = "whether it is reached in RCU mode is not told"
            start, end = found.span()
            now = "GFP_KERNEL"
            yield _changed("block-in-hash", function, start, end, now, change, Expected.UNDECIDED, why)


def _changed(
    operator: str,
    function: Function,
    start: int,
    end: int,
    now: str,
    change: str,
    expected: Expected,
    why: str,
) -> Mutant:
    edit = Edit(function.file.path, start, end, now)
    line = function.line(start)
    return Mutant(operator, function.file.path, line, function.name, change, (edit,), expected, why)


def _short(function: Function, node: Node) -> str:
    """The text of a node on one line."""
    return " ".join(function.text(function.span(node)).split())
