"""The VFS side as `spec/vfs.toml` states it against what a tree's own source does (`reader/vfs_side.py`).

A difference names the methods and sequences that it is about, so that results that rest on them can be told.
What the reader could not follow counts as one: it is never taken for agreement.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..reader.locking_table import document
from ..reader.tree import Tree
from ..reader.vfs_side import ELSEWHERE, GROUPS, SUPER, VfsSide, read
from ..reader.vfs_words import Site
from ..spec.vfs import Callback, Sequence, Vfs, VfsStep
from .locking_check import check_documentation
from .verdict import Difference, Kind, SideCheck

_DECLARED = frozenset({"d_real", "d_select_inode"})
"""Methods that other files call: only their signatures are compared."""

_NEGATIVE, _ZERO, _POSITIVE = 1, 2, 4
_BITS = {"LOOKUP_RCU": 1, "MAY_NOT_BLOCK": 2}


def victims(side: Vfs) -> dict[str, int]:
    """Which argument of each method is the object that it is called for."""
    found = {}
    for c in side.callbacks:
        own = {"dentry_operations": "dentry", "file_system_type": "super_block"}.get(c.of, "inode")
        role = next((r for r in (own, "parent", "path", "super_block") if r in c.prototype), "")
        found[c.method] = c.prototype.index(role) if role else 0
    return found


def check(tree: Tree, side: Vfs) -> SideCheck:
    """Compare `side` with the source of `tree`, and with its documentation."""
    facts = read(tree, victims(side))
    missing = {
        part.name: next(p for p in part.files[:2] if p in facts.absent)
        for part in GROUPS
        if set(part.files[:2]) & set(facts.absent)
    }
    absent = [(path, _about(side, name)) for name, path in missing.items()]
    left_out = {m for part in GROUPS if part.name in missing for m in part.methods}
    called = {s.what.removeprefix("call ") for s in facts.sites}
    for path, methods in ELSEWHERE.items():
        if tree.file(path) is None and not methods & (called | left_out):
            absent.append((path, tuple(m for m in sorted(methods) if side.callback(m))))
            left_out |= methods
    compare = _Compare(side, facts, left_out)
    found = dict.fromkeys([*compare.unread(missing), *compare.members(), *compare.calls(), *compare.ends()])
    ordered = sorted(found, key=lambda d: (d.file, d.line, d.says))
    described = check_documentation(tree, side)
    document_ = document(tree)
    places = {(s.what, s.file, s.line) for s in facts.sites}
    return SideCheck(
        (*ordered, *described), tuple(absent), len(places), document_.path if document_ is not None else ""
    )


def _about(side: Vfs, group: str) -> tuple[str, ...]:
    """The methods of a group, and the sequences that call them."""
    methods = next(part.methods for part in GROUPS if part.name == group)
    found = sorted(m for m in methods if side.callback(m))
    return (*found, *sorted({s for m in found for s, _ in side.runs.get(m, ())}))


def _held(sequence: Sequence, index: int) -> frozenset[str]:
    """The locks held at a step, as a site names them."""
    held: set[str] = set()
    for step in sequence.steps[:index]:
        name = (
            "rcu" if step.verb in ("enter", "leave") else f"{step.object} {step.field}".removeprefix("vfs ")
        )
        if step.verb in ("lock", "enter") and step.field != "refcount":
            held.add(name)
        elif step.verb in ("unlock", "leave"):
            held.discard(name)
    return frozenset(held)


def _looked_for(sequence: Sequence) -> list[str]:
    """The steps whose order the tree's text shows."""
    found = []
    for step in sequence.steps:
        shown = step.verb in ("write", "call", "gp", "defer", "free") or step.field == "refcount"
        if shown and str(step) not in sequence.assumed and step.object != "*":
            found.append(str(step))
    return found


