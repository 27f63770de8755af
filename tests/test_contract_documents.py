"""The contract as documents: LaTeX that compiles, RST that locking.rst's own reader and docutils read,
Markdown, HTML that is well-formed; and the facts in them against trees and against the specification."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import docutils.core
import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dentryproof.commands.main import main
from dentryproof.errors import UsageError
from dentryproof.paper.documents import FORMS, contract
from dentryproof.proofs.engine import Request, contract_answer, handbook_answer
from dentryproof.proofs.handbook import Handbook, changes, handbook
from dentryproof.proofs.locking_check import check_documentation
from dentryproof.proofs.verdict import Overlap, OverlapAnswer, OverlapPair
from dentryproof.reader.locking_table import sections
from dentryproof.reader.source import SourceFile
from dentryproof.reader.tree import Tree
from dentryproof.report import escapes, formulas
from dentryproof.spec.contract import clauses
from dentryproof.spec.lifecycle import held, lifecycle
from dentryproof.spec.logic import BINARY, UNARY, Formula, parse
from dentryproof.spec.vfs import vfs

KERNELS = ("3.2", "3.12", "4.5", "5.0", "6.1", "6.12", "6.14")


SOLVED = "6.14"
"""The kernel whose matrix is decided here; the others have a made-up one, as it takes seconds each."""


def made_up(kernel: str) -> OverlapAnswer:
    """An overlap matrix with every kind of cell."""
    pairs = (
        OverlapPair("d_hash", "d_hash", Overlap.OVERLAPS),
        OverlapPair("d_hash", "d_prune", Overlap.UNKNOWN),
        OverlapPair("d_prune", "d_prune", Overlap.NEVER),
    )
    return OverlapAnswer(kernel, ("d_hash", "d_prune"), pairs)


@cache
def book(kernel: str) -> Handbook:
    """The contract of a kernel."""
    asked = Request(kernel=kernel)
    if kernel == SOLVED:
        return handbook_answer(asked, "5.0", "6.14")
    return handbook(contract_answer(asked), made_up(kernel), "5.0", "6.14")


@cache
def text(kernel: str, form: str) -> str:
    return contract(book(kernel), form)


# -- formulas ------------------------------------------------------------------------------------------------

_NAMES = st.sampled_from(["access", "once_seen", "p"])
_PREDICATES = st.builds(
    lambda name, params: Formula("pred", name=name, params=params),
    _NAMES,
    st.sampled_from([(), ("o",), ("d_lock", "x")]),
)


def _nested(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        st.builds(lambda op, a: Formula(op, (a,)), st.sampled_from([*UNARY, "not"]), inner),
        st.builds(Formula, st.sampled_from(["implies", *BINARY]), pairs),
        st.builds(Formula, st.sampled_from(["and", "or"]), st.one_of(pairs, st.tuples(inner, inner, inner))),
    )


FORMULAS = st.recursive(_PREDICATES, _nested, max_leaves=8)


def _read_back(shown: str) -> Formula:
    """A formula from its Unicode form: the letters and signs as words."""
    words = {letter: op for op, letter in formulas.LETTERS.items()}
    signs = {"¬": " !", "∧": "&", "∨": "|", "→": "->"}
    shown = "".join(signs.get(c, c) for c in shown)
    return parse(re.sub(r"\b[A-Z]\b", lambda m: words[m.group()], shown))


@given(FORMULAS)
def test_the_parentheses_of_a_formula_say_what_it_means(formula: Formula) -> None:
    assert _meaning(_read_back(formulas.unicode(formula))) == _meaning(formula)


def _meaning(f: Formula) -> Formula:
    """`f` with nested conjunctions and disjunctions flat, which is what no parentheses mean."""
    args = tuple(_meaning(a) for a in f.args)
    if f.op in ("and", "or"):
        args = tuple(b for a in args for b in (a.args if a.op == f.op else (a,)))
    return Formula(f.op, args, f.name, f.params)


@given(FORMULAS)
def test_every_form_of_a_formula_has_the_same_parts(formula: Formula) -> None:
    plain, latex, math = formulas.unicode(formula), formulas.latex(formula), formulas.mathml(formula)
    for sign, command in (("¬", r"\neg"), ("→", r"\rightarrow"), ("∧", r"\land"), ("∨", r"\lor")):
        assert plain.count(sign) == latex.count(command) == math.count(sign)
    assert latex.count("{") == latex.count("}")
    assert plain.count("(") == latex.count("(") == math.count(">(<")


def test_a_clause_is_typeset_from_its_tree() -> None:
    formula = next(c.formula for c in clauses() if c.id == "rcu-delay-dentry")
    assert formulas.unicode(formula) == "G (access(o) → ¬O destroyed(o))"
    inner = r"\mathit{access}(\mathit{o}) \rightarrow \neg \mathbf{O}\, \mathit{destroyed}(\mathit{o})"
    assert formulas.latex(formula) == rf"\mathbf{{G}}\, ({inner})"


# -- what is held, and the steps of teardown -----------------------------------------------------------------

# Read in fs/dcache.c of these kernels: __dentry_kill(), dput(), d_splice_alias(), __d_lookup().
HELD = (
    ("6.1", "d_prune", {"d_lock": "yes", "parent's d_lock": "yes"}),
    ("6.12", "d_prune", {"d_lock": "yes", "parent's d_lock": "no", "i_lock": "yes"}),
    ("6.12", "d_release", {"d_lock": "no", "parent's d_lock": "no", "i_lock": "no"}),
    ("5.0", "d_release", {"d_lock": "no", "parent's d_lock": "no", "i_lock": "no"}),
    ("6.12", "d_delete", {"d_lock": "yes", "rename_lock": "no"}),
    ("6.12", "d_compare", {"d_lock": "sometimes"}),
    ("6.14", "d_unalias_trylock", {"rename_lock": "yes", "d_lock": "no"}),
)


@pytest.mark.parametrize(("kernel", "method", "expected"), HELD)
def test_locks_around_a_callback(kernel: str, method: str, expected: dict[str, str]) -> None:
    found = held(vfs(kernel), method)
    assert {lock: found[lock] for lock in expected} == expected


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_locking_rst_says_is_held_is_held(kernel: str) -> None:
    """`Callback.locks`, stated for the documentation's table, follows from the sequences."""
    side = vfs(kernel)
    for callback in side.callbacks:
        found = held(side, callback.method)
        assert all(found[lock] != "no" for lock in callback.locks), callback.method
        assert all(lock in callback.locks for lock in ("d_lock", "rename_lock") if found[lock] == "yes")


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_dentry_dies_in_order(kernel: str) -> None:
    stages = lifecycle(vfs(kernel))
    at = {s.callback: i for i, s in enumerate(stages) if s.callback}
    assert at["d_prune"] < at["d_iput"] < at["d_release"]
    assert stages[at["d_prune"]].state == (True, True, True, "yes")
    assert stages[at["d_iput"]].state == stages[at["d_release"]].state == (True, False, False, "yes")
    assert stages[-1].memory == "until a grace period ends"
    assert not stages[-1].locks


