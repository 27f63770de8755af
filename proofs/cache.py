"""Answers kept from run to run: plain files, each whole or absent, safe for several runs at once.

An entry is JSON, compressed, behind its own SHA-256, so that one that was cut off or damaged is found out
and made again; nothing in it is executed. It is written under a temporary name and renamed. The entries of
one state of the tool's own source, and of the solver and parser that it uses, have a folder of their own;
`edition` says which. A cache that cannot be written is said once, and the run goes on without.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..reader.state import State
    from ..reader.tree import Consulted

_HEAD = b"dentryproof entry 1 "
_DIGEST = 64
_MOST = 256 << 20
"""No entry is longer, unpacked; one that would be is damaged."""
_EDITIONS = 4
"""So many states of the tool keep their entries."""
_VARIANTS = 256
"""So many states of a tree keep their answers: branches that somebody goes to and fro between, a history."""
_ABANDONED = 3600.0
"""A temporary file older than so many seconds was left by a run that was killed."""
_FOREIGN = ("python-sat", "z3-solver", "pysmt", "tree-sitter", "tree-sitter-c")
_PARTS = ("encodings", "proofs", "reader", "report", "spec")

Note = Callable[[str], None]
"""Is told one line that the user should see."""


def default_folder() -> Path:
    """Where the cache is unless the command line says otherwise: DENTRYPROOF_CACHE, else the XDG folder."""
    named = os.environ.get("DENTRYPROOF_CACHE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME", "")
    # A relative XDG_CACHE_HOME is to be ignored (XDG Base Directory Specification).
    base = Path(home) if Path(home).is_absolute() else Path("~/.cache").expanduser()
    return base / "dentryproof" / "answers"


def digest(*words: object) -> str:
    """A key made of texts and numbers; other words give another key."""
    return hashlib.sha256(json.dumps([str(w) for w in words]).encode()).hexdigest()[:40]


@cache
def edition() -> str:
    """The state of the tool: a hash of its own source, its data and the versions of what it calls."""
    from importlib.metadata import PackageNotFoundError, version

    total = hashlib.sha256(sys.version.encode())
    for path in _own_source():
        total.update(f"\0{path.name}\0".encode())
        total.update(path.read_bytes())
    for name in _FOREIGN:
        with suppress(PackageNotFoundError):
            total.update(f"\0{name} {version(name)}".encode())
    return total.hexdigest()[:20]


def _own_source() -> Iterator[Path]:
    """Every module and data file that an answer can depend on; models are keyed by what is in them."""
    package = __name__.partition(".")[0]
    for name in (package, *(f"{package}.{part}" for part in _PARTS)):
        for folder in importlib.import_module(name).__path__:
            yield from sorted(p for p in Path(folder).iterdir() if p.suffix in (".py", ".toml"))


class Cache:
    """The entries of one edition below `folder`. `note` is told, once, what stands in the way."""

    def __init__(self, folder: Path, note: Note) -> None:
        self.base = folder
        self.folder = folder / edition()
        self._note = note
        self._broken = False
        self._ready: set[str] = set()
        self._variants: dict[str, list[str]] = {}

    @property
    def is_new(self) -> bool:
        """Whether nothing that was read from a tree is kept yet."""
        return not (self.folder / "units").is_dir()

    def get(self, kind: str, key: str) -> Any:
        """The value that was put under `key`; None if there is none, or it is damaged."""
        try:
            raw = (self.folder / kind / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._trouble("read", error)
            return None
        return _unpack(raw)

    def put(self, kind: str, key: str, value: Any) -> None:
        """Keep `value`, plain data, under `key`. Somebody who asks meanwhile gets the old one or this one."""
        if self._broken:
            return
        folder = self.folder / kind
        try:
            self._prepare(folder)
            handle, temporary = tempfile.mkstemp(".tmp", ".", folder)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(_pack(value))
                Path(temporary).replace(folder / key)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            self._broken = True
            self._trouble("write", error)

    def recall(self, kind: str, key: str, state: State) -> Any:
        """The answer that was kept under `key` for a tree in this state; None if there is none."""
        entry = self._holding(kind, key, state)
        return entry.get("answer") if entry is not None else None

    def basis(self, kind: str, key: str, state: State) -> tuple[frozenset[str], frozenset[str]] | None:
        """The paths and the listings that the answer kept under `key` for a tree in this state rests on; None
        if there is none."""
        entry = self._holding(kind, key, state)
        return (frozenset(entry["files"]), frozenset(entry["listings"])) if entry is not None else None

    def _holding(self, kind: str, key: str, state: State) -> dict[str, Any] | None:
        """The entry of `key` that holds for a tree in this state."""
        for name in self._named(kind, key):
            entry = self.get(kind, name)
            if (
                isinstance(entry, dict)
                and isinstance(entry.get("files"), dict)
                and isinstance(entry.get("listings"), dict)
                and state.holds(entry["files"], entry["listings"])
            ):
                return entry
        return None

    def consulted(self, kind: str, key: str) -> list[list[str]]:
        """The paths that each answer kept under `key` rests on."""
        entries = (self.get(kind, name) for name in self._named(kind, key))
        return [list(e["files"]) for e in entries if isinstance(e, dict) and isinstance(e.get("files"), dict)]

    def keep(self, kind: str, key: str, consulted: Consulted, answer: Any) -> None:
        """Keep an answer that rests on what `consulted` says, and on nothing else of the tree."""
        state = digest(sorted(consulted.files.items()), sorted(consulted.listings.items()))[:16]
        entry = {"files": consulted.files, "listings": consulted.listings, "answer": answer}
        self.put(kind, f"{key}.{state}", entry)
        for name in self._named(kind, key, again=True)[_VARIANTS:]:
            with suppress(OSError):
                (self.folder / kind / name).unlink()

    def _named(self, kind: str, key: str, again: bool = False) -> list[str]:
        """The entries of `key`, one for each state of a tree that it was asked of, newest first."""
        if again or kind not in self._variants:
            try:
                self._variants[kind] = [p.name for p in (self.folder / kind).iterdir()]
            except OSError:
                self._variants[kind] = []
        found = [n for n in self._variants[kind] if n.startswith(f"{key}.")]
        return sorted(found, key=lambda n: _age(self.folder / kind / n)) if len(found) > 1 else found

    def _prepare(self, folder: Path) -> None:
        """Make the folder, and tidy up where this is the first entry of this run, or of this edition."""
        if str(folder) in self._ready:
            return
        new = not self.folder.exists()
        folder.mkdir(0o700, parents=True, exist_ok=True)
        self._ready.add(str(folder))
        now = time.time()
        with suppress(OSError):
            for left in folder.glob(".*.tmp"):
                if left.stat().st_mtime < now - _ABANDONED:
                    left.unlink()
            if new:
                editions = sorted((p for p in self.base.iterdir() if p.is_dir()), key=_age)
                for old in editions[_EDITIONS:]:
                    if len(old.name) == len(edition()):
                        shutil.rmtree(old, ignore_errors=True)

    def _trouble(self, what: str, error: OSError) -> None:
        why = error.strerror or str(error)
        self._note(f"cannot {what} the cache in {self.base} ({why}); going on without it")


def _age(path: Path) -> float:
    """Seconds since `path` changed; without end if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return float("inf")


def _pack(value: Any) -> bytes:
    body = zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)
    return _HEAD + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _unpack(raw: bytes) -> Any:
    """The value of an entry; None for what is not exactly what `_pack` made."""
    start = len(_HEAD) + _DIGEST + 1
    body = raw[start:]
    if raw[:start] != _HEAD + hashlib.sha256(body).hexdigest().encode() + b"\n":
        return None
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(body, _MOST)
        return json.loads(text) if unpacker.eof else None
    except (zlib.error, ValueError, RecursionError):
        return None
