"""Write docs/api.md from the docstrings of what `import visavis` offers.

python docs/make_api.py
"""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import visavis
from visavis import types

PAGE = Path(__file__).with_name("api.md")
HEAD = """# What `import visavis` offers

Made from the source by `python docs/make_api.py`. Everything else is reachable by its module, as
[architecture](architecture.md) lays them out; the names here stay.
"""


def page() -> str:
    """The page, as it should be."""
    things = {name: getattr(visavis, name) for name in sorted(visavis.__all__, key=str.lower)}
    functions = [of_function(one) for one in things.values() if inspect.isfunction(one)]
    classes = [of_class(one) for one in things.values() if inspect.isclass(one)]
    lines = source(types).splitlines()
    arrays = [line for line in lines if line.partition(" = ")[0] in things]
    parts = {
        "Functions": functions,
        "Classes": classes,
        "Arrays": ["```python\n" + "\n".join(arrays) + "\n```"],
    }
    return HEAD + "".join(f"\n## {kind}\n\n" + "\n\n".join(parts[kind]) + "\n" for kind in parts)


def of_function(function: Any) -> str:
    """A function: its docstring below how it is called."""
    node = parsed(function)
    return (
        f"### {node.name}\n\n```python\n{header(function, node)}\n```\n\n{ast.get_docstring(node)}"
    )


def of_class(kind: Any) -> str:
    """A class: its docstring, and its fields and methods as they are written."""
    node = parsed(kind)
    public = [one for one in node.body if not getattr(one, "name", "_").startswith("_")]
    own = [one for one in node.body if isinstance(one, ast.AnnAssign)]
    lines = source(kind).splitlines()
    fields = [lines[one.lineno - 1] for one in own]
    code = [
        f"class {node.name}:",
        *fields,
        *(line for one in public for line in member(lines, one)),
    ]
    shown = "\n```python\n" + "\n".join(code) + "\n```" if len(code) > 1 else ""
    return f"### {node.name}\n\n{ast.get_docstring(node)}\n{shown}"


def member(lines: list[str], node: Any) -> Iterator[str]:
    """A method's header, and its docstring as a comment of its first line."""
    start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    yield ""
    yield from lines[start - 1 : node.body[0].lineno - 1]
    first = (ast.get_docstring(node) or "").partition("\n\n")[0].splitlines()
    yield from (f"        # {line}" for line in first)


def header(function: Any, node: Any) -> str:
    """A function's lines above its docstring, as they are written."""
    return "\n".join(source(function).splitlines()[node.lineno - 1 : node.body[0].lineno - 1])


def parsed(thing: Any) -> Any:
    """The syntax tree of a function or class."""
    return ast.parse(source(thing)).body[0]


def source(thing: Any) -> str:
    """The lines it is written in."""
    return dedent(inspect.getsource(thing))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
