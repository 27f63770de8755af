"""What decides if nobody says otherwise. Imports nothing, so that whoever asks loads nothing."""

SAT = "sat"
"""The name, among solvers, of the propositional route."""
TRANSITIVE = "sat-transitive"
"""The same with all of transitivity in clauses from the start: a cross-check, slow on many steps."""
KNOWN_SOLVERS = ("z3", "cvc5", "msat", "yices")
"""Solvers that pySMT drives and that decide difference logic; each but z3 needs its own Python module."""
SOLVERS = (SAT, TRANSITIVE, *KNOWN_SOLVERS)

SOLVER = SAT
"""The fastest of those that say what a proof holds by (bench/solvers.py)."""
MEMORY_MODELS = ("lkmm", "sc")
"""Names of memory models: those of scenarios (`weak.py`) and of litmus tests (`models.py`)."""
MEMORY_MODEL = "lkmm"
