"""One source file: its text, what stands at its top level, and under which configuration.

The kernel is read without being configured or built, so nothing is preprocessed. A file is split at the
braces of its top level, which survives whatever C dialect stands between them; a single function or
initialiser is then given to tree-sitter (`reader/parse.py`).
"""

from __future__ import annotations

import bisect
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from .preprocessor import DIRECTIVE, Conditions, never

MAX_BYTES = 8 << 20

_BLANK = re.compile(r'/\*(?:.*?\*/|.*)|//(?:\\\n|[^\n])*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
_TOKEN = re.compile(
    r"[{}]|^[ \t]*#[ \t]*(?:(ifdef|ifndef|if|else|elifdef|elifndef|elif|endif)|(define|undef))\b"
    r"((?:\\\n|[^\n])*)|^(?:<{7}|\|{7}|={7}|>{7})(?:[ \t][^\n]*)?$",
    re.M,
)
DIRECTIVE_LINE = re.compile(r"^[ \t]*#[ \t]*(\w*)(?:\\\n|[^\n])*", re.M)
_NAME_BEFORE_PAREN = re.compile(r"(\w+)\s*\($")
_RETURNS_FUNCTION = re.compile(r"\(\s*\*+\s*(\w+)\s*\($")
_OLD_STYLE = re.compile(r"\b(\w+)\s*\(\s*\w+(?:\s*,\s*\w+)*\s*\)\s*(?:[A-Za-z_][\w\s*,\[\]]*;\s*)+$")
_VARIABLE = re.compile(
    r"(?:struct|union)\s+(\w+)\s+\*?\s*(\w+)\s*(?:\[[^\]]*\])?\s*(?:__\w+\s*(?:\([^)]*\))?\s*)*=\s*$"
)
_TAG = re.compile(r"\b(struct|union|enum)\s+(\w+)\s*(?:__\w+\s*)*$")
_DEFINE = re.compile(r"[ \t]*(\w+)(\(([^)]*)\))?[ \t]*")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.M)
_INCLUDE_GUARD = re.compile(
    r"\s*#[ \t]*(?:ifndef[ \t]+(\w+)|if[ \t]+!\s*defined\s*\(?\s*(\w+)\s*\)?)[ \t]*\n"
    r"\s*#[ \t]*define[ \t]+(\w+)"
)
_STARTS_ANEW = re.compile(r"^(?:\{|[A-Za-z_][^\n]*\{[ \t]*$)", re.M)
_ALONE = re.compile(r"[A-Za-z_]\w*[ \t]*\(")
_SYSTEM_CALL = re.compile(r"(?:COMPAT_)?SYSCALL(?:32)?_DEFINE[0-6]$")
_OLD_STYLE_LENGTH = 2000
_SOLID = re.compile(r"\S")
_INVOCATION = re.compile(
    r"(?:^|(?<=[);])[ \t;]*)[ \t]*(?:static[ \t]+)?(?:inline[ \t]+)?([A-Za-z_]\w*)[ \t]*\(", re.M
)
_ONE_NAME = re.compile(r"\s*([A-Za-z_]\w*)\s*")
_KEYWORDS = frozenset({"if", "while", "for", "switch", "return", "do", "else", "sizeof"})

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
    broken     why its extent is not to be trusted: "" if it is
    body       where its opening brace stands
    """

    kind: str
    name: str
    start: int
    end: int
    ctype: str = ""
    condition: tuple[str, ...] = ()
    broken: str = ""
    body: int = 0


@dataclass(frozen=True, slots=True)
class Macro:
    """A ``#define``. `params` is None for an object-like macro.

    start      where its body begins in its file
    condition  the preprocessor conditions that it stands under, outermost first
    """

    name: str
    params: tuple[str, ...] | None
    body: str
    start: int
    condition: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Invocation:
    """What may be a call of the macro `name` at the top level, from `start` to `end`; `words`: the names in
    its arguments."""

    name: str
    start: int
    end: int
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something at a file's top level that makes what the file defines doubtful, and where (an offset)."""

    reason: str
    at: int


