"""What a violating trace says: its steps as a maintainer would draw them, one sentence, the smallest fix."""

from __future__ import annotations

from .obligation import Obligation
from .replay import Position
from .verdict import TraceStep

_VERBS = {
    "read": "reads",
    "write": "writes",
    "free": "frees",
    "defer": "queues for after a grace period",
    "lock": "takes",
    "unlock": "drops",
    "enter": "enters a read-side critical section",
    "leave": "leaves the read-side critical section",
    "gp-start": "grace period starts",
    "gp-end": "grace period ends",
    "call": "",
}
_DESTROYED = ("destroyed(o)",)
_BROKEN = (
    "access(o)",
    "null_access(o)",
    "blocks",
    "unlock(d_prune)",
    "destroys(d_prune)",
    "stores(d_prune)",
    "counted",
    "destroyed(o)",
    "exit(o)",
    "releases(o)",
    "stores(d_revalidate)",
)


def _labels(position: Position) -> set[str]:
    return {text for text, reach in position.step.labels if reach == "any" or position.reach == reach}


def _last(obligation: Obligation, positions: list[Position]) -> int:
    """The position that breaks the clause: the last line of the trace."""
    seen_destroyed = False
    for index, position in enumerate(positions):
        labels = _labels(position)
        if obligation.clause.id.startswith("rcu-delay"):
            if seen_destroyed and "access(o)" in labels:
                return index
        elif obligation.clause.id == "no-double-free":
            if seen_destroyed and "destroyed(o)" in labels:
                return index
        elif obligation.clause.id == "dead-stays-dead":
            if "counted" in labels and any("pruned" in _labels(p) for p in positions[:index]):
                return index
        elif labels & set(_BROKEN):
            return index if obligation.clause.id != "balanced-locks" else len(positions) - 1
        seen_destroyed = seen_destroyed or "destroyed(o)" in labels
    return len(positions) - 1


def trace_steps(obligation: Obligation, positions: list[Position]) -> tuple[TraceStep, ...]:
    """The trace up to the step that breaks the clause, one line a step, without steps that say nothing."""
    last = _last(obligation, positions)
    return _lines(obligation, positions[: last + 1], last)


def witness_steps(obligation: Obligation, positions: list[Position]) -> tuple[TraceStep, ...]:
    """A trace that breaks nothing, to its end."""
    return _lines(obligation, positions, None)


def _lines(obligation: Obligation, positions: list[Position], last: int | None) -> tuple[TraceStep, ...]:
    lines: list[TraceStep] = []
    needed = _needed(positions, last) | _overtaken(obligation, positions, last)
    for index, position in enumerate(positions):
        step = position.step
        labels = _labels(position)
        told = step.id in needed or (last is None and bool(labels))
        if step.kind == "read" and step.callback and not told:
            continue
        if step.kind in ("lock", "unlock") and step.field == "refcount":
            event = "get" if step.kind == "lock" else "put"
        elif step.kind == "call" and step.id.endswith(":entry"):
            event = "call"
        else:
            event = step.kind
        name = f"{step.object}->{step.field}" if step.object and step.field not in ("", "*") else step.object
        cpu = -1 if step.kind in ("gp-start", "gp-end") else position.thread.cpu
        lines.append(
            TraceStep(
                cpu,
                len(lines) + 1,
                step.source.function or position.thread.name,
                step.source.file,
                step.source.line,
                event,
                name,
                _note(obligation, position, labels, index == last),
            )
        )
    return tuple(lines)


def _needed(positions: list[Position], last: int | None) -> set[str]:
    """The reads that the story needs: those through which what is freed and what is touched is reached."""
    vias = {p.step.id: p.step.via for p in positions}
    needed = {p.step.id for p in positions if ("fetch(o)", "any") in p.step.labels}
    told = [p.step.id for p in positions if p.step.kind in ("free", "defer")]
    told += [] if last is None else [positions[last].step.id]
    for step in told:
        current: str | None = step
        while current is not None and current not in needed:
            needed.add(current)
            current = vias.get(current)
    return needed


def _overtaken(obligation: Obligation, positions: list[Position], last: int | None) -> set[str]:
    """The reads, where threads have views of their own, that the last step is executed for: one of them sees
    what was stored over by then."""
    if last is None:
        return set()
    atoms = {a.name: a for a in obligation.scenario.atoms}
    names = {n for cube in positions[last].step.guard for n, _ in cube}
    for name in reversed(atoms):
        if name in names:
            names |= {n for cube in atoms[name].definition for n, _ in cube}
    tested = {atoms[n].step for n in names if n in atoms}
    return {p.step.id for p in positions if p.step.id in tested and p.step.view}


