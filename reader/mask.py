"""Makes kernel C parse as C: what tree-sitter-c does not know is blanked or renamed, length kept.

Length is kept so that a position in the masked text is a position in the source. What stood where a word
was renamed is kept by offset. Nothing is masked that does something: a macro's arguments are masked for
the parser alone, since it is expanded from the source's own text.
"""

from __future__ import annotations

import re

_LITERAL = re.compile(r'/\*(?:.*?\*/|.*)|//(?:\\\n|[^\n])*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
_LINE = re.compile(r"^[ \t]*#[ \t]*(?!if|el|endif|include)\w*(?:\\\n|[^\n])*", re.M)
_ATTRIBUTE = re.compile(
    r"\b(?:__(?:init|exit|user|rcu|force|must_check|always_inline|cold|maybe_unused|read_mostly|ro_after_init|"
    r"iomem|percpu|kernel|private|bitwise|pure|used|packed|weak|noreturn|latent_entropy|always_unused|"
    r"net_init|net_exit|net_initdata|initdata|initconst|refdata|ref|sched|cacheline_aligned|randomize_layout|"
    r"no_kcsan|no_kasan|flatten|malloc|deprecated|designated_init|visible|naked|nocast|safe|"
    r"no_sanitize_address|cpuidle|noclone|noinline|inline|bpf_kfunc|private_use|counted_by_ptr|devinit|"
    r"meminit|attribute_const__|hot|gnu_inline|unused|may_alias|no_context_analysis|extension__|inline__)"
    r"|__PCPU_DUMMY_ATTRS|____cacheline_aligned\w*|__cacheline_\w+|__attribute_const__|asmlinkage|noinline\w*|notrace|noinstr"
    r"|fastcall|randomized_struct_fields_\w+|__extension__|nokprobe_inline)\b"
)
_ATTRIBUTE_CALL = re.compile(
    r"\b(?:__attribute__|__attribute|__releases|__acquires|__must_hold|__printf|__aligned|__section|"
    r"__counted_by|__free|__cleanup|__no_sanitize|__alloc_size|__cond_acquires|__assume_aligned|__nonstring|"
    r"__acquire|__release|__counted_by_le|__counted_by_be|__realloc_size|__scanf|__guarded_by|__diagnose_as|"
    r"__context_unsafe|__acquires_shared|__releases_shared|__must_hold_shared|__PCPU_ATTRS)\s*\("
)
_TYPEOF = re.compile(
    r"\b(?:typeof|__typeof__|__typeof|typeof_unqual|__typeof_unqual__|TYPEOF_UNQUAL|__unqual_scalar_typeof|"
    r"typeof_member|__signed_scalar_typeof|_Atomic|__auto_typeof)\s*\("
)
_TYPE = (
    r"(?:(?:const|volatile|register)\s+)*"
    r"(?:(?:struct|union|enum)\s+\w+|(?:(?:unsigned|signed|long|short|int|char|void|bool|float|double)\b\s*)+"
    r"|[A-Za-z_]\w*)(?:\s*\b(?:const|volatile)\b|\s*\*)*"
)
_IS_TYPE = re.compile(_TYPE + r"\s*$")
_PLAIN_TYPE = re.compile(
    r"\b(?:const|volatile|struct|union|enum|unsigned|signed|long|short|int|char|void|bool)\b|\*\s*$"
)
_OPERATOR = re.compile(r"[^\w\s()\[\]{}\"',;\x01]+\s*$")
_STATEMENT = re.compile(r"(?:return|goto|break|continue|if|for|while|do|switch|else|case)\b")
_CALL = re.compile(r"\b([A-Za-z_]\w*)(\s*)\(")
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """if while for switch return sizeof do else case goto int char long short void unsigned signed float
        double bool const volatile struct union enum static inline _Generic defined __alignof__ _Alignof
        alignof __attribute__ asm __asm__ __asm typeof""",
    )
)
_SCOPED = re.compile(r"scoped_guard$|scoped_cond_guard$|(?:scoped_)?with_(?:\w+_)?creds$|scoped_class$")
_NUMBER = re.compile(r"(?<![\w.])(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)[uUlLfF]*\b")
_DIGITS = re.compile(r"(?<![\w.])\d\w*")
_RANGE = re.compile(r"\bcase\b[^;{}?]*?(\.\.\.)")
_STATIC_CALL = re.compile(r"\bstatic(\s+)(?=[A-Z_][A-Z0-9_]*\s*\()")
_ASM = re.compile(r"\b(?:asm|__asm__|__asm)\b(?:\s*\b(?:volatile|__volatile__|goto|inline)\b)*\s*\(")
_OFFSETOF = re.compile(r"\b(?:__builtin_)?offsetof\s*(?=\()")
_ALIGNOF = re.compile(r"\b(?:__alignof__|__alignof|_Alignof|alignof)\b(?=\s*\()")
_EMPTY_LABEL = re.compile(r"(?<=[;{}])\s*\w+\s*:(\s*)(?=\})")
_TWO_NAMES = re.compile(r"\b[A-Z_][A-Z0-9_]*\b(?=\s+[A-Z_][A-Z0-9_]*\b\s*[,)\x01])")
_NAME_BEFORE_CALL = re.compile(r"(?<=[(,])\s*\b[A-Z_][A-Z0-9_]*\b(?=\s+[A-Za-z_]\w*\s*\()")
_MIDDLE_NAME = re.compile(r"\x01\s*(?P<name>[A-Za-z_]\w*)\s*(?=\x01)")
_LABEL_ADDRESS = re.compile(r"(?<=[=,(\[{])\s*(&&)(?=\s*\w)")