def _spaces(text: str) -> str:
    if "\\\n" in text:
        return "\\\n".join(map(_spaces, text.split("\\\n")))
    return "\n".join([" " * len(line) for line in text.split("\n")])


def _without_comments(text: str, literals: bool) -> str:
    """`text` with comments blanked, and the insides of literals unless `literals`; length kept. Lines that a
    comment continues, as it may a preprocessor line, become one."""
    joined = 0

    def blank(match: re.Match[str]) -> str:
        nonlocal joined
        found = match.group()
        if found[0] in "\"'":
            return found if literals else found[0] + " " * (len(found) - 2) + found[0]
        if "\n" not in found:
            return " " * len(found)
        if _on_directive(text, match.start(), joined):
            joined = match.end()
            return " " * len(found)
        return _spaces(found)

    return _BLANK.sub(blank, text)


def _on_directive(text: str, at: int, joined: int) -> bool:
    """Whether `at` is on a preprocessor line, which lines up to `joined` are known to belong to."""
    while True:
        start = text.rfind("\n", 0, at) + 1
        if joined > start:
            return True
        if start < 2 or text[start - 2] != "\\":
            return text[start:at].lstrip().startswith("#")
        at = start - 1


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
            line = self.raw.count(b"\n", 0, error.start) + 1
            self.problem = self.problem or f"not UTF-8 in line {line} (byte {error.start})"
            self.text = self.raw.decode("latin-1")
        if "\r\n" in self.text:
            self.text = self.text.replace("\\\r\n", " \\\n").replace("\r\n", " \n")

    @cached_property
    def sha256(self) -> str:
        """Hash of the file's bytes, in hex."""
        return hashlib.sha256(self.raw).hexdigest()

    @cached_property
    def code(self) -> str:
        """The text with comments and the insides of literals blanked, length kept."""
        return _without_comments(self.text, literals=False)

    @cached_property
    def plain(self) -> str:
        """The text with comments blanked and literals kept, length kept."""
        return _without_comments(self.text, literals=True)

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

    @property
    def definitions(self) -> dict[str, tuple[Definition, ...]]:
        """Everything defined with braces at the top level, by name; nothing that stands under ``#if 0``."""
        return self._split.definitions

    @property
    def macros(self) -> dict[str, tuple[Macro, ...]]:
        """Every ``#define`` of the file, by name; of a name that is defined anew after an ``#undef``, only
        what comes after it."""
        return self._split.macros

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What at the top level makes the whole file doubtful: conflict markers, an ``#if`` without end."""
        return tuple(self._split.damage)

    @cached_property
    def _split(self) -> _Splitter:
        return _Splitter(self)

    @property
    def whole(self) -> SourceFile:
        """The file itself; for the text of a macro's expansion, the file that the macro's call stands in."""
        return self

    @cached_property
    def invocations(self) -> tuple[Invocation, ...]:
        """What stands like macro calls at the top level, with at least one argument that is a name."""
        return tuple(self._invocations())

    @cached_property
    def given_words(self) -> frozenset[str]:
        """The names in the arguments of all `invocations`."""
        return frozenset[str]().union(*(call.words for call in self.invocations))

    def conditions(self, at: int) -> tuple[str, ...]:
        """The preprocessor conditions that hold at offset `at`, outermost first."""
        return self._split.conditions(at)

    def _invocations(self) -> Iterator[Invocation]:
        extents = sorted((d.start, d.end) for found in self.definitions.values() for d in found)
        at = 0
        for start, end in [*extents, (len(self.code), len(self.code))]:
            if at < start:
                while (match := _INVOCATION.search(self.code, at, start)) is not None:
                    at = _closing(self.code, match.end() - 1)
                    if at < 0:
                        break
                    given = self.code[match.end() : at - 1].split(",")
                    words = frozenset(m.group(1) for g in given if (m := _ONE_NAME.fullmatch(g)))
                    if words - _KEYWORDS and match.group(1) not in _TRAILING_ATTRIBUTES:
                        yield Invocation(match.group(1), match.start(1), at, words)
            at = max(at, end)


