"""An obligation as an SMT-LIB 2.6 script, commented, that any solver decides from its command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pysmt.fnode import FNode

from ..errors import InternalError
from .solver import LOGIC, Model
from .trace import Constraint


@dataclass(frozen=True)
class Script:
    """The text of a script, and its symbols by the names that they have in it (without ``|``)."""

    text: str
    symbols: Mapping[str, FNode]

    def model(self, values: Mapping[str, bool | int]) -> Model:
        """The model that a solver's values of the symbols are."""
        return Model({self.symbols[name]: value for name, value in values.items() if name in self.symbols})


def script(
    constraints: Sequence[Constraint], goal: FNode, *, status: str, comments: Iterable[str], source: str
) -> Script:
    """`constraints` and `goal` as a script. `status` is what the answer is known to be (sat, unsat, unknown);
    `comments` are put at its head, `source` says where the problem comes from."""
    writer = _Writer()
    lines: list[str] = []
    for constraint in constraints:
        lines += comment(constraint.text)
        lines += writer.asserted(constraint.formula, constraint.name)
    lines += comment("The contract is broken.")
    lines += writer.asserted(goal, "contract-broken")
    head = [line for text in comments for line in comment(text)]
    head += [
        "(set-info :smt-lib-version 2.6)",
        f"(set-logic {LOGIC})",
        f"(set-info :source {_bars(source)})",
        '(set-info :category "industrial")',
        f"(set-info :status {status})",
    ]
    declared = [f"(declare-const {quoted(n)} {s.symbol_type()})" for n, s in writer.symbols.items()]
    return Script("\n".join([*head, *declared, *lines, "(check-sat)", "(exit)", ""]), writer.symbols)


def comment(text: str) -> list[str]:
    """`text` as comment lines: whatever it contains, it stays within them."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    words, lines = printable.split(), [";"]
    for word in words:
        if len(lines[-1]) + len(word) > 100 and lines[-1] != ";":
            lines.append(";")
        lines[-1] += " " + word
    return lines


def escaped(name: str) -> str:
    """`name` with what no quoted symbol may contain (``|``, a backslash, what is not printable ASCII) written
    as ``%XX``, so that different names stay different."""

    def bytes_of(c: str) -> str:
        return "".join(f"%{b:02X}" for b in c.encode("utf-8", "surrogatepass"))

    return "".join(c if " " <= c <= "~" and c not in "|\\%" else bytes_of(c) for c in name)


def quoted(name: str) -> str:
    """An escaped name as a symbol."""
    return f"|{name}|"


def _bars(text: str) -> str:
    return "|" + "".join(c if " " <= c <= "~" and c not in "|\\" else "?" for c in text) + "|"


class _Writer:
    """Terms as text. A compound term that occurs twice gets a name of its own, so that no script is larger
    than what it says."""

    def __init__(self) -> None:
        self.symbols: dict[str, FNode] = {}
        self._texts: dict[FNode, str] = {}
        self._shared = 0

    def asserted(self, term: FNode, name: str) -> list[str]:
        """Definitions that are needed, then the assertion under `name`."""
        lines: list[str] = []
        text = self._text(term, lines)
        return [*lines, f"(assert (! {text} :named {quoted('use:' + escaped(name))}))"]

    def _text(self, root: FNode, lines: list[str]) -> str:
        uses: dict[FNode, int] = {}
        todo, order = [(root, False)], []
        while todo:
            term, left = todo.pop()
            if left:
                order.append(term)
            elif term not in self._texts:
                uses[term] = uses.get(term, 0) + 1
                if uses[term] == 1:
                    todo.append((term, True))
                    todo += [(a, False) for a in term.args()]
        for term in order:
            text = self._compound(term)
            if uses[term] > 1 and term.args() and not term.is_not():
                self._shared += 1
                lines.append(f"(define-fun t!{self._shared} () Bool {text})")
                text = f"t!{self._shared}"
            self._texts[term] = text
        found = self._texts[root]
        for term in order:  # what is not shared is written out once; keep names and symbols alone
            if term.args() and not self._texts[term].startswith("t!"):
                del self._texts[term]
        return found

    def _compound(self, term: FNode) -> str:
        if term.is_symbol():
            name = escaped(term.symbol_name())
            self.symbols[name] = term
            return quoted(name)
        if term.is_bool_constant():
            return "true" if term.constant_value() else "false"
        inner = " ".join(self._texts[a] for a in term.args())
        for is_it, operator in (
            (term.is_not(), "not"),
            (term.is_and(), "and"),
            (term.is_or(), "or"),
            (term.is_iff(), "="),
            (term.is_le(), "<="),
        ):
            if is_it:
                return f"({operator} {inner})"
        raise InternalError(f"no SMT-LIB for the term {term}")
