"""From one C function to a graph of steps (`reader/steps.py`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import tree_sitter

from .parse import Parsed, errors, parse_function
from .source import Definition, SourceFile
from .steps import (
    NEGATIVE,
    OTHER,
    POSITIVE,
    ZERO,
    Address,
    Assign,
    Binary,
    Both,
    Call,
    Choice,
    Const,
    Deref,
    Either,
    Expr,
    Forget,
    Graph,
    Member,
    Mixed,
    Node,
    Not,
    Unary,
    Var,
    idle,
    liveness,
    shortened,
    strip,
    use,
)

_SAME = frozenset(
    {
        "likely",
        "unlikely",
        "READ_ONCE",
        "ACCESS_ONCE",
        "smp_load_acquire",
        "rcu_dereference",
        "rcu_dereference_check",
        "rcu_dereference_raw",
        "lockless_dereference",
        "WARN_ON",
        "WARN_ON_ONCE",
        "WARN",
        "READ_ONCE_NOCHECK",
        "data_race",
        "dget",
        "__dget_dlock",
        "dget_dlock",
        "igrab",
    }
)
"""Functions and macros whose value is that of their first argument."""

_STORES = frozenset({"WRITE_ONCE", "smp_store_release", "rcu_assign_pointer"})
_TYPED = re.compile(r"\b(?:offsetof|alloc_percpu)\s*\([^()\n]*\)")
"""Macros that take a type: a number, as far as this goes."""

_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]*$")
_GUARDS = frozenset({"guard", "scoped_guard", "scoped_cond_guard", "CLASS", "scoped_class"})


TELLING = frozenset({"d_parent", "d_inode", "d_flags", "flags", "f_mode", "d_op", "i_op", "s_op", "count"})
"""Members whose value the analysis can know, or through which a method is called."""


def graph(file: SourceFile, definition: Definition, matters: Callable[[str], bool]) -> Graph:
    """The graph of a function that `file` defines; `matters` says whether a call of a function or method of
    that name can do something that is tracked."""
    start = definition.start
    text = _TYPED.sub(lambda m: "0" + " " * (len(m.group()) - 1), file.text[start : definition.end])
    piece = parse_function(text, definition.name, start)
    problems = tuple(start + e.start_byte for e in errors(piece.root))
    builder = _Builder(piece, matters)
    try:
        built = builder.function()
    except RecursionError:
        built = None
    if built is None:
        nothing, problems = [frozenset[str]()], problems or (start,)
        return Graph(definition.name, file, start, (), {}, [Node("end")], 0, problems, nothing, nothing)
    parameters, entry = built
    nodes = builder.nodes
    uses = [use(node.expr) for node in nodes]
    strip(nodes, uses, liveness(nodes, uses)[0])
    entry = shortened(nodes, entry)
    problems += tuple(start + at for at in builder.problems)
    live, through = liveness(nodes, uses)
    types = builder.types
    return Graph(definition.name, file, start, parameters, types, nodes, entry, problems, live, through)


class _Builder:
    """Builds nodes from the last statement to the first: each knows what follows it."""

    def __init__(self, piece: Parsed, matters: Callable[[str], bool]) -> None:
        self.piece = piece
        self.matters = matters
        self.nodes: list[Node] = []
        self.types: dict[str, tuple[str, int]] = {}
        self.labels: dict[str, int] = {}
        self.breaks: list[int] = []
        self.continues: list[int] = []
        self.problems: list[int] = []

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def text(self, node: tree_sitter.Node) -> str:
        return self.piece.string(node)

    def function(self) -> tuple[tuple[str, ...], int] | None:
        """The parameters of the function and where its graph begins; None if the piece is no function."""
        node = next((c for c in self.piece.root.named_children if c.type == "function_definition"), None)
        body = node.child_by_field_name("body") if node is not None else None
        if node is None or body is None:
            return None
        parameters = self.parameters(node)
        self.declare(body)
        return parameters, self.statement(body, self.add(Node("end")))

    # -- declarations ------------------------------------------------------------------------------

    def parameters(self, function: tree_sitter.Node) -> tuple[str, ...]:
        """The names of the parameters, in order; their types are remembered."""
        found: list[str] = []
        declarator = function.child_by_field_name("declarator")
        while declarator is not None and declarator.type != "function_declarator":
            declarator = declarator.child_by_field_name("declarator")
        listed = declarator.child_by_field_name("parameters") if declarator is not None else None
        for child in listed.named_children if listed is not None else ():
            if child.type == "parameter_declaration":
                found.append(self._declared(child, child.child_by_field_name("declarator")))
        return tuple(found)

    def declare(self, node: tree_sitter.Node) -> None:
        """Remember the types of the variables that are declared anywhere below `node`."""
        for child in node.named_children:
            if child.type == "declaration":
                for each in child.children_by_field_name("declarator"):
                    self._declared(child, each)
            if child.type.endswith(("statement", "clause")) or child.type.startswith(("preproc", "decl")):
                self.declare(child)

    def _declared(self, declaration: tree_sitter.Node, declarator: tree_sitter.Node | None) -> str:
        """Remember the type of the variable that `declarator` declares; its name."""
        specifier = declaration.child_by_field_name("type")
        tag = ""
        if specifier is not None and specifier.type in ("struct_specifier", "union_specifier"):
            named = specifier.child_by_field_name("name")
            tag = self.text(named) if named is not None else ""
        elif specifier is not None and specifier.type == "type_identifier":
            tag = self.text(specifier)
        depth = 0
        while declarator is not None and declarator.type != "identifier":
            depth += declarator.type == "pointer_declarator"
            if declarator.type == "function_declarator":
                tag = ""
            declarator = declarator.child_by_field_name("declarator") or next(
                (
                    c
                    for c in declarator.named_children
                    if c.type.endswith("declarator") or c.type == "identifier"
                ),
                None,
            )
        name = self.text(declarator) if declarator is not None else ""
        if name:
            self.types[name] = (tag, depth)
        return name

    # -- statements --------------------------------------------------------------------------------

    def statement(self, node: tree_sitter.Node, then: int) -> int:
        """The entry of the graph of a statement that `then` follows."""
        maker: Callable[[_Builder, tree_sitter.Node, int], int] | None = _STATEMENTS.get(node.type)
        if maker is not None:
            return maker(self, node, then)
        if node.type in _SILENT:
            return then
        return self._do(self.expression(node), then)

    def block(self, nodes: Iterable[tree_sitter.Node], then: int) -> int:
        for child in reversed(list(nodes)):
            then = self.statement(child, then)
        return then

    def _do(self, expr: Expr, then: int) -> int:
        return then if idle(expr) else self.add(Node("do", expr, then))

    def _compound(self, node: tree_sitter.Node, then: int) -> int:
        return self.block(node.named_children, then)

    def _expression(self, node: tree_sitter.Node, then: int) -> int:
        return self._do(self._parts(node), then)

    def _declaration(self, node: tree_sitter.Node, then: int) -> int:
        for child in reversed(node.children_by_field_name("declarator")):
            if child.type == "init_declarator":
                name = self._declared(node, child)
                value = child.child_by_field_name("value")
                if name and value is not None:
                    assigned = Assign(Var(name), "", self.expression(value), self._at(child))
                    then = self.add(Node("do", assigned, then))
        return then

    def _if(self, node: tree_sitter.Node, then: int) -> int:
        condition = node.child_by_field_name("condition")
        consequence = node.child_by_field_name("consequence")
        alternative = node.child_by_field_name("alternative")
        word = self.piece.words.get(node.start_byte, "")
        first = self.statement(consequence, then) if consequence is not None else then
        if word in _GUARDS:
            return self._guarded(word, node, condition, first)
        second = self.block(alternative.named_children, then) if alternative is not None else then
        return self._branch(condition, first, second)

    def _guarded(
        self, word: str, node: tree_sitter.Node, condition: tree_sitter.Node | None, then: int
    ) -> int:
        """``scoped_guard(rcu) { ... }``: what it holds is told where it is entered."""
        args = (self._parts(condition),) if condition is not None else ()
        return self.add(Node("do", Call(word, None, args, self._at(node)), then))

    def _branch(self, condition: tree_sitter.Node | None, first: int, second: int) -> int:
        expr = self.expression(condition) if condition is not None else OTHER
        if first == second:
            return self._do(expr, first)
        return self.add(Node("if", expr, first, second))

    def _while(self, node: tree_sitter.Node, then: int) -> int:
        condition, body = node.child_by_field_name("condition"), node.child_by_field_name("body")
        head = self.add(Node("end"))
        self.breaks.append(then)
        self.continues.append(head)
        inside = self.statement(body, head) if body is not None else head
        self.breaks.pop()
        self.continues.pop()
        expr = self._parts(condition) if condition is not None else OTHER
        if node.start_byte in self.piece.words:
            self.nodes[head] = Node("bind", expr, inside, then)
        else:
            self.nodes[head] = Node("if", expr, inside, then)
        return head

    def _do_while(self, node: tree_sitter.Node, then: int) -> int:
        condition, body = node.child_by_field_name("condition"), node.child_by_field_name("body")
        test = self.add(Node("end"))
        self.breaks.append(then)
        self.continues.append(test)
        inside = self.statement(body, test) if body is not None else test
        self.breaks.pop()
        self.continues.pop()
        self.nodes[test] = Node(
            "if", self.expression(condition) if condition is not None else OTHER, inside, then
        )
        return inside

    def _for(self, node: tree_sitter.Node, then: int) -> int:
        start, update = node.child_by_field_name("initializer"), node.child_by_field_name("update")
        condition, body = node.child_by_field_name("condition"), node.child_by_field_name("body")
        head = self.add(Node("end"))
        again = self._do(self._parts(update), head) if update is not None else head
        self.breaks.append(then)
        self.continues.append(again)
        inside = self.statement(body, again) if body is not None else again
        self.breaks.pop()
        self.continues.pop()
        test = self._parts(condition) if condition is not None else Const(POSITIVE)
        self.nodes[head] = Node("if", test, inside, then)
        return self.statement(start, head) if start is not None else head

    def _switch(self, node: tree_sitter.Node, then: int) -> int:
        """Any case may be meant, and none."""
        condition, body = node.child_by_field_name("condition"), node.child_by_field_name("body")
        self.breaks.append(then)
        starts, following = [then], then
        for child in reversed(body.named_children if body is not None else ()):
            if child.type == "case_statement":
                value = child.child_by_field_name("value")
                following = self.block((c for c in child.named_children if c != value), following)
                starts.append(following)
            else:
                following = self.statement(child, following)
        self.breaks.pop()
        entry = starts[0]
        for start in starts[1:]:
            entry = self.add(Node("any", OTHER, start, entry))
        return self._do(self.expression(condition), entry) if condition is not None else entry

    def _return(self, node: tree_sitter.Node, then: int) -> int:
        parts = [c for c in node.named_children if c.type != "comment"]
        return self.add(Node("return", self.expression(parts[0]) if parts else OTHER))

    def _break(self, node: tree_sitter.Node, then: int) -> int:
        return self.breaks[-1] if self.breaks else self._lost(node, then)

    def _continue(self, node: tree_sitter.Node, then: int) -> int:
        return self.continues[-1] if self.continues else self._lost(node, then)

    def _lost(self, node: tree_sitter.Node, then: int) -> int:
        self.problems.append(node.start_byte)
        return then

    def _label(self, name: str) -> int:
        if name not in self.labels:
            self.labels[name] = self.add(Node("end"))
        return self.labels[name]

    def _goto(self, node: tree_sitter.Node, then: int) -> int:
        label = node.child_by_field_name("label")
        return self._label(self.text(label)) if label is not None else self._lost(node, then)

    def _labelled(self, node: tree_sitter.Node, then: int) -> int:
        label = node.child_by_field_name("label")
        place = self._label(self.text(label)) if label is not None else self.add(Node("end"))
        inside = self.block((c for c in node.named_children if c != label), then)
        self.nodes[place] = Node("do", OTHER, inside)
        return place

    def _preprocessor(self, node: tree_sitter.Node, then: int) -> int:
        """``#if``: what stands in it, or what stands in its ``#else``."""
        skipped = {node.child_by_field_name(n) for n in ("condition", "name", "alternative")}
        alternative = node.child_by_field_name("alternative")
        first = self.block((c for c in node.named_children if c not in skipped), then)
        second = self.statement(alternative, then) if alternative is not None else then
        return first if first == second else self.add(Node("any", OTHER, first, second))

    # -- expressions -------------------------------------------------------------------------------

    def expression(self, node: tree_sitter.Node) -> Expr:
        """`node` as an expression."""
        maker: Callable[[_Builder, tree_sitter.Node], Expr] | None = _EXPRESSIONS.get(node.type)
        return maker(self, node) if maker is not None else self._mixed(node)

    def _at(self, node: tree_sitter.Node) -> int:
        return self.piece.offset + node.start_byte

    def _mixed(self, node: tree_sitter.Node) -> Expr:
        parts = tuple(p for p in map(self.expression, node.named_children) if not idle(p))
        return Mixed(parts) if parts else OTHER

    def _parts(self, node: tree_sitter.Node) -> Expr:
        """The one expression inside `node` (parentheses, a statement)."""
        if node.type not in ("parenthesized_expression", "expression_statement"):
            return self.expression(node)
        inner = [c for c in node.named_children if c.type != "comment"]
        return self.expression(inner[0]) if len(inner) == 1 else self._mixed(node)

    def _name(self, node: tree_sitter.Node) -> Expr:
        name = self.text(node)
        if name in ("NULL", "false", "FALSE"):
            return Const(ZERO)
        if name in ("true", "TRUE"):
            return Const(POSITIVE)
        return Const(POSITIVE, name) if _CONSTANT.match(name) and name not in self.types else Var(name)

    def _number(self, node: tree_sitter.Node) -> Expr:
        return Const(ZERO if re.fullmatch(r"0[xX]?0*[uUlL]*", self.text(node)) else POSITIVE)

    def _member(self, node: tree_sitter.Node) -> Expr:
        base, field = node.child_by_field_name("argument"), node.child_by_field_name("field")
        if base is None or field is None:
            return self._mixed(node)
        inner, name = self.expression(base), self.text(field)
        if isinstance(inner, Var) and self.types.get(inner.name, ("", 1))[1] == 0 and name not in TELLING:
            return Var(f"{inner.name}.{name}")  # a member of a local structure is a variable as good as any
        return Member(inner, name)

    def _pointer(self, node: tree_sitter.Node) -> Expr:
        argument = node.child_by_field_name("argument")
        if argument is None:
            return self._mixed(node)
        inner = self.expression(argument)
        if self.text(node).startswith("&"):
            return inner.of if isinstance(inner, Deref) else Address(inner)
        return inner.of if isinstance(inner, Address) else Deref(inner)

    def _unary(self, node: tree_sitter.Node) -> Expr:
        argument, operator = node.child_by_field_name("argument"), node.child_by_field_name("operator")
        if argument is None or operator is None:
            return self._mixed(node)
        inner, sign = self.expression(argument), self.text(operator)
        if sign == "!":
            return Not(inner)
        if sign == "-" and isinstance(inner, Const):
            swapped = {POSITIVE: NEGATIVE, NEGATIVE: POSITIVE}
            return Const(swapped.get(inner.sign, inner.sign))
        return Unary(sign, inner)

    def _binary(self, node: tree_sitter.Node) -> Expr:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = node.child_by_field_name("operator")
        if left is None or right is None:
            return self._mixed(node)
        sign = self.text(operator) if operator is not None else ","
        a, b = self.expression(left), self.expression(right)
        if sign in _TOLD and (_dumb(a) or _dumb(b)):
            parts = tuple(p for p in (a, b) if not idle(p))
            return Mixed(parts) if parts else OTHER
        return Both(a, b) if sign == "&&" else Either(a, b) if sign == "||" else Binary(sign, a, b)

    def _assign(self, node: tree_sitter.Node) -> Expr:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = node.child_by_field_name("operator")
        if left is None or right is None or operator is None:
            return self._mixed(node)
        sign = self.text(operator)[:-1]
        return Assign(self.expression(left), sign, self.expression(right), self._at(node))

    def _update(self, node: tree_sitter.Node) -> Expr:
        argument = node.child_by_field_name("argument")
        if argument is None:
            return self._mixed(node)
        return Assign(self.expression(argument), "+", Const(POSITIVE), self._at(node))

    def _choice(self, node: tree_sitter.Node) -> Expr:
        condition = node.child_by_field_name("condition")
        then, otherwise = node.child_by_field_name("consequence"), node.child_by_field_name("alternative")
        if condition is None or otherwise is None:
            return self._mixed(node)
        test = self.expression(condition)
        return Choice(test, self.expression(then) if then is not None else test, self.expression(otherwise))

    def _cast(self, node: tree_sitter.Node) -> Expr:
        value = node.child_by_field_name("value")
        return self.expression(value) if value is not None else OTHER

    def _call(self, node: tree_sitter.Node) -> Expr:
        call = self._bare_call(node)
        listed = node.child_by_field_name("arguments")
        for child in listed.named_children if listed is not None else ():
            if child.type == "pointer_expression" and self.text(child).startswith("&"):
                named = child.child_by_field_name("argument")
                if named is not None and named.type == "identifier" and self.text(named) in self.types:
                    call = Binary(",", Forget(self.text(named)), call)
        return call

    def _bare_call(self, node: tree_sitter.Node) -> Expr:
        function, listed = node.child_by_field_name("function"), node.child_by_field_name("arguments")
        if function is None or listed is None:
            return self._mixed(node)
        args = tuple(self.expression(c) for c in listed.named_children if c.type != "comment")
        if function.type == "call_expression":  # guard(spinlock)(&lock), CLASS(fd_raw, f)(fd)
            inner = self.expression(function)
            return inner._replace(args=(*inner.args, *args)) if isinstance(inner, Call) else Mixed(args)
        target = self.expression(function)
        if isinstance(target, Deref):
            target = target.of
        if isinstance(target, Const) and target.name:
            target = Var(target.name)
        if not isinstance(target, Var):
            known = isinstance(target, Member) and self.matters(target.field)
            return Call("", target, args, self._at(node)) if known else _parts_of((target, *args))
        if target.name in _SAME and args:
            return args[0]
        if target.name in _STORES and len(args) == 2:
            place = args[0].of if isinstance(args[0], Address) else args[0]
            if target.name == "smp_store_release" and not isinstance(args[0], Address):
                place = Deref(args[0])
            return Assign(place, "", args[1], self._at(node))
        if target.name.partition(".")[0] not in self.types and not self.matters(target.name):
            return _parts_of(args)
        return Call(target.name, None, args, self._at(node))


