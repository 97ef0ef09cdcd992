"""Configurations that others recommend or wrote: presets, and the replaced service's form.

Knows which published models a preset means, and fetches none.
"""

import json
from collections.abc import Mapping
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
    active: int | None = None  # the place of the one that was active there
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
        return ImportedConfigurations((parse_configuration(data, str(path)),))
    return _of_service(rows, packs or {}, str(path))


def _of_service(
    rows: list[dict[str, Any]], packs: Mapping[str, str], source: str
) -> ImportedConfigurations:
    versions = [row.get("version") for row in rows]
    numbers = [one for one in versions if isinstance(one, int) and not isinstance(one, bool)]
    if len(numbers) < len(rows) or sorted(set(numbers)) != numbers:
        raise ConfigurationError(f"{source}: expected versions that rise, got {versions}")
    active = [place for place, row in enumerate(rows) if row.get("is_active")]
    if len(active) > 1:
        both = " and ".join(str(numbers[place]) for place in active)
        raise ConfigurationError(f"{source}: expected one active version, got {both}")
    made = tuple(_of_row(row, packs, source) for row in rows)
    fields = {field for row in rows for field in row}
    notes = tuple(
        why for part, why in DROPPED.items() if any(part in field for field in sorted(fields))
    )
    return ImportedConfigurations(made, active[0] if active else None, notes)


def _of_row(row: dict[str, Any], packs: Mapping[str, str], source: str) -> Configuration:
    where = f"{source}, version {row['version']}"
    weights = _weights(row)
    bad = [name for name, weight in weights.items() if not isinstance(weight, int | float)]
    if bad:
        raise ConfigurationError(f"{where}: {bad[0]}{WEIGHT}: expected a number, got {row!r:.80}")
    try:
        # A model of weight 0 was never asked.
        members = tuple(
            ConfiguredPack(packs.get(model, model), float(weight))
            for model, weight in weights.items()
            if weight != 0
        )
        least = len(members) if row.get("require_all_agree") else row.get("minimum_consensus", 1)
        words = (row.get("name"), row.get("description"))
        return Configuration(
            members,
            least_members=min(int(least), len(members)),
            description=": ".join(str(one) for one in words if one),
        )
    except (ConfigurationError, TypeError, ValueError) as error:
        what = error.what if isinstance(error, ConfigurationError) else str(error)
        raise ConfigurationError(f"{where}: {what}") from error


def _weights(row: dict[str, Any]) -> dict[str, Any]:
    """Each model's weight, by the model."""
    return {
        field.removesuffix(WEIGHT): value for field, value in row.items() if field.endswith(WEIGHT)
    }
