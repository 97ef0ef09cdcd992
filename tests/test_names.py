"""One name, one thing; and what the library says, it says of parameters, not of options."""

import ast
import re
from collections import defaultdict

import pytest
from source import top_level, trees
from verbs import verbs

# Public names that two modules have, and why.
TWICE: dict[str, str] = {
    "load": "checkpoints/unpickle.py: torch.load calls its pickle module by these names",
}
ALIAS = re.compile(r"[A-Z]\w*[a-z]\w*")  # Crops, and not T or MOST_BYTES
# A variable of CSS looks like an option: "--line: #888" and "var(--line)".
OPTION = re.compile(r"(^|\s|(?<!var)\()--[a-z][a-z-]*\b(?!:)")
OF_PIP = re.compile(r"pip install( --[a-z-]+)+")  # pip's own options


def names(node: ast.stmt) -> list[str]:
    """The classes, type aliases and functions that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [one.id for one in targets if isinstance(one, ast.Name) and ALIAS.fullmatch(one.id)]
    return []


def test_no_two_public_things_have_one_name():
    commands = {(verb.path, verb.callback.__name__) for verb in verbs()}
    modules: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees().items():
        for node in top_level(tree):
            for name in names(node):
                if not name.startswith("_") and (path, name) not in commands:
                    modules[name].append(path)
    twice = {name: paths for name, paths in modules.items() if len(set(paths)) > 1}
    assert {name: paths for name, paths in twice.items() if name not in TWICE} == {}


@pytest.mark.parametrize("path", [path for path in trees() if not path.startswith("cli/")])
def test_the_library_speaks_of_no_option(path):
    strings = [
        node.value
        for node in ast.walk(trees()[path])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [text for text in strings if OPTION.search(OF_PIP.sub("", text))] == []