_TOLD = frozenset({"==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "<<", ">>", "^"})
"""Operators that tell nothing if one side is unknown."""


def _parts_of(exprs: Iterable[Expr]) -> Expr:
    parts = tuple(e for e in exprs if not idle(e))
    return Mixed(parts) if parts else OTHER


def _dumb(expr: Expr) -> bool:
    """Whether the value of `expr` is never known."""
    if isinstance(expr, Mixed | Deref):
        return True
    return isinstance(expr, Member) and expr.field not in TELLING


_STATEMENTS: dict[str, Callable[[_Builder, tree_sitter.Node, int], int]] = {
    "compound_statement": _Builder._compound,
    "expression_statement": _Builder._expression,
    "declaration": _Builder._declaration,
    "if_statement": _Builder._if,
    "else_clause": _Builder._compound,
    "while_statement": _Builder._while,
    "do_statement": _Builder._do_while,
    "for_statement": _Builder._for,
    "switch_statement": _Builder._switch,
    "return_statement": _Builder._return,
    "break_statement": _Builder._break,
    "continue_statement": _Builder._continue,
    "goto_statement": _Builder._goto,
    "labeled_statement": _Builder._labelled,
    "preproc_if": _Builder._preprocessor,
    "preproc_ifdef": _Builder._preprocessor,
    "preproc_elif": _Builder._preprocessor,
    "preproc_else": _Builder._compound,
}
_SILENT = frozenset(
    {"comment", "preproc_def", "preproc_function_def", "preproc_call", "preproc_include", ";"}
)
_EXPRESSIONS: dict[str, Callable[[_Builder, tree_sitter.Node], Expr]] = {
    "identifier": _Builder._name,
    "true": _Builder._name,
    "false": _Builder._name,
    "null": _Builder._name,
    "number_literal": _Builder._number,
    "field_expression": _Builder._member,
    "pointer_expression": _Builder._pointer,
    "unary_expression": _Builder._unary,
    "binary_expression": _Builder._binary,
    "comma_expression": _Builder._binary,
    "assignment_expression": _Builder._assign,
    "update_expression": _Builder._update,
    "conditional_expression": _Builder._choice,
    "cast_expression": _Builder._cast,
    "parenthesized_expression": _Builder._parts,
    "expression_statement": _Builder._parts,
    "call_expression": _Builder._call,
}