def _note(obligation: Obligation, position: Position, labels: set[str], last: bool) -> str:
    step = position.step
    path = f"{step.object}->{step.field}" if step.object and step.field not in ("", "*") else step.object
    verb = _VERBS.get(step.kind, step.kind)
    text = f"{verb} {path}".strip()
    if step.kind in ("enter", "leave", "gp-start", "gp-end"):
        text = verb
    elif step.kind == "call":
        text = step.note or text
    elif step.kind == "fence":
        text = step.note or f"smp_{step.value}()"
    elif not step.callback and step.note:
        text = f"{step.note}" + (f" ({path})" if path and path not in step.note else "")
    elif step.kind == "free" or step.kind == "defer":
        text = f"{verb} {step.object} by {step.note}" if step.note else f"{verb} {step.object}"
    elif step.kind == "write" and step.value == "null":
        text = f"sets {path} to NULL"
    elif step.kind == "read" and position.value == "null":
        text = f"reads {path}: NULL"
    elif step.kind == "read" and step.view and position.value and step.callback:
        text = f"reads {path}: not NULL"
    elif step.kind in ("read", "write") and step.note and step.note.endswith("()"):
        text = f"{verb} {path} in {step.note}"
    if last and "access(o)" in labels and position.reach != "null" and step.object == obligation.object:
        text += f": {obligation.object} is freed memory"
    if last and ("null_access(o)" in labels or ("access(o)" in labels and position.reach == "null")):
        text += ": through a NULL pointer"
    return text


def _place(position: Position) -> str:
    source = position.step.source
    return f"{source.function}() ({source.file}:{source.line})" if source.file else f"{source.function}()"


def summary(obligation: Obligation, positions: list[Position]) -> str:
    """One sentence that says what happened."""
    last = positions[_last(obligation, positions)]
    clause = obligation.clause.id
    if clause.startswith("rcu-delay"):
        freed = next((p for p in positions if "destroyed(o)" in _labels(p)), last)
        if freed.step.kind == "write":
            return (
                f"{_place(last)} dereferences {obligation.object} untested inside its read-side section "
                f"after {_place(freed)} set it to NULL, {_waited(positions, freed)}"
            )
        how = freed.step.note or "at once"
        return (
            f"{_place(last)} {'writes' if last.step.kind == 'write' else 'reads'} {obligation.object} "
            f"inside its read-side section after {_place(freed)} freed it with {how}, "
            f"{_waited(positions, freed)}"
        )
    if clause == "null-inode":
        return (
            f"{_place(last)} dereferences {obligation.object} after it turned NULL: "
            "it was fetched again, or never tested"
        )
    if clause == "no-blocking":
        return f"{_place(last)} {last.step.note or 'may sleep'} where ->{obligation.callbacks[0]}() may not"
    if clause == "no-double-free":
        return f"{_place(last)} frees {obligation.object}, which one teardown frees before"
    if clause == "balanced-locks":
        return f"{obligation.functions[0]}() can return with {obligation.object} not as it was on entry"
    if clause == "prune-keeps-locks":
        return f"{_place(last)} drops {obligation.object}, which ->d_prune()'s caller holds"
    if clause == "prune-frees-nothing":
        return f"{_place(last)} frees {last.step.object} while the dentry is still hashed"
    if clause == "dead-stays-dead":
        return f"{_place(last)} takes a counted reference to a dentry that is already dead"
    return f"{_place(last)} stores to {last.step.object}->{last.step.field}"


def _waited(positions: list[Position], freed: Position) -> str:
    """Why what the trace waits for before the free did not keep it from the reader."""
    ended = [p.step for p in positions[: positions.index(freed)] if p.step.kind == "gp-end"]
    if not ended:
        return "no grace period between them"
    if all(s.field for s in ended):
        return "only a grace period of SRCU between them, which waits for no RCU reader"
    return "the grace period before it had begun before that section"


def fix(obligation: Obligation, positions: list[Position]) -> str:
    """The smallest change that would make the clause hold, where that is plain; else ""."""
    last = positions[_last(obligation, positions)]
    clause = obligation.clause.id
    if obligation.debug:
        where = last.step.source
        return (
            f"leave what {obligation.object} points to out of the debug print at {where}"
            if where.file
            else ""
        )
    if clause.startswith("rcu-delay"):
        freed = next((p for p in positions if "destroyed(o)" in _labels(p)), None)
        if freed is None or not freed.step.source.file:
            return ""
        if freed.step.kind == "write":
            read = next((p for p in positions if p.step.id == last.step.via), last)
            return f"test {obligation.object}, read once, in {read.step.source.function}()"
        kind = freed.step.note.rstrip("()")
        way = {"kfree": "kfree_rcu()", "kvfree": "kvfree_rcu()", "kmem_cache_free": "call_rcu()"}.get(
            kind, "an RCU callback (call_rcu())"
        )
        if freed.step.callback == "d_prune":
            return f"free {obligation.object} later, in ->d_release(), with {way}"
        if freed.step.callback in ("evict_inode", "destroy_inode"):
            return f"free {obligation.object} in ->free_inode() instead of in {freed.step.source.function}()"
        return f"free {obligation.object} with {way} in {freed.step.source.function}()"
    if clause == "null-inode":
        return (
            f"fetch {obligation.object} once with d_inode_rcu() and test it, in {last.step.source.function}()"
        )
    if (
        clause == "no-blocking"
        and len(obligation.callbacks) == 1
        and obligation.callbacks[0] not in ("d_hash", "d_compare", "d_prune", "d_delete")
    ):
        return f"return -ECHILD in RCU mode before {last.step.source}"
    return ""
