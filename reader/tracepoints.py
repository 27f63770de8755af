"""Tracepoints in abstract execution: what their ``TP_fast_assign()`` reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import tree_sitter

from ..bdd import TRUE
from ..spec.kernel_functions import Effect, KernelFunction
from .called import Called
from .parse import closing, parse_statements
from .source import SourceFile
from .values import Bool, Const, Multi

if TYPE_CHECKING:
    from .execute import Executor

_TRACE = re.compile(r"\b(TRACE_EVENT|TRACE_EVENT_CONDITION|DEFINE_\w+)\s*\(\s*(?:(\w+)\s*,\s*)?$")
_TRACE_HEAD = 400
"""How many characters before its name the definition of a tracepoint begins, at most."""


class Tracepoints:
    """Executes tracepoints. One instance serves one `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self.x = executor
        self._traces: dict[tuple[str, str], tuple[SourceFile, str, int, int] | None] = {}

    def call(self, name: str, args: list[tree_sitter.Node], node: tree_sitter.Node) -> Multi:
        """A tracepoint: what its TP_fast_assign() reads, when it is enabled."""
        x = self.x
        if name.endswith("_enabled") and not args:
            return [(TRUE, Bool(x.record.fresh(f"{name}()")))]
        x.record.debug += 1
        try:
            values = [x.expressions.value(a) for a in args]
            found = self._body(name.removeprefix("trace_"))
            enabled = x.record.fresh(f"tracepoint {name.removeprefix('trace_')} is enabled")
            saved = x.record.condition
            x.record.condition = x.bdd.conjoin(saved, enabled)
            if found is None:
                call = Called(KernelFunction(name, (), ""), values, args, node)
                for index in range(len(values)):
                    x.effects.accesses.touch("read", call, Effect("read", (str(index),)))
            else:
                self._run(name, *found, values)
            x.record.condition = saved
        finally:
            x.record.debug -= 1
        return [(TRUE, Const(0))]

    def _body(self, event: str) -> tuple[SourceFile, str, int, int] | None:
        key = event, self.x.frame.file.path
        if key not in self._traces:
            self._traces[key] = self._find(event)
        return self._traces[key]

    def _find(self, event: str) -> tuple[SourceFile, str, int, int] | None:
        x = self.x
        named = re.compile(rf"{re.escape(event)}\s*[,)]")
        for file in (*x.scope.own, *x.scope.tree.headers(x.frame.file.path)):
            if event not in file.text or "TRACE" not in file.text:
                continue
            places = (m.start() for m in named.finditer(file.code))
            found = (_TRACE.search(file.code, max(0, at - _TRACE_HEAD), at) for at in places)
            match = next((m for m in found if m is not None), None)
            if not match:
                continue
            if match.group(1).startswith("TRACE_EVENT"):
                return self._block_of(file, match.start())
            group = match.group(2)
            if group is None:
                for macro in file.macros.get(match.group(1), ()):
                    inner = re.match(r"DEFINE_EVENT\w*\(\s*(\w+)", macro.body)
                    group = inner.group(1) if inner else None
            if group:
                declared = re.search(rf"DECLARE_EVENT_CLASS\s*\(\s*{re.escape(group)}\s*,", file.code)
                if declared:
                    return self._block_of(file, declared.start())
        return None

    def _block_of(self, file: SourceFile, start: int) -> tuple[SourceFile, str, int, int] | None:
        opening = file.code.index("(", start)
        end = closing(file.code, opening)
        proto = re.compile(r"TP_PROTO\s*\(").search(file.code, start, end)
        assign = re.compile(r"TP_fast_assign\s*\(").search(file.code, start, end)
        if end < 0 or not proto or not assign:
            return None
        names = file.code[proto.end() : closing(file.code, proto.end() - 1) - 1]
        return file, " ".join(names.split()), assign.end(), closing(file.code, assign.end() - 1) - 1

    def _run(
        self, name: str, file: SourceFile, proto: str, start: int, end: int, values: list[Multi]
    ) -> None:
        x = self.x
        head = f"void {name}({proto}) {{"
        x.scope.use(file)
        piece = parse_statements(file.text[start:end], head, start)
        x.run_piece(file, name, piece, values)


__all__ = ["Tracepoints"]