Words = dict[int, str]
FREE = "__free:"
"""Begins the word kept for ``__free(NAME)``; what follows is NAME, as DEFINE_FREE() has it."""
CLEANUP = "cleanup:"
"""Begins the word kept for a cleanup attribute; what follows is the function that is called."""


def mask(text: str, start: int = 0, thorough: bool = False) -> tuple[str, Words]:
    """`text` with what tree-sitter-c cannot parse masked, length kept; and what stood there, by offset.

    start     where in `text` a function's body begins, before which only attributes are masked
    thorough  mask too what may be right as it stands; for text that did not parse without
    """
    return _Mask(text, start, thorough).run()


class _Mask:
    """One text being masked. `hidden` is like the text, with literals and comments put out of sight."""

    def __init__(self, text: str, start: int, thorough: bool) -> None:
        self.chars = list(text)
        self.words: Words = {}
        self.start = start
        self.thorough = thorough
        self.hidden = _LITERAL.sub(self._literal, text)
        self.pairs: dict[int, int] = {}
        self.opened: dict[int, int] = {}

    def run(self) -> tuple[str, Words]:
        """The masked text, and the words that it hides."""
        hidden = self.hidden
        if "#" in hidden:
            self._blank_all(_LINE)
        self._blank_all(_ATTRIBUTE)
        self._attribute_calls()
        if "asm" in hidden:
            self._asm()
        self._brackets()
        if "typeof" in hidden or "TYPEOF" in hidden or "_Atomic" in hidden:
            self._typeof()
        if "..." in hidden:
            for match in _RANGE.finditer(self.hidden, self.start):
                self._put(match.start(1), match.end(1), "%")
        for match in _DIGITS.finditer(self.hidden, self.start):
            if not match.group().isdigit() and not _NUMBER.fullmatch(match.group()):
                self._put(match.start(), match.start() + 1, "_")
        if "offsetof" in hidden:
            for match in _OFFSETOF.finditer(self.hidden):
                self._rename(match.start(), match.end(), "OFFSETOF")
        if "static" in hidden:
            for match in _STATIC_CALL.finditer(self.hidden, self.start):
                self._blank(match.start(), match.start() + len("static"))
        if self.thorough:
            self._thorough()
        self._calls()
        return "".join(self.chars), self.words

    # -- writing -----------------------------------------------------------------------------------

    def _literal(self, match: re.Match[str]) -> str:
        found = match.group()
        if found[0] in "\"'":
            return "\x01" * len(found)
        blank = re.sub(r"[^\n]", " ", found)
        self.chars[match.start() : match.end()] = blank
        return blank

    def _blank(self, start: int, end: int) -> None:
        """Blank the text from `start` to `end`, line ends kept."""
        for i in range(start, end):
            if self.chars[i] != "\n":
                self.chars[i] = " "
        blank = "".join(self.chars[start:end])
        self.hidden = self.hidden[:start] + blank + self.hidden[end:]

    def _blank_all(self, pattern: re.Pattern[str]) -> None:
        spans = [m.span() for m in pattern.finditer(self.hidden)]
        if not spans:
            return
        parts, at = [], 0
        for start, end in spans:
            blank = re.sub(r"[^\n]", " ", self.hidden[start:end])
            self.chars[start:end] = blank
            parts += [self.hidden[at:start], blank]
            at = end
        self.hidden = "".join([*parts, self.hidden[at:]])

    def _put(self, start: int, end: int, word: str) -> None:
        """Write `word` over the text from `start` to `end`, as far as it fits, and blanks behind."""
        word = word[: end - start]
        self.chars[start:end] = word + " " * (end - start - len(word))

    def _rename(self, start: int, end: int, word: str) -> None:
        """Write `word` over the text from `start` to `end`, and remember what stood there."""
        self.words[start] = self.hidden[start:end].strip()
        self._put(start, end, word)
        self.hidden = self.hidden[:start] + "".join(self.chars[start:end]) + self.hidden[end:]

    # -- one dialect after the other ---------------------------------------------------------------

    def _brackets(self) -> None:
        """Which bracket closes which."""
        stack: list[int] = []
        for match in _BRACKET.finditer(self.hidden):
            at, sign = match.start(), match.group()
            if sign in "([{":
                stack.append(at)
            elif stack:
                opening = stack.pop()
                self.pairs[opening] = at
                self.opened[at] = opening

    def _attribute_calls(self) -> None:
        for match in _ATTRIBUTE_CALL.finditer(self.hidden):
            end = closing(self.hidden, match.end() - 1)
            if end > 0:
                word = match.group()
                inside = self.hidden[match.end() : end - 1].strip()
                if word.startswith("__free"):
                    self.words[match.start()] = FREE + inside
                elif word.startswith("__cleanup") or (word.startswith("__attribute") and "cleanup" in inside):
                    called = re.search(r"cleanup(?:__)?\s*\(\s*(\w+)", inside)
                    self.words[match.start()] = CLEANUP + (called.group(1) if called else inside)
                self._blank(match.start(), end)

    def _typeof(self) -> None:
        for match in reversed(list(_TYPEOF.finditer(self.hidden))):
            opening = match.end() - 1
            if opening not in self.pairs:
                continue
            end = self.pairs[opening] + 1
            inside = self.hidden[opening + 1 : end - 1].strip()
            self.words[match.start()] = self.hidden[match.start() : end]
            plain = _IS_TYPE.fullmatch(inside) and _PLAIN_TYPE.search(inside)
            if plain and not match.group().startswith("typeof_m"):
                self._blank(match.start(), opening + 1)
                self._blank(end - 1, end)
            else:
                self._blank(match.start(), end)
                self._put(match.start(), match.start() + 3, "int")
                self.hidden = self.hidden[: match.start()] + "int" + self.hidden[match.start() + 3 :]

    def _asm(self) -> None:
        """Blank the templates of asm statements, which are full of macros; the operands stay."""
        for match in _ASM.finditer(self.hidden):
            end = closing(self.hidden, match.end() - 1)
            if end < 0:
                continue
            depth = 0
            for i in range(match.end(), end):
                depth += {"(": 1, ")": -1}.get(self.hidden[i], 0)
                if (depth == 0 and self.hidden[i] == ":") or depth < 0:
                    if i - match.end() >= 2:
                        self._blank(match.end(), i)
                        self._put(match.end(), match.end() + 2, '""')
                    break

    def _thorough(self) -> None:
        for match in _ALIGNOF.finditer(self.hidden):
            self._put(match.start(), match.end(), "sizeof")
        for match in _EMPTY_LABEL.finditer(self.hidden):
            if match.group(1):
                self._put(match.start(1), match.start(1) + 1, ";")
        for match in _LABEL_ADDRESS.finditer(self.hidden):
            self._put(match.start(1), match.end(1), "")
        self._blank_all(_NAME_BEFORE_CALL)
        self._blank_all(_TWO_NAMES)
        for match in _MIDDLE_NAME.finditer(self.hidden):
            self._put(match.start("name"), match.end("name"), "")

    def _calls(self) -> None:
        for match in _CALL.finditer(self.hidden, self.start):
            name, opening = match.group(1), match.end() - 1
            if name in _KEYWORDS or opening not in self.pairs:
                continue
            end = self.pairs[opening]
            self._arguments(opening, end)
            self._heads(match, end + 1)

    def _arguments(self, opening: int, end: int) -> None:
        """Rename the arguments of a call that are no expressions: types, operators, statements."""
        at = opening + 1
        for stop in self._commas(opening, end):
            text = self.hidden[at:stop]
            solid = text.strip()
            start = at + len(text) - len(text.lstrip())
            at = stop + 1
            if not solid or solid[0] in "\x01({" or (solid.isidentifier() and solid not in _KEYWORDS):
                continue
            if _OPERATOR.fullmatch(solid):
                self._put(start, start + len(solid), "_")
            elif _STATEMENT.match(solid) or (";" in solid and self._statements(start, start + len(solid))):
                self._put(start, start + len(solid), "_" * min(len(solid), 9))
            elif _PLAIN_TYPE.search(solid) and _IS_TYPE.fullmatch(solid):
                self._type(start, solid)

    def _commas(self, opening: int, end: int) -> list[int]:
        """Where the arguments between two parentheses end."""
        found, at = [], opening + 1
        while at < end:
            match = _COMMA.search(self.hidden, at, end)
            if match is None:
                break
            if match.group() == ",":
                found.append(match.start())
                at = match.end()
            else:
                at = self.pairs.get(match.start(), match.start()) + 1
        return [*found, end]

    def _statements(self, start: int, end: int) -> bool:
        """Whether an argument holds a semicolon outside of all brackets."""
        at = start
        while (match := _SEMICOLON.search(self.hidden, at, end)) is not None:
            if match.group() == ";":
                return True
            at = self.pairs.get(match.start(), match.start()) + 1
        return False

    def _type(self, start: int, solid: str) -> None:
        tag = re.fullmatch(r"(?:const\s+)?(?:struct|union|enum)\s+(\w+)(?:\s*\*|\s*\bconst\b)*", solid)
        if tag:
            self._put(start, start + tag.start(1), "")
            self._put(start + tag.end(1), start + len(solid), "")
        else:
            self._put(start, start + len(solid), re.sub(r"\W+", "_", solid).strip("_").upper())

    def _heads(self, call: re.Match[str], end: int) -> None:
        """Make loops of macros that stand as the head of a statement. Whether one is a loop, or a statement
        without its semicolon, its definition tells: the reader looks when it gets there."""
        following = _SOLID.search(self.hidden, end)
        sign = following.group() if following else ""
        if following is None:
            return
        name = call.group(1)
        if sign == ";" and len(name) >= len("while") and self._is_tail(call.start()):
            self._rename(call.start(1), call.end(1), "while")
            return
        if not (sign in "{}_" or sign.isalpha() or (sign in "*(+-" and "each" in name)):
            return
        if not self._begins_statement(call.start()):
            return
        word = _A_WORD.match(self.hidden, following.start())
        if sign == "}" or (word and word.group() in ("else", "while")):
            self._semicolon(call.start(), end)
        elif _SCOPED.match(name):
            self._rename(call.start(1), call.end(1), "if")
        elif call.end(1) - call.start(1) < 5:
            if call.end() - 1 - call.start(1) >= 5:
                self._rename(call.start(1), call.end() - 1, "while")
            else:
                self._semicolon(call.start(), end)
        else:
            self._rename(call.start(1), call.end(1), "while")

    def _begins_statement(self, at: int) -> bool:
        before = self.hidden[max(self.start, at - 200) : at].rstrip()
        if before.endswith(")"):
            return not self._is_cast(self.start + len(self.hidden[self.start : at].rstrip()) - 1)
        return not before or before[-1] in ";{}:" or bool(re.search(r"\b(?:else|do)$", before))

    def _is_cast(self, end: int) -> bool:
        """Whether the parenthesis that closes at `end` is a cast, not what an ``if`` or a macro is given."""
        opening = self.opened.get(end, -1)
        head = self.hidden[self.start : max(opening, self.start)].rstrip()
        return opening >= 0 and not re.search(r"\w$", head)

    def _is_tail(self, at: int) -> bool:
        """Whether a macro stands at `at` where the ``while`` of a ``do`` belongs."""
        before = at - 1
        while before >= 0 and self.hidden[before].isspace():
            before -= 1
        if before < 0 or self.hidden[before] != "}":
            return False
        opening = self.opened.get(before, 0)
        return bool(_DO.search(self.hidden, max(self.start, opening - 40), opening))

    def _semicolon(self, start: int, end: int) -> None:
        """Put a semicolon behind a macro that stands as a statement without one, moving it one place to the
        left if there is no room behind."""
        if self.chars[end : end + 1] and self.chars[end] in " \t":
            self.chars[end] = ";"
        elif start and self.chars[start - 1] in " \t\n":
            self.chars[start - 1 : end] = [*self.chars[start:end], ";"]
            for at in [a for a in self.words if start <= a < end]:
                self.words[at - 1] = self.words.pop(at)


_BRACKET = re.compile(r"[()\[\]{}]")
_COMMA = re.compile(r"[,(\[{]")
_SEMICOLON = re.compile(r"[;(\[{]")
_SOLID = re.compile(r"\S")
_A_WORD = re.compile(r"\w+")
_DO = re.compile(r"\bdo\s*$")
_PAREN = re.compile(r"[()]")


def closing(text: str, opening: int) -> int:
    """Offset just after the parenthesis that closes the one at `opening`; -1 if none does."""
    depth = 0
    for match in _PAREN.finditer(text, opening):
        depth += 1 if match.group() == "(" else -1
        if depth == 0:
            return match.end()
    return -1
