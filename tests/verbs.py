"""The verbs of the command line: what each is called, which function it is, what it takes."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_args

import typer
from source import functions, trees
from typer.models import ArgumentInfo

from visavis.cli import app


@dataclass(frozen=True)
class Verb:
    """A command as a user types it, and the function behind it."""

    name: str  # "people list"
    callback: Callable[..., None]

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

    def parameters(self) -> set[str]:
        """Everything it takes, groups spread."""
        return set(inspect.signature(self.callback).parameters)

    def groups(self) -> list[Any]:
        """The groups of options it takes: dataclasses."""
        signature = inspect.signature(inspect.unwrap(self.callback), eval_str=True)
        annotations = [parameter.annotation for parameter in signature.parameters.values()]
        return [kind for kind in annotations if is_dataclass(kind)]

    def options(self) -> set[str]:
        """What it takes by name, and not by place."""
        signature = inspect.signature(self.callback, eval_str=True)
        return {name for name, parameter in signature.parameters.items() if not _placed(parameter)}


def _placed(parameter: inspect.Parameter) -> bool:
    notes = get_args(parameter.annotation)[1:]
    if any(isinstance(note, ArgumentInfo) for note in notes):
        return True
    return parameter.default is inspect.Parameter.empty and not notes


@cache
def verbs() -> tuple[Verb, ...]:
    """Every verb of the app."""
    return tuple(_verbs(app, ""))


def _verbs(group: typer.Typer, before: str) -> Iterator[Verb]:
    for command in group.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        yield Verb(before + name, command.callback)
    for inner in group.registered_groups:
        # A group whose name is empty, or that runs without a verb, has a callback of its own.
        if inner.typer_instance.registered_callback:
            yield Verb(f"{before}{inner.name}", inner.typer_instance.registered_callback.callback)
        yield from _verbs(inner.typer_instance, f"{before}{inner.name} ")


@cache
def shared_by_several() -> frozenset[str]:
    """The fields of the groups that more than one function takes."""
    takers: dict[Any, set[Any]] = {}
    for verb in verbs():
        for group in verb.groups():
            takers.setdefault(group, set()).add(inspect.unwrap(verb.callback))
    return frozenset(
        field.name for group, users in takers.items() if len(users) > 1 for field in fields(group)
    )
