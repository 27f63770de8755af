"""One source file: its text, what stands at its top level, and under which configuration.

The kernel is read without being configured or built, so nothing is preprocessed. A file is split at the
braces of its top level, which survives whatever C dialect stands between them; a single function or
initialiser is then given to tree-sitter (`reader/parse.py`).
"""

from __future__ import annotations

import bisect
import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cached_property

MAX_BYTES = 8 << 20

_BLANK = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
_BRACE = re.compile(r"[{}]|^[ \t]*#[ \t]*(?:if|ifdef|ifndef|else|elif|endif|define)\b(?:\\\n|[^\n])*", re.M)
_NAME_BEFORE_PAREN = re.compile(r"(\w+)\s*\($")
_VARIABLE = re.compile(
    r"(?:struct|union)\s+(\w+)\s+\*?\s*(\w+)\s*(?:\[[^\]]*\])?\s*(?:__\w+\s*(?:\([^)]*\))?\s*)*=\s*$"
)
_TAG = re.compile(r"\b(struct|union|enum)\s+(\w+)\s*(?:__\w+\s*)*$")
_DEFINE = re.compile(r"#[ \t]*define[ \t]+(\w+)(\(([^)]*)\))?[ \t]*((?:\\\n|[^\n])*)")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.M)


_DEFINES = re.compile(
    r"^(?:[ \t]*#[ \t]*define[ \t]+(\w+)"
    r"|(?:typedef[ \t]+)?(?:struct|union)[ \t]+(\w+)[ \t]*(?:__\w+[ \t]*)*\{"
    r"|(?:__\w+\([^)\n]*\)[ \t]*)*(?=[A-Za-z_])[^\n;={}()]*?\b(\w+)[ \t]*\()",
    re.M,
)


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, initialised variable or structure type: its extent [start, end) and configuration.

    kind       ``function`` | ``variable`` | ``type``
    ctype      for a variable, its structure's tag
    condition  the preprocessor conditions that it stands under, outermost first
    broken     braces did not match up to the closing brace in column 0
    """

    kind: str
    name: str
    start: int
    end: int
    ctype: str = ""
    condition: tuple[str, ...] = ()
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Macro:
    """A ``#define``. `params` is None for an object-like macro."""

    name: str
    params: tuple[str, ...] | None
    body: str
    start: int
    condition: tuple[str, ...] = ()


def _blank(match: re.Match[str]) -> str:
    text = match.group()
    if text[0] in "\"'":
        return text[0] + " " * (len(text) - 2) + text[0]
    return re.sub(r"[^\n]", " ", text)


