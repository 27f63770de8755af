"""The models that the installation keeps: which there are, and which a user's words mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from ..errors import InputError, ModelError, UsageError
from ..spec.vfs import version
from .names import unknown

_HEAD = 65536
"""A model says what it is within so many characters (`spec/model.schema.json`)."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A model file: its name below the folder of models, and the filesystem's names and the table in it."""

    name: str
    names: tuple[str, ...]
    table: str


def _folder() -> Traversable:
    return resources.files("dentryproof.spec").joinpath("models")


def kernels() -> tuple[str, ...]:
    """The kernel versions that the repository has models for, oldest first."""
    folder = _folder()
    names = [d.name for d in folder.iterdir() if d.is_dir()] if folder.is_dir() else []
    return tuple(sorted(names, key=version))


def kept_kernel(wanted: str | None) -> str:
    """The kernel whose models are meant; the newest if none is named. UsageError for one that there are
    none of."""
    known = kernels()
    if not known:
        raise InputError("this installation has no models; give a kernel tree with --linux DIR")
    if wanted is None:
        return known[-1]
    if wanted in known:
        return wanted
    asked = version(wanted)
    within = [k for k in known if version(k)[: len(asked)] == asked]
    if within:
        return within[-1]
    raise UsageError(
        f"no models for kernel {wanted} (there are: {', '.join(known)}); give a tree with --linux DIR"
    )


def kept(kernel: str, names: Iterable[str] = (), everything: bool = False) -> list[Kept]:
    """The models of `kernel` that `names` name, each a filesystem or a table; or all of them."""
    files = sorted(
        (f for f in _folder().joinpath(kernel).iterdir() if f.name.endswith(".json")), key=lambda f: f.name
    )
    found = [_kept(kernel, f) for f in files]
    if everything:
        return found
    index: dict[str, list[Kept]] = {}
    for model in found:
        for name in (*model.names, model.table):
            index.setdefault(name, []).append(model)
    chosen: dict[str, Kept] = {}
    for name in names:
        if name not in index:
            raise unknown("filesystem", name, sorted(index))
        chosen.update({m.name: m for m in index[name]})
    return list(chosen.values())


def kept_text(name: str) -> str:
    """What is in the model file of that name; ModelError if that is no text."""
    return _text(_folder().joinpath(*name.split("/")).read_bytes(), name)


def _kept(kernel: str, file: Traversable) -> Kept:
    """A model file, with what its head says, or else its name; ModelError if the head is wrong."""
    with file.open("rb") as stream:
        head = _text(stream.read(_HEAD).rpartition(b"\n")[0], file.name)
    names = re.search(r'^"names": (\[.*?\])', head, re.M)
    table = re.search(r'^"table": "(\w+)"', head, re.M)
    try:
        found = tuple(str(n) for n in json.loads(names.group(1))) if names else ()
    except ValueError:
        raise ModelError(f"{file.name}: field 'names' is no list of texts") from None
    # What a damaged file would be of stands in its name; to load it then says what is wrong with it.
    filesystem, _, rest = file.name.partition(".")
    return Kept(
        f"{kernel}/{file.name}",
        found or (filesystem,),
        table.group(1) if table else rest.removesuffix(".json"),
    )


def _text(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{name}: not UTF-8 at byte {error.start}") from None
