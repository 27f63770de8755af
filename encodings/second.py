"""cvc5 as a second opinion: in a process of its own, ended where it takes too long or too much memory.

`serve` is what runs in that process: it reads requests from standard input and knows nothing but cvc5. A
request is a line with a length and a time limit, and a script of that length; the answer is a line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

SECONDS = 10.0
"""What cvc5 has for one script. It can take a hundred times as long as z3 on a large satisfiable one."""
GRACE = 5.0
"""What its process has beyond that to notice that it is out of time."""
MEMORY = 2 << 30


@dataclass(frozen=True, slots=True)
class Said:
    """``sat`` with the symbols' values, ``unsat``, or "" with a reason."""

    status: str
    reason: str = ""
    values: Mapping[str, bool | int] = field(default_factory=dict)


def installed() -> bool:
    """Whether cvc5's Python module is there."""
    return find_spec("cvc5") is not None


class Cvc5:
    """A process that cvc5 runs in, started when it is first asked and after each time it had to be ended."""

    def __init__(self, seconds: float = SECONDS, command: tuple[str, ...] = ()) -> None:
        self.seconds = seconds
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        self._command = command or (sys.executable, "-c", code)
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, script: str) -> Said:
        """What cvc5 says of a script. Never raises for what cvc5 does: that is a reason."""
        if not installed():
            return Said("", "cvc5 is not installed")
        data = script.encode()
        try:
            line = self._exchange(b"%d %d\n" % (len(data), int(1000 * self.seconds)) + data)
            if line is None:
                return Said("", f"out of time ({self.seconds:g} s)")
            answer: Any = json.loads(line)
            return Said(answer["status"], answer["reason"], answer["values"])
        except (OSError, ValueError, KeyError, TypeError):
            code = self._process.poll() if self._process is not None else None
            self.end()
            return Said("", f"its process ended with {code}" if code else "its process ended")

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
            self._process = None

    def _exchange(self, request: bytes) -> bytes | None:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise OSError("no pipe")
        stdin.write(request)
        stdin.flush()
        # Its own limit comes first; this one is for when that does not work.
        deadline, line = time.monotonic() + self.seconds + GRACE, b""
        with selectors.DefaultSelector() as ready:
            ready.register(stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not ready.select(max(0.0, deadline - time.monotonic())):
                    self.end()
                    return None
                part = os.read(stdout.fileno(), 1 << 16)
                if not part:
                    self._process.wait()
                    raise OSError("closed")
                line += part
        return None if b'"reason": "time"' in line else line


def serve() -> None:
    """Answer requests until standard input ends."""
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while line := sys.stdin.buffer.readline():
        length, milliseconds = map(int, line.split())
        answer = _answer(sys.stdin.buffer.read(length).decode(), milliseconds)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _answer(script: str, milliseconds: int) -> dict[str, Any]:
    import cvc5

    terms = cvc5.TermManager()
    solver = cvc5.Solver(terms)
    solver.setOption("tlimit-per", str(milliseconds))
    solver.setOption("produce-models", "true")
    symbols = cvc5.SymbolManager(terms)
    parser = cvc5.InputParser(solver, symbols)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, script, "obligation")
    said = ""
    while not (command := parser.nextCommand()).isNull():
        if command.getCommandName() == "exit":
            break
        said = command.invoke(solver, symbols).strip() or said
        if said.startswith("(error"):
            return {"status": "", "reason": said, "values": {}}
    if said not in ("sat", "unsat"):
        gave_up = said == "unknown" or "timeout" in said.lower()
        return {"status": "", "reason": "time" if gave_up else said or "no answer", "values": {}}
    values: dict[str, bool | int] = {}
    if said == "sat":
        for term in symbols.getDeclaredTerms():
            value = solver.getValue(term)
            values[term.getSymbol()] = (
                value.getBooleanValue() if value.isBooleanValue() else int(value.getIntegerValue())
            )
    return {"status": said, "reason": "", "values": values}
