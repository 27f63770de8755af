"""What is going on, live on a terminal: how many units are finished, and what each worker does."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from .escapes import visible
from .terminal import is_terminal

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress as Bar


class Progress:
    """A display on stderr that goes away at the end. Silent where that is no terminal, or where NO_COLOR is
    set: whoever wants plain output wants none that moves. Only then is the library for it imported.

    `done` and `total` are what it was told last.
    """

    def __init__(self, enabled: bool = True, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.enabled = enabled and is_terminal(self.stream) and not os.environ.get("NO_COLOR")
        self.done = self.total = 0
        self._live: Live | None = None
        self._bar: Bar | None = None

    def __call__(self, done: int, total: int, doing: tuple[str, ...]) -> None:
        """Say that `done` of `total` units are finished, and what is being done now."""
        self.done, self.total = done, total
        if self.enabled:
            self._show(doing)

    def clear(self) -> None:
        """Remove the display."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, doing: tuple[str, ...]) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
        from rich.text import Text

        if self._live is None or self._bar is None:
            self._bar = Bar(MofNCompleteColumn(), BarColumn(), TimeElapsedColumn())
            self._bar.add_task("", total=self.total)
            self._live = Live(
                console=Console(file=self.stream, force_terminal=True),
                transient=True,
                refresh_per_second=8,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        for task in self._bar.task_ids:
            self._bar.update(task, completed=self.done)
        lines = [Text(f"  {visible(what)}", no_wrap=True, overflow="ellipsis") for what in doing]
        self._live.update(Group(self._bar, *lines), refresh=False)
