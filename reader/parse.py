"""C text to tree-sitter trees.

What tree-sitter-c does not know is masked (`reader/mask.py`), length kept, so that every position is a
position in the file. What a masked word was is kept in `Parsed.words`, keyed by offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter
import tree_sitter_c

from .mask import Words, closing, mask

_PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_c.language()))

_HIDE = re.compile(r'/\*(?:.*?\*/|.*)|//(?:\\\n|[^\n])*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
_DEFINED_CALL = re.compile(r"\b(?:COMPAT_)?SYSCALL(?:32)?_DEFINE\d\s*\(")
_MARK = re.compile(r"\b[A-Z][A-Z0-9_]+(?=\s+\w+\s*[,)])")
_GROUP = re.compile(r"\b(?:__struct_group|struct_group|struct_group_tagged|struct_group_attr)\s*\(")
_HEADS = {"__struct_group": 3, "struct_group": 1, "struct_group_tagged": 2, "struct_group_attr": 2}


@dataclass(frozen=True)
class Parsed:
    """A parsed piece of C: the tree's root, the piece's offset in its file, its masked text, masked words by
    offset, and the text as it stands in the source."""

    root: tree_sitter.Node
    offset: int
    text: bytes
    words: Words
    source: str = ""

    def string(self, node: tree_sitter.Node) -> str:
        """The source text of `node` (after masking)."""
        return self.text[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def original(self, node: tree_sitter.Node) -> str:
        """The source text of `node` as it was before masking."""
        return self.source[node.start_byte : node.end_byte]


def _parsed(text: str, head: str, offset: int, start: int) -> Parsed:
    """`text`, parsed with `head` for what comes before `start`; masked more thoroughly if it needs that."""
    whole = head + text[len(head) :]
    for thorough in (False, True):
        masked, words = mask(whole, start, thorough)
        data = masked.encode("ascii", "replace")
        root = _PARSER.parse(data).root_node
        if not root.has_error:
            break
    return Parsed(root, offset, data, words, text)


def parse(text: str, offset: int = 0) -> Parsed:
    """Parse a piece of C that holds no statements, such as a structure, and starts at `offset` of its file.

    Offsets are in characters; non-ASCII characters are replaced so that bytes and characters agree.
    """
    return _parsed(_ungrouped(text), "", offset, len(text))


def parse_function(text: str, name: str, offset: int = 0) -> Parsed:
    """Parse a function definition that starts at `offset` of its file. Of its head only name and parameters
    are kept."""
    hidden = _HIDE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    body = hidden.find("{")
    if body < 0:
        return _parsed(text, "", offset, len(text))
    return _parsed(text, _head(hidden[:body], name), offset, body)


def parse_statements(text: str, head: str = "void f(void) {", offset: int = 0) -> Parsed:
    """Parse statements that stand at `offset` of their file as the body of a function with this head."""
    return _parsed(head + text + "\n;}", "", offset - len(head), len(head))


def _head(hidden: str, name: str) -> str:
    """The head of a function definition as plain C, length kept."""
    call = _DEFINED_CALL.search(hidden)
    if call:
        return _system_call(hidden, call)
    calls = list(re.finditer(rf"\b{re.escape(name)}\s*\(", hidden))
    if not calls:
        return hidden
    found = calls[-1]
    end = closing(hidden, found.end() - 1)
    if end < 0 or ";" in hidden[end:]:
        return hidden
    parameters = _MARK.sub(lambda m: " " * len(m.group()), hidden[found.start() : end])
    return _before(found.start()) + parameters + " " * (len(hidden) - end)


def _before(length: int) -> str:
    """Blanks that end in a type, as far as there is room."""
    word = next((w for w in ("void ", "int ", "t ") if len(w) <= length), "")
    return " " * (length - len(word)) + word


def _system_call(hidden: str, call: re.Match[str]) -> str:
    """The head of a system call's definition, whose macro separates types from names by commas too."""
    end = closing(hidden, call.end() - 1)
    if end < 0:
        return hidden
    first = hidden.find(",", call.end(), end)
    opening = first if first >= 0 else end - 1
    name = "sys_" + hidden[call.end() : opening].strip()
    head = _before(max(0, opening - len(name))) + name + "("
    rest = list(hidden[opening + 1 : end])
    for number, i in enumerate([i for i, c in enumerate(rest) if c == ","]):
        if number % 2 == 0:
            rest[i] = " "
    if first < 0:
        return (head + ")").ljust(len(hidden))
    return (head + "".join(rest)).ljust(len(hidden))


def _ungrouped(text: str) -> str:
    """A structure's text without the macros that group members, which stay."""
    for match in reversed(list(_GROUP.finditer(text))):
        end = closing(text, match.end() - 1)
        at = match.end()
        for _ in range(_HEADS[match.group()[:-1].strip()]):
            at = text.find(",", at, end) + 1
        if end > 0 and at > 0:
            text = text[: match.start()] + " " * (at - match.start()) + text[at : end - 1] + " " + text[end:]
    return text


def errors(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The error and missing nodes below `node`, outermost only, in the order of the text."""
    if not node.has_error:
        return []
    found, todo = [], [node]
    while todo:
        current = todo.pop()
        if current.is_error or current.is_missing:
            found.append(current)
        elif current.has_error:
            todo.extend(reversed(current.children))
    return found


def descend(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """`node` and all named nodes below it, in the order of the text."""
    todo = [node]
    while todo:
        current = todo.pop()
        yield current
        todo.extend(reversed(current.named_children))


def comma_separated(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The operands of a comma expression, of commas in it too; `node` itself if it is none."""
    if node.type == "comma_expression":
        return [a for child in node.named_children for a in comma_separated(child)]
    return [node]


__all__ = [
    "Parsed",
    "closing",
    "comma_separated",
    "descend",
    "errors",
    "parse",
    "parse_function",
    "parse_statements",
]
