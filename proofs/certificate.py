"""Certificates as data: what a proved obligation leaves for those who trust neither us nor a solver.

`docs/certificates.md` describes the form, `checker/` reads it. Here it is only written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from .. import __version__
from ..checker.form import INDEX_SCHEMA, SCHEMA, canonical, digest
from ..encodings.sat import Refutation
from ..encodings.scenario import Scenario, ScenarioAtom, Step, Thread
from ..errors import InternalError
from ..spec.program import TRUE, Guard, Model
from .decide import Decision
from .obligation import Obligation
from .verdict import Result, Verdict


def file_stem(obligation: Obligation, memory_model: str) -> str:
    """A name for the obligation's files: the same for the same question, another for every other, and safe
    whatever identifiers it is made of."""
    data = scenario_data(obligation.scenario)
    identity = [_identity(obligation), memory_model, data, str(obligation.formula)]
    unique = hashlib.sha256(canonical(identity)).hexdigest()[:16]
    model, clause = obligation.model, obligation.clause.id
    words = [model.filesystem, model.table, clause, "-".join(obligation.callbacks)]
    plain = ".".join(re.sub(r"[^A-Za-z0-9_+-]+", "_", w).strip("._-") for w in words).strip(".")
    return f"{plain[:140] or 'obligation'}.{unique}"


def _identity(obligation: Obligation) -> dict[str, Any]:
    model = obligation.model
    return {
        "kernel": model.kernel,
        "filesystem": model.filesystem,
        "table": model.table,
        "clause": obligation.clause.id,
        "callbacks": list(obligation.callbacks),
        "object": obligation.object,
        "debug": obligation.debug,
        "doubt": obligation.doubt,
    }


def certificate(decision: Decision, result: Result, refutation: Refutation) -> dict[str, Any]:
    """The certificate of a proved obligation as plain data. InternalError where the decision has no
    witness."""
    obligation, witness, texts = decision.obligation, decision.witness, decision.ways.texts
    if witness is None:
        raise InternalError("a certificate needs a witness")
    model = obligation.model
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "tool": {"name": "dentryproof", "version": __version__},
        "kernel": model.kernel,
        "obligation": {
            "filesystem": model.filesystem,
            "table": model.table,
            "clause": obligation.clause.id,
            "statement": obligation.clause.statement,
            "formula": str(obligation.formula),
            "callbacks": list(obligation.callbacks),
            "functions": list(obligation.functions),
            "object": obligation.object,
            "assumptions": list(obligation.assumptions),
            "bound": result.bound,
            "reason": result.reason,
        },
        "sources": _sources(model, obligation.scenario),
        "memory_model": decision.memory_model,
        "scenario": scenario_data(obligation.scenario),
        "witness": {
            "text": witness.text,
            "wanted": list(witness.wanted),
            "runs": sorted({s.callback for s in obligation.scenario.steps if s.id.endswith(":entry")}),
            "trace": {
                "order": list(witness.trace.order),
                "atoms": [list(a) for a in witness.trace.atoms],
                "initial": [_cell(*c) for c in witness.trace.initial],
                "values": [list(v) for v in witness.trace.values],
            },
        },
        "constraints": sorted(
            [name, texts[name]] for name in {c.of for c in refutation.clauses} if name in texts
        ),
        "variables": [list(v) for v in refutation.variables[1:]],
        "clauses": [{"name": c.name, "literals": list(c.literals)} for c in refutation.clauses],
        "lemmas": [
            {"name": f"cycle:{i}", "edges": [list(e) for e in lemma.edges]}
            for i, lemma in enumerate(refutation.lemmas, 1)
        ],
        "proof": [list(step) for step in refutation.proof],
    }
    return document | {"digest": digest(document)}


def text(document: Mapping[str, Any]) -> str:
    """A document as text, each entry of a list on a line of its own."""
    lines = []
    for key, value in document.items():
        shown = json.dumps(value, ensure_ascii=True)
        if isinstance(value, list) and value:
            shown = "[\n" + ",\n".join("  " + json.dumps(v, ensure_ascii=True) for v in value) + "\n ]"
        elif key in ("scenario", "obligation", "witness"):
            shown = json.dumps(value, ensure_ascii=True, indent=1).replace("\n", "\n ")
        lines.append(f" {json.dumps(key)}: {shown}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def index(
    kernel: str, source: str, results: tuple[Result, ...], hashes: Mapping[str, str], kind: str
) -> dict[str, Any]:
    """The index of a folder: every result, and the file of each that has one, with its SHA-256. `kind` is
    ``certificate``, or the form that obligations were exported to."""
    rows = [(r, r.certificate if kind == "certificate" else dict(r.exported).get(kind, "")) for r in results]
    return {
        "schema": INDEX_SCHEMA if kind == "certificate" else "dentryproof-scripts-1",
        "tool": {"name": "dentryproof", "version": __version__},
        "kernel": kernel,
        "source": source,
        "obligations": [
            {
                "filesystem": r.filesystem,
                "table": r.table,
                "clause": r.clause,
                "callbacks": list(r.callbacks),
                "object": r.object,
                "verdict": r.verdict.value,
                "file": name if name in hashes else "",
                "sha256": hashes.get(name, ""),
                "reason": "" if name in hashes else _why_none(r, kind),
            }
            for r, name in rows
        ],
    }


def _why_none(result: Result, kind: str) -> str:
    unexported = dict(result.unexported).get(kind)
    if unexported:
        return unexported
    if result.verdict is not Verdict.PROVED:
        return result.reason or result.summary or result.verdict.value
    return result.uncertified or "no file was made of it"


# -- the scenario as data


def scenario_data(scenario: Scenario) -> dict[str, Any]:
    """A scenario as plain data; what is as usual is left out."""
    return {
        "threads": [_thread(t) for t in scenario.threads],
        "atoms": [_atom(a) for a in scenario.atoms],
        "initial": [_cell(*c) for c in scenario.initial],
    }


def _cell(cell: tuple[str, str], value: str) -> dict[str, str]:
    return {"object": cell[0], "field": cell[1], "value": value}


def _guard(guard: Guard) -> list[list[list[Any]]]:
    return [[[name, positive] for name, positive in cube] for cube in guard]


def _thread(thread: Thread) -> dict[str, Any]:
    found: dict[str, Any] = {"name": thread.name, "cpu": thread.cpu}
    if thread.after is not None:
        found["after"] = thread.after
    return found | {"steps": [_step(s) for s in thread.steps]}


def _step(step: Step) -> dict[str, Any]:
    source = {"file": step.source.file, "line": step.source.line, "function": step.source.function}
    found: dict[str, Any] = {
        "object": step.object,
        "field": step.field,
        "value": step.value,
        "guard": [] if step.guard == TRUE else _guard(step.guard),
        "via": step.via,
        "callback": step.callback,
        "source": {k: v for k, v in source.items() if v},
        "debug": step.debug,
        "note": step.note,
        "labels": sorted(map(list, step.labels)),
        "order": step.order,
    }
    kept = {k: v for k, v in found.items() if v}
    if not step.guard:  # no cube at all: never
        kept["guard"] = []
    return {"id": step.id, "kind": step.kind, **kept}


def _atom(atom: ScenarioAtom) -> dict[str, Any]:
    found: dict[str, Any] = {
        "step": atom.step,
        "key": atom.key,
        "text": atom.text,
        "definition": _guard(atom.definition),
    }
    return {"name": atom.name, "kind": atom.kind, **{k: v for k, v in found.items() if v}}


def _sources(model: Model, scenario: Scenario) -> list[list[str]]:
    """The source files that the scenario's steps stand in, each with the hash that it was read under."""
    named = {s.source.file for s in scenario.steps} - {""}
    return [[path, sha] for path, sha in sorted(model.files) if path in named]
