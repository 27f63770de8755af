"""C text to tree-sitter trees, with the kernel's macros that are no C expressions masked, length kept.

Masking keeps every byte offset, so that a node's position is a position in the file. What a masked word
was is kept in `Parsed.words`, keyed by offset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import tree_sitter
import tree_sitter_c

_PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_c.language()))

MAX_NESTING = 400

_ATTRIBUTE = re.compile(
    r"\b(?:__(?:init|exit|user|rcu|force|must_check|always_inline|cold|maybe_unused|read_mostly|ro_after_init|"
    r"iomem|percpu|kernel|private|bitwise|pure|used|packed|weak|noreturn|latent_entropy|always_unused|"
    r"net_init|net_exit|net_initdata|initdata|initconst|refdata|ref|sched|cacheline_aligned|randomize_layout|"
    r"no_kcsan|no_kasan|flatten|malloc|deprecated|designated_init|visible|naked|nocast|safe|chk_user_ptr|"
    r"no_sanitize_address|cpuidle|noclone|noinline|inline|bpf_kfunc|private_use|counted_by_ptr)"
    r"|____cacheline_aligned\w*|__cacheline_\w+|asmlinkage|noinline\w*|notrace|noinstr|fastcall|randomized_struct_fields_\w+"
    r"|CIFS_DEBUG_ONLY|static_assert_dummy)\b"
)
_ATTRIBUTE_CALL = re.compile(
    r"\b(?:__attribute__|__releases|__acquires|__must_hold|__printf|__aligned|__section|__counted_by|__free|"
    r"__no_sanitize|__alloc_size|__cond_acquires|__assume_aligned|__nonstring|__acquire|__release|"
    r"__counted_by_le|__counted_by_be|__realloc_size|__scanf|__guarded_by)\s*\("
)
_LOOP = re.compile(r"\b(?=\w*for_each)(\w{5,})(\s*)\(")
_SCOPED = re.compile(r"\b(scoped_guard|scoped_cond_guard|with_\w+_creds|scoped_class)(\s*)\(")
_MIN_T = re.compile(
    r"\b(?:min_t|max_t|clamp_t|min_not_zero_t)\s*\(\s*((?:unsigned\s+|signed\s+)?(?:long\s+long|int|long|short|char))(?=\s*,)"
)
_TYPE_ARGUMENT = re.compile(r"([,(]\s*)(struct|union|enum)(\s+\w+\s*)(?=[,)])")
_SIZEOF_BEFORE = re.compile(r"\b(?:sizeof|typeof|__typeof__|__alignof__|alignof)\s*$")
_LITERAL = re.compile(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', re.S)


@dataclass(frozen=True)
class Parsed:
    """A parsed piece of C: the tree's root, the piece's offset in its file, and masked words by offset."""

    root: tree_sitter.Node
    offset: int
    text: bytes
    words: dict[int, str]

    def string(self, node: tree_sitter.Node) -> str:
        """The source text of `node` (after masking)."""
        return self.text[node.start_byte : node.end_byte].decode("utf-8", "replace")


def closing(text: str, opening: int) -> int:
    """Offset just after the parenthesis that closes the one at `opening`; -1 if none does."""
    depth = 0
    for i in range(opening, len(text)):
        if text[i] == "(":
            depth += 1
        elif text[i] == ")":
            depth -= 1
            if depth == 0:
                return i + 1
    return -1


def mask(text: str) -> tuple[str, dict[int, str]]:
    """`text` with what tree-sitter-c cannot parse masked, length kept; and the masked words by offset."""
    words: dict[int, str] = {}
    hidden = _LITERAL.sub(lambda m: re.sub(r"[^\n]", "\x01", m.group()), text)
    chars = list(text)

    def blank(start: int, end: int) -> None:
        for i in range(start, end):
            if chars[i] != "\n":
                chars[i] = " "

    for match in _ATTRIBUTE.finditer(hidden):
        blank(*match.span())
    for match in _ATTRIBUTE_CALL.finditer(hidden):
        end = closing(hidden, match.end() - 1)
        if end > 0:
            if match.group().startswith("__free"):
                words[match.start()] = hidden[match.end() : end - 1].strip()
            blank(match.start(), end)
    for match in _LOOP.finditer(hidden):
        end = closing(hidden, match.end() - 1)
        following = hidden[end : end + 200].lstrip()[:1] if end > 0 else ";"
        if (
            following
            and following not in ";,)=?:&|+-*/<>.[]\x01"
            and not _is_definition(hidden, match.start())
        ):
            _replace(chars, match.start(1), match.end(1), "while")
            words[match.start(1)] = match.group(1)
    for match in _MIN_T.finditer(hidden):
        _replace(chars, match.start(1), match.end(1), "type")
    for match in _SCOPED.finditer(hidden):
        _replace(chars, match.start(1), match.end(1), "if")
        words[match.start(1)] = match.group(1)
    for match in _TYPE_ARGUMENT.finditer(hidden):
        if not (
            match.group(1)[0] == "("
            and _SIZEOF_BEFORE.search(hidden, max(0, match.start() - 16), match.start())
        ):
            rest = hidden[match.end() : match.end() + 1]
            if match.group(1)[0] == "," or rest == ",":
                blank(match.start(2), match.end(2))
    return "".join(chars), words


def _is_definition(text: str, at: int) -> bool:
    line = text.rfind("\n", 0, at) + 1
    return text[line:at].strip() != "" and not text[line : line + 1].isspace()


def _replace(chars: list[str], start: int, end: int, word: str) -> None:
    for i in range(start, end):
        chars[i] = word[i - start] if i - start < len(word) else " "


def parse(text: str, offset: int = 0) -> Parsed:
    """Parse a piece of C that starts at `offset` of its file.

    Offsets are in characters; non-ASCII characters are replaced so that bytes and characters agree.
    """
    masked, words = mask(text)
    data = masked.encode("ascii", "replace")
    return Parsed(_PARSER.parse(data).root_node, offset, data, words)


def errors(node: tree_sitter.Node) -> list[tree_sitter.Node]:
    """The error and missing nodes below `node`, outermost only."""
    if not node.has_error:
        return []
    found, todo = [], [node]
    while todo:
        current = todo.pop()
        if current.is_error or current.is_missing:
            found.append(current)
        elif current.has_error:
            todo.extend(current.children)
    return found
