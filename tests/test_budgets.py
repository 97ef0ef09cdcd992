"""Size and shape of the code, where ruff has no rule: the house budgets."""

import ast
from statistics import median, quantiles

from source import SOURCE, body_lines, docstring_lines, functions, trees

BODY_MEDIAN, BODY_P90, BODY_HARD = 10, 20, 45  # lines, docstring not counted
FILE_MEDIAN, FILE_HARD = 150, 450  # lines
DOCSTRING_SHARE = 0.15  # of all lines


def test_functions_are_short():
    sizes = {
        f"{path}:{function.name}": body_lines(function)
        for path, tree in trees().items()
        for function in functions(tree)
    }
    assert median(sizes.values()) <= BODY_MEDIAN
    assert quantiles(sizes.values(), n=10)[-1] <= BODY_P90
    assert {name: size for name, size in sizes.items() if size > BODY_HARD} == {}


def test_files_are_short():
    sizes = {
        path: len((SOURCE / path).read_text(encoding="utf-8").splitlines()) for path in trees()
    }
    assert median(sizes.values()) <= FILE_MEDIAN
    assert {path: size for path, size in sizes.items() if size > FILE_HARD} == {}


def test_docstrings_are_no_more_than_they_need_be():
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    documented = sum(
        docstring_lines(node)
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    )
    total = sum(len((SOURCE / path).read_text().splitlines()) for path in trees())
    assert documented / total <= DOCSTRING_SHARE


def test_inheritance_is_one_level():
    classes = {
        node.name: [ast.unparse(base) for base in node.bases]
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    own = {
        name: [base for base in bases if base in classes and base != "VisavisError"]
        for name, bases in classes.items()
    }
    assert {name: bases for name, bases in own.items() if bases} == {}
