"""One certificate, and a folder of them: what is verified, in the order in which it is.

Nothing here imports an encoder or a solver; a test sees to that. What is trusted is listed in
`docs/certificates.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..encodings.scenario import Scenario
from ..encodings.weak import MEMORY_MODELS
from ..encodings.wellformed import check as check_scenario
from ..errors import DentryproofError, InputError, SpecificationError
from ..proofs.replay import evaluate, replay
from ..proofs.witness import present
from ..spec.contract import clause
from ..spec.logic import Formula, parse
from . import form
from .form import Certificate, Entry
from .refutation import Wrong, check_proof, lemma_clause
from .translation import Ambiguous, TooLarge, Translation


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one file: `reason` says why it does not check, and is "" if it does."""

    file: str
    reason: str = ""
    steps: int = 0
    clauses: int = 0
    proof: int = 0


def check_certificate(c: Certificate) -> None:
    """Raise Wrong, with the reason, unless the certificate proves what it says of its own scenario."""
    if not c.sealed:
        raise Wrong("its digest is not that of its content")
    formula = _formula(c)
    try:
        check_scenario(c.scenario)
    except DentryproofError as error:
        raise Wrong(f"{error}") from None
    executions = MEMORY_MODELS[c.memory_model](c.scenario)
    numbers = {v: i for i, v in enumerate(c.variables) if i}
    if len(numbers) < len(c.variables) - 1:
        raise Wrong("two of its variables have one name")
    _check_clauses(c, executions, formula)
    lemmas = [lemma_clause(x, executions, numbers) for x in c.lemmas]
    check_proof([*(x.literals for x in c.clauses), *lemmas], c.proof, len(c.variables) - 1)
    _check_witness(c, formula)


def _formula(c: Certificate) -> Formula:
    try:
        stated, contract = parse(c.formula), clause(c.clause).formula
    except SpecificationError as error:
        raise Wrong(f"its formula cannot be read: {error}") from None
    except KeyError:
        raise Wrong(f"the contract has no clause {c.clause!r}") from None
    if stated != contract:
        raise Wrong(f"its formula is not that of {c.clause}, which is: {contract}")
    return contract


def _check_clauses(c: Certificate, scenario: Scenario, formula: Formula) -> None:
    """The clauses are those of the scenario's executions and of the formula's negation: not one more, less,
    or other."""
    try:
        wanted = Translation(scenario, formula).clauses
    except TooLarge:
        raise Wrong("its scenario is too large to be checked") from None
    except Ambiguous as error:
        raise Wrong(f"two clauses come to the name {error}") from None
    listed: dict[str, frozenset[tuple[tuple[str, ...], bool]]] = {}
    for item in c.clauses:
        if item.name in listed:
            raise Wrong(f"clause {item.name!r} stands there twice")
        if any(not 1 <= abs(x) < len(c.variables) for x in item.literals):
            raise Wrong(f"clause {item.name!r} speaks of a variable that there is not")
        listed[item.name] = frozenset((c.variables[abs(x)], x > 0) for x in item.literals)
    for name, literals in listed.items():
        if name not in wanted:
            raise Wrong(f"clause {name!r} does not follow from the scenario")
        if literals != wanted[name]:
            raise Wrong(f"clause {name!r} is not what the scenario says")
    for name in wanted:
        if name not in listed:
            raise Wrong(f"clause {name!r} is missing")


def _check_witness(c: Certificate, formula: Formula) -> None:
    """The witness is a trace of the scenario, with nothing reordered, in which all that there is to happen
    does."""
    w = c.witness
    try:
        positions = replay(c.scenario, w.trace)
    except DentryproofError as error:
        raise Wrong(f"its witness is no trace of the scenario: {error}") from None
    if not evaluate(formula, c.scenario, w.trace):
        raise Wrong("its witness breaks the contract")
    taken = {p.step.callback for p in positions if p.step.callback}
    methods = {s.callback for s in c.scenario.steps if s.callback}
    if set(w.runs) != methods:
        raise Wrong("its witness does not say of every callback that it runs")
    for name in sorted(methods - taken):
        raise Wrong(f"its witness does not run ->{name}()")
    if w.wanted != present(c.clause, c.scenario):
        raise Wrong("its witness does not say of all that there is to happen that it does")
    for name in w.wanted:
        if not evaluate(Formula("eventually", (parse(name),)), c.scenario, w.trace):
            raise Wrong(f"its witness does not show {name}")


# -- folders


def check_file(path: Path) -> tuple[Checked, Certificate | None]:
    """Check one file. InputError where it cannot be read as a certificate."""
    found = _read(path)
    sizes = len(found.scenario.steps), len(found.clauses), len(found.proof)
    try:
        check_certificate(found)
    except Wrong as wrong:
        return Checked(path.name, str(wrong), *sizes), None
    except RecursionError:
        return Checked(path.name, "its scenario is nested too deeply", *sizes), None
    return Checked(path.name, "", *sizes), found


def _read(path: Path) -> Certificate:
    document, _ = form.read(path)
    return form.certificate(document, path.name)


def check_folder(
    folder: Path, files: Sequence[str] = ()
) -> tuple[list[Checked], list[tuple[Entry, Certificate]]]:
    """Check the certificates that the index of `folder` lists (or those of `files`): the answers, and those
    that check. InputError for an index or a certificate that cannot be read, or a file that is not listed."""
    index = form.index(folder)
    listed = {e.file: e for e in index.entries if e.file}
    for name in files:
        if name not in listed:
            raise InputError(f"{folder / form.INDEX} lists no file {name[:80]!r}")
    answers: list[Checked] = []
    good: list[tuple[Entry, Certificate]] = []
    for entry in index.entries:
        if entry.verdict == "proved" and not entry.file and not entry.reason and not files:
            what = f"{entry.table}: {entry.clause}"
            answers.append(Checked(form.INDEX, f"it says of {what} neither a file nor why there is none"))
    for name in files or listed:
        checked, certificate = check_file(folder / name)
        reason = checked.reason or _listed_right(folder / name, listed[name], certificate, index.kernel)
        answers.append(Checked(name, reason, checked.steps, checked.clauses, checked.proof))
        if certificate is not None and not reason:
            good.append((listed[name], certificate))
    if not files:
        there = {p.name for p in folder.iterdir() if form.FILE_NAME.fullmatch(p.name)}
        answers += [Checked(name, "the index does not list it") for name in sorted(there - listed.keys())]
    return answers, good


def _listed_right(path: Path, entry: Entry, c: Certificate | None, kernel: str) -> str:
    if c is None:
        return ""
    if entry.verdict != "proved":
        return f"the index lists it as {entry.verdict[:20]}"
    listed = (kernel, entry.filesystem, entry.table, entry.clause)
    if listed != (c.kernel, c.filesystem, c.table, c.clause):
        return "the index lists it under another obligation"
    if hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
        return "its SHA-256 is not the one that the index has"
    return ""
