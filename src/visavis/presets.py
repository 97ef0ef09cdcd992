"""Configurations that others recommend or wrote: presets, and the replaced service's form.

Knows which published models a preset means, and fetches none.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visavis.configuration import Configuration, ConfiguredPack, parse_configuration
from visavis.errors import ConfigurationError
from visavis.hub.catalogue import CATALOGUE, Published
from visavis.pack import pack_names

WEIGHT = "_weight"
# Of the service's row, what has no place here, and why.
DROPPED = {
    "_threshold": "thresholds come from calibrations, with their error rates",
    "_temperature": "a calibration's slope stands in place of temperatures",
}
SHOWN = ("active", "models", "calibration")  # what `config show` adds to a configuration


@dataclass(frozen=True, slots=True)
class Preset:
    """Members by the published models that their packs are made of."""

    description: str
    weights: Mapping[str, float]  # pack, of the published model's name, to weight
    least_members: int

    @property
    def configuration(self) -> Configuration:
        """The preset as a configuration."""
        members = tuple(ConfiguredPack(pack, weight) for pack, weight in self.weights.items())
        return Configuration(
            members, least_members=self.least_members, description=self.description
        )

    @property
    def missing(self) -> dict[str, Published]:
        """The published models whose packs are not installed."""
        installed = pack_names()
        return {name: CATALOGUE[name] for name in self.weights if name not in installed}


PRESETS = {
    "three-model": Preset(
        "MobileFaceNet 0.30, ArcFace (int8 where that is fastest) 0.40, AdaFace 0.30",
        {"buffalo_s": 0.30, "buffalo_l": 0.40, "adaface-ir50-ms1mv2": 0.30},
        least_members=2,
    ),
}


@dataclass(frozen=True, slots=True)
class ImportedConfigurations:
    """What a file held, in the order of its versions."""

    configurations: tuple[Configuration, ...]
    notes: tuple[str, ...] = ()  # what was not taken over, and why


def preset_called(name: str) -> Preset:
    """A preset by its name. Raises ConfigurationError for one that there is not."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ConfigurationError(
            f"no preset {name!r}; there are: {', '.join(PRESETS)}", option="preset"
        ) from None


def read_configurations(
    path: Path, packs: Mapping[str, str] | None = None
) -> ImportedConfigurations:
    """A configuration of visavis, or the row or rows of the replaced service.

    `packs` names the pack of each of the service's models; without, a model's own name is its
    pack's. Raises ConfigurationError for what is neither, for two active rows, and for versions
    that are out of order.
    """
    try:
        data = path.read_bytes()
        document = json.loads(data)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: cannot be read as JSON: {error}") from error
    rows = document if isinstance(document, list) else [document]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ConfigurationError(f"{path}: expected a configuration, or a list of such")
    if not any(_weights(row) for row in rows):
        own = {field: value for field, value in rows[0].items() if field not in SHOWN}
        data = data if len(rows) > 1 else json.dumps(own).encode()
        _check_named(packs or {}, [])
        return ImportedConfigurations((parse_configuration(data, str(path)),))
    return _of_service(rows, packs or {}, str(path))


def _of_service(
    rows: list[dict[str, Any]], packs: Mapping[str, str], source: str
) -> ImportedConfigurations:
    versions = [row.get("version") for row in rows]
    numbers = [one for one in versions if isinstance(one, int) and not isinstance(one, bool)]
    if len(numbers) < len(rows) or sorted(set(numbers)) != numbers:
        raise ConfigurationError(f"{source}: expected versions that rise, got {versions}")
    active = [
        place
        for place, row in enumerate(rows)
        if _flag(row, "is_active", f"{source}, version {numbers[place]}")
    ]
    if len(active) > 1:
        both = " and ".join(str(numbers[place]) for place in active)
        raise ConfigurationError(f"{source}: expected one active version, got {both}")
    _check_named(packs, [model for row in rows for model in _weights(row)])
    made = tuple(_of_row(row, packs, source) for row in rows)
    fields = {field for row in rows for field in row}
    notes = [why for part, why in DROPPED.items() if any(part in field for field in fields)]
    notes += [f"version {numbers[place]} is active there: activate it here" for place in active]
    return ImportedConfigurations(made, tuple(notes))


def _of_row(row: dict[str, Any], packs: Mapping[str, str], source: str) -> Configuration:
    where = f"{source}, version {row['version']}"
    weights = _weights(row)
    for name, weight in weights.items():
        _check_number(weight, f"{where}: {name}{WEIGHT}", whole=False)
    # A model of weight 0 was never asked.
    asked = {model: float(weight) for model, weight in weights.items() if weight != 0}
    least = row.get("minimum_consensus", 1)
    _check_number(least, f"{where}: minimum_consensus", whole=True)
    if _flag(row, "require_all_agree", where):
        least = len(asked)
    words = (row.get("name"), row.get("description"))
    try:
        return Configuration(
            tuple(ConfiguredPack(packs.get(model, model), asked[model]) for model in asked),
            least_members=min(least, len(asked)),
            description=": ".join(str(one) for one in words if one),
        )
    except ConfigurationError as error:
        raise error.at(where) from error


def _flag(row: dict[str, Any], field: str, where: str) -> bool:
    value = row.get(field)
    if value not in (True, False, None):  # 0 and 1 are these, too
        raise ConfigurationError(f"{where}: {field}: expected true or false, got {value!r:.80}")
    return bool(value)


def _check_number(value: Any, where: str, *, whole: bool) -> None:
    kinds, words = (int, "a whole number") if whole else (int | float, "a number from 0 to 1")
    # A whole number may have more digits than a float can say.
    fits = isinstance(value, kinds) and not isinstance(value, bool) and (whole or 0 <= value <= 1)
    if not fits:
        raise ConfigurationError(f"{where}: expected {words}, got {value!r:.80}")


def _check_named(packs: Mapping[str, str], models: Sequence[str]) -> None:
    """A pack for a model that is in no row is a slip of the pen."""
    for model in packs:
        if model not in models:
            known = ", ".join(dict.fromkeys(models)) or "none"
            raise ConfigurationError(f"no model {model}; there are: {known}", option="packs")


def _weights(row: dict[str, Any]) -> dict[str, Any]:
    """Each model's weight, by the model."""
    return {
        field.removesuffix(WEIGHT): value for field, value in row.items() if field.endswith(WEIGHT)
    }
