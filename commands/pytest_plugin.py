"""``pytest --dentryproof``: one test an obligation, so that a CI that runs pytest needs nothing else.

Obligations are known only once source is read, and deciding them takes less than reading: everything is
decided while tests are collected (answers come from the cache where they can), and each item reports what was
found. A violated obligation fails with its trace, an unknown one fails with the reason, one that is not
applicable is skipped, and one that a baseline has is an expected failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..proofs.verdict import Report, Result

_PAUSES = re.compile(r"[^\w.>\[\]-]+")
"""What separates words in the name of an item: ``-k`` and shells take the rest as it is."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin; each can also stand in pytest's configuration as ``dentryproof_NAME``."""
    group = parser.getgroup("dentryproof", "regression proofs of dentry callbacks")
    group.addoption("--dentryproof", action="store_true", help="prove the dentry callbacks of a kernel tree")
    for name, metavar, text in (
        ("linux", "DIR", "the kernel tree (models of the newest kernel if not given)"),
        ("kernel", "VERSION", "the kernel whose models to use, or what to call a tree that does not say"),
        ("module", "DIR", "sources outside the tree"),
        ("baseline", "FILE", "what it has is an expected failure"),
        ("filesystems", "NAMES", "only these, separated by commas"),
        ("clauses", "IDS", "only these clauses or patterns, separated by commas"),
        ("cache_dir", "DIR", "where answers are kept for the next run"),
    ):
        group.addoption(f"--dentryproof-{name.replace('_', '-')}", metavar=metavar, help=text)
        parser.addini(f"dentryproof_{name}", text, default="")


def pytest_configure(config: pytest.Config) -> None:
    """Wake up if asked to."""
    if config.getoption("--dentryproof"):
        config.pluginmanager.register(Proofs(config), "dentryproof-proofs")


class Proofs:
    """What collects the obligations, beside whatever tests there are."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self, session: pytest.Session) -> Iterator[None]:
        """Collect the tests there are, then the obligations."""
        found = yield
        collector = Obligations.from_parent(session, name="dentryproof", nodeid="dentryproof")
        items = list(collector.collect())
        session.config.hook.pytest_collection_modifyitems(session=session, config=self.config, items=items)
        session.items.extend(items)
        session.testscollected = len(session.items)
        return found


class Obligations(pytest.Collector):
    """The obligations of one run."""

    def collect(self) -> Iterator[pytest.Item]:
        from ..errors import DentryproofError
        from ..report.escapes import all_visible, visible

        try:
            report = self._report()
        except DentryproofError as error:
            raise pytest.UsageError(f"dentryproof: {visible(str(error))}") from None
        known = report.comparison.known if report.comparison else frozenset()
        names: dict[str, int] = {}
        for found in report.results:
            result = all_visible(found)
            name = item_name(result)
            names[name] = names.get(name, 0) + 1
            if names[name] > 1:
                name += f"-{names[name]}"
            yield Obligation.from_parent(self, name=name, result=result, known=found.key in known)

    def _report(self) -> Report:
        """Everything that was asked for, decided."""
        from dataclasses import replace

        from ..proofs.baseline import compare, load
        from ..proofs.engine import clause_ids, run
        from ..proofs.names import select
        from .running import request

        linux, module, baseline = (self._path(n) for n in ("linux", "module", "baseline"))
        before = load(baseline) if baseline else None
        filesystems, patterns = self._several("filesystems"), self._several("clauses")
        whole = not (filesystems or module)
        report = run(
            request(
                filesystems=filesystems,
                everything=whole,
                linux=linux,
                module=module,
                kernel=self._said("kernel") or None,
                clauses=select("clause", patterns, clause_ids()) if patterns else (),
                cache_dir=self._path("cache_dir"),
            )
        )
        if before is None:
            return report
        return replace(report, comparison=compare(before, report.results, str(baseline), whole))

    def _said(self, name: str) -> str:
        """What the command line says, or else the configuration."""
        option = self.config.getoption(f"--dentryproof-{name.replace('_', '-')}")
        return str(option or self.config.getini(f"dentryproof_{name}"))

    def _several(self, name: str) -> tuple[str, ...]:
        return tuple(filter(None, re.split(r"[\s,]+", self._said(name))))

    def _path(self, name: str) -> Path | None:
        """A path: on the command line relative to where one is, in the configuration to pytest's root."""
        said = self._said(name)
        if not said:
            return None
        given = self.config.getoption(f"--dentryproof-{name.replace('_', '-')}")
        return Path(said) if given else self.config.rootpath / said


class Obligation(pytest.Item):
    """One obligation that was decided."""

    def __init__(self, *, result: Result, known: bool, **rest: Any) -> None:
        super().__init__(**rest)
        self.result = result
        if known:
            self.add_marker(pytest.mark.xfail(reason="the baseline has it", strict=False))

    def runtest(self) -> None:
        """Say what was found."""
        from ..proofs.verdict import Verdict

        if self.result.verdict is Verdict.NOT_APPLICABLE:
            pytest.skip(self.result.reason)
        if self.result.verdict is not Verdict.PROVED:
            raise NotProved(self.result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The trace, or the reason, instead of a Python traceback."""
        if not isinstance(excinfo.value, NotProved):
            return str(super().repr_failure(excinfo))
        from ..report.terminal import MAX_WIDTH
        from ..report.text import block

        return "\n".join(block(self.result, MAX_WIDTH, lambda _, text: text))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where pytest says that the test stands."""
        return self.config.rootpath, None, self.name


class NotProved(Exception):
    """An obligation that is violated or unknown; its text is one line."""

    def __init__(self, result: Result) -> None:
        from ..report.text import one_line

        super().__init__(one_line(result))


def item_name(result: Result) -> str:
    """The name of the item: filesystem, table, clause; in brackets callbacks and object."""
    about = "-".join(_PAUSES.sub("_", part) for part in (*result.callbacks, result.object) if part)
    head = "::".join((result.filesystem, result.table, result.clause))
    return f"{head}[{about}]" if about else head
