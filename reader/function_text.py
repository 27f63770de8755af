"""What the text of a function says of its calls and variables, without parsing it.

Each fact is made out when it is first asked for, and kept with the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from .source import Definition, SourceFile

_CALL = re.compile(r"(->\s*|\.\s*)?\b([A-Za-z_]\w*)\s*\(")
_WORDS = frozenset(
    {
        "if",
        "while",
        "for",
        "switch",
        "return",
        "sizeof",
        "typeof",
        "defined",
        "do",
        "else",
        "case",
        "__typeof__",
        "likely",
        "unlikely",
        "__attribute__",
        "__section",
        "RCU_LOCKDEP_WARN",
    }
)
_PAREN = re.compile(r"[()]")
_MARKS = re.compile(r"[,()\[\]{}]")
_CAST = re.compile(r"^(?:\s*\(\s*(?:const\s+)?(?:struct\s+)?\w+(?:\s+\w+)?\s*\*+\s*\)\s*)+")
_FIRST_NAME = re.compile(r"[&*(\s]*([A-Za-z_]\w*)")
_PARAMETER_NAME = re.compile(r"(\w+)\s*(?:\[\])?\s*$")
_DECLARED = re.compile(r"\b([A-Za-z_]\w*)\s*(?:\[\])?\s*[,)]")
_BRANCHES = re.compile(r"\b(?:if|else|while|for|switch|case|do)\b|&&|\|\||\?")
_SET = re.compile(r"\b(\w+)\s*=(?!=)")
_SET_TO = re.compile(r"\s*([^;]+?)\s*[;,]")
_TO_STRUCTURES = re.compile(r"\b(?:struct|union)\s+(\w+)\s*(\*+)\s*")
_CONST = re.compile(r"const\s+")
_DECLARATOR = re.compile(r"(\w+)\b")
_NEXT_DECLARATOR = re.compile(r"\s*(?:=[^,;()]*)?,\s*\*?\s*")
_ADDRESS = re.compile(r"&(\w+)\s*[,)]")


@dataclass(slots=True)
class Call:
    """A call in a function's text: the name, whether it is a member's, the arguments, whether one of them is
    reached from a parameter, and whether it stands in the outermost block, in no condition or loop."""

    name: str
    member: bool
    arguments: list[str]
    passed: bool
    unconditional: bool


class FunctionText:
    """The text of one function, comments and literals blanked."""

    def __init__(self, file: SourceFile, definition: Definition) -> None:
        self.file = file
        self.definition = definition
        self.code = file.code[definition.start : definition.end]
        self._declarations: dict[str, str] = {}

    @cached_property
    def head(self) -> str:
        """What stands before the function's opening brace."""
        return self.code[: self.code.find("{")]

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """The calls in the text, those of itself left out."""
        code, found = self.code, []
        ends = _closings(code)
        block = at = code.find("{") + 1
        depth = 0
        for match in _CALL.finditer(code):
            name = match.group(2)
            if name in _WORDS or name == self.definition.name:
                continue
            end = ends.get(match.end() - 1, -1)
            arguments = split_arguments(code[match.end() : end - 1]) if end > 0 else []
            start = max(match.start(), block)
            depth += code.count("{", at, start) - code.count("}", at, start)
            at = start
            unconditional = depth == 0 and not _BRANCHES.search(code, self._statement(block, at), at)
            passed = any(map(self.is_parameter, arguments))
            found.append(Call(name, match.group(1) is not None, arguments, passed, unconditional))
        return tuple(found)

    def _statement(self, block: int, at: int) -> int:
        """Where the statement begins that `at` stands in."""
        return max(block, *(self.code.rfind(sign, block, at) + 1 for sign in ";{}"))

    # -- parameters and variables ------------------------------------------------------------------

    @cached_property
    def _positions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for number, parameter in enumerate(parameters(self.head)):
            name = _PARAMETER_NAME.search(parameter.strip())
            if name is not None:
                found.setdefault(name.group(1), number)
        return found

    def position(self, name: str) -> int | None:
        """Which parameter is called `name`; None if none is."""
        return self._positions.get(name)

    @cached_property
    def _declared_in_head(self) -> frozenset[str]:
        return frozenset(_DECLARED.findall(self.head, max(0, self.head.find("("))))

    def is_parameter(self, argument: str) -> bool:
        """Whether an argument is one of the function's parameters, or reached from one."""
        name = _FIRST_NAME.match(argument)
        return name is not None and name.group(1) in self._declared_in_head

    @cached_property
    def _sets(self) -> dict[str, list[int]]:
        """Where the values begin that each name is set to, members' among them."""
        found: dict[str, list[int]] = {}
        for match in _SET.finditer(self.code):
            found.setdefault(match.group(1), []).append(match.end())
        return found

    def set_to(self, name: str) -> list[str]:
        """What is assigned to `name`, a variable or a member, up to the end of the statement."""
        found, done, code = [], 0, self.code
        for start in self._sets.get(name, ()):
            end = code.find(";", start)
            if start < done or end <= start:
                continue
            found.append(code[start:end].lstrip() or code[end - 1 : end])
            done = end + 1
        return found

    def assigned(self, name: str) -> list[str]:
        """What is assigned to variable `name`, up to a comma or the end of the statement; casts taken off."""
        found, done, code = [], 0, self.code
        for start in self._sets.get(name, ()):
            at = code.rfind(name, 0, start)
            if at < done or code[at - 1 : at] in (".", ">"):
                continue
            value = _SET_TO.match(code, start)
            if value is not None:
                found.append(uncast(value.group(1)))
                done = value.end()
        return found

    @cached_property
    def pointers(self) -> dict[str, tuple[str, str]]:
        """The variables declared as pointers to structures: the tag, and the stars."""
        found: dict[str, tuple[str, str]] = {}
        code = self.code
        for head in _TO_STRUCTURES.finditer(code):
            what, at = (head.group(1), head.group(2)), head.end()
            constant = _CONST.match(code, at)
            if constant is not None:
                found.setdefault("const", what)
                at = constant.end()
            while (name := _DECLARATOR.match(code, at)) is not None:
                found.setdefault(name.group(1), what)
                following = _NEXT_DECLARATOR.match(code, name.end())
                if following is None:
                    break
                at = following.end()
        return found

    def declaration(self, name: str) -> str:
        """The words before variable `name` in its declaration as a pointer, if it has one of its own."""
        if name not in self._declarations:
            found = re.search(rf"([\w \t]+)\*[^;{{}}()]*?\b{name}\b", self.code)
            self._declarations[name] = found.group(1) if found else ""
        return self._declarations[name]

    @cached_property
    def _addresses(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for match in _ADDRESS.finditer(self.code):
            found.setdefault(match.group(1), []).append(match.start())
        return found

    def handed_address(self, name: str) -> list[tuple[str, int] | None]:
        """The calls that are handed the address of variable `name`: the function and which argument it is;
        None where the text does not tell."""
        found: list[tuple[str, int] | None] = []
        for at in self._addresses.get(name, ()):
            opening = _opening(self.code, at)
            called = re.search(r"(\w+)\s*$", self.code[:opening]) if opening >= 0 else None
            found.append((called.group(1), self.code[opening:at].count(",")) if called else None)
        return found


class Texts:
    """The texts of functions, each made once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], FunctionText] = {}

    def of(self, file: SourceFile, definition: Definition) -> FunctionText:
        """The text of the function `definition` of `file`."""
        # Not by the file itself: the expansion of a macro counts as equal to the file that it stands in.
        key = (id(file), definition.start, definition.end)
        if key not in self._known:
            self._known[key] = FunctionText(file, definition)
        return self._known[key]


def uncast(argument: str) -> str:
    """`argument` without casts to pointer types in front."""
    return _CAST.sub("", argument).strip()


def parameters(head: str) -> list[str]:
    """The parameters in the head of a function, as they stand."""
    return split_arguments(head[head.find("(") + 1 : head.rfind(")")])


def split_arguments(text: str) -> list[str]:
    """What stands between the commas of `text` that are in no brackets."""
    if "," not in text:
        return [text]
    parts, depth, start = [], 0, 0
    for mark in _MARKS.finditer(text):
        c = mark.group()
        if c == ",":
            if depth == 0:
                parts.append(text[start : mark.start()])
                start = mark.end()
        else:
            depth += 1 if c in "([{" else -1
    return [*parts, text[start:]]


def calls_in(text: str) -> list[str]:
    """The names that stand like calls in `text`, but for keywords."""
    return [m.group(2) for m in _CALL.finditer(text) if m.group(2) not in _WORDS]


def _closings(code: str) -> dict[int, int]:
    """By where a parenthesis opens, the offset just after the one that closes it."""
    found: dict[int, int] = {}
    waiting: list[int] = []
    for match in _PAREN.finditer(code):
        if match.group() == "(":
            waiting.append(match.start())
        elif waiting:
            found[waiting.pop()] = match.end()
    return found


def _opening(code: str, at: int) -> int:
    """Where the parenthesis opens that encloses `at`; -1 if none does in the same statement."""
    depth = 0
    for i in range(at - 1, -1, -1):
        if code[i] == ")":
            depth += 1
        elif code[i] == "(":
            if depth == 0:
                return i
            depth -= 1
        elif code[i] in ";{}":
            return -1
    return -1
