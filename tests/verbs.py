"""The verbs of the command line: what each is called, which function it is, what it takes."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any

import typer
from source import functions, trees

from visavis.cli import app


@dataclass(frozen=True)
class Verb:
    """A command as a user types it."""

    name: str  # "people list"
    command: Any  # of typer

    @property
    def callback(self) -> Callable[..., None]:
        """The function as it is written."""
        return inspect.unwrap(self.command.callback)

    @property
    def path(self) -> str:
        """The file it stands in, below the package."""
        return self.callback.__module__.removeprefix("visavis.").replace(".", "/") + ".py"

    @property
    def function(self) -> Any:
        """Its syntax tree."""
        named = [one for one in functions(trees()[self.path]) if one.name == self.callback.__name__]
        assert len(named) == 1, f"{self.path}: {self.callback.__name__}"
        return named[0]

    def groups(self) -> list[Any]:
        """The groups of options it takes: dataclasses."""
        parameters = inspect.signature(self.callback, eval_str=True).parameters.values()
        return [one.annotation for one in parameters if is_dataclass(one.annotation)]

    def arguments(self) -> set[str]:
        """What it takes by place: NAME, PACK."""
        return {one.name for one in self.command.params if one.param_type_name == "argument"}

    def options(self) -> dict[str, str]:
        """What it takes by name: parameter to option, pack to --pack."""
        given = [one for one in self.command.params if one.param_type_name == "option"]
        return {one.name: next(opt for opt in one.opts if opt[:2] == "--") for one in given}


@cache
def verbs() -> tuple[Verb, ...]:
    """Every verb of the app."""
    return tuple(_verbs(typer.main.get_command(app), ""))


def _verbs(command: Any, name: str) -> Iterator[Verb]:
    inner = getattr(command, "commands", {})
    if command.callback and (name or not inner):
        yield Verb(name, command)
    for word, one in inner.items():
        yield from _verbs(one, f"{name} {word}".strip())


@cache
def shared_by_several() -> frozenset[str]:
    """The fields of the groups that more than one function takes."""
    takers: dict[Any, set[Any]] = {}
    for verb in verbs():
        for group in verb.groups():
            takers.setdefault(group, set()).add(verb.callback)
    return frozenset(
        field.name for group, users in takers.items() if len(users) > 1 for field in fields(group)
    )
