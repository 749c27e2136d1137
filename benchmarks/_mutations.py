"""What can be broken in a module, one expression or statement at a time. Pure: text in, texts out."""

from __future__ import annotations

import ast
from collections import Counter
from typing import NamedTuple

__all__ = ["Mutant", "mutants"]

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
_ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_TEXTS = {"__repr__", "__str__", "__rich_repr__"}
_NAMES = {"__all__", "__slots__"}


class Mutant(NamedTuple):
    """One change of one module: the bytes from `start` to `end` are replaced."""

    module: str  # its path
    line: int
    start: int
    end: int
    replacement: str
    original: str  # the lines it is in, as one
    mutated: str

    def apply(self, source: str) -> str:
        """Return the module's text with the change."""
        return _replaced(source.encode(), self.start, self.end, self.replacement)

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.original} -> {self.mutated}"


def mutants(source: str, module: str = "") -> list[Mutant]:
    """Return all mutants of a module, in the order of its text."""
    text = source.encode()
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    finder, found = _Finder(), []
    finder.visit(ast.parse(source))
    for node, replacement in finder.found:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        first, last = starts[node.lineno - 1], starts[node.end_lineno]
        start, end = first + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        original = text[first:last].decode()
        mutated = _replaced(text[first:last], start - first, end - first, replacement)
        shown = (" ".join(each.split()) for each in (original, mutated))
        found.append(Mutant(module, node.lineno, start, end, replacement, *shown))
    return sorted(found)


def _replaced(text: bytes, start: int, end: int, replacement: str) -> str:
    return (text[:start] + replacement.encode() + text[end:]).decode()


class _Finder(ast.NodeVisitor):
    """Finds what can be changed: nodes, each with a text to stand in its place."""

    def __init__(self) -> None:
        self.found: list[tuple[ast.expr | ast.stmt, str]] = []
        self._function: ast.FunctionDef | ast.AsyncFunctionDef | None = None
        self._bound: Counter[str] = Counter()  # how often the function gives a value to a name

    def _put(self, node: ast.expr, other: ast.expr) -> None:
        text = ast.unparse(other)
        self.found.append((node, text if isinstance(other, ast.Name | ast.Constant) else f"({text})"))

    def _negate(self, node: ast.expr) -> None:
        if (other := _negation(node)) is not None:
            self._put(node, other)

    # -- what is left alone

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name in _TEXTS or any("overload" in ast.unparse(each) for each in node.decorator_list):
            return
        outer = self._function, self._bound
        stored = (each for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store))
        bound = [each.id for each in stored] + [each.arg for each in ast.walk(node) if isinstance(each, ast.arg)]
        self._function, self._bound = node, Counter(bound)
        for child in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(child)
        self._function, self._bound = outer

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and "TypeAlias" not in ast.unparse(node.annotation):
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """It is a text, and up to Python 3.11 its parts do not know where they stand."""

    # -- statements

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(isinstance(target, ast.Name) and target.id in _NAMES for target in node.targets):
            return
        self.generic_visit(node)
        if self._function is not None and all(map(self._can_stay_away, node.targets)):
            self.found.append((node, "pass"))

    def _can_stay_away(self, target: ast.expr) -> bool:
        if isinstance(target, ast.Name):
            return self._bound[target.id] > 1
        is_first = self._function is not None and self._function.name == "__init__"
        return isinstance(target, ast.Attribute | ast.Subscript) and not is_first

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        self.found.append((node, "pass"))
        if (other := _ARITHMETIC.get(type(node.op))) is not None:
            self.found.append((node, ast.unparse(ast.AugAssign(node.target, other(), node.value))))

    def visit_Expr(self, node: ast.Expr) -> None:
        self.generic_visit(node)
        if isinstance(node.value, ast.Call):
            self.found.append((node, "pass"))

    def visit_Return(self, node: ast.Return) -> None:
        self.generic_visit(node)
        if node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None):
            return
        returns = self._function.returns if self._function is not None else None
        kind = ast.unparse(returns) if returns is not None else ""
        if kind == "bool":
            self._negate(node.value)
        elif kind not in ("int", "float"):
            self.found.append((node, "return None"))
        elif not isinstance(node.value, ast.Constant):  # a constant has mutants of its own, and -0 is 0
            self._put(node.value, ast.UnaryOp(ast.USub(), node.value))

    def visit_If(self, node: ast.If | ast.IfExp) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self._negate(node.test)
            self.generic_visit(node)

    visit_IfExp = visit_If

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._negate(test)
        self.generic_visit(node)

    # -- expressions

    def visit_Compare(self, node: ast.Compare) -> None:
        self.generic_visit(node)
        for place, op in enumerate(node.ops):
            ops = [*node.ops[:place], _COMPARE[type(op)](), *node.ops[place + 1 :]]
            self._put(node, ast.Compare(node.left, ops, node.comparators))

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.generic_visit(node)
        if (other := _ARITHMETIC.get(type(node.op))) is not None and not _is_text(node):
            self._put(node, ast.BinOp(node.left, other(), node.right))

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.generic_visit(node)
        self._put(node, ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values))

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
            self._put(node.func, ast.Name("max" if node.func.id == "min" else "min"))

    def visit_Constant(self, node: ast.Constant) -> None:
        value, others = node.value, set[float]()
        if type(value) is int:
            others = {value + 1, 0}
        elif type(value) is float:
            others = {float(f"{value * 1.1:.6g}"), value * 2.0} if value else {1.0}
        for other in sorted(others - {value}):
            self._put(node, ast.Constant(other))


def _negation(node: ast.expr) -> ast.expr | None:
    """Return the contrary; None for a comparison whose own mutant is that."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return node.operand
    if isinstance(node, ast.Constant):
        return ast.Constant(not node.value)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and not isinstance(node.ops[0], _ORDER):
        return None
    return ast.UnaryOp(ast.Not(), node)


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
