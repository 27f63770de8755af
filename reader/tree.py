"""A kernel tree that was neither configured nor built, and where names in it are defined."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from ..errors import InputError
from .source import MAX_BYTES, Definition, Macro, SourceFile

_VERSION = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", re.M)
_PROTOTYPE_HINT = 200


class Tree:
    """Reads files below `root` and nothing outside it. Every file that was read is kept in `files`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._cache: dict[str, SourceFile | None] = {}
        self._listing: dict[str, tuple[str, ...]] = {}
        self._closure: dict[str, tuple[SourceFile, ...]] = {}
        if not self.root.is_dir():
            raise InputError(f"{root}: no such folder")
        if not (self.root / "Makefile").is_file() or not (self.root / "fs").is_dir():
            raise InputError(f"{root}: no kernel tree (it has no Makefile with a version, or no fs/)")

    @cached_property
    def version(self) -> str:
        """The kernel version that the top Makefile states (``6.12.117``); InputError if it states none."""
        text = (self.root / "Makefile").read_text(encoding="utf-8", errors="replace")[:4096]
        found: dict[str, str] = dict(_VERSION.findall(text))
        if not found.get("VERSION", "").isdigit() or not found.get("PATCHLEVEL", "").isdigit():
            raise InputError(f"{self.root}: the Makefile states no VERSION and PATCHLEVEL; no kernel tree")
        version = f"{found['VERSION']}.{found['PATCHLEVEL']}"
        if found.get("SUBLEVEL", "").isdigit() and int(found["SUBLEVEL"]):
            version += "." + found["SUBLEVEL"]
        return version + str(found.get("EXTRAVERSION", ""))

    def file(self, path: str) -> SourceFile | None:
        """The file at `path` (relative), or None if there is none. A file that cannot be read as C source
        (too large, unreadable) has its `problem` set and no text."""
        if path not in self._cache:
            self._cache[path] = self._read(path)
        return self._cache[path]

    def _read(self, path: str) -> SourceFile | None:
        full = self.root / path
        try:
            resolved = full.resolve()
        except (OSError, RuntimeError):
            return SourceFile(path, b"", problem="a loop of symbolic links")
        if not resolved.is_relative_to(self.root):
            return SourceFile(path, b"", problem="leads out of the tree")
        if not resolved.is_file():
            return None
        try:
            if resolved.stat().st_size > MAX_BYTES:
                return SourceFile(path, b"", problem=f"larger than {MAX_BYTES >> 20} MiB")
            return SourceFile(path, resolved.read_bytes())
        except OSError as error:
            return SourceFile(path, b"", problem=error.strerror or "cannot be read")

    def list(
        self, folder: str, suffixes: tuple[str, ...] = (".c", ".h"), deep: bool = False
    ) -> tuple[str, ...]:
        """Paths of the files in `folder` (and below it, if `deep`) that end in one of `suffixes`, sorted."""
        key = f"{folder}\0{deep}\0{suffixes}"
        if key not in self._listing:
            base = self.root / folder
            walk = base.rglob("*") if deep else base.glob("*")
            found = (
                [str(p.relative_to(self.root)) for p in walk if p.name.endswith(suffixes)]
                if base.is_dir()
                else []
            )
            self._listing[key] = tuple(sorted(found))
        return self._listing[key]

    def include(self, name: str, quoted: bool, user: str) -> SourceFile | None:
        """The header that ``#include`` of `name` in file `user` means."""
        if quoted:
            local = _normal(str(Path(user).parent / name))
            if local and (found := self.file(local)):
                return found
        if name.startswith("asm/"):
            return self.file("include/asm-generic/" + name[4:])
        return self.file("include/" + name) or self.file("include/uapi/" + name)

    def headers(self, path: str) -> tuple[SourceFile, ...]:
        """Every header that `path` includes, directly or not, nearest first."""
        if path not in self._closure:
            start = self.file(path)
            queue, seen = [start] if start else [], {path}
            for current in queue:
                for name, quoted in current.includes:
                    header = self.include(name, quoted, current.path)
                    if header and header.path not in seen:
                        seen.add(header.path)
                        queue.append(header)
            self._closure[path] = tuple(queue[1:])
        return self._closure[path]


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


