"""What became of mutants, as text and as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from ..mutation.mutant import Finding, Mutant, Mutation, Outcome, count
from .escapes import all_visible
from .json import envelope
from .tables import aligned
from .terminal import Paint, plain

_TITLES = {
    Outcome.UNKNOWN: "Noticed, but only by a verdict that turned unknown:",
    Outcome.MASKED: "Masked: no proof was there that the change could have broken:",
    Outcome.EXPLAINED: "Survived, and explained:",
    Outcome.SURVIVED: "Survived:",
}


def render_mutation(answer: Mutation, paint: Paint = plain, verbose: bool = False) -> str:
    """``prove mutate``: the score by operator and by filesystem, and what was not killed, place by place;
    with `verbose` what was killed too, and by which clause."""
    answer = all_visible(answer)
    found = answer.findings
    lines = [f"kernel {answer.kernel}, {answer.tree}", ""]
    lines += _score("operator", found, lambda f: f.mutant.operator, paint)
    lines += ["", *_score("filesystem", found, lambda f: f.filesystem, paint)]
    if verbose:
        lines += _block("Killed:", [f for f in found if f.outcome is Outcome.KILLED], paint)
        lines += _block(
            "Equivalent, by the operator's rule:",
            [f for f in found if f.outcome is Outcome.EQUIVALENT],
            paint,
        )
    against = [f for f in found if f.unexpected]
    lines += _block("Killed, though the operator's rule says harmless:", against, paint)
    for outcome, title in _TITLES.items():
        lines += _block(title, [f for f in found if f.outcome is outcome], paint)
    if answer.stale:
        lines += ["", paint("head", "Explained, and no survivor (any more):")]
        lines += [f"  {fs}  {op}  {path}  {name}() #{n}" for fs, op, path, name, n in answer.stale]
    counts = count(found)
    said = ", ".join(f"{n} {o.value}" for o, n in counts.items() if n)
    lines += ["", f"{len(found)} mutants: {said or 'none'} ({answer.seconds:.0f} s)"]
    return "\n".join(lines) + "\n"


def render_places(answer: Mutation, paint: Paint = plain) -> str:
    """``prove mutate --list``: one line a mutant."""
    answer = all_visible(answer)
    cells = [["filesystem", "operator", "place", "function", "expected", "change"]]
    cells += [
        [fs, m.operator, f"{m.file}:{m.line}", f"{m.function} #{m.number}", m.expected.value, m.change]
        for fs, m in answer.places
    ]
    return "\n".join(aligned(cells, paint)) + "\n"


def _score(head: str, findings: Sequence[Finding], by: Callable[[Finding], str], paint: Paint) -> list[str]:
    rows = [[head, "mutants", *(o.value for o in Outcome)]]
    for name in sorted(set(map(by, findings))):
        mine = [f for f in findings if by(f) == name]
        rows.append([name, str(len(mine)), *(str(n or ".") for n in count(mine).values())])
    return aligned(rows, paint)


def _block(title: str, findings: Sequence[Finding], paint: Paint) -> list[str]:
    if not findings:
        return []
    lines = ["", paint("head", title)]
    for f in findings:
        m = f.mutant
        place = paint("place", f"{m.file}:{m.line}")
        lines.append(f"  {f.filesystem}  {m.operator}  {place}  {m.function} #{m.number}: {m.change}")
        if f.outcome in (Outcome.SURVIVED, Outcome.MASKED) or f.unexpected:
            lines.append(f"      expected: {m.expected.value}: {m.why}")
        for t in f.turns:
            lines.append(f"      {t.table} {t.clause}: {t.before.value}, now {t.after.value}")
        if f.reason:
            lines.append(f"      {f.reason}")
    return lines


def mutation_document(answer: Mutation) -> dict[str, Any]:
    """The same as plain data; `mutation.schema.json` describes it."""
    return envelope() | {
        "kernel": answer.kernel,
        "tree": answer.tree,
        "mutants": [_mutant(fs, m) for fs, m in answer.places] if not answer.findings else [],
        "findings": [
            _mutant(f.filesystem, f.mutant)
            | {
                "outcome": f.outcome.value,
                "reason": f.reason,
                "turns": [asdict(t) | {"before": t.before.value, "after": t.after.value} for t in f.turns],
            }
            for f in answer.findings
        ],
        "counts": {o.value: n for o, n in count(answer.findings).items()},
        "stale": [list(place) for place in answer.stale],
        "exit_status": answer.status,
    }


def _mutant(filesystem: str, m: Mutant) -> dict[str, Any]:
    return {
        "filesystem": filesystem,
        "operator": m.operator,
        "file": m.file,
        "line": m.line,
        "function": m.function,
        "number": m.number,
        "change": m.change,
        "expected": m.expected.value,
        "why": m.why,
    }
