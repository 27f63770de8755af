"""Which functions and macros of kernel trees the reader cannot parse.

    python bench/corpus.py [--list] TREE...

Every function definition in the folders of filesystems with dentry operations, include/linux,
include/asm-generic, include/net/9p and net/9p; and every function-like macro that those filesystems' files
use, expanded with its parameters' own names as arguments.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from dentryproof.reader.parse import errors
from dentryproof.reader.pieces import pieces
from dentryproof.reader.source import Definition, SourceFile
from dentryproof.reader.tables import units
from dentryproof.reader.tree import Tree

SHARED = ("include/linux", "include/asm-generic", "include/net/9p", "net/9p")


def failures(file: SourceFile, definition: Definition) -> Iterator[tuple[int, str]]:
    """Line and reason of each way in which a function does not parse."""
    found = pieces(file, definition)
    if found.problem:
        yield file.line(found.at), found.problem
    for chosen, piece in found.ways:
        bad = errors(piece.root)
        if bad:
            under = " and ".join(c if truth else f"not {c}" for c, truth in chosen)
            yield file.line(piece.offset + bad[0].start_byte), f"no C {under}".strip()


def functions(tree: Tree) -> Iterator[tuple[SourceFile, Definition]]:
    """Every function of the corpus."""
    paths = dict.fromkeys(p for u in units(tree) for p in u.paths)
    for folder in SHARED:
        paths |= dict.fromkeys(tree.list(folder, deep=True))
    for path in paths:
        file = tree.file(path)
        for definitions in file.definitions.values() if file else ():
            for definition in definitions:
                if definition.kind == "function":
                    yield file, definition


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="each failure with its line")
    parser.add_argument("trees", nargs="+", type=Path)
    options = parser.parse_args()
    for root in options.trees:
        started = time.perf_counter()
        number = bad = ways = 0
        for file, definition in functions(Tree(root)):
            number += 1
            found = list(failures(file, definition))
            bad += bool(found)
            ways = max(ways, len(pieces(file, definition).ways))
            for line, reason in found:
                if options.list:
                    text = file.text.split("\n")[line - 1].strip()
                    print(f"{file.path}:{line}: {definition.name}: {reason}: {text}")
        print(f"{root.name}: {number} functions, {bad} do not parse; {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
