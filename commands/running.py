"""What running a command needs: the request, the display of what goes on, one-line messages."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import UsageError

if TYPE_CHECKING:
    from ..proofs.cluster import Cluster
    from ..proofs.engine import Request
    from ..proofs.pool import Limits
    from ..reader.files import Origin

Answer = TypeVar("Answer")


def with_progress(ask: Callable[[Request], Answer], asked: dict[str, Any], quiet: bool = False) -> Answer:
    """``ask(request)`` with a display of what goes on, removed whatever happens, and notes on stderr."""
    from ..report.live import Progress

    progress = Progress(enabled=not quiet)
    notes: list[str] = []
    asking = request(**asked, progress=progress, note=notes.append)
    try:
        return ask(asking)
    except KeyboardInterrupt:
        if progress.done and asking.cache is not None:
            notes.append(
                f"{progress.done} of {progress.total} are finished and kept; the next run goes on there"
            )
        raise
    finally:
        progress.clear()
        for note in () if quiet else notes:
            say(f"note: {note}")


def request(
    *,
    filesystems: tuple[str, ...] = (),
    jobs: int | None = None,
    scheduler: str | None = None,
    read_timeout: float | None = None,
    memory: int | None = None,
    cache_dir: Path | None = None,
    no_cache: bool = False,
    linux: Origin | None = None,
    git: Path | None = None,
    rev: str | None = None,
    **asked: Any,
) -> Request:
    """The engine's request with every default filled in. UsageError, InputError where there is no such
    tree."""
    from ..proofs.cache import default_folder
    from ..proofs.engine import Request
    from ..proofs.pool import USUAL, Limits

    limits = Limits(read_timeout or USUAL.seconds, memory or USUAL.memory)
    return Request(
        filesystems=tuple(dict.fromkeys(filesystems)),
        jobs=jobs or _cores(),
        limits=limits,
        cluster=cluster(scheduler, limits) if scheduler is not None else None,
        cache=None if no_cache else cache_dir or default_folder(),
        linux=origin(linux, git, rev),
        **asked,
    )


def cluster(address: str, limits: Limits) -> Cluster:
    """The cluster with that scheduler, closed when the command ends."""
    from ..proofs.cluster import Cluster

    found = Cluster(address, limits)
    click.get_current_context().call_on_close(found.close)
    return found


def origin(linux: Origin | None, git: Path | None, rev: str | None) -> Origin | None:
    """The tree that the options name; None if they name none."""
    if rev is not None and git is None:
        raise UsageError("--rev needs the repository: give it with --git DIR")
    if git is None:
        return linux
    if linux is not None:
        raise UsageError("--linux and --git exclude each other")
    from ..reader.git import revision

    return revision(git, rev or "HEAD")


def _cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def look(output: Path | None) -> dict[str, Any]:
    """Width and colours for text that goes to `output`: those of the terminal, if it goes there."""
    from ..report.terminal import MAX_WIDTH, paint_for, plain, width_for

    if output is None or str(output) == "-":
        return {"width": width_for(sys.stdout), "paint": paint_for(sys.stdout)}
    return {"width": MAX_WIDTH, "paint": plain}


def fail(message: str, status: int) -> int:
    say(message)
    return status


def say(message: str) -> None:
    """One line on stderr."""
    from ..report.escapes import visible

    click.echo(f"prove: {visible(' '.join(message.split()))}", err=True)
