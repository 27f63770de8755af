"""Why each clause holds, how to fix what breaks it, and who broke it (`spec/explanations.toml`)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from .modelfile import load
from .program import Model

VERSION, TABLE = "6.12", "toy_dentry_operations"
"""The folder of the examples, and what their sources call their operations tables."""


@dataclass(frozen=True, slots=True)
class Case:
    """A real kernel in which the clause did not hold. `seen` and `table` are empty where it is no
    filesystem's table; `source` is where it is on record."""

    who: str
    kernels: str
    what: str
    source: str
    seen: str = ""
    table: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is to be said of a clause. `example` and `mended` name models in `spec/examples`; `none` is said
    where there is no case."""

    clause: str
    why: str
    fix: str
    example: str
    mended: str
    broken: tuple[Case, ...] = ()
    none: str = ""


@cache
def explanations() -> dict[str, Explanation]:
    """All explanations by the clause's id."""
    text = resources.files("dentryproof.spec").joinpath("explanations.toml").read_text(encoding="utf-8")
    return {
        e["clause"]: Explanation(
            **{k: v for k, v in e.items() if k != "broken"},
            broken=tuple(Case(**c) for c in e.get("broken", ())),
        )
        for e in tomllib.loads(text)["explanation"]
    }


def example(name: str) -> Model:
    """The model of a made-up filesystem; ModelError if it is damaged."""
    file = resources.files("dentryproof.spec").joinpath("examples", VERSION, f"{name}.{TABLE}.json")
    return load(file.read_text(encoding="utf-8"), file.name)
