"""Times spin on obligations: write the model, generate the search, compile it, search.

    python bench/spin.py [--kernel VERSION] [FILESYSTEM...]

One line an obligation, tab-separated: clause, callbacks, whether spin found a breach, states stored, seconds.
Nothing asserts the figures.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dentryproof.encodings.promela import CONTRACT, WITNESS
from dentryproof.encodings.spin import ask
from dentryproof.proofs.export import promela_of
from dentryproof.proofs.kept import kept, kept_kernel, kept_text
from dentryproof.proofs.obligation import Obligation
from dentryproof.proofs.obligations import questions
from dentryproof.spec.contract import clauses
from dentryproof.spec.modelfile import load
from dentryproof.spec.vfs import vfs


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that one obligation took, and what was found. `search` is of the breach alone."""

    broken: bool
    states: int
    write: float
    generate: float
    compile: float
    search: float
    witness: float

    @property
    def total(self) -> float:
        """From the obligation to the verdict."""
        return self.write + self.generate + self.compile + self.search


def timed(obligation: Obligation, folder: Path) -> Times:
    """What spin takes for one obligation. `folder` is where it works. Errors: as `promela_of` and `ask`."""
    started = time.perf_counter()
    text = promela_of(obligation)
    written = time.perf_counter() - started
    said = ask(text, folder, (CONTRACT, WITNESS))
    breach, witness = said.of(CONTRACT), said.of(WITNESS)
    return Times(
        breach.error, breach.states, written, said.generate, said.compile, breach.seconds, witness.seconds
    )


def main() -> None:
    """Print a line for each obligation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel")
    parser.add_argument("filesystems", nargs="*", default=["autofs", "ceph", "nfs"])
    options = parser.parse_args()
    kernel = kept_kernel(options.kernel)
    print(
        "clause", "callbacks", "broken", "states", "write", "generate", "compile", "search", "total", sep="\t"
    )
    with tempfile.TemporaryDirectory() as folder:
        for one in kept(kernel, options.filesystems):
            model = load(kept_text(one.name), one.name)
            for clause in clauses():
                for question in questions(model, clause, vfs(kernel)):
                    if isinstance(question, Obligation):
                        t = timed(question, Path(folder))
                        seconds = (t.write, t.generate, t.compile, t.search, t.total)
                        print(
                            clause.id,
                            "-".join(question.callbacks),
                            t.broken,
                            t.states,
                            *(f"{s:.3f}" for s in seconds),
                            sep="\t",
                        )


if __name__ == "__main__":
    main()
