"""The VFS side of the contract by kernel version: callbacks, sequences, who runs what (`spec/vfs.toml`)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ..errors import SpecificationError, UsageError

VERBS = frozenset(
    {"lock", "unlock", "read", "write", "enter", "leave", "get", "put", "gp", "defer", "free", "call"}
)


def version(text: str) -> tuple[int, ...]:
    """``6.12.117`` as numbers for comparison; what follows a suffix such as ``-rc3`` is ignored.

    UsageError where `text` does not begin with two numbers.
    """
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    if not match:
        raise UsageError(f"{text!r} is no kernel version (6.12, 5.0.1)")
    return tuple(int(g) for g in match.groups() if g is not None)


@dataclass(frozen=True, slots=True)
class Range:
    """Kernel versions from `since` (inclusive) to `until` (exclusive); "" is unbounded."""

    since: str = ""
    until: str = ""

    def holds(self, kernel: str) -> bool:
        """Whether `kernel` lies in the range."""
        at = version(kernel)
        return (not self.since or at >= version(self.since)) and (not self.until or at < version(self.until))

    def __str__(self) -> str:
        if self.since and self.until:
            return f"{self.since} to before {self.until}"
        return f"from {self.since}" if self.since else f"before {self.until}" if self.until else "all"


def ranged(text: str) -> tuple[Range, str]:
    """``[A..B] text`` as a range and the text; either end may be left out, and so may the whole range."""
    match = re.match(r"\[([\d.]*?)\.\.([\d.]*)\]\s*", text)
    return (Range(match.group(1), match.group(2)), text[match.end() :]) if match else (Range(), text)


def _within(texts: Iterable[str], kernel: str) -> Iterator[str]:
    """Those of `texts` whose range holds `kernel`, without it."""
    for kernels, text in map(ranged, texts):
        if kernels.holds(kernel):
            yield text


@dataclass(frozen=True, slots=True)
class Callback:
    """A method: whose, whether lockless walk calls it, when it may block (``yes``, ``no``, ``ref-walk``),
    the VFS's locks around it, its arguments' roles, and how it is told of RCU mode: by the argument of a
    role having a flag, being ``true``, or being ``NULL`` (("", "") if it is not). `const` are the roles whose
    arguments point to const, `returns` is the C type of what it returns, `types` are those of its
    arguments."""

    method: str
    of: str
    lockless: bool
    blocks: str
    locks: tuple[str, ...]
    prototype: tuple[str, ...]
    purpose: str
    kernels: Range
    told: tuple[str, str] = ("", "")
    const: tuple[str, ...] = ()
    returns: str = "int"
    types: tuple[str, ...] = ()

    @property
    def declaration(self) -> str:
        """The member of the operations structure: ``int (*d_manage)(const struct path *, bool);``."""
        blank = "" if self.returns.endswith("*") else " "
        return f"{self.returns}{blank}(*{self.method})({', '.join(self.types)});"


@dataclass(frozen=True, slots=True)
class VfsStep:
    """One step of a sequence. `feature` names what it depends on; "" always happens."""

    verb: str
    object: str = ""
    field: str = ""
    value: str = ""
    function: str = ""
    note: str = ""
    feature: str = ""

    def __str__(self) -> str:
        """The step without the value that it writes: ``write dentry d_inode``, ``call d_prune``."""
        return " ".join(filter(None, (self.verb, self.object, self.field)))


@dataclass(frozen=True, slots=True)
class Sequence:
    """What one thread of the kernel does, in program order.

    For the comparison with a tree: `also` are locks that some callers hold besides; `always` are steps that
    every path takes before what follows them, `assumed` those that are not looked for (both as `str(step)`);
    an `optional` sequence need not occur.
    """

    name: str
    title: str
    kernels: Range
    steps: tuple[VfsStep, ...]
    also: frozenset[str] = frozenset()
    always: frozenset[str] = frozenset()
    assumed: frozenset[str] = frozenset()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Vfs:
    """The VFS side for one kernel version."""

    kernel: str
    callbacks: tuple[Callback, ...]
    sequences: dict[str, Sequence]
    runs: dict[str, tuple[tuple[str, str], ...]]
    rcu_mask: dict[str, bool]
    shared_types: frozenset[str]
    changes: tuple[tuple[str, str], ...]
    roles: dict[str, str]
    undelayed: tuple[tuple[str, str, bool], ...]
    """(object, flag, whether it is set): such an object is freed at once, as no walk can have seen it."""

    def callback(self, method: str) -> Callback | None:
        """The callback named `method`, if this kernel has it."""
        return next((c for c in self.callbacks if c.method == method), None)

    def sequence(self, name: str) -> Sequence:
        """The sequence `name`; SpecificationError if this kernel has none."""
        if name not in self.sequences:
            raise SpecificationError(f"spec/vfs.toml: no sequence {name} for kernel {self.kernel}")
        return self.sequences[name]

    def lockless(self, of: str = "") -> tuple[str, ...]:
        """Methods that lockless walk calls, of one kind of operations table if named."""
        return tuple(c.method for c in self.callbacks if c.lockless and of in ("", c.of))


def _step(text: str) -> VfsStep:
    parts = [p.strip() for p in text.split("|")]
    words = parts[0].split()
    feature = ""
    if words and words[0].startswith("("):
        feature = words.pop(0).strip("()")
    if not words or words[0] not in VERBS:
        raise SpecificationError(f"spec/vfs.toml: no verb in step {text!r}")
    padded = [*words, "", "", ""][:4]
    function, note = [*parts[1:], "", ""][:2]
    return VfsStep(padded[0], padded[1], padded[2], padded[3], function, note, feature)


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(resources.files("dentryproof.spec").joinpath("vfs.toml").read_text(encoding="utf-8"))


@cache
def every_method() -> frozenset[str]:
    """The methods of all kernel versions."""
    return frozenset(c["method"] for c in _data()["callback"])


def age(kernel: str) -> str:
    """One line if `kernel` lies outside the kernels that the VFS side was read from; "" if it does not."""
    read = _data()["read"]
    for how, limit, beyond in (
        ("newer", read["newest"], version(kernel)[:2] > version(read["newest"])[:2]),
        ("older", read["oldest"], version(kernel) < version(read["oldest"])),
    ):
        if beyond:
            return (
                f"kernel {kernel} is {how} than any that the rules were read from; those of {limit} are used"
            )
    return ""


@cache
def vfs(kernel: str) -> Vfs:
    """The VFS side for `kernel`. UsageError if it is no version; the newest range serves newer kernels."""
    version(kernel)
    data = _data()
    callbacks = tuple(_callbacks(kernel))
    sequences = _sequences(kernel)
    known = {c.method for c in callbacks}
    runs: dict[str, tuple[tuple[str, str], ...]] = {}
    for method, places in data["runs"].items():
        if method in known:
            pairs = tuple((p.split(":")[0], p.split(":")[1]) for p in _within(places, kernel))
            runs[method] = tuple(p for p in pairs if p[0] in sequences)
    mask = data["rcu_mask"]
    return Vfs(
        kernel,
        callbacks,
        sequences,
        runs,
        dict.fromkeys(mask["set"], True) | dict.fromkeys(mask["clear"], False),
        frozenset(data["shared_types"]["names"]),
        tuple((c["kernel"], c["what"]) for c in data["change"]),
        dict(data["roles"]),
        tuple((u["object"], u["flag"], u["set"]) for u in data["undelayed"] if _range(u).holds(kernel)),
    )


def _range(entry: dict[str, Any]) -> Range:
    return Range(entry.get("since", ""), entry.get("until", ""))


def _callbacks(kernel: str) -> Iterator[Callback]:
    """The callbacks of a kernel: one signature each."""
    seen: set[str] = set()
    for c in _data()["callback"]:
        if not _range(c).holds(kernel):
            continue
        if c["method"] in seen:
            raise SpecificationError(f"spec/vfs.toml: two signatures of {c['method']} for kernel {kernel}")
        seen.add(c["method"])
        role, _, how = c.get("told", "").partition(" ")
        yield Callback(
            c["method"],
            c.get("of", "dentry_operations"),
            c["lockless"],
            c["blocks"],
            tuple(c.get("locks", ())),
            tuple(c["prototype"]),
            c["purpose"],
            _range(c),
            (role, how),
            tuple(c.get("const", ())),
            next(_within(_data()["returns"][c["method"]], kernel)),
            tuple(_type(r, r in c.get("const", ())) for r in c["prototype"]),
        )


def _type(role: str, const: bool) -> str:
    """The C type of an argument."""
    tag = _data()["roles"].get(role, "")
    named = f"struct {tag} *" if tag else str(_data()["types"][role])
    return f"const {named}" if const else named


def _sequences(kernel: str) -> dict[str, Sequence]:
    """The sequences of a kernel, by name."""
    found: dict[str, Sequence] = {}
    for s in _data()["sequence"]:
        if not _range(s).holds(kernel):
            continue
        if s["name"] in found:
            raise SpecificationError(f"spec/vfs.toml: two sequences {s['name']} for kernel {kernel}")
        also, always, assumed = (
            frozenset(_within(s.get(part, ()), kernel)) for part in ("also", "always", "assumed")
        )
        found[s["name"]] = Sequence(
            s["name"],
            s["title"],
            _range(s),
            tuple(_step(t) for t in _within(s["steps"], kernel)),
            also,
            always,
            assumed,
            s.get("optional", False),
        )
    return found
