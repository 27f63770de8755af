"""Answers about litmus tests, as text and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import AbsentError
from ..litmus.suite import Agreement, Outcome, Summary
from .execution import described, execution_picture, execution_text, names
from .json import envelope
from .terminal import Paint, plain

if TYPE_CHECKING:
    from ..encodings.execution import Execution
    from ..encodings.models import Broken

_ROLES = {Agreement.DIFFERS: "violated", Agreement.UNDECIDED: "unknown", Agreement.AGREES: "proved"}
_PLACES = 6


def render_litmus(
    outcomes: Sequence[Outcome],
    model: str,
    detail: bool,
    quiet: bool = False,
    width: int = 110,
    paint: Paint = plain,
) -> str:
    """A line a test, with `detail` and an execution below it; then what they come to. With `quiet` only tests
    whose answer differs from their own, or that have none."""
    lines = []
    for o in outcomes:
        told = o.agreement in (Agreement.DIFFERS, Agreement.UNDECIDED) or bool(o.answer.reason)
        if quiet and not told:
            continue
        lines.append(_line(o, paint))
        if detail:
            lines += [f"    {line}".rstrip() for line in _execution(o, width - 4)]
    if lines:
        lines.append("")
    lines.append(_summary(outcomes, model))
    lines += [f"  {count:>5}  {reason}" for reason, count in Summary.of(outcomes).reasons.most_common()]
    return "\n".join(lines) + "\n"


def _line(o: Outcome, paint: Paint) -> str:
    said = str(o.answer.verdict)
    if o.answer.deadlock:
        said += ", no execution at all"
    if o.answer.flags:
        said += f", {', '.join(sorted(o.answer.flags))}"
    if o.answer.reason:
        said += f": {o.answer.reason}"
    against = str(o.agreement)
    if o.stated is not None:
        race = " DATARACE" if o.stated.race else ""
        against = f"stated {o.stated.verdict}{race}: {o.agreement}"
    return f"{o.path}: {said} ({paint(_ROLES.get(o.agreement, 'place'), against)})"


def _execution(o: Outcome, width: int) -> list[str]:
    if o.answer.witness is not None:
        return ["an execution that meets the condition:", *execution_text(o.answer.witness, width), ""]
    if o.answer.refused is not None:
        execution, broken = o.answer.refused
        return [
            f"forbidden by {broken.axiom}: {told(execution, broken)}",
            *execution_text(execution, width),
            "",
        ]
    if not o.answer.reason:
        return ["no choice of what is read leads to the condition", ""]
    return []


def told(execution: Execution, broken: Broken) -> str:
    """What is forbidden, in the names that the events have."""
    called = names(execution)
    cycle = broken.cycle
    if broken.empty:
        return f"{broken.relation} relates {' and '.join(called[i] for i in cycle)}"
    return f"{' -> '.join(called[i] for i in (*cycle, cycle[0]))} in {broken.relation}"


def _summary(outcomes: Sequence[Outcome], model: str) -> str:
    found = Summary.of(outcomes)
    tests = f"{len(outcomes)} test{'s' if len(outcomes) != 1 else ''} under {model}"
    verdicts = ", ".join(f"{n} {v}" for v, n in found.verdicts.most_common())
    against = ", ".join(f"{found.agreement[a]} {a}" for a in Agreement if found.agreement[a])
    seconds = sum(o.seconds for o in outcomes)
    return f"{tests}: {verdicts}; against their own results: {against} ({seconds:.2f} s)"


def drawn(o: Outcome, suffix: str) -> str:
    """The execution of a test as SVG or, for ``.tex``, as TikZ. AbsentError if it has none."""
    from .svg import svg
    from .tikz import tikz

    cycle: tuple[int, ...] = ()
    if o.answer.witness is not None:
        execution, title = o.answer.witness, f"{o.name}: an execution that meets the condition"
    elif o.answer.refused is not None:
        execution, broken = o.answer.refused
        cycle, title = broken.cycle, f"{o.name}: forbidden by {broken.axiom}"
    else:
        raise AbsentError(f"{o.path}: there is no execution to draw ({o.answer.reason or o.answer.verdict})")
    picture = execution_picture(execution, title, cycle)
    return tikz(picture) if suffix == ".tex" else svg(picture, "litmus", alone=True)


def litmus_document(outcomes: Sequence[Outcome], model: str) -> dict[str, Any]:
    """Answers as plain data; `litmus.schema.json` describes it."""
    found = Summary.of(outcomes)
    return envelope() | {
        "memory_model": model,
        "tests": [_test(o) for o in outcomes],
        "summary": {
            "verdicts": dict(sorted(found.verdicts.items())),
            "agreement": dict(sorted(found.agreement.items())),
            "reasons": dict(sorted(found.reasons.items())),
        },
        "exit_status": found.status,
    }


def _test(o: Outcome) -> dict[str, Any]:
    refused = o.answer.refused
    return {
        "file": str(o.path),
        "name": o.name,
        "verdict": str(o.answer.verdict),
        "flags": sorted(o.answer.flags),
        "deadlock": o.answer.deadlock,
        "reason": o.answer.reason,
        "stated": None if o.stated is None else {"verdict": o.stated.verdict, "data_race": o.stated.race},
        "agreement": str(o.agreement),
        "witness": None if o.answer.witness is None else _document(o.answer.witness),
        "forbidden": None
        if refused is None
        else {
            "axiom": refused[1].axiom,
            "relation": refused[1].relation,
            "cycle": list(refused[1].cycle),
            "execution": _document(refused[0]),
        },
        "seconds": round(o.seconds, _PLACES),
    }


def _document(execution: Execution) -> dict[str, Any]:
    s = execution.structure
    related = {"po": s.po - (s.po @ s.po), "rf": execution.rf, "co": execution.co, "fr": execution.fr}
    related |= {"addr": s.addr, "data": s.data, "ctrl": s.ctrl, "rmw": s.rmw}
    return {
        "events": [
            {
                "thread": e.thread,
                "event": described(e),
                "source": e.text,
            }
            for e in execution.events
        ],
        **{name: [list(pair) for pair in relation] for name, relation in related.items()},
    }
