"""Macro expansion as text: arguments put in, and where they came to stand.

One macro at a time: what its expansion calls is expanded when the reader gets there, so that a call keeps
its name and its place. Expansions are remembered, up to a bound, as long as the process lives.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .parse import Parsed, parse_statements
from .pieces import Kept
from .source import Macro

MAX_KEPT = 1_000_000
"""How many characters of expanded text are kept parsed."""

MAX_LENGTH = 200_000
"""How long the text of one expansion may get."""

BODY = "__dentryproof_body"
"""Stands in the expansion of a loop macro for the statement that follows its call."""

_TOKEN = re.compile(
    r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|,?\s*##\s*|#\s*[A-Za-z_]\w*|[A-Za-z_]\w*|\d[\w.]*|.', re.S
)
_BRACKET = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[()\[\]{},]', re.S)
_WORD = re.compile(r"\s*([A-Za-z_]\w*)\s*")
_HEADS = frozenset({"for", "while", "if", "switch"})


@dataclass(frozen=True)
class Argument:
    """An argument of a macro call: its text, and where it stands in the piece that holds the call."""

    text: str
    at: int = 0


@dataclass(frozen=True)
class Expansion:
    """A macro with its arguments put in, parsed as statements.

    spans   where arguments stand in it, as (start, end, number of the argument)
    """

    piece: Parsed
    spans: tuple[tuple[int, int, int], ...]

    def argument(self, at: int) -> tuple[int, int] | None:
        """The number of the argument that the text at `at` came from, and where in its text; None if it is
        the macro's own."""
        for start, end, number in self.spans:
            if start <= at < end:
                return number, at - start
        return None


def arguments(text: str, at: int = 0) -> list[Argument]:
    """The arguments in `text`, which begins with a parenthesis, and where they stand if it begins at `at`."""
    found: list[Argument] = []
    depth, start = 0, 1
    for match in _BRACKET.finditer(text):
        sign = match.group()
        if sign[0] in "\"'":
            continue
        if sign in "([{":
            depth += 1
        elif sign == ",":
            if depth == 1:
                found.append(_argument(text, start, match.start(), at))
                start = match.end()
        else:
            depth -= 1
            if depth == 0:
                if found or text[start : match.start()].strip():
                    found.append(_argument(text, start, match.start(), at))
                break
    return found


def _argument(text: str, start: int, end: int, at: int) -> Argument:
    part = text[start:end]
    return Argument(part.strip(), at + start + len(part) - len(part.lstrip()))


def bound(macro: Macro, given: tuple[str, ...]) -> dict[str, tuple[str, int]]:
    """What each parameter of `macro` stands for, and the number of its (first) argument."""
    names = macro.params or ()
    found: dict[str, tuple[str, int]] = {}
    for number, name in enumerate(names):
        if name.endswith("..."):
            found[name.removesuffix("...") or "__VA_ARGS__"] = ", ".join(given[number:]), number
        else:
            found[name] = given[number] if number < len(given) else "", number
    return found


def substituted(macro: Macro, given: tuple[str, ...]) -> tuple[str, list[tuple[int, int, int]]]:
    """The text of `macro` with its arguments put in, and where they stand in it."""
    if macro.params is None or not macro.params:
        return _pasted(macro.body), []
    values = bound(macro, given)
    body = _optional(macro.body, values)
    parts: list[str] = []
    spans: list[tuple[int, int, int]] = []
    length, pasting = 0, False
    tokens = _TOKEN.findall(body)
    for index, token in enumerate(tokens):
        text, number = token, -1
        if token.strip().strip(",").strip() == "##":
            pasting = True
            following = _following(tokens, index)
            if token.lstrip().startswith(",") and not (following in values and not values[following][0]):
                parts.append(", ")
                length += 2
            elif parts and not token.lstrip().startswith(","):
                length -= len(parts[-1]) - len(parts[-1].rstrip())
                parts[-1] = parts[-1].rstrip()
            continue
        if token.startswith("#") and token[1:].strip() in values:
            text = _string(values[token[1:].strip()][0])
        elif token in values:
            text, number = values[token]
            if pasting or "".join(tokens[index + 1 : index + 2]).strip() == "##":
                number = -1
        elif pasting and not token.strip():
            continue
        if number >= 0 and text:
            spans.append((length, length + len(text), number))
        pasting = False
        parts.append(text)
        length += len(text)
        if length > MAX_LENGTH:
            break
    return "".join(parts), spans


def _pasted(body: str) -> str:
    return re.sub(r"\s*##\s*", "", body) if "##" in body else body


def _following(tokens: list[str], index: int) -> str:
    return next((t for t in tokens[index + 1 :] if t.strip()), "")


def _optional(body: str, values: dict[str, tuple[str, int]]) -> str:
    """`body` with ``__VA_OPT__(...)`` resolved."""
    while (match := re.search(r"\b__VA_OPT__\s*\(", body)) is not None:
        end = _closed(body, match.end() - 1)
        if end < 0:
            break
        kept = body[match.end() : end - 1] if values.get("__VA_ARGS__", ("", 0))[0] else ""
        body = body[: match.start()] + kept + body[end:]
    return body


def _string(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", " ".join(text.split())) + '"'


_kept: Kept[tuple[Macro, tuple[str, ...], str], Expansion] = Kept(MAX_KEPT)
_START = len("void f(void) {")


def expanded(macro: Macro, given: tuple[str, ...], behind: str = "") -> Expansion:
    """`macro` with arguments put in, parsed as statements, with `behind` following it."""
    weight = len(macro.body) + sum(map(len, given))
    return _kept.get((macro, given, behind), weight, lambda: _expanded(macro, given, behind))


def _expanded(macro: Macro, given: tuple[str, ...], behind: str) -> Expansion:
    text, spans = substituted(macro, given)
    piece = parse_statements(text + behind)
    return Expansion(piece, tuple((start + _START, end + _START, n) for start, end, n in spans))


def is_head(text: str, macro: Callable[[str], Macro | None], depth: int = 0) -> bool:
    """Whether `text` is the head of a statement, whose body has to follow: a loop, a test, or what ends in
    ``else``. `macro` finds the definition of a name."""
    at, depth = 0, depth + 1
    while depth < 8:
        word = _WORD.match(text, at)
        if word is None:
            return False
        name, after = word.group(1), word.end()
        if name == "else":
            at = after
            if not text[at:].strip():
                return True
            continue
        opens = text[after : after + 1] == "("
        end = _closed(text, after) if opens else -1
        if name in _HEADS:
            if end < 0:
                return False
            at = end
            if not text[at:].strip():
                return True
            at = _past(text, at)
        elif end > 0 and not text[end:].strip():
            found = macro(name)
            return found is not None and is_head(found.body, macro, depth)
        else:
            return False
        if at < 0:
            return False
    return False


def _past(text: str, at: int) -> int:
    """Where, after the head of a statement that ends at `at`, the next head begins: behind a block or a
    simple statement that an ``else`` follows, or at once. -1 if the statement ends there."""
    rest = text[at:].lstrip()
    start = len(text) - len(rest)
    if rest.startswith("{"):
        end = _closed(text, start)
    elif re.match(r"(?:for|while|if|switch)\b|\w+\s*\([^;]*\)\s*$", rest):
        return start
    else:
        end = text.find(";", start) + 1
    if end <= 0:
        return -1
    return end if text[end:].lstrip().startswith("else") else -1


def _closed(text: str, opening: int) -> int:
    depth = 0
    for match in _BRACKET.finditer(text, opening):
        sign = match.group()
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
            if depth == 0:
                return match.end()
    return -1
