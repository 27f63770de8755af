"""Many litmus tests: found in files and folders, answered, and compared with what they say of themselves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..encodings.models import MemoryModel
from ..errors import InputError
from .answer import Answer, Verdict, answer
from .read import LARGEST, read, stated
from .syntax import Stated, UnsupportedError


class Agreement(StrEnum):
    """An answer against the test's own ``Result:``."""

    AGREES = "agrees"
    FORGIVEN = "forgiven"
    """Both find a data race. What else a racy program can do is not compared, as in judgelitmus.sh."""
    DIFFERS = "differs"
    UNSTATED = "not stated"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    path: Path
    name: str
    answer: Answer
    stated: Stated | None
    seconds: float

    @property
    def agreement(self) -> Agreement:
        return compare(self.answer, self.stated)


def compare(given: Answer, said: Stated | None) -> Agreement:
    """The rules of tools/memory-model/scripts/judgelitmus.sh.

    ``Maybe`` goes with every answer, ``DEADLOCK`` with no execution at all, ``Flag`` with a misuse that the
    model flags. A data race must be both stated and found.
    """
    if said is None:
        return Agreement.UNSTATED
    if given.verdict in (Verdict.UNKNOWN, Verdict.UNSUPPORTED):
        return Agreement.UNDECIDED
    if said.verdict == "Flag":
        return Agreement.AGREES if given.flags - {"data-race"} else Agreement.DIFFERS
    if given.deadlock or said.verdict == "DEADLOCK":
        both = given.deadlock and said.verdict == "DEADLOCK"
        return Agreement.AGREES if both else Agreement.DIFFERS
    if given.race != said.race:
        return Agreement.DIFFERS
    if said.verdict in (given.verdict, "Maybe"):
        return Agreement.AGREES
    return Agreement.FORGIVEN if given.race else Agreement.DIFFERS


def find(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """The files that are meant, folders searched for ``*.litmus``, and whether each was named itself.
    InputError if something is not there, or a folder has none."""
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*.litmus") if p.is_file())
            if not inside:
                raise InputError(f"{path}: no *.litmus file below this folder")
            yield from ((p, False) for p in inside)
        elif path.exists():
            yield path, True
        else:
            raise InputError(f"{path}: no such file or folder")


def outcome(path: Path, named: bool, model: MemoryModel, seconds: float) -> Outcome:
    """One file, answered. InputError if it is no litmus test; one that a folder was searched for is
    unsupported then."""
    started = time.monotonic()
    said: Stated | None = None
    name = path.stem
    try:
        text = load(path)
        said = stated(text)
        test = read(text, str(path))
        name = test.name
        given = answer(test, model, seconds)
    except UnsupportedError as error:
        given = Answer(Verdict.UNSUPPORTED, reason=str(error))
    except InputError as error:
        if named:
            raise
        given = Answer(Verdict.UNSUPPORTED, reason=f"malformed: {str(error).removeprefix(f'{path}: ')}")
    return Outcome(path, name, given, said, time.monotonic() - started)


def load(path: Path) -> str:
    """The text of a file. InputError if it cannot be read, or is larger than any litmus test."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if len(data) > LARGEST:
        raise InputError(f"{path}: larger than any litmus test (more than {LARGEST} bytes)")
    return data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Summary:
    """Outcomes counted."""

    verdicts: Counter[str]
    agreement: Counter[str]
    reasons: Counter[str]
    """Why tests are unsupported or unknown."""

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Summary:
        verdicts: Counter[str] = Counter()
        agreement: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        for o in outcomes:
            verdicts[o.answer.verdict] += 1
            agreement[o.agreement] += 1
            if o.answer.reason:
                reasons[o.answer.reason] += 1
        return cls(verdicts, agreement, reasons)

    @property
    def status(self) -> int:
        """The exit status: 1 if an answer differs, else 3 if one could not be given, else 0."""
        if self.agreement[Agreement.DIFFERS]:
            return 1
        return 3 if self.verdicts[Verdict.UNKNOWN] or self.verdicts[Verdict.UNSUPPORTED] else 0
