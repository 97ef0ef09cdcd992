"""A training run as data: what is trained, on what, how. Knows no network and no file of pictures.

A recipe is a TOML file that says only what differs from the defaults; `key=value` changes more.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

from visavis.document import parse
from visavis.errors import ConfigurationError, did_you_mean
from visavis.train.classes import HeadOptions
from visavis.train.heads import MarginOptions

SUFFIX = ".toml"
SCHEDULES = ("step", "cosine", "polynomial")
OPTIMIZERS = ("sgd", "adamw")
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How often a picture is changed in each way; each draw is its own."""

    flip: float = 0.5
    # AdaFace's three, which it uses at 0.2 each.
    crop: float = 0.0  # a part of the face where it was, the rest black
    low_resolution: float = 0.0  # made small and large again
    photometric: float = 0.0  # brightness, contrast and saturation


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run. The defaults are arcface_torch's, for one GPU."""

    # What is trained.
    about: str = ""  # whose figures it aims at; whether we ran it
    backbone: str = "iresnet50"  # a key of visavis.train.backbones.BACKBONES
    dim: int = 512  # of an embedding
    init: str = ""  # a checkpoint to start from, of any family that the backbone's layout has
    frozen: tuple[str, ...] = ()  # beginnings of parameters' names that stay as they are
    still: bool = False  # batch norms keep the statistics that they start with

    # On what.
    data: str = ""  # a folder or zip of people, a .rec, or a Hugging Face data set on disk
    pairs: str = ""  # pictures with a list of pairs, to measure it on while it trains
    evaluate_every: int = 2000  # steps

    # The loss.
    head: str = "arcface"  # a key of visavis.train.heads.MARGINS, or none: the teacher alone
    margin: MarginOptions = field(default_factory=MarginOptions)
    classes: HeadOptions = field(default_factory=HeadOptions)
    teacher: str = ""  # a pack, whose embeddings are to be matched
    teacher_weight: float = 1.0  # of 1 - cosine to the teacher's, beside the head's loss

    # How.
    batch: int = 128  # pictures a step, over all processes
    people: int = 0  # in a batch, as many pictures of each; 0: pictures in any order
    steps: int = 0  # 0: as many as the epochs have
    epochs: int = 20
    rate: float = 0.02  # of learning, after the warm-up
    optimizer: str = "sgd"  # one of OPTIMIZERS; transformers want adamw
    momentum: float = 0.9  # of adamw its first beta
    decay: float = 5e-4  # of weights; norms and biases have none
    schedule: str = "polynomial"  # one of SCHEDULES
    power: float = 1.0  # of polynomial: 1 is linear, arcface_torch's
    drops: tuple[float, ...] = ()  # of step: epochs after which the rate is divided by 10
    warm_up: float = 0.0  # epochs
    clip: float = 5.0  # the greatest length of the backbone's gradient; 0: any
    precision: str = "float32"  # one of PRECISIONS; heads are float32 always
    average: float = 0.0  # memory of a moving mean of the weights, which is then what is kept
    devices: int = 1  # processes on this machine, each with a GPU of its own if there are any
    compile: bool = False
    channels_last: bool = False
    recompute: bool = False  # blocks' inner activations in the backward pass: less memory
    save_every: int = 1000  # steps
    log_every: int = 50  # steps
    seed: int = 2048
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        checks = (
            *(("schedule", self.schedule in SCHEDULES, ", ".join(SCHEDULES)),),
            *(("optimizer", self.optimizer in OPTIMIZERS, ", ".join(OPTIMIZERS)),),
            *(("precision", self.precision in PRECISIONS, ", ".join(PRECISIONS)),),
            *((name, _at(self, name) > 0, "more than 0") for name in POSITIVE),
            *((name, _at(self, name) >= 0, "0 or more") for name in NOT_NEGATIVE),
            *((name, 0 <= _at(self, name) <= 1, "0 to 1") for name in SHARES),
        )
        for name, fits, expected in checks:
            if not fits:
                got = _at(self, name)
                raise ConfigurationError(f"{name}: expected {expected}, got {got!r}")
        if self.head == "none" and not self.teacher:
            raise ConfigurationError("head: none learns nothing without a teacher")
        if self.compile and self.recompute:
            raise ConfigurationError("recompute: a compiled network decides itself what it keeps")
        if self.people and self.batch % self.people:
            raise ConfigurationError(
                f"batch: {self.batch} pictures are not as many of each of {self.people} people"
            )


