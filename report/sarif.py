"""Reports as SARIF 2.1.0 (OASIS standard): what code scanning and editors read.

A violated result is a failure, its two-CPU trace a code flow with a thread flow for each CPU, whose locations
are numbered in the order of the whole trace (`executionOrder`). What is unknown is an open result. What is
proved or not applicable is no result: code scanning shows every result as an alert.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import quote

from .. import __version__
from ..proofs.verdict import Repair, Report, Result, TraceStep, Verdict
from .trace import words
from .where import where

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "SRCROOT"


def sarif_document(report: Report) -> dict[str, Any]:
    """The report as a SARIF log with one run. File names are relative to the kernel tree (`SRCROOT`)."""
    rules: list[dict[str, Any]] = [
        {
            "id": r.id,
            "shortDescription": {"text": r.statement},
            "fullDescription": {"text": r.statement},
            "help": {"text": f"{r.statement}\nFormula: {r.formula}\nSource: {r.source}"},
            "defaultConfiguration": {"level": "error"},
            "properties": {"tags": ["rcu", "dcache"], "precision": "very-high"},
        }
        for r in report.rules
    ]
    index: dict[str, int] = {r["id"]: i for i, r in enumerate(rules)}
    told = [r for r in report.results if r.verdict in (Verdict.VIOLATED, Verdict.UNKNOWN)]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "dentryproof", "version": __version__, "rules": rules}},
                "originalUriBaseIds": {ROOT: {"description": {"text": "the kernel tree"}}},
                "automationDetails": {"id": f"dentryproof/{report.kernel}/"},
                "columnKind": "unicodeCodePoints",
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            {"level": "note", "message": {"text": m}} for m in report.messages
                        ],
                    }
                ],
                "properties": {"kernel": report.kernel, "source": report.kind},
                "results": [_result(report, r, index) for r in told],
            }
        ],
    }


def fingerprint(result: Result) -> str:
    """What tells an obligation from all others, whatever lines it stands at: 32 hexadecimal digits."""
    filesystem, table, clause, callbacks, thing = result.key
    parts = (filesystem, table, clause, *callbacks, thing)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _result(report: Report, result: Result, index: dict[str, int]) -> dict[str, Any]:
    violated = result.verdict is Verdict.VIOLATED
    at = where(report, result)
    found: dict[str, Any] = {
        "ruleId": result.clause,
        "kind": "fail" if violated else "open",
        "level": "none" if not violated else "warning" if result.debug_only else "error",
        "message": {"text": _message(result)},
        "partialFingerprints": {"dentryproofObligation/v1": fingerprint(result)},
        "properties": {
            "filesystem": result.filesystem,
            "table": result.table,
            "callbacks": list(result.callbacks),
            "object": result.object,
            "debug_only": result.debug_only,
        },
    }
    if result.clause in index:
        found["ruleIndex"] = index[result.clause]
    if at.file:
        found["locations"] = [_location(at.file, at.line, at.function)]
    if result.trace:
        found["codeFlows"] = [_code_flow(result)]
    if result.repair is not None and result.repair.diff:
        found["fixes"] = [_fix(result.repair)]
    if report.comparison is not None:
        found["baselineState"] = "unchanged" if result.key in report.comparison.known else "new"
    return found


_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")


def _fix(repair: Repair) -> dict[str, Any]:
    """The diff as replacements of whole lines, one a hunk."""
    changes: list[dict[str, Any]] = []
    for line in repair.diff.split("\n"):
        hunk = _HUNK.match(line)
        if line.startswith("--- a/"):
            changes.append({"artifactLocation": _artifact(line.removeprefix("--- a/")), "replacements": []})
        elif hunk is not None:
            start, count = int(hunk.group(1)), int(hunk.group(2) or 1)
            region = {"startLine": start, "startColumn": 1, "endLine": start + count, "endColumn": 1}
            changes[-1]["replacements"].append({"deletedRegion": region, "insertedContent": {"text": ""}})
        elif line[:1] in ("+", " ") and not line.startswith("+++ "):
            changes[-1]["replacements"][-1]["insertedContent"]["text"] += line[1:] + "\n"
    return {"description": {"text": repair.sentence}, "artifactChanges": changes}


def _message(result: Result) -> str:
    """What a reader sees first. Unknown says so in its first word."""
    head = f"{result.filesystem} ({result.table}), {', '.join(result.callbacks) or 'all callbacks'}"
    if result.verdict is Verdict.UNKNOWN:
        return f"unknown: {head}: {result.reason}"
    only = " (debug build only)" if result.debug_only else ""
    fix = f" Smallest fix: {result.fix}." if result.fix else ""
    if result.repair is not None and result.repair.edits:
        fix = f" Repair, proved again: {result.repair.sentence}."
    return f"{head}: {(result.summary or result.reason).rstrip('.')}{only}.{fix}"


def _code_flow(result: Result) -> dict[str, Any]:
    cpus = sorted({s.cpu for s in result.trace})
    return {
        "message": {"text": result.summary or result.reason},
        "threadFlows": [
            {
                "id": "kernel" if cpu < 0 else f"CPU {cpu}",
                "locations": [_flow_location(i, s) for i, s in enumerate(result.trace) if s.cpu == cpu],
            }
            for cpu in cpus
        ],
    }


def _flow_location(order: int, step: TraceStep) -> dict[str, Any]:
    return {
        "executionOrder": order,
        "kinds": [step.event],
        "location": _location(step.file, step.line, step.function) | {"message": {"text": words(step)}},
    }


def _artifact(file: str) -> dict[str, str]:
    return {"uri": quote(file.encode("utf-8", "surrogateescape"), safe="/"), "uriBaseId": ROOT}


def _location(file: str, line: int, function: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if file:
        found["physicalLocation"] = {"artifactLocation": _artifact(file)}
        if line > 0:
            found["physicalLocation"]["region"] = {"startLine": line}
    if function:
        found["logicalLocations"] = [{"name": function, "kind": "function"}]
    return found