def parts(name: str) -> frozenset[str]:
    """Every text that stands in `name`."""
    ends = range(1, len(name) + 1)
    return frozenset(name[start:end] for end in ends for start in range(end))


class Expanded(SourceFile):
    """The text that a macro called at the top level of `origin` comes to. It stands where the call does, and
    is one of a filesystem's own files if `origin` is."""

    def __init__(self, origin: SourceFile, at: int, text: str) -> None:
        super().__init__(origin.path, text.encode())
        self.origin = origin.whole
        self._at = origin.line(at)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.origin

    def __hash__(self) -> int:
        return hash(self.origin)

    def line(self, offset: int) -> int:
        """The line of the macro's call."""
        return self._at

    @property
    def whole(self) -> SourceFile:
        return self.origin


class _Splitter:
    """Splits a file: one pass over its braces and preprocessor lines."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.code = file.code
        self.found: list[Definition] = []
        self.damage: list[Damage] = []
        self._defines: dict[str, list[_Define]] = {}
        self._undefined: set[str] = set()
        self._conditions = Conditions()
        self._depths: list[int] = []
        self._openings: list[int] = []
        self._guard = self._include_guard()
        self._depth = self._brace = self._boundary = 0
        self._head: _Head | None = None
        self._opened: tuple[str, ...] = ()
        self._reopened = False
        self._broken = ""
        self._conflict: tuple[int, int] | None = None
        self._spans: list[tuple[int, int]] = []
        self._run()
        self.definitions: dict[str, tuple[Definition, ...]] = {}
        for definition in self.found:
            if not never(definition.condition):
                earlier = self.definitions.get(definition.name, ())
                self.definitions[definition.name] = (*earlier, definition)

    def _include_guard(self) -> str:
        match = _INCLUDE_GUARD.match(self.code)
        name = match and (match.group(1) or match.group(2))
        return f"!defined({name})" if match and name == match.group(3) else ""

    def _here(self) -> tuple[str, ...]:
        """The conditions that hold where the pass stands, without the file's include guard."""
        return tuple(c for c in self._conditions.current() if c != self._guard)

    def _run(self) -> None:
        for match in _TOKEN.finditer(self.code):
            token = match.group()
            if token == "{":
                self._open(match.start())
            elif token == "}":
                self._close(match.start())
            elif match.group(1):
                self._conditional(match)
            elif match.group(2):
                self._define(match)
            elif token[0] in "<|=>":
                self._marker(token, match.start())
        if self._depth and self._head is not None:
            self._record(len(self.code), "it has no end")
        if len(self._conditions):
            self.damage.append(Damage("an #if has no #endif", self._openings[-1]))
        if self._conflict:
            self._spans.append((self._conflict[0], len(self.code)))
        for start, end in self._spans:
            for i, d in enumerate(self.found):
                if d.start < end and d.end > start:
                    self.found[i] = replace(d, broken="a conflict marker stands in it")
            if not any(d.start < start < d.end for d in self.found):
                self.damage.append(Damage("a conflict marker", start))

    def conditions(self, at: int) -> tuple[str, ...]:
        """The conditions that hold at `at`, without the file's include guard."""
        found = Conditions()
        for match in DIRECTIVE.finditer(self.code, 0, at):
            found.feed(match.group(1), match.group(2))
        return tuple(c for c in found.current() if c != self._guard)

    # -- braces ------------------------------------------------------------------------------------

    def _open(self, at: int) -> None:
        if self._depth == 0:
            self._brace, self._broken = at, ""
            if self._reopened:
                self._reopened = False
                name = _read_head(self.code, self._head.end if self._head else self._boundary, at)
                self._head = self._head and name and replace(name, start=self._head.start)
            else:
                self._head = _read_head(self.code, self._boundary, at)
                self._opened = self._here()
        self._depth += 1

    def _close(self, at: int) -> None:
        function = self._head is not None and self._head.kind == "function"
        at_margin = function and self._depth > 1 and self.code[at - 1 : at] in ("", "\n")
        if at_margin and self._starts_anew(at + 1):
            self._broken, self._depth = "its braces do not match", 1
        if self._depth == 0:
            if self.found:
                self.found[-1] = replace(self.found[-1], broken="its braces do not match")
            self._boundary = at + 1
            return
        self._depth -= 1
        if self._depth == 0:
            self._record(at + 1, self._broken)
            self._boundary = at + 1

    def _starts_anew(self, at: int) -> bool:
        """Whether something new is opened at the left margin before the next brace closes there."""
        following = self.code.find("\n}", at)
        return bool(_STARTS_ANEW.search(self.code, at, following if following >= 0 else len(self.code)))

    def _record(self, end: int, broken: str) -> None:
        if self._head is None:
            return
        kind, name = self._head.kind, self._head.name
        if name in _KEYWORDS:
            if self.found:
                self.found[-1] = replace(self.found[-1], broken="its braces do not match")
            return
        start, ctype = self._head.start, self._head.ctype
        self.found.append(Definition(kind, name, start, end, ctype, self._opened, broken, self._brace))
        self._head = None

    # -- preprocessor lines and markers ------------------------------------------------------------

    def _conditional(self, match: re.Match[str]) -> None:
        kind, at = match.group(1), match.start()
        if not self._conditions.feed(kind, match.group(3)):
            self.damage.append(Damage(f"an #{kind} has no #if", at))
        elif kind in ("if", "ifdef", "ifndef"):
            self._depths.append(self._depth)
            self._openings.append(at)
        elif kind == "endif":
            self._depths.pop()
            self._openings.pop()
        else:
            self._back_to(self._depths[-1])

    def _back_to(self, depth: int) -> None:
        """Another branch begins, at the brace depth at which the first one did."""
        if depth == 0 and self._depth > 0 and self._head is not None:
            self._reopened = True
            self._head = replace(self._head, end=self._brace + 1)
        self._depth = depth

    def _marker(self, token: str, at: int) -> None:
        if token[0] == "<":
            self._conflict = self._conflict or (at, self._depth)
        elif self._conflict and token[0] in "|=":
            self._back_to(self._conflict[1])
        elif self._conflict:
            self._spans.append((self._conflict[0], at + len(token)))
            self._conflict = None

    def _define(self, match: re.Match[str]) -> None:
        found = _DEFINE.match(self.code, match.start(3), match.end(3))
        if found is None:
            return
        name, has_params, params = found.groups()
        if match.group(2) == "undef":
            self._undefined.add(name)
            return
        if name in self._undefined:
            self._undefined.remove(name)
            self._defines.pop(name, None)
        parameters = params if has_params else None
        self._defines.setdefault(name, []).append(
            _Define(parameters, found.end(), match.end(3), self._conditions.current())
        )

    @cached_property
    def macros(self) -> dict[str, tuple[Macro, ...]]:
        """The macros by name, but for those that stand under ``#if 0``."""
        found: dict[str, tuple[Macro, ...]] = {}
        for name, defines in self._defines.items():
            macros = [self._macro(name, d) for d in defines if not never(d.condition)]
            if macros:
                found[name] = tuple(macros)
        return found

    def _macro(self, name: str, define: _Define) -> Macro:
        body = self.file.plain[define.start : define.end].replace("\\\n", "  ").strip()
        names = None if define.params is None else tuple(_parameters(define.params))
        condition = tuple(c for c in define.condition if c != self._guard)
        return Macro(name, names, body, define.start, condition)


