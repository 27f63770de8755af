"""Preprocessor conditionals: under which conditions a piece of C stands, and the texts that a function comes
to where its ``#if`` lines cut through statements.

Nothing is decided here: a condition stays text, and the reader follows every truth of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_VARIANTS = 16
"""In how many ways a function is read whose statements ``#if`` lines cut through; more is a gap."""

DIRECTIVE = re.compile(
    r"^[ \t]*#[ \t]*(ifdef|ifndef|if|elifdef|elifndef|elif|else|endif)\b((?:\\\n|[^\n])*)", re.M
)
_LABEL = re.compile(r"(?:^|[;{}])\s*(?:case\b[^;{}]*?|\w+\s*):(?!:)", re.M)
_OTHER_LINE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.M)


class TooManyVariants(Exception):
    """A function's ``#if`` lines cut through its statements in more than `MAX_VARIANTS` ways."""


def condition(kind: str, rest: str) -> str:
    """The condition that a directive of this kind, with this text behind, states."""
    rest = " ".join(rest.replace("\\\n", " ").split())
    if kind.endswith("ndef"):
        return f"!defined({rest})"
    return f"defined({rest})" if kind.endswith("def") else rest


class Conditions:
    """The conditionals that are open at a place of a file, outermost first."""

    def __init__(self) -> None:
        self._open: list[list[str]] = []
        self._current: tuple[str, ...] | None = ()

    def __len__(self) -> int:
        return len(self._open)

    def feed(self, kind: str, rest: str) -> bool:
        """Take in one directive; False if it continues or ends a conditional and none is open."""
        self._current = None
        if kind in ("if", "ifdef", "ifndef"):
            self._open.append([condition(kind, rest)])
        elif not self._open:
            return False
        elif kind == "endif":
            self._open.pop()
        else:
            self._open[-1].append("" if kind == "else" else condition(kind, rest))
        return True

    def current(self) -> tuple[str, ...]:
        """The conditions that hold here, one for each open conditional."""
        if self._current is None:
            self._current = tuple(branch_condition(branches) for branches in self._open)
        return self._current


def branch_condition(branches: list[str]) -> str:
    """The condition of the last of `branches`: its own, with none of the earlier ones true."""
    parts = [f"!({c})" for c in branches[:-1]]
    if branches[-1]:
        parts.append(f"({branches[-1]})" if parts else branches[-1])
    return " && ".join(parts)


def never(conditions: tuple[str, ...]) -> bool:
    """Whether one of these conditions is plainly false, as in ``#if 0``."""
    return any(c in ("0", "!(1)") or c.startswith("!(1) &&") or c.endswith("&& (0)") for c in conditions)


@dataclass
class _Branch:
    condition: str
    line: tuple[int, int]
    """Where its ``#if``, ``#elif`` or ``#else`` line stands."""
    end: int = 0


@dataclass
class _Group:
    """One ``#if`` with its branches; the groups within a branch have their starts within it."""

    branches: list[_Branch] = field(default_factory=list)
    last: tuple[int, int] = (0, 0)


def _groups(code: str) -> list[_Group]:
    """The conditionals of `code`, in the order in which they begin. One that has no end reaches to the end
    of `code`."""
    found: list[_Group] = []
    stack: list[_Group] = []
    for match in DIRECTIVE.finditer(code):
        kind = match.group(1)
        if kind in ("if", "ifdef", "ifndef"):
            group = _Group([_Branch(condition(kind, match.group(2)), match.span())])
            found.append(group)
            stack.append(group)
        elif stack:
            stack[-1].branches[-1].end = match.start()
            if kind == "endif":
                stack.pop().last = match.span()
            else:
                text = "" if kind == "else" else condition(kind, match.group(2))
                stack[-1].branches.append(_Branch(text, match.span()))
    for group in stack:
        group.branches[-1].end = len(code)
        group.last = (len(code), len(code))
    return found


def _cuts(code: str, group: _Group, from_: int) -> bool:
    """Whether a conditional cuts through a statement, or through the function's head, before `from_`."""
    start = group.branches[0].line[0]
    if start < from_:
        return True
    before = _OTHER_LINE.sub("", code[max(from_, start - 400) : start]).rstrip()
    after = _OTHER_LINE.sub("", code[group.last[1] : group.last[1] + 200]).lstrip()
    if not _ends_statement(before) or (after.startswith("else") and not after[4:5].isalnum()):
        return True
    return any(
        not _is_statements(_OTHER_LINE.sub("", code[b.line[1] : b.end]).strip()) for b in group.branches
    )