POSITIVE = (
    "dim", "batch", "devices", "epochs", "rate", "evaluate_every", "save_every", "log_every",
    "power", "classes.rate", "classes.centres", "margin.scale",
)  # fmt: skip
NOT_NEGATIVE = ("people", "steps", "decay", "warm_up", "clip", "teacher_weight", "seed")
SHARES = (
    "momentum", "average", "classes.rate", "augmentation.flip", "augmentation.crop",
    "augmentation.low_resolution", "augmentation.photometric",
)  # fmt: skip


def recipes() -> list[str]:
    """The names of the recipes that come with visavis."""
    folder = files("visavis") / "recipes"
    return sorted(one.name.removesuffix(SUFFIX) for one in folder.iterdir() if SUFFIX in one.name)


def read_recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """A recipe by its name or its file, with changes as in `rate=0.1` or `margin.scale=32`.

    Raises ConfigurationError for a recipe or a key that there is not, naming the nearest, and for
    a value that cannot be.
    """
    path = Path(name)
    table: dict[str, Any] = {}
    try:
        if path.suffix == SUFFIX:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        elif name in recipes():
            table = tomllib.loads((files("visavis") / "recipes" / f"{name}{SUFFIX}").read_text())
        else:
            known = recipes()
            raise ConfigurationError(
                f"unknown recipe {name!r}; known: {', '.join(known)}, or a file{SUFFIX}",
                mend=did_you_mean(name, known),
            )
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name}: cannot be read as TOML: {error}") from error
    flat = _flat(table)
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ConfigurationError(f"expected key=value, got {change!r}")
        flat[key] = _value(value)
    return _recipe(flat, name)


def resolved(recipe: Recipe) -> bytes:
    """Every key with its value, as a recipe's file."""
    plain: dict[str, Any] = {}
    tables: dict[str, dict[str, Any]] = {}
    for key, value in asdict(recipe).items():
        if isinstance(value, dict):
            tables[key] = value
        else:
            plain[key] = value
    lines = [f"{key} = {_toml(value)}" for key, value in plain.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    return ("\n".join(lines) + "\n").encode()


def _toml(value: Any) -> str:
    # JSON's numbers, texts, lists and words are TOML's, too.
    return json.dumps(value, ensure_ascii=False)


def _at(recipe: Recipe, key: str) -> Any:
    value: Any = recipe
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


def _value(text: str) -> Any:
    """A value as TOML has it; a bare word is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _recipe(flat: Mapping[str, Any], source: str) -> Recipe:
    known = _flat(asdict(Recipe()))
    for key in flat:
        if key not in known:
            raise ConfigurationError(
                f"{source}: unknown key {key!r}", mend=did_you_mean(key, known)
            )
    groups: dict[str, dict[str, Any]] = {"": {}}
    for key, value in flat.items():
        group, _, name = key.rpartition(".")
        groups.setdefault(group, {})[name] = value
    hints = get_type_hints(Recipe)
    inner = {
        name: _parsed(hints[name], table, f"{source}: {name}")
        for name, table in groups.items()
        if name and is_dataclass(hints[name])
    }
    return replace(_parsed(Recipe, groups[""], source), **inner)


def _parsed(kind: Any, table: dict[str, Any], source: str) -> Any:
    """A dataclass of a table's values: whole numbers for floats, lists for tuples."""
    names = {one.name for one in fields(kind)}
    values = {name: value for name, value in table.items() if name in names}
    return parse(kind, json.dumps(values, default=str).encode(), source, ConfigurationError)
