"""A baseline: the verdicts of an earlier run, so that a later one fails on what is new or worse alone.

A JSON file with one entry a line, in a fixed order, so that its changes can be reviewed. `clauses` has the
verdict of every clause of every table but where it is not applicable; `open` every violated or unknown
obligation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .verdict import Change, Comparison, Key, Result, Verdict, clause_verdicts

SCHEMA = 1
_OPEN = (Verdict.VIOLATED, Verdict.UNKNOWN)

Clause = tuple[str, str, str]
"""Filesystem, table, clause."""
State = tuple[Verdict, bool]
"""A verdict, and whether it is of a debug build only."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a baseline file holds."""

    clauses: dict[Clause, State]
    open: dict[Key, State]


def of(results: Iterable[Result]) -> Baseline:
    """The baseline that these results are."""
    found = tuple(results)
    clauses: dict[Clause, State] = {
        (c.filesystem, c.table, c.clause): (c.verdict, c.debug_only)
        for c in clause_verdicts(found)
        if c.verdict is not Verdict.NOT_APPLICABLE
    }
    opened: dict[Key, State] = {}
    for r in found:
        state = (r.verdict, r.debug_only)
        if r.verdict in _OPEN and _rank(state) > _rank(opened.get(r.key)):
            opened[r.key] = state
    return Baseline(clauses, opened)


def compare(before: Baseline, results: tuple[Result, ...], name: str, whole: bool) -> Comparison:
    """How `results` differ from the baseline called `name`.

    With `whole` the run covers all that there is, so that a table it has no results of is gone; without,
    tables and clauses that it has none of are left out. A proof lost to unknown is worse; one that
    has nothing left to be about is not.
    """
    now = of(results)
    asked = {(r.filesystem, r.table, r.clause) for r in results}
    clauses = {r.clause for r in results}
    changes: list[Change] = []
    for clause in sorted({*before.clauses, *now.clauses}):
        old, new = before.clauses.get(clause), now.clauses.get(clause)
        if old == new or (clause not in asked and not (whole and clause[2] in clauses)):
            continue
        worse = _rank(new) > _rank(old) and new is not None and new[0] is not Verdict.PROVED
        changes.append(_change((*clause, (), ""), old, new, worse))
    told = {(c.filesystem, c.table, c.clause) for c in changes if c.worse}
    for key in sorted(now.open):
        old, new = before.open.get(key), now.open[key]
        if key[:3] not in told and _rank(new) > _rank(old):
            changes.append(_change(key, old, new, True))
    known = frozenset(k for k, new in now.open.items() if _rank(before.open.get(k)) >= _rank(new))
    return Comparison(name, tuple(changes), known)


def merged(before: Baseline, results: tuple[Result, ...], whole: bool) -> Baseline:
    """The baseline after this run: what it decided replaces what was there.

    The rest stays, unless the run covers all that there is (`whole`) and asked for the clause.
    """
    now = of(results)
    asked = {(r.filesystem, r.table, r.clause) for r in results}
    clauses = {r.clause for r in results}

    def stays(key: Clause) -> bool:
        return key not in asked and not (whole and key[2] in clauses)

    return Baseline(
        {k: v for k, v in before.clauses.items() if stays(k)} | now.clauses,
        {k: v for k, v in before.open.items() if stays(k[:3])} | now.open,
    )


def load(path: Path) -> Baseline:
    """The baseline in a file. InputError for one that is missing, damaged or of another schema."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such baseline; --update-baseline writes one") from None
    except OSError as error:
        raise InputError(f"cannot read the baseline {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no baseline: {error}") from error
    if not isinstance(data, dict) or "schema" not in data:
        raise InputError(f"{path} is no baseline: it does not name its schema")
    if data["schema"] != SCHEMA:
        raise InputError(
            f"{path} has schema {data['schema']!r}, this version reads {SCHEMA}: "
            "remove it and write it anew with --update-baseline"
        )
    try:
        clauses = {
            (_str(c, "filesystem"), _str(c, "table"), _str(c, "clause")): _state(c) for c in data["clauses"]
        }
        opened = {
            (
                _str(o, "filesystem"),
                _str(o, "table"),
                _str(o, "clause"),
                tuple(str(m) for m in o["callbacks"]),
                _str(o, "object"),
            ): _state(o)
            for o in data["open"]
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is no baseline: {type(error).__name__} at {error}") from error
    return Baseline(clauses, opened)


def dump(baseline: Baseline) -> str:
    """The baseline as the text of a file: sorted, one entry a line."""
    clauses = [
        {"filesystem": f, "table": t, "clause": c} | _verdict(baseline.clauses[f, t, c])
        for f, t, c in sorted(baseline.clauses)
    ]
    opened = [
        {"filesystem": k[0], "table": k[1], "clause": k[2], "callbacks": list(k[3]), "object": k[4]}
        | _verdict(baseline.open[k])
        for k in sorted(baseline.open)
    ]
    return "".join(
        ["{\n", f'"schema": {SCHEMA},\n', *_rows("clauses", clauses), ",\n", *_rows("open", opened), "\n}\n"]
    )


def _rows(name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f'"{name}": ['
    yield ",".join(f"\n{json.dumps(r)}" for r in rows)
    yield "\n]" if rows else "]"


def _verdict(state: State) -> dict[str, Any]:
    return {"verdict": state[0].value} | ({"debug_only": True} if state[1] else {})


def _state(row: Any) -> State:
    return Verdict(row["verdict"]), row.get("debug_only") is True


def _str(row: Any, name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise TypeError(f"{name}: not a text")
    return value


def _rank(state: State | None) -> int:
    """How bad it is: proved or nothing to prove, unknown, violated in a debug build, violated."""
    if state is None or state[0] not in _OPEN:
        return 0
    return 1 if state[0] is Verdict.UNKNOWN else 2 if state[1] else 3


def _change(key: Key, old: State | None, new: State | None, worse: bool) -> Change:
    debug = new is not None and new[1]
    return Change(*key, old[0] if old else None, new[0] if new else None, debug, worse)