@dataclass(eq=False)
class SourceFile:
    """`path` is relative to the tree (or module) root; `raw` is what the file holds."""

    path: str
    raw: bytes
    problem: str = ""
    text: str = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.text = self.raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self.problem = self.problem or f"not UTF-8 at byte {error.start}"
            self.text = self.raw.decode("latin-1")

    @cached_property
    def sha256(self) -> str:
        """Hash of the file's bytes, in hex."""
        return hashlib.sha256(self.raw).hexdigest()

    @cached_property
    def code(self) -> str:
        """The text with comments and the insides of literals blanked, length kept."""
        return _BLANK.sub(_blank, self.text)

    @cached_property
    def plain(self) -> str:
        """The text with comments blanked and literals kept, length kept."""
        return _BLANK.sub(lambda m: m.group() if m.group()[0] in "\"'" else _blank(m), self.text)

    @cached_property
    def _lines(self) -> list[int]:
        return [m.end() for m in re.finditer("\n", self.text)]

    def line(self, offset: int) -> int:
        """1-based line of `offset`."""
        return bisect.bisect_right(self._lines, offset) + 1

    @cached_property
    def includes(self) -> tuple[tuple[str, bool], ...]:
        """(name, whether in quotes) of every ``#include``."""
        return tuple((a or b, bool(a)) for a, b in _INCLUDE.findall(self.text))

    @cached_property
    def candidates(self) -> frozenset[str]:
        """Names that the file may define as a function, structure or macro: quick; errs by too many."""
        return frozenset(a or b or c for a, b, c in _DEFINES.findall(self.text))

    @cached_property
    def definitions(self) -> dict[str, tuple[Definition, ...]]:
        """Everything defined with braces at the top level, by name."""
        found: dict[str, list[Definition]] = {}
        for definition in self._split():
            found.setdefault(definition.name, []).append(definition)
        return {name: tuple(all_) for name, all_ in found.items()}

    def _split(self) -> list[Definition]:
        code = self.code
        found: list[Definition] = []
        conditions: list[str] = []
        depths: list[int] = []
        depth = start = boundary = 0
        head = ""
        broken = False
        opened: tuple[str, ...] = ()
        for match in _BRACE.finditer(code):
            token = match.group()
            at = match.start()
            if token not in "{}":
                depth = _directive(token, conditions, depths, depth)
                if depth == 0:
                    boundary = match.end()
                continue
            if token == "{":
                if depth == 0:
                    head = code[boundary:at]
                    cut = max(head.rfind(";"), head.rfind("#"))
                    if cut >= 0:
                        newline = head.find("\n", cut) if head[cut] == "#" else cut
                        cut = len(head) if newline < 0 else newline
                        head = head[cut + 1 :]
                    start, opened, broken = at, tuple(conditions), False
                depth += 1
                continue
            if depth > 1 and (at == 0 or code[at - 1] == "\n"):
                broken, depth = True, 1
            if depth == 0:
                if found:
                    found[-1] = replace(found[-1], broken=True)
                continue
            depth -= 1
            if depth == 0:
                definition = _definition(head, start, match.end(), opened, broken)
                if definition:
                    found.append(definition)
                boundary = match.end()
        return found

    @cached_property
    def macros(self) -> dict[str, tuple[Macro, ...]]:
        """Every ``#define`` of the file, by name."""
        found: dict[str, list[Macro]] = {}
        for match in _DEFINE.finditer(self.code):
            name, has_params, params, _ = match.groups()
            body = self.plain[match.start(4) : match.end(4)].replace("\\\n", "  ")
            names = None if has_params is None else tuple(p.strip() for p in params.split(",") if p.strip())
            found.setdefault(name, []).append(Macro(name, names, body.strip(), match.start(4)))
        return {name: tuple(all_) for name, all_ in found.items()}


def _directive(token: str, conditions: list[str], depths: list[int], depth: int) -> int:
    """Track a preprocessor line; the brace depth after it (an #else starts where its #if started)."""
    words = token.lstrip().lstrip("#").strip()
    name = re.match(r"\w+", words)
    kind = name.group() if name else ""
    rest = words[len(kind) :].strip()
    if kind in ("if", "ifdef", "ifndef"):
        conditions.append({"if": rest, "ifdef": f"defined({rest})", "ifndef": f"!defined({rest})"}[kind])
        depths.append(depth)
    elif kind in ("else", "elif") and conditions:
        previous = conditions[-1]
        conditions[-1] = f"!({previous})" + (f" && ({rest})" if kind == "elif" else "")
        depth = depths[-1]
    elif kind == "endif" and conditions:
        conditions.pop()
        depths.pop()
    return depth


def _definition(
    head: str, start: int, end: int, conditions: tuple[str, ...], broken: bool
) -> Definition | None:
    stripped = head.rstrip()
    where = start - len(head) + (len(head) - len(head.lstrip()))
    if stripped.endswith(")"):
        depth = 0
        for i in range(len(stripped) - 1, -1, -1):
            depth += {")": 1, "(": -1}.get(stripped[i], 0)
            if depth == 0:
                name = _NAME_BEFORE_PAREN.search(stripped[: i + 1])
                if name and name.group(1) in _TRAILING_ATTRIBUTES:
                    return _definition(
                        stripped[: name.start()] + " " * (len(head) - name.start()),
                        start,
                        end,
                        conditions,
                        broken,
                    )
                if name:
                    return Definition("function", name.group(1), where, end, "", conditions, broken)
                return None
        return None
    variable = _VARIABLE.search(head)
    if variable:
        return Definition("variable", variable.group(2), where, end, variable.group(1), conditions, broken)
    tag = _TAG.search(stripped)
    if tag and tag.group(1) != "enum":
        return Definition("type", tag.group(2), where, end, tag.group(2), conditions, broken)
    return None


_TRAILING_ATTRIBUTES = frozenset(
    {
        "__acquires",
        "__releases",
        "__must_hold",
        "__attribute__",
        "__cond_acquires",
        "__acquire",
        "__release",
        "__no_sanitize_or_inline",
        "__printf",
        "__context_unsafe",
    }
)