# -- changes -------------------------------------------------------------------------------------------------


def test_changes_are_those_of_the_range() -> None:
    found = [kernel for kernel, _ in changes(vfs("6.12"), "5.0", "6.14")]
    assert (found[0], found[-1]) == ("5.2", "6.14")
    assert len(changes(vfs("6.12"))) > len(found)


@pytest.mark.parametrize(("since", "until"), [("6.14", "5.0"), ("soon", ""), ("", "x.y")])
def test_changes_of_no_range_are_an_error(since: str, until: str) -> None:
    with pytest.raises(UsageError):
        changes(vfs("6.12"), since, until)


# -- RST -----------------------------------------------------------------------------------------------------


def _document_tree(root: Path, kernel: str) -> Tree:
    """A tree that has nothing but the document."""
    folder = root / "Documentation" / "filesystems"
    folder.mkdir(parents=True)
    (folder / "locking.rst").write_text(text(kernel, "rst"), encoding="utf-8")
    (root / "fs").mkdir()
    numbers = [*kernel.split("."), "0"]
    head = zip(("VERSION", "PATCHLEVEL", "SUBLEVEL"), numbers, strict=False)
    (root / "Makefile").write_text("".join(f"{name} = {n}\n" for name, n in head), encoding="utf-8")
    return Tree(root)


