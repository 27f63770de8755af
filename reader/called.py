"""A call of a function that the table of kernel functions has."""

from __future__ import annotations

from typing import NamedTuple

import tree_sitter

from ..spec.kernel_functions import KernelFunction
from .values import Multi


class Called(NamedTuple):
    """What is called, the values of the arguments, their expressions if they are at hand, and the call."""

    known: KernelFunction
    values: list[Multi]
    args: list[tree_sitter.Node]
    node: tree_sitter.Node


__all__ = ["Called"]
