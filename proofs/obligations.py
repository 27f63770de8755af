"""Which questions a clause asks of one operations table: obligations, each a scenario and a formula.

A clause binds callbacks; an obligation is the clause for one pair of them (or one) and one object. What no
scenario can be built for is answered here at once: not applicable, with what is missing, or unknown, with
what was not understood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..spec.contract import Clause
from ..spec.program import Model
from ..spec.vfs import Vfs
from .delay import delay
from .nullness import null_inode
from .obligation import Question, gaps, plain
from .single import balanced, dead, double_free, no_blocking, prune, rcu_store
from .verdict import Result, Verdict

_Maker = Callable[[Model, Clause, Vfs], Iterator[Question]]

_MAKERS: dict[str, _Maker] = {
    "prune-keeps-locks": prune,
    "prune-frees-nothing": prune,
    "prune-is-const": prune,
    "dead-stays-dead": dead,
    "rcu-delay-dentry": delay,
    "rcu-delay-inode": delay,
    "rcu-delay-super": delay,
    "null-inode": null_inode,
    "no-blocking": no_blocking,
    "no-double-free": double_free,
    "balanced-locks": balanced,
    "rcu-no-store": rcu_store,
}


def questions(model: Model, clause: Clause, vfs: Vfs) -> Iterator[Question]:
    """Every obligation of `clause` for `model`, and what can be said without one."""
    maker = _MAKERS.get(clause.id)
    if maker is None or not clause.kernels.holds(model.kernel):
        yield plain(
            model,
            clause,
            Verdict.NOT_APPLICABLE,
            f"the clause holds for kernels {clause.kernels}, not {model.kernel}",
        )
        return
    for question in maker(model, clause, vfs):
        if isinstance(question, Result) and question.verdict is Verdict.NOT_APPLICABLE and model.gaps:
            # What could not be read may be what the table seems to lack.
            yield from gaps(model, clause, ())
        else:
            yield question