@pytest.mark.parametrize("kernel", KERNELS)
def test_rst_is_read_as_locking_rst_and_agrees(tmp_path: Path, kernel: str) -> None:
    tree = _document_tree(tmp_path, kernel)
    assert [d.text for d in check_documentation(tree, vfs(kernel))] == []
    file = tree.file("Documentation/filesystems/locking.rst")
    assert isinstance(file, SourceFile)
    found = sections(file)
    for callback in vfs(kernel).callbacks:
        section = found[callback.of]
        columns = {"rename_lock", "->d_lock", "may block", "rcu-walk"}
        assert set(section.rows[callback.method].cells) == columns
        assert section.prototypes[callback.method][0] == callback.types


def test_a_wrong_row_would_be_seen(tmp_path: Path) -> None:
    tree = _document_tree(tmp_path, "6.12")
    path = tmp_path / "Documentation" / "filesystems" / "locking.rst"
    wrong = re.sub(r"(?m)^(d_prune: +no +)yes", r"\1no ", path.read_text(encoding="utf-8"))
    assert wrong != text("6.12", "rst")
    path.write_text(wrong, encoding="utf-8")
    assert any("d_prune" in d.text for d in check_documentation(tree, vfs("6.12")))


@pytest.mark.parametrize("kernel", KERNELS)
def test_rst_parses(kernel: str) -> None:
    warnings = io.StringIO()
    settings = {"warning_stream": warnings, "report_level": 2, "file_insertion_enabled": False}
    source = text(kernel, "rst")
    html = docutils.core.publish_string(source, writer="html5", settings_overrides=settings)
    assert warnings.getvalue() == ""
    assert all(c.id in html.decode() for c in clauses() if c.kernels.holds(kernel))


# -- the tree's own headers ----------------------------------------------------------------------------------

_STRUCT = re.compile(r"^struct dentry_operations \{(.*?)^\}", re.M | re.S)


def _trees() -> Iterator[Path]:
    folder = os.environ.get("DENTRYPROOF_TREES")
    for path in sorted(Path(folder).iterdir()) if folder else ():
        if (path / "include" / "linux" / "dcache.h").is_file():
            yield path


@pytest.mark.parametrize("tree", list(_trees()) or [None])
def test_declarations_are_those_of_the_header(tree: Path | None) -> None:
    if tree is None:
        pytest.skip("DENTRYPROOF_TREES names no kernel trees")
    found = _STRUCT.search((tree / "include" / "linux" / "dcache.h").read_text(encoding="utf-8"))
    assert found
    shown = re.sub(r"\b(type)(?=\))", "", " ".join(found.group(1).split()))
    declared = {"".join(d.split()) for d in shown.split(";") if d.strip()}
    side = vfs(Tree(tree).version)
    own = {"".join(c.declaration.split())[:-1] for c in side.callbacks if c.of == "dentry_operations"}
    assert own == declared


# -- LaTeX, Markdown, HTML -----------------------------------------------------------------------------------


