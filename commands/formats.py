"""The forms that a report of `prove FILESYSTEM...` can take, and where each goes.

A renderer is imported when its form is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .running import look

if TYPE_CHECKING:
    from ..proofs.verdict import Report


@dataclass(frozen=True, slots=True)
class Style:
    """What the user asked of the form. `output` is where the text will go, which tells width and colours;
    `source_url` is the pattern of links to source."""

    output: Path | None = None
    quiet: bool = False
    verbose: bool = False
    statistics: bool = False
    source_url: str = ""


def _text(report: Report, style: Style) -> str:
    from ..report.text import Detail, render

    detail = Detail.QUIET if style.quiet else Detail.VERBOSE if style.verbose else Detail.NORMAL
    return render(report, detail, statistics=style.statistics, **look(style.output))


def _json(report: Report, style: Style) -> str:
    from ..report.json import dump, report_document

    return dump(report_document(report))


def _sarif(report: Report, style: Style) -> str:
    from ..report.json import dump
    from ..report.sarif import sarif_document

    return dump(sarif_document(report))


def _junit(report: Report, style: Style) -> str:
    from ..report.junit import junit_document

    return junit_document(report)


def _github(report: Report, style: Style) -> str:
    from ..report.github import workflow_commands

    return workflow_commands(report)


def _html(report: Report, style: Style) -> str:
    from ..paper.page import page

    return page(report, style.source_url)


def _latex(report: Report, style: Style) -> str:
    from ..paper.verdicts import verdict_table

    return verdict_table(report)


FORMS: dict[str, Callable[[Report, Style], str]] = {
    "text": _text,
    "json": _json,
    "sarif": _sarif,
    "junit": _junit,
    "github": _github,
    "html": _html,
    "latex": _latex,
}


@dataclass(frozen=True, slots=True)
class Target:
    """A file that a report goes to; in the form that ``--format`` names if `form` is empty."""

    form: str
    path: Path


class TargetType(click.ParamType[Target]):
    """``FILE`` or ``FORM:FILE``. What stands before a colon and is no form is part of the name."""

    name = "target"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        if isinstance(value, Target):
            return value
        form, colon, path = str(value).partition(":")
        if not colon or form not in FORMS:
            form, path = "", str(value)
        if not path:
            self.fail(f"{value!r} names no file", param, ctx)
        return Target(form, Path(path))
