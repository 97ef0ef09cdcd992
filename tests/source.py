"""The package's source as syntax trees, for the tests that hold its shape."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "visavis"


@cache
def trees() -> dict[str, ast.Module]:
    """Path below the package, with forward slashes, to its syntax tree."""
    return {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }


def dotted(path: str) -> str:
    """The module at a path: hub/pull.py is visavis.hub.pull, hub/__init__.py is visavis.hub."""
    name = path.removesuffix(".py").removesuffix("__init__").rstrip("/")
    return ".".join(("visavis", *filter(None, name.split("/"))))


@cache
def modules() -> frozenset[str]:
    """Every module of the package by its dotted name."""
    return frozenset(map(dotted, trees()))


def imported(node: ast.AST) -> list[str]:
    """The modules an import statement loads.

    `from visavis.pack import onnx` is visavis.pack.onnx, a module; `from visavis.pack import Pack`
    is visavis.pack, which has that name.
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    full = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name if name in modules() else node.module or "" for name in full]


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    """Every function and method."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run on import, those below an `if` too."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, ast.If):
            waiting = node.body + node.orelse + waiting


def lines_of(node: ast.AST) -> int:
    """How many lines a statement takes."""
    return node.end_lineno - node.lineno + 1


def docstring_lines(node: ast.AST) -> int:
    """How many lines a module's, class's or function's docstring takes."""
    documented = ast.get_docstring(node, clean=False) is not None
    return lines_of(node.body[0]) if documented else 0


def body_lines(function: ast.FunctionDef) -> int:
    """How many lines a function's body takes, without its docstring."""
    return function.end_lineno - function.body[0].lineno + 1 - docstring_lines(function)
