"""Small faults that a colleague in a hurry could make, one at a time: text in place of text.

Knows Python's grammar, and nothing of tests. A mutant is named by its function, its line's text and
what it does, not by its line's number: that may move.
"""

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

# An operator, and what a slip makes of it.
COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
}
NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "ceil": "floor",
    "floor": "ceil",
    "bisect_right": "bisect_left",
    "INTER_LINEAR": "INTER_NEAREST",
    "INTER_AREA": "INTER_NEAREST",
}
# Of texts that mean something to a machine: what SQLite and numpy are told.
WORDS = {
    "BEGIN IMMEDIATE": "BEGIN",
    "synchronous=FULL": "synchronous=OFF",
    "secure_delete=ON": "secure_delete=OFF",
    "foreign_keys=ON": "foreign_keys=OFF",
    "temp_store=MEMORY": "temp_store=FILE",
    "CASCADE": "SET NULL",
    "OR REPLACE": "OR IGNORE",
    "left": "right",
    "right": "left",
}
# Keywords that are no constants: an axis has a kind of its own, `strict` is an assertion.
OWN = ("axis", "strict")
# Whose two arguments are alike, or never taken for each other.
EITHER_WAY = ("min", "max", "minimum", "maximum", "logaddexp", "isinstance")
# What these are told is for people to read: no test holds its every word.
FOR_PEOPLE = re.compile(r"log|.*Error|Mend|did_you_mean")
Edit = tuple[ast.AST, str, str]  # what is replaced, by what, and the kind of fault


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault."""

    module: str  # its path below src/visavis
    line: int  # from 1
    end: int  # its last line
    function: str  # "" outside of all functions: it runs when the module is imported
    kind: str
    before: str  # its first line's text
    after: str  # the same with the fault
    text: str  # the whole module with the fault
    nth: int = 0  # of those that are otherwise alike

    @property
    def name(self) -> str:
        """What it is, wherever its line stands."""
        number = f" #{self.nth}" if self.nth else ""
        return f"{self.module} | {self.function} | {self.before} => {self.after}{number}"

    def place(self, seed: int) -> bytes:
        """Its place in a sample: by chance, and the same whatever else changes in the module."""
        return hashlib.sha256(f"{seed} {self.name}".encode()).digest()


def mutants_of(module: str, text: str) -> list[Mutant]:
    """Every fault of a module, in the order of its lines."""
    tree, lines = ast.parse(text), text.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    made: dict[str, Mutant] = {}
    alike: Counter[str] = Counter()
    for function, (node, new, kind) in _edits(tree, ""):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        whole = text.encode()
        mutated = (whole[:begin] + new.encode() + whole[end:]).decode()
        if mutated == text or mutated in made or not _compiles(mutated):
            continue
        before, after = _difference(text, mutated)
        mutant = Mutant(
            module, node.lineno, node.end_lineno, function, kind, before, after, mutated
        )
        mutant = replace(mutant, nth=alike[mutant.name])
        alike[replace(mutant, nth=0).name] += 1
        made[mutated] = mutant
    return sorted(made.values(), key=lambda mutant: (mutant.line, mutant.name))


def functions_of(text: str, line: int) -> tuple[int, int] | None:
    """First and last line of the innermost function around a line, with its decorators; None for
    what runs when the module is imported.
    """
    inner = None
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            begin = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if begin <= line <= node.end_lineno and (inner is None or begin >= inner[0]):
                inner = begin, node.end_lineno
    return inner


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _difference(before: str, after: str) -> tuple[str, str]:
    """The first line that differs, without its indentation, as it was and as it is."""
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next((a.strip(), b.strip()) for a, b in pairs if a != b)


def _edits(node: ast.AST, function: str) -> Iterator[tuple[str, Edit]]:
    """The faults of a node and of all below it, each with the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        if _is_for_people(child):
            continue
        inside = function
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inside = f"{function}.{child.name}".lstrip(".")
        for maker in MAKERS:
            yield from ((inside, edit) for edit in maker(child))
        yield from _edits(_parts(child), inside)


def _parts(node: ast.AST) -> ast.AST:
    """What of a node may hold faults: no annotations, no decorators, nothing that has a kind of
    fault of its own.
    """
    kept = ast.Module(body=[], type_ignores=[])
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            kept.body += value if isinstance(value, list) else [value]
    plain = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
    ruled = [node.slice] if plain and node.slice.value in (0, 1) else []
    kept.body = [one for one in kept.body if isinstance(one, ast.AST) and one not in ruled]
    kept.body = [one for one in kept.body if getattr(one, "arg", "") not in OWN]
    return kept


