"""Asks spin, in processes of its own, about a model of `promela.py`: generate, compile, search."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InternalError, UsageError

COMPILE = ("-O0", "-w", "-DSAFETY", "-DNOREDUCE")
"""How the search is compiled. It takes less time than an optimising compiler would."""
_ERRORS = re.compile(r"errors: (\d+)")
_STATES = re.compile(r"^\s*(\d+) states, stored", re.MULTILINE)
_CUT_OFF = ("max search depth too small", "out of memory", "Search not completed", "VECTORSZ")


@dataclass(frozen=True, slots=True)
class Searched:
    """What spin says of one claim. `error` is whether a run breaks it; `states` are those it stored."""

    claim: str
    error: bool
    states: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Said:
    """What spin says of a model, and the seconds that it took."""

    generate: float
    compile: float
    searches: tuple[Searched, ...]

    def of(self, claim: str) -> Searched:
        """What was said of one claim."""
        return next(s for s in self.searches if s.claim == claim)


def ask(
    model: str, folder: Path, claims: Sequence[str], timeout: float = 60.0, flags: Sequence[str] = COMPILE
) -> Said:
    """What spin says of each of `claims` of a model. `folder` is where it works; files there are replaced.

    UsageError where spin or a C compiler is missing. InternalError where one of them refuses the model, and
    where a search was cut off: then spin has said nothing.
    """
    for program in ("spin", "gcc"):
        if shutil.which(program) is None:
            raise UsageError(f"{program} is not installed")
    (folder / "model.pml").write_text(model, encoding="utf-8")
    (folder / "pan.c").unlink(missing_ok=True)
    generate, said = _run(["spin", "-a", "model.pml"], folder, timeout)
    if not (folder / "pan.c").exists():
        raise InternalError(f"spin refuses the model: {said.strip()[-300:]}")
    (folder / "pan").unlink(missing_ok=True)
    compiled, said = _run(["gcc", *flags, "-o", "pan", "pan.c"], folder, timeout)
    if not (folder / "pan").exists():
        raise InternalError(f"the search does not compile: {said.strip()[-300:]}")
    return Said(generate, compiled, tuple(_searched(claim, folder, timeout) for claim in claims))


def _searched(claim: str, folder: Path, timeout: float) -> Searched:
    seconds, said = _run(["./pan", "-w14", "-N", claim], folder, timeout)
    errors, states = _ERRORS.search(said), _STATES.search(said)
    error = errors is not None and int(errors[1]) > 0
    if errors is None or states is None or (not error and any(text in said for text in _CUT_OFF)):
        raise InternalError(f"spin has not searched all of {claim}: {said.strip()[:300]}")
    if error and "assertion violated" not in said:
        raise InternalError(f"spin finds an error that is no trace: {said.strip()[:300]}")
    return Searched(claim, error, int(states[1]), seconds)


def _run(command: list[str], folder: Path, timeout: float) -> tuple[float, str]:
    started = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise InternalError(f"{command[0]} took longer than {timeout:g} s") from error
    return time.perf_counter() - started, (done.stdout + done.stderr).decode("utf-8", "replace")
