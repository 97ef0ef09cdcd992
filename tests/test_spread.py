"""A group of options becomes its fields' options, and reaches the command as one value."""

import inspect
from dataclasses import dataclass

import pytest
import typer
from typer.testing import CliRunner

from visavis.cli.spread import spread


@dataclass(frozen=True, slots=True)
class Size:
    """Two options."""

    width: int
    height: int = 5


@spread
def draw(name: str, *, size: Size, loud: bool = False) -> None:
    """Draw it."""
    typer.echo(f"{name} {size} {loud}")


def test_the_fields_stand_in_the_groups_place():
    assert list(inspect.signature(draw).parameters) == ["name", "width", "height", "loud"]
    assert draw.__doc__ == "Draw it."


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["a", "3"], "a Size(width=3, height=5) False"),
        (["a", "3", "--height", "4", "--loud"], "a Size(width=3, height=4) True"),
    ],
)
def test_a_command_gets_the_group_as_one_value(words, printed):
    app = typer.Typer()
    app.command()(draw)
    assert CliRunner().invoke(app, words).stdout.strip() == printed
