"""Abstract values of C expressions.

A value that depends on the path is a `Multi`: alternatives, each under a condition (`dentryproof/bdd.py`).
"""

from __future__ import annotations

from typing import NamedTuple


class CType(NamedTuple):
    """A type as far as it matters: structure tag ("" for others), pointer depth, whether an array."""

    tag: str = ""
    depth: int = 0
    array: bool = False
    known: bool = True


UNKNOWN_TYPE = CType(known=False)


class Ptr(NamedTuple):
    """An address: `field` within the object at access path `path`.

    via     index of the read event that yielded the pointer to the object; None for a root
    otype   structure tag of the object; ctype: the type of what stands at the address
    """

    path: str
    via: int | None = None
    field: str = ""
    otype: str = ""
    ctype: CType = UNKNOWN_TYPE


class Const(NamedTuple):
    """A constant: a number, or a name whose value is not looked up (`number` None)."""

    number: int | None
    name: str = ""


class Sym(NamedTuple):
    """An arbitrary scalar; equal keys mean equal values."""

    key: tuple[object, ...]


NATURAL = "natural"
"""What the key of a `Sym` starts with that is no less than 0: it began so and was only ever increased, or the
table of kernel functions says so."""


class Bool(NamedTuple):
    """A truth value that is known as a path condition."""

    condition: int


class Fn(NamedTuple):
    """The address of a function."""

    name: str


Value = Ptr | Const | Sym | Bool | Fn
Multi = list[tuple[int, Value]]

NULL = Const(0, "NULL")


def is_error(value: Value) -> bool:
    """Whether `value` is a negative errno or ERR_PTR() of one."""
    return isinstance(value, Const) and value.number is None and value.name.startswith("-E")


def key(value: Value) -> tuple[object, ...]:
    """What identifies a value in a symbolic expression."""
    if isinstance(value, Sym):
        return value.key
    if isinstance(value, Ptr):
        return ("p", value.path, value.field, value.via)
    if isinstance(value, Const):
        return ("c", value.number if value.number is not None else value.name)
    if isinstance(value, Bool):
        return ("b", value.condition)
    return ("f", value.name)


def untagged(value: Value) -> Value:
    """The pointer in a value that was masked or shifted and is used as a pointer again."""
    todo: list[object] = [value.key] if isinstance(value, Sym) else []
    while todo:
        part = todo.pop()
        if isinstance(part, tuple) and part:
            if part[0] == "p" and len(part) == 4:
                return Ptr(str(part[1]), part[3] if isinstance(part[3], int) else None, str(part[2]))
            todo.extend(part)
    return value


def join(a: str, b: str) -> str:
    """The path of member `b` of member `a`; of the object itself where `a` is empty."""
    return f"{a}.{b}" if a else b


LINKS = frozenset(
    {"next", "prev", "first", "pprev", "rb_node", "rb_left", "rb_right", "rb_leftmost", "rb_rightmost"}
)
"""Members by which heads and elements of lists and trees lead to elements (linux/types.h, rbtree_types.h)."""


def is_link(member: str) -> bool:
    """Whether a member leads from a head, or from an element, to an element."""
    return member.rpartition(".")[2] in LINKS


def head_of(member: str) -> str:
    """The head of a list or tree among the members of a structure, which `member` is, or is the link in."""
    head, _, last = member.rpartition(".")
    return (head if last in LINKS else member).removesuffix(".rb_root")


def element(path: str, head: str) -> str:
    """The path of an element of the list or tree that begins in member `head` of `path`."""
    head = head_of(head)
    return path if path.endswith(f"->[{head}]") else f"{path}->[{head}]"


def pointed(path: str, member: str) -> str:
    """The path of what the pointer in `member` of `path` points to. A link leads to an element: of the list
    that begins in what it is a member of, or, where it is an element's own, of the same list."""
    if path.endswith("]") and (is_link(member) or not member):
        return path
    if "." in member and is_link(member):
        return element(path, member)
    if path.count("->") >= 6 or path.endswith(f"->{member}"):
        return path
    return f"{path}->{member}" if member else f"*{path}"


def retype(value: Value, ctype: CType) -> Value:
    """`value` seen as of type `ctype`: an untyped pointer learns what it points to."""
    if isinstance(value, Ptr) and ctype.known and ctype.depth == 1 and ctype.tag:
        if not value.field:
            return value._replace(otype=value.otype or ctype.tag, ctype=CType(ctype.tag))
        if not (value.ctype.known and value.ctype.tag):
            return value._replace(ctype=CType(ctype.tag))
    return value