def compiled(source: str, folder: Path) -> str:
    """The log of pdflatex, run twice; skips where there is none."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    (folder / "paper.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    for _ in range(2):
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
    return (folder / "paper.log").read_text(encoding="utf-8", errors="replace")


def check_log(log: str) -> None:
    """Nothing runs off the page, and nothing is undefined."""
    assert not re.findall(r"Overfull \\hbox \((?:[2-9]|\d\d+)\.\d+pt too wide\).*", log)
    assert "undefined references" not in log and "Missing character" not in log


@pytest.mark.parametrize("kernel", ["3.2", "6.14"])
def test_latex_compiles(tmp_path: Path, kernel: str) -> None:
    log = compiled(text(kernel, "latex"), tmp_path)
    check_log(log)
    assert "paper.pdf" in log


def _cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


def test_markdown_tables_are_even() -> None:
    blocks = re.findall(r"(?:^\|.*\n)+", text(SOLVED, "markdown"), re.M)
    assert len(blocks) == 5
    for block in blocks:
        lines = block.splitlines()
        assert {_cells(line) for line in lines} == {_cells(lines[0])}, lines[0]
        assert re.fullmatch(r"\|(?: --- \|)+", lines[1])


@pytest.mark.parametrize("kernel", KERNELS)
def test_html_is_valid(kernel: str) -> None:
    parser = html5lib.HTMLParser(strict=True)
    parser.parse(text(kernel, "html"))
    ids = re.findall(r'\bid="([^"]+)"', text(kernel, "html"))
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_whole_contract(form: str) -> None:
    shown = text("6.14", form).replace("\\", "").replace("allowbreak{}", "")
    for c in book("6.14").answer.clauses:
        assert c.id in shown
    for callback in book("6.14").callbacks:
        assert callback.method in shown
    for kernel, _ in book("6.14").changes:
        assert kernel in shown


# -- escaping ------------------------------------------------------------------------------------------------

HOSTILE = r"\input{/etc/passwd}$%&#_^~<script>alert(1)</script>|`x`*|{{7*7}}<<7>>" + "\n\x00\x1b[31m\u202e→"


@pytest.mark.parametrize("escape", [escapes.rst, escapes.markdown, escapes.latex])
def test_hostile_text_is_one_line_without_control_characters(escape: Callable[[str], str]) -> None:
    shown = escape(HOSTILE)
    assert "\n" not in shown and all(c.isprintable() for c in shown)


def test_hostile_text_compiles_as_text(tmp_path: Path) -> None:
    head = r"\documentclass{article}\begin{document}\sloppy "
    log = compiled(head + escapes.latex(HOSTILE * 3) + r"\end{document}", tmp_path)
    assert "(/etc/passwd" not in log


def test_hostile_text_is_text_in_rst() -> None:
    warnings = io.StringIO()
    settings = {"warning_stream": warnings, "report_level": 2}
    shown = "a " + escapes.rst(HOSTILE)
    tree = docutils.core.publish_doctree(shown, settings_overrides=settings)
    assert warnings.getvalue() == ""
    assert "<script>alert(1)</script>" in tree.astext() and "{{7*7}}" in tree.astext()


# -- the command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr("dentryproof.proofs.overlap.overlap", made_up)
    target = tmp_path / "contract"
    assert main(["contract", "--kernel", "6.12", "--format", form, "--output", str(target)]) == 0
    assert "rcu-delay-dentry" in target.read_text(encoding="utf-8")


def test_text_and_json_have_changes_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contract", "--kernel", "6.12", "--since", "6.9", "--until", "6.14"]) == 0
    assert "Changes by kernel version\n6.9 " in capsys.readouterr().out
    assert main(["contract", "--kernel", "6.12", "--since", "6.9", "--format", "json"]) == 0
    assert '"kernel": "6.9"' in capsys.readouterr().out
    assert main(["contract", "--kernel", "6.12", "--format", "json"]) == 0
    assert '"changes"' not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--since", "soon"], "'soon' is no kernel version"),
        (["--since", "6.14", "--until", "5.0", "--format", "html"], "newer than"),
        (["--format", "pdf"], "'pdf' is not one of"),
        (["--kernel", "six", "--format", "rst"], "'six' is no kernel version"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], args: list[str], says: str) -> None:
    assert main(["contract", *args]) == 2
    out, err = capsys.readouterr()
    assert out == "" and says in err and err.count("\n") == 1