@dataclass(frozen=True, slots=True)
class _Define:
    """A ``#define`` as it was found: parameters as text, where its body stands, its conditions."""

    params: str | None
    start: int
    end: int
    condition: tuple[str, ...]


def _parameters(text: str) -> list[str]:
    """The parameter names of a function-like macro; `text` may hold continuation lines."""
    return [p for part in text.replace("\\\n", " ").split(",") if (p := "".join(part.split()))]


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands before a brace at the top level: what it opens."""

    kind: str
    name: str
    start: int
    ctype: str = ""
    end: int = 0


def _read_head(code: str, boundary: int, at: int) -> _Head | None:
    """What the brace at `at` opens, if it is a function, an initialiser or a structure; the text before it
    goes back to `boundary` at most."""
    whole = code[boundary:at]
    lines = list(DIRECTIVE_LINE.finditer(whole)) if "#" in whole else []
    text = DIRECTIVE_LINE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), whole) if lines else whole
    cut = text.rfind(";") + 1
    head = _head(text, cut)
    if head is None:
        old = _OLD_STYLE.search(text, max(0, len(text) - _OLD_STYLE_LENGTH))
        return _Head("function", old.group(1), boundary + old.start()) if old else None
    start = head.start
    depth = 0
    for line in lines:
        if line.start() >= start:
            depth += {"i": 1, "e": 0}.get(line.group(1)[:1], 0) - (line.group(1) == "endif")
            if depth < 0:
                break
    if depth:
        last = lines[-1].end()
        start = _first(text, max(last, start))
    return replace(head, start=boundary + start)


def _first(text: str, start: int) -> int:
    """Where the first character that is no space stands from `start` on."""
    found = _SOLID.search(text, start)
    return found.start() if found else len(text)


def _head(text: str, cut: int) -> _Head | None:
    stripped = text[cut:].rstrip()
    if stripped.endswith(")"):
        return _function(text, cut, cut + len(stripped))
    start = _first(text, cut)
    variable = _VARIABLE.search(text, cut)
    if variable:
        return _Head("variable", variable.group(2), start, variable.group(1))
    tag = _TAG.search(stripped)
    if tag and tag.group(1) != "enum":
        return _Head("type", tag.group(2), start, tag.group(2))
    return None


def _function(text: str, cut: int, end: int) -> _Head | None:
    """The function whose head is text[cut:end], which ends in a parenthesis."""
    while end > cut and text[end - 1] == ")":
        opening = _opening(text, cut, end - 1)
        if opening < 0:
            return None
        name = _NAME_BEFORE_PAREN.search(text, cut, opening + 1)
        if name is None:
            inner = _RETURNS_FUNCTION.search(text[cut:opening])
            deeper = _RETURNS_FUNCTION.search(text[cut : text.rfind("(", cut, opening) + 1])
            found = deeper or inner
            return _Head("function", found.group(1), _first(text, cut)) if found else None
        if name.group(1) not in _TRAILING_ATTRIBUTES:
            start = _after_invocations(text, cut, name.start())
            if _SYSTEM_CALL.match(name.group(1)):
                called = re.match(r"\s*(\w+)", text[opening + 1 : end])
                return _Head("function", f"sys_{called.group(1)}" if called else name.group(1), start)
            return _Head("function", name.group(1), start)
        end = cut + len(text[cut : name.start()].rstrip())
    return None


def _opening(text: str, low: int, closing: int) -> int:
    """Where the parenthesis opens that closes at `closing`; -1 if not from `low` on."""
    depth, at = 1, closing
    while depth:
        opening = text.rfind("(", low, at)
        if opening < 0:
            return -1
        depth += text.count(")", opening, at) - 1
        at = opening
    return at


def _after_invocations(text: str, start: int, name: int) -> int:
    """Where the head of a function begins, past macros without a semicolon that stand before it."""
    start = _first(text, start)
    while (call := _ALONE.match(text, start)) and call.start() < name:
        end = _closing(text, call.end() - 1)
        following = _first(text, end)
        alone = "\n" in text[end:following] and not call.group().startswith("__")
        if end < 0 or end > name or not (alone or any(c.isupper() for c in call.group())):
            break
        start = following
    return start


def _closing(text: str, opening: int) -> int:
    depth = 0
    for i in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
    return -1


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
