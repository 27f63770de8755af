"""Limits on the abstract execution of one method."""

from __future__ import annotations

UNROLL = 2
"""Rounds of a loop that are executed; of a loop inside another one, one."""
MAX_STATEMENTS = 30_000
"""Statements after which the execution ends, with a gap."""
MAX_DEPTH = 40
"""Nested activations past which the execution ends, with a gap."""
MAX_FOLLOWED = 6_000
"""Statements after which calls are followed only where `Following.follows` says so."""
MAX_CALLS = 24
"""Nested activations below which calls are followed only where `Following.follows` says so."""
SHALLOW = 6
"""Calls nested deeper than this are not followed for what is destroyed after a grace period alone."""
ACCESSOR_LENGTH = 600
"""Characters of a function that returns a pointer and counts as an accessor."""
LOCKERS_DEEP = 2
"""How many calls below a function are looked at for whether it returns with other locks."""
MAX_CANDIDATES = 16
"""Functions that a call through a pointer may reach; a call with more is not followed."""
MAX_ALTERNATIVES = 8
"""Alternatives of a value past which its constants become one unknown, as operators on scalars do."""
MAX_SCALARS = 2
"""Symbolic scalars among the alternatives of a value past which they become one."""
MAX_POINTERS = 3
"""Pointers read at different times from one place past which they become one."""
MAX_ELEMENTS = 8
"""The same for elements of one list: by which read one was found matters where it is taken out."""
