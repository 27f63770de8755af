"""What decides if nobody says otherwise. Imports nothing, so that whoever asks loads nothing."""

SAT = "sat"
"""The name, among solvers, of the propositional route."""
KNOWN_SOLVERS = ("z3", "cvc5", "msat", "yices")
"""Solvers that pySMT drives and that decide difference logic; each but z3 needs its own Python module."""
SOLVERS = (SAT, *KNOWN_SOLVERS)

SOLVER = SAT
"""The fastest of those that say what a proof holds by (bench/solvers.py)."""
MEMORY_MODEL = "lkmm"