@dataclass(slots=True)
class _Compare:
    """One comparison. `left_out` are methods whose files the tree does not have."""

    side: Vfs
    facts: VfsSide
    left_out: set[str]
    matched: set[tuple[str, str]] = field(default_factory=set)

    # -- what could not be followed, and what is declared --------------------------------------------

    def unread(self, missing: Mapping[str, str]) -> Iterator[Difference]:
        """What the reader could not follow: all that its group is about is in doubt."""
        for group, file, line, what in self.facts.problems:
            if group not in missing:
                about = _about(self.side, group)
                methods = tuple(m for m in about if self.side.callback(m))
                rest = tuple(s for s in about if s not in methods)
                yield Difference(Kind.UNREAD, methods, rest, file, line, f"cannot check: {what}")

    def members(self) -> Iterator[Difference]:
        """The methods that the tree declares, and their arguments."""
        for table in sorted({c.of for c in self.side.callbacks}):
            declared = self.facts.members.get(table, {})
            if not declared:
                continue
            known = {c.method: c for c in self.side.callbacks if c.of == table}
            for method, (file, line, types) in declared.items():
                if method in known and not self._fits(known[method], types):
                    states = f"{method}({', '.join(known[method].prototype)})"
                    yield self._declared((method,), file, line, f"{method}({', '.join(types)})", states)
                elif method not in known and (
                    table == "dentry_operations" or method in _every_method(self.side)
                ):
                    yield self._declared(
                        (method,), file, line, f"struct {table} has {method}", "there is none"
                    )
            file, line, _ = next(iter(declared.values()))
            for method in known.keys() - declared.keys():
                yield self._declared((method,), file, line, f"struct {table} has no {method}", "it has one")

    def _declared(self, methods: tuple[str, ...], file: str, line: int, says: str, states: str) -> Difference:
        return Difference(Kind.CODE, methods, (), file, line, says, states)

    def _fits(self, callback: Callback, types: tuple[str, ...]) -> bool:
        tags = [m.group(1) if (m := re.search(r"\bstruct (\w+)\s*\*", t)) else "" for t in types]
        return tags == [self.side.roles.get(role, "") for role in callback.prototype]

    # -- calls of methods ----------------------------------------------------------------------------

    def calls(self) -> Iterator[Difference]:
        """The ways in which the tree calls each method against those that are stated."""
        by_method: dict[str, list[Site]] = {}
        for site in self.facts.sites:
            if site.what.startswith("call ") and "new" not in site.known:
                by_method.setdefault(site.what[5:], []).append(site)
        for callback in self.side.callbacks:
            method = callback.method
            if method in _DECLARED or method in self.left_out:
                continue
            sites = by_method.get(method, [])
            if not sites and not (method == "d_init" and self._only_new(method)):
                states = "it is called in " + ", ".join(self._titles(method))
                yield self._difference(method, "", 0, f"no call of ->{method}() was found", states)
                continue
            wrong = [d for site in sites for d in self._call(callback, site)]
            yield from wrong or self._unmatched(method, sites)

    def _only_new(self, method: str) -> bool:
        """Whether the only calls of a method are for objects that nobody else has seen."""
        found = any(s.what == f"call {method}" for s in self.facts.sites)
        self.matched |= {(method, name) for name, _ in self.side.runs.get(method, ())} if found else set()
        return found

    def _titles(self, method: str) -> list[str]:
        runs = self.side.runs.get(method, ())
        return list(dict.fromkeys(self.side.sequence(name).title for name, _ in runs))

    def _call(self, callback: Callback, site: Site) -> Iterator[Difference]:
        """Why the site is none of the ways that are stated: the reason that the nearest of them gives."""
        tried = []
        for name, mode in self.side.runs.get(callback.method, ()):
            why = list(self._against(callback, site, self.side.sequence(name), mode))
            if not why:
                self.matched.add((callback.method, name))
                return
            tried.append((len(why), why))
        for says, states in min(tried, key=lambda t: t[0])[1] if tried else [("it is called", "it is not")]:
            text = f"{site.function}() calls ->{callback.method}(): {says}"
            yield self._difference(callback.method, site.file, site.line, text, states)

    def _against(
        self, callback: Callback, site: Site, sequence: Sequence, mode: str
    ) -> Iterator[tuple[str, str]]:
        """What of a site differs from one stated way: pairs of what the tree does and what is stated."""
        if mode == "rcu-callback" or site.entered:
            if (mode == "rcu-callback") != site.entered:
                yield (
                    ("from an RCU callback", "directly")
                    if site.entered
                    else ("directly", "from an RCU callback")
                )
            return
        index = next(
            i for i, s in enumerate(sequence.steps) if s.verb == "call" and s.object in (callback.method, "*")
        )
        yield from self._locks(site, _held(sequence, index), sequence)
        if mode in ("rcu", "ref") and callback.told[0]:
            told = _told(callback, site)
            if told != mode:
                says = {
                    "rcu": "told of RCU mode",
                    "ref": "not told of RCU mode",
                    "": "told of a mode unknown",
                }
                yield says[told], says[mode]
        if sequence.steps[index].object != "*":
            yield from _order(site, sequence, index)

    def _locks(self, site: Site, stated: frozenset[str], sequence: Sequence) -> Iterator[tuple[str, str]]:
        needless = {
            "inode i_lock" if "no inode" in site.known else "",
            "parent d_lock" if "root" in site.known else "",
        }
        missing, more = stated - site.locks - needless, site.locks - stated - sequence.also
        if missing or more:
            yield f"holding {_listed(site.locks)}", f"holding {_listed(stated)} in {sequence.title}"

    def _unmatched(self, method: str, sites: list[Site]) -> Iterator[Difference]:
        for name, mode in self.side.runs.get(method, ()):
            sequence = self.side.sequence(name)
            if (method, name) not in self.matched and not sequence.optional:
                how = f"{sequence.title}{' in RCU mode' if mode == 'rcu' else ''}"
                text = f"no call of ->{method}() is that of {how}"
                file = sites[0].file if sites else ""
                yield self._difference(method, file, 0, text, f"{how} calls it")

    def _difference(self, method: str, file: str, line: int, says: str, states: str) -> Difference:
        if not file:
            file = self._file(method)
        return Difference(Kind.CODE, (method,), self._ordered(method), file, line, says, states)

    def _file(self, method: str) -> str:
        return next((part.files[0] for part in GROUPS if method in part.methods), "")

    def _ordered(self, method: str) -> tuple[str, ...]:
        """The sequences in which a method has a place of its own."""
        names = (name for name, _ in self.side.runs.get(method, ()))
        return tuple(n for n in names if any(s.object == method for s in self.side.sequence(n).steps))

    # -- the end of an object ------------------------------------------------------------------------

    def ends(self) -> Iterator[Difference]:
        """How dentries, inodes and superblocks are freed themselves; grace periods that are waited for."""
        for kind, method in (("dentry", "d_release"), ("inode", "destroy_inode"), ("sb", "kill_sb")):
            if method in self.left_out:
                continue
            stated = [
                (sequence, i)
                for sequence in self.side.sequences.values()
                for i, s in enumerate(sequence.steps)
                if s.verb in ("defer", "free") and s.object == kind
            ]
            verbs = {sequence.steps[i].verb for sequence, i in stated}
            sites = [s for s in self.facts.sites if s.what in (f"defer {kind}", f"free {kind}")]
            for site in sites:
                yield from self._end(site, kind, method, stated)
            for verb in verbs - {s.what.split()[0] for s in sites}:
                how = "after a grace period" if verb == "defer" else "at once"
                yield self._difference(method, "", 0, f"no {kind} is freed {how}", f"it is freed {how}")
        yield from self._waits()

    def _end(
        self, site: Site, kind: str, method: str, stated: list[tuple[Sequence, int]]
    ) -> Iterator[Difference]:
        verb = site.what.split()[0]
        at_once = verb == "free"
        if site.entered or "new" in site.known or (at_once and self._undelayed(site, kind)):
            return
        ways = [(q, i) for q, i in stated if q.steps[i].verb == verb]
        how = f"{site.function}() frees the {kind} {'at once' if at_once else 'after a grace period'}"
        if not ways:
            yield self._difference(method, site.file, site.line, how, "it is freed after a grace period")
            return
        if not site.order:  # somebody else's victim, which was left on a list
            return
        tried = [list(_order(site, sequence, index)) for sequence, index in ways]
        if all(tried):
            for says, states in min(tried, key=len):
                yield self._difference(method, site.file, site.line, f"{how}: {says}", states)

    def _undelayed(self, site: Site, kind: str) -> bool:
        return any(
            object_ == kind and ("+" if set_ else "-") + flag in site.known
            for object_, flag, set_ in self.side.undelayed
        )

    def _waits(self) -> Iterator[Difference]:
        """The grace period at the end of a superblock's shutdown, with its private backing device."""
        if "put_super" in self.left_out:
            return
        sequence = self.side.sequence("generic-shutdown")
        stated = {s.function for s in sequence.steps if s.verb == "gp"}
        sites = [s for s in self.facts.sites if s.what.startswith("gp ") and "call put_super" in s.order]
        found = {s.what[3:]: s for s in sites}
        for name in sorted(stated - found.keys()):
            says = f"no call of {name}() after ->put_super()"
            yield self._about_sequence(
                sequence, SUPER, 0, says, f"it waits for a grace period in {sequence.title}"
            )
        for name in sorted(found.keys() - stated) if not stated else ():
            says = f"{name}() waits for a grace period after ->put_super()"
            yield self._about_sequence(sequence, found[name].file, found[name].line, says, "nothing does")

    def _about_sequence(self, sequence: Sequence, file: str, line: int, says: str, states: str) -> Difference:
        return Difference(Kind.CODE, (), (sequence.name,), file, line, says, states)


