"""An obligation in the forms of other tools, each a commented file that says how to check it.

A form that cannot say an obligation says why (`Unsayable`), rather than something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..bdd import TooLarge
from ..encodings.litmus import litmus
from ..encodings.promela import CONTRACT, WITNESS, model
from ..encodings.smtlib import Script, script
from ..errors import Unsayable
from ..spec.logic import parse
from .decide import REORDERED, Decision, titles
from .obligation import Obligation
from .verdict import Verdict
from .witness import present


@dataclass(frozen=True, slots=True)
class Form:
    """A form: how its files end, and what writes one. The writer raises Unsayable."""

    suffix: str
    write: Callable[[Decision], str]


def smt2(decision: Decision) -> Script:
    """The obligation as an SMT-LIB script."""
    obligation, ways, m = decision.obligation, decision.ways, decision.obligation.model
    return script(
        ways.encoding.constraints(),
        ways.goal(obligation.formula, (), False),
        status=decision.found.status,
        comments=_head(
            obligation,
            f"unsat: no execution that {decision.memory_model} allows breaks it. sat: the clocks tell one.",
        ),
        source=f"dentryproof, {m.filesystem} {m.table}, kernel {m.kernel}",
    )


def promela(decision: Decision) -> str:
    """The obligation as a Promela model. Unsayable where its guards are too many."""
    return promela_of(decision.obligation, _known(decision))


def promela_of(obligation: Obligation, *known: str) -> str:
    """The same of an obligation that need not be decided; `known` are lines that say what is known of it."""
    says = (
        "Check it: spin -a FILE && gcc -DSAFETY -DNOREDUCE "
        "-o pan pan.c && ./pan -N contract; ./pan -N witness",
        f"An error in the claim {CONTRACT!r} is a trace that breaks the clause; none means that every trace "
        f"keeps it. An error in the claim {WITNESS!r} is a trace in which the callbacks run and what the "
        "clause is about happens. 'spin -t FILE', in FILE's folder, prints the steps of the one found last.",
        *known,
    )
    try:
        return model(
            obligation.scenario,
            obligation.formula,
            wanted=[parse(w) for w in present(obligation.clause.id, obligation.scenario)],
            executed=[s.id for s in obligation.scenario.steps if s.id.endswith(":entry")],
            titles=titles(obligation),
            comments=_head(obligation, *says),
        )
    except TooLarge as error:
        raise Unsayable("its path conditions are too many for flowgraphs") from error


def litmus_of(obligation: Obligation, *known: str) -> str:
    """The obligation as a litmus test for the kernel's memory model; Unsayable where that has no words."""
    name = ".".join((obligation.model.filesystem, obligation.clause.id, *obligation.callbacks))
    says = (
        "Check it: herd7 -conf linux-kernel.cfg FILE, in the kernel's tools/memory-model.",
        "The condition says that the clause is broken: Never means that every execution keeps it.",
        *known,
    )
    try:
        return litmus(
            obligation.scenario,
            obligation.formula,
            name=name,
            titles=titles(obligation),
            comments=_head(obligation, *says),
        )
    except TooLarge as error:
        raise Unsayable("its path conditions are too many for flowgraphs") from error


def _litmus(decision: Decision) -> str:
    return litmus_of(decision.obligation, f"Known to this tool: {_UNDER_SC[_breach(decision)]}.")


_UNDER_SC = {
    "sat": "some execution meets it under sequential consistency",
    "unsat": "Never under sequential consistency",
    "unknown": "nothing of sequential consistency",
}


def _breach(decision: Decision) -> str:
    """What is known of a breach under sequential consistency. Every interleaving is an execution that a
    weaker model allows, not the other way round; a violation is told without reordering where it can be."""
    status = decision.found.status
    if status == "sat" and decision.memory_model != "sc":
        plain = decision.result.verdict is Verdict.VIOLATED and REORDERED not in decision.result.reason
        return "sat" if plain else "unknown"
    return status


FORMS = {
    "smt2": Form(".smt2", lambda decision: smt2(decision).text),
    "promela": Form(".pml", promela),
    "litmus": Form(".litmus", _litmus),
}
"""By the name that the command line has for it."""


def _known(decision: Decision) -> str:
    breach = {"sat": "an error", "unsat": "no error", "unknown": "not known"}[_breach(decision)]
    witness = "not known"
    if decision.witness is not None and decision.gap:
        witness = "no error"
    elif decision.witness is not None:
        witness = "an error"
    return f"Known to this tool: in {CONTRACT!r} {breach}, in {WITNESS!r} {witness}."


def _head(obligation: Obligation, *says: str) -> Iterator[str]:
    """What an exported file says of its obligation."""
    model = obligation.model
    at = dict.fromkeys(str(s.source) for s in obligation.scenario.steps if s.source.file)
    what = f" on {obligation.object}" if obligation.object else ""
    yield f"dentryproof: {obligation.clause.id} for {model.table} ({model.filesystem}, kernel {model.kernel})"
    yield f"{obligation.clause.statement}."
    yield f"Of {', '.join(f'->{c}()' for c in obligation.callbacks)}{what}. Formula: {obligation.formula}"
    yield f"Source: {', '.join(at) or 'the VFS alone'}."
    yield from says
    yield from (f"Assumed: {a}" for a in obligation.assumptions)
