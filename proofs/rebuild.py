"""Certificates against the models: whether each is of an obligation that the models come to.

This is what a certificate by itself cannot say: that its scenario is the right one. It builds the obligations
anew, from the models that the installation keeps, and compares; no solver has a part in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..checker.form import Certificate, Entry
from ..spec.contract import clauses
from ..spec.modelfile import load
from ..spec.vfs import vfs
from .certificate import _sources, file_stem
from .kept import kept, kept_kernel, kept_text
from .obligation import Obligation
from .obligations import questions


def differing(certificates: Sequence[tuple[Entry, Certificate]]) -> Iterator[tuple[str, str]]:
    """Of each certificate that is not what the models come to, its file and why."""
    for kernel, memory_model in dict.fromkeys((c.kernel, c.memory_model) for _, c in certificates):
        own = [(e, c) for e, c in certificates if (c.kernel, c.memory_model) == (kernel, memory_model)]
        wanted = {(c.filesystem, c.table) for _, c in own}
        known = _obligations(kernel, wanted, memory_model)
        for entry, found in own:
            question = known.get(entry.file.removesuffix(".json"))
            if question is None or question.scenario != found.scenario:
                yield entry.file, f"no obligation of the models of {kernel} has this scenario"
            elif (question.clause.id, question.object, question.callbacks) != (
                found.clause,
                found.object,
                found.callbacks,
            ):
                yield entry.file, "it is named as another obligation than the models have"
            elif tuple(map(tuple, _sources(question.model, question.scenario))) != found.sources:
                yield entry.file, "its sources are not those that the model was read from"


def _obligations(kernel: str, tables: set[tuple[str, str]], memory_model: str) -> dict[str, Obligation]:
    version = kept_kernel(kernel)
    found: dict[str, Obligation] = {}
    for model in kept(version, everything=True):
        read = load(kept_text(model.name), model.name)
        if (read.filesystem, read.table) in tables:
            for clause in clauses():
                for question in questions(read, clause, vfs(kernel)):
                    if isinstance(question, Obligation):
                        found[file_stem(question, memory_model)] = question
    return found
