"""The package's source as syntax trees, for the tests that hold its shape."""

import ast
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "visavis"


@cache
def trees() -> dict[str, ast.Module]:
    """Path below the package, with forward slashes, to its syntax tree."""
    return {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }


def imported(node: ast.AST) -> list[str]:
    """The modules an import statement names: `from visavis.pack import mend` is visavis.pack."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    """Every function and method."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