def _ends_statement(text: str) -> bool:
    return text[-1:] in (";", "{", "}", ":") and not re.search(r"\?[^;{}]*:$", text)


def _is_statements(text: str) -> bool:
    """Whether `text` is statements only: whole ones, that leave no bracket open and no ``else`` behind, and
    without labels, which belong to the block around."""
    if not text:
        return True
    if not _ends_statement(text) or text[-1] in "{:" or re.match(r"else\b", text) or _LABEL.search(text):
        return False
    depth = 0
    for match in re.finditer(r"[()\[\]{}]", text):
        depth += 1 if match.group() in "([{" else -1
        if depth < 0:
            return False
    return depth == 0


Choice = tuple[tuple[str, bool], ...]


def variants(text: str, code: str, body: int, every: bool = False) -> list[tuple[Choice, str]]:
    """`text` once for each way in which its conditionals can turn out, with the conditions that this takes.

    code   `text` with comments and the insides of literals blanked
    body   where the function's body begins in it
    every  resolve conditionals that cut through nothing too; they are left in the text otherwise

    Lengths are kept: what is not chosen is blanked. A condition that is tested again turns out the same.
    Raises TooManyVariants.
    """
    groups = [g for g in _groups(code) if every or _cuts(code, g, body)]
    found: list[tuple[Choice, str]] = []
    for chosen, picked in _ways(groups, 0, {}, []):
        if len(found) >= MAX_VARIANTS:
            raise TooManyVariants
        found.append((tuple(chosen.items()), _blanked(text, picked)))
    return found


_Picked = list[tuple[_Group, int | None]]


def _ways(
    groups: list[_Group], index: int, chosen: dict[str, bool], picked: _Picked
) -> Iterator[tuple[dict[str, bool], _Picked]]:
    if index == len(groups):
        yield chosen, picked
        return
    group = groups[index]
    if any(_hidden(group, other, branch) for other, branch in picked):
        yield from _ways(groups, index + 1, chosen, picked)
        return
    rest: dict[str, bool] | None = chosen
    for number, branch in enumerate(group.branches):
        if rest is None:
            return
        taken = _settle(rest, branch.condition, True)
        if taken is not None:
            yield from _ways(groups, index + 1, taken, [*picked, (group, number)])
        rest = _settle(rest, branch.condition, False) if branch.condition else None
    if rest is not None:
        yield from _ways(groups, index + 1, rest, [*picked, (group, None)])


def _settle(chosen: dict[str, bool], text: str, truth: bool) -> dict[str, bool] | None:
    """`chosen` with the condition `text` settled; None if it is settled otherwise already."""
    while text.startswith("!") and re.fullmatch(r"!\s*(?:defined\s*\(?\s*\w+\s*\)?|\w+|\(\s*\w+\s*\))", text):
        text, truth = text[1:].strip(), not truth
    if text in ("", "1"):
        return chosen if truth else None
    if text == "0":
        return None if truth else chosen
    text = re.sub(r"^defined\s*\(?\s*(\w+)\s*\)?$", r"defined(\1)", text)
    if text in chosen:
        return chosen if chosen[text] == truth else None
    return chosen | {text: truth}


def _hidden(group: _Group, other: _Group, branch: int | None) -> bool:
    """Whether `group` stands in a branch of `other` that was not taken."""
    start = group.branches[0].line[0]
    if not other.branches[0].line[0] < start < other.last[0]:
        return False
    if branch is None:
        return True
    return not other.branches[branch].line[1] <= start < other.branches[branch].end


def _blanked(text: str, picked: _Picked) -> str:
    spans: list[tuple[int, int]] = []
    for group, branch in picked:
        for number, other in enumerate(group.branches):
            spans.append(other.line if number == branch else (other.line[0], other.end))
        spans.append(group.last)
    parts, at = [], 0
    for start, end in sorted(spans):
        if end <= at:
            continue
        start = max(start, at)
        parts += [text[at:start], re.sub(r"[^\n]", " ", text[start:end])]
        at = end
    return "".join([*parts, text[at:]])
