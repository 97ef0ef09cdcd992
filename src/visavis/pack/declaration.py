"""What callers declare of networks whose files do not say it: in code, or in a TOML file.

docs/pack-format.md lists the keys. Knows no network, and fills nothing in.
"""

import json
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from visavis.decode.yolov5face import Anchors
from visavis.document import parse
from visavis.errors import PackError
from visavis.pack.manifest import Commercial
from visavis.runtime import Color, PerChannel


@dataclass(frozen=True, slots=True)
class Declared:
    """What is declared of one network; what is left out must be in its file's metadata."""

    name: str | None = None  # of an embedder: the first part of the model's identity
    color: Color | None = None
    mean: PerChannel | None = None  # on values 0..255, in the order of `color`
    std: PerChannel | None = None
    size: tuple[int, int] | None = None  # of an embedder: height and width
    margin: float | None = None  # of an embedder: with which crops are cut for it
    # These four are of a detector, as in a manifest. decoder None: the one that its outputs fit.
    decoder: str | None = None
    anchors: Anchors | None = None
    squashed_landmarks: bool | None = None
    padding: int | None = None
    source: str | None = None
    licence: str | None = None
    training_data: str | None = None
    commercial: Commercial | None = None
    citation: str | None = None

    def over(self, other: "Declared") -> "Declared":
        """What this declares, be it 0 or False, and for the rest what the other declares."""
        own: dict[str, Any] = {
            key: value for key, value in asdict(self).items() if value is not None
        }
        return replace(other, **own)


NOTHING = Declared()  # the file's metadata must say it all


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is declared of the two networks of a pack."""

    embedder: Declared = NOTHING
    detector: Declared = NOTHING

    def over(self, other: "Declaration") -> "Declaration":
        """What this declares, and for the rest what the other declares."""
        return Declaration(self.embedder.over(other.embedder), self.detector.over(other.detector))


NOTHING_DECLARED = Declaration()
EMBEDDER, DETECTOR = "embedder", "detector"
# Keys that one kind of network has and the other has not.
ALONE = {
    EMBEDDER: ("name", "size", "margin"),
    DETECTOR: ("decoder", "anchors", "squashed_landmarks", "padding"),
}


def read_declaration(path: Path) -> Declaration:
    """Read a TOML file: the embedder's keys, and a table [detector] with the detector's.

    Raises PackError naming the key that is unknown, or whose value cannot be.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PackError(f"{path}: cannot be read as TOML: {error}") from error
    detector = document.pop(DETECTOR, {})
    if not isinstance(detector, dict):
        raise PackError(f"{path}: {DETECTOR}: expected a table, got {detector!r:.80}")
    return Declaration(
        _declared(document, str(path), DETECTOR),
        _declared(detector, f"{path}: {DETECTOR}", EMBEDDER),
    )


def _declared(table: dict[str, Any], where: str, other: str) -> Declared:
    for key in ALONE[other]:
        if key in table:
            raise PackError(f"{where}: {key}: expected a key of this table, got the {other}'s")
    values = {key: _each_channel(key, value) for key, value in table.items()}
    return parse(Declared, json.dumps(values, default=str).encode(), where, PackError)


def _each_channel(key: str, value: Any) -> Any:
    """One number of a mean or std stands for three."""
    alone = key in ("mean", "std") and isinstance(value, int | float)
    return [value] * 3 if alone else value