def _is_for_people(node: ast.AST) -> bool:
    """Whether a node only says something: a message, a docstring, a line of the log."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        node = node.value
    if isinstance(node, ast.Call):
        called = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        names = [one.id for one in (called, node.func) if isinstance(one, ast.Name)]
        return any(FOR_PEOPLE.fullmatch(name) for name in names)
    return False


def _constants(node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    if isinstance(value, bool):
        yield node, str(not value), "flag"
    elif isinstance(value, int):
        yield node, str(value + max(1, round(0.05 * value))), "constant"
        if value == 1:
            yield node, "0", "constant"
    elif isinstance(value, float):
        yield node, f"{value * 1.05 or 0.05:.6g}", "constant"
    elif isinstance(value, str) and value in WORDS:
        yield node, repr(WORDS[value]), "word"


def _comparisons(node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.Compare):
        return
    parts = [node.left, *node.comparators]
    for place, operator in enumerate(node.ops):
        for other in COMPARISONS[type(operator)]:
            words = [ast.unparse(parts[0])]
            for number, (this, part) in enumerate(zip(node.ops, parts[1:], strict=True)):
                sign = other if number == place else _sign(this)
                words += [sign, _wrapped(part)]
            yield node, " ".join([_wrapped(parts[0]), *words[1:]]), "comparison"


def _sign(operator: ast.cmpop) -> str:
    text = ast.unparse(ast.Compare(ast.Name("a"), [operator], [ast.Name("b")]))
    return text.removeprefix("a ").removesuffix(" b")


def _wrapped(node: ast.AST) -> str:
    text = ast.unparse(node)
    return f"({text})" if isinstance(node, ast.BoolOp | ast.Compare | ast.IfExp) else text


def _logic(node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.BoolOp):
        other = " or " if isinstance(node.op, ast.And) else " and "
        yield node, f"({other.join(map(_wrapped, node.values))})", "logic"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, f"bool({ast.unparse(node.operand)})", "logic"
    elif isinstance(node, ast.If):
        yield node.test, "False", "check"
        if node.orelse:
            yield node.test, "True", "check"
    elif isinstance(node, ast.IfExp):
        yield node.test, "True", "check"
        yield node.test, "False", "check"


def _arithmetic(node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.BinOp) and _is_no_arithmetic(node):
        return
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield node, ast.unparse(node.left), "operator"
        yield node, f"({ast.unparse(node.right)})", "operator"
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = (
            f"({ast.unparse(side)})" if isinstance(side, ast.BinOp) else ast.unparse(side)
            for side in (node.left, node.right)
        )
        yield node, f"({left} {OPERATORS[type(node.op)]} {right})", "operator"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert):
        if not isinstance(node.operand, ast.Constant):
            yield node, f"({ast.unparse(node.operand)})", "operator"


def _is_no_arithmetic(node: ast.BinOp) -> bool:
    """Whether an operator joins types, paths or texts: with another one it could only crash."""
    sides = (node.left, node.right)
    if any(isinstance(side, ast.Constant | ast.JoinedStr) and not _number(side) for side in sides):
        return True
    words = " ".join(map(ast.unparse, sides))
    if isinstance(node.op, ast.Div):
        return bool(re.search(r"folder|path|staging|kept|FILE|beside|name", words))
    return isinstance(node.op, ast.BitOr) and bool(re.search(r"\b(str|int|bytes|None)\b", words))


def _number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def _names(node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield node, f"{ast.unparse(node.value)}.{NAMES[node.attr]}", "name"
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield node, NAMES[node.id], "name"


def _statements(node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, "pass", "dropped"
    elif isinstance(node, ast.AugAssign | ast.Continue | ast.Delete):
        yield node, "pass", "dropped"
    elif isinstance(node, ast.With):
        for item in node.items:
            if item.optional_vars is None:
                yield item.context_expr, "__import__('contextlib').nullcontext()", "lock"


def _calls(node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.Call):
        return
    plain = (ast.Name, ast.Attribute, ast.Subscript)
    if len(node.args) == 2 and all(isinstance(one, plain) for one in node.args):
        first, second = map(ast.unparse, node.args)
        # These are never taken for another one.
        own = re.search(r"self|connection|database|np\.float|str$", f"{first} {second}")
        if ast.unparse(node.func).rpartition(".")[2] not in EITHER_WAY and own is None:
            rest = [ast.unparse(keyword) for keyword in node.keywords]
            yield node, f"{ast.unparse(node.func)}({', '.join([second, first, *rest])})", "swap"
    for keyword in node.keywords:
        if keyword.arg == "axis" and isinstance(keyword.value, ast.Constant):
            yield keyword.value, "1" if keyword.value.value == 0 else "0", "axis"


def _subscripts(node: ast.AST) -> Iterator[Edit]:
    """An index of 0 and of 1 are width and height, left and top."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        if node.slice.value in (0, 1) and isinstance(node.slice.value, int):
            yield node.slice, str(1 - node.slice.value), "axis"


MAKERS: tuple[Callable[[ast.AST], Iterator[Edit]], ...] = (
    _constants,
    _comparisons,
    _logic,
    _arithmetic,
    _names,
    _statements,
    _calls,
    _subscripts,
)
