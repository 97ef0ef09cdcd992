"""docs/architecture.md describes the house as it stands."""

import re

import pytest
from source import ROOT, modules
from test_layers import LAYERS

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DRAWING = re.search(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]
NAMED = sorted(set(re.findall(r"`((?:tests/|docs/)?[a-z_/]+\.(?:py|md))`", PAGE)))
DOTTED = sorted(
    {name for name in re.findall(r"`([a-z]+\.[a-z_]+)(?:\([^`]*\))?`", PAGE) if name[-3:] != ".py"}
)


def test_every_room_is_drawn_in_its_order():
    """The first words of the drawing's lines; a room has a slash."""
    rows = [line.split("  ")[0] for line in re.findall(r"^    (\S.*)$", DRAWING, re.MULTILINE)]
    drawn = [word.rstrip("/") for row in rows for word in row.split()]
    assert drawn == LAYERS


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_is_named_is_there(name):
    root = ROOT if name.startswith(("tests/", "docs/")) else ROOT / "src" / "visavis"
    assert (root / name).is_file()


@pytest.mark.parametrize("name", DOTTED)
def test_a_module_or_function_that_is_named_is_there(name):
    """`pack.metadata` is a module, `decision.decide` a name in one."""
    room, word = name.split(".")
    path = next(path for path in (f"visavis.{name}", f"visavis.{room}") if path in modules())
    if path == f"visavis.{room}":
        file = ROOT / "src" / "visavis" / room
        source = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        assert re.search(rf"\b{word}\b", source.read_text(encoding="utf-8"))
