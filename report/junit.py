"""Reports as JUnit XML: one test case an obligation, so that any CI shows them.

A violated obligation is a failure with its trace, an unknown one an error (no skip: what is skipped counts as
good), one that is not applicable is skipped.
"""

from __future__ import annotations

import itertools
import re

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from ..proofs.verdict import Report, Result, Verdict
from .text import block, one_line, subject

_WIDTH = 100
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold in any form."""


def junit_document(report: Report) -> str:
    """The report as text: a suite for each operations table, in the order of the results."""
    document = JUnitXml("dentryproof")
    known = report.comparison.known if report.comparison else frozenset()
    for (filesystem, table), group in itertools.groupby(report.results, lambda r: (r.filesystem, r.table)):
        suite = TestSuite(_text(f"{filesystem}.{table}"))
        suite.add_property("kernel", _text(report.kernel))
        for result in group:
            suite.add_testcase(_case(result, result.key in known))
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    written: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return f'<?xml version="1.0" encoding="utf-8"?>\n{written.decode()}\n'


def _case(result: Result, known: bool) -> TestCase:
    about = subject(result)
    case = TestCase(
        _text(f"{result.clause}[{about}]" if about else result.clause),
        classname=_text(f"{result.filesystem}.{result.table}"),
        time=round(result.seconds, 6),
    )
    line = _text(one_line(result))
    if known:
        case.result = [Skipped(f"as in the baseline: {line}")]
    elif result.verdict is Verdict.VIOLATED:
        failure = Failure(line, "violated (debug build only)" if result.debug_only else "violated")
        failure.text = _text("\n".join(block(result, _WIDTH, lambda _, text: text)))
        case.result = [failure]
    elif result.verdict is Verdict.UNKNOWN:
        case.result = [Error(line, "unknown")]
    elif result.verdict is Verdict.NOT_APPLICABLE:
        case.result = [Skipped(line)]
    return case


def _text(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