def _every_method(side: Vfs) -> frozenset[str]:
    return frozenset(m for part in GROUPS for m in part.methods)


def _told(callback: Callback, site: Site) -> str:
    """The mode that a call tells the method of: ``rcu``, ``ref``, or "" if that is not known."""
    role, how = callback.told
    index = callback.prototype.index(role)
    if index >= len(site.args):
        return ""
    sign, on, off = site.args[index]
    if how in _BITS:
        return "rcu" if on & _BITS[how] else "ref" if off & _BITS[how] else ""
    if how == "NULL":
        return "rcu" if sign == _ZERO else "ref"
    return "ref" if sign == _ZERO else "" if sign & _ZERO else "rcu"


def _order(site: Site, sequence: Sequence, index: int) -> Iterator[tuple[str, str]]:
    """What of the order of steps up to a site differs from a sequence's."""
    looked_for = _looked_for(sequence)
    words = {str(s): _words(s) for s in sequence.steps}
    here = str(sequence.steps[index])
    before = looked_for[: looked_for.index(here)]
    done = [step for step in site.order if step in looked_for and step != here]
    if site.what.startswith(("defer", "free")) and here not in looked_for:
        before = looked_for
    if here in site.order:
        yield "for a second time", f"once in {sequence.title}"
    for step in done:
        if step not in before:
            yield f"after it {words[step]}", f"before that, in {sequence.title}"
    ranks = [before.index(step) for step in done if step in before]
    for one, other in itertools.pairwise(ranks):
        if one > other:
            first, second = words[before[one]], words[before[other]]
            yield f"it {first} before it {second}", f"the other way round in {sequence.title}"
    known = {"write dentry hashed": "unhashed", "write dentry d_inode": "no inode"}
    for step in before:
        if step in sequence.always and step not in done and known.get(step) not in site.known:
            yield f"on a path that never {words[step]}", f"it always {words[step]} first in {sequence.title}"


def _words(step: VfsStep) -> str:
    return step.note or (f"calls ->{step.object}()" if step.verb == "call" else str(step))


def _listed(locks: Iterable[str]) -> str:
    return ", ".join(sorted(locks)) or "no lock"