class Scope:
    """Where a filesystem's names are looked up: the file itself, the filesystem's own files, the headers
    that they include, and the kernel files whose helpers filesystems share."""

    SHARED = (
        "fs/libfs.c",
        "fs/dcache.c",
        "fs/inode.c",
        "fs/super.c",
        "fs/posix_acl.c",
        "fs/namei.c",
        "fs/stat.c",
        "fs/fs_context.c",
        "fs/pnode.c",
        "fs/attr.c",
        "fs/xattr.c",
        "fs/filesystems.c",
        "fs/nls/nls_base.c",
        "fs/stack.c",
        "fs/fs_types.c",
        "fs/file.c",
    )

    def __init__(self, tree: Tree, files: tuple[str, ...]) -> None:
        self.tree = tree
        self.paths = files
        self.used: dict[str, SourceFile] = {}
        self.entry: str | None = None
        self._near: dict[tuple[str, str | None], list[SourceFile]] = {}
        self._found: dict[tuple[str, str, str, str | None], tuple[tuple[SourceFile, Definition], ...]] = {}
        self._macros: dict[tuple[str, str, str | None], tuple[tuple[SourceFile, Macro], ...]] = {}

    @cached_property
    def own(self) -> tuple[SourceFile, ...]:
        """The filesystem's own files."""
        return tuple(f for p in self.paths if (f := self.tree.file(p)))

    @cached_property
    def shared(self) -> tuple[SourceFile, ...]:
        """The kernel's files of helpers for filesystems."""
        return tuple(f for p in self.SHARED if p not in self.paths and (f := self.tree.file(p)))

    def use(self, file: SourceFile) -> SourceFile:
        """Remember that a fact came from `file`."""
        self.used[file.path] = file
        return file

    def _places(self, user: SourceFile) -> list[SourceFile]:
        key = (user.path, self.entry)
        if key not in self._near:
            headers = [*self.tree.headers(user.path), *(self.tree.headers(self.entry) if self.entry else ())]
            self._near[key] = list({f.path: f for f in (user, *self.own, *headers, *self.shared)}.values())
        return self._near[key]

    def find(self, name: str, kind: str, user: SourceFile) -> tuple[tuple[SourceFile, Definition], ...]:
        """The definitions of `name` (``function`` or ``type``) that `user` can mean: all those of
        the nearest file that has any; several if they stand under different conditions."""
        key = (name, kind, user.path, self.entry)
        if key not in self._found:
            self._found[key] = self._find(name, kind, user)
        return self._found[key]

    def _find(self, name: str, kind: str, user: SourceFile) -> tuple[tuple[SourceFile, Definition], ...]:
        for file in self._places(user):
            if name in file.candidates:
                found = tuple((file, d) for d in file.definitions.get(name, ()) if d.kind == kind)
                if found:
                    return found
        return ()

    def macro(self, name: str, user: SourceFile) -> tuple[tuple[SourceFile, Macro], ...]:
        """The ``#define``s of `name` that `user` can mean, from the nearest file that has any."""
        key = (name, user.path, self.entry)
        if key not in self._macros:
            self._macros[key] = next(
                (
                    tuple((f, m) for m in f.macros[name])
                    for f in self._places(user)
                    if name in f.candidates and name in f.macros
                ),
                (),
            )
        return self._macros[key]

    def work_function(self, member: str) -> str | None:
        """The function of the work item that the filesystem keeps in `member`, from its initialisation."""
        pattern = re.compile(
            rf"(?:INIT_(?:DELAYED_|RCU_)?WORK|DECLARE_(?:DELAYED_)?WORK|timer_setup|setup_timer)\s*\(\s*[^,]*?\b{re.escape(member)}\s*,\s*(\w+)\s*[,)]"
        )
        for file in self.own:
            if "_WORK" in file.text or "_timer" in file.text or "timer_" in file.text:
                match = pattern.search(file.code)
                if match:
                    return match.group(1)
        return None

    def assigned(self, member: str) -> tuple[tuple[SourceFile, str], ...]:
        """Names that the filesystem's own files store in `member` by an initialiser or an assignment."""
        pattern = re.compile(
            rf"\.{re.escape(member)}\s*=\s*&?(\w+)\s*[,}}\n]|->{re.escape(member)}\s*=\s*&?(\w+)\s*;"
        )
        found: dict[str, SourceFile] = {}
        for file in self.own:
            if member in file.text:
                for match in pattern.finditer(file.code):
                    name = match.group(1) or match.group(2)
                    if not name.isdigit() and name not in ("NULL", "true", "false"):
                        found.setdefault(name, file)
        return tuple((file, name) for name, file in sorted(found.items()))
