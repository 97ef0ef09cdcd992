"""What several verbs share: their options, how they print, how they show progress."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NewType, TypeVar

import typer

from visavis.cli import printing

if TYPE_CHECKING:
    from visavis.configuration import Configuration
    from visavis.gallery import Gallery
    from visavis.gallery.templates import Parts
    from visavis.pack import Pack
    from visavis.recognizer import Recognizer
    from visavis.runtime import Device
    from visavis.types import Embedder

T = TypeVar("T")


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]
Photos = Annotated[list[str], typer.Argument(help="Photos, folders of photos, or patterns.")]
PackArgument = Annotated[str, typer.Argument(help="A pack's name or folder.")]
CalibrationFile = Annotated[
    Path | None,
    typer.Option("--calibration", help="A file of visavis calibrate, in place of the pack's."),
]
PackName = Annotated[
    str, typer.Option("--pack", help="A pack's name or folder; A+B, A:0.3+B:0.7: together.")
]

GalleryPackName = Annotated[
    str,
    typer.Option(
        "--pack",
        help="A pack's name or folder; A+B, A:0.3+B:0.7: together; default: the active "
        "configuration of the gallery, where the verb has one, or the default pack.",
    ),
]


def known_device(name: str) -> str:
    """Raise DeviceError for a device that no machine has."""
    from visavis.runtime import Device

    return Device(name).name


def known_policy(policy: str) -> str:
    """Raise CalibrationError for a policy that there is not, before any photo is read."""
    from visavis.decision import policy_rate

    policy_rate(policy)
    return policy


def policy_or_none(policy: str) -> str:
    """`known_policy`, where one is named."""
    return policy and known_policy(policy)


def between_0_and_1(rate: float | None) -> float | None:
    """A rate that can be asked for."""
    if rate is not None and not 0 < rate < 1:
        raise typer.BadParameter(f"expected a rate between 0 and 1, got {rate}")
    return rate


PolicyName = Annotated[
    str,
    typer.Option(
        callback=known_policy, help="convenience, standard, strict, or a false match rate."
    ),
]
DeviceName = Annotated[
    str, typer.Option("--device", callback=known_device, help="auto, cpu, or cuda:N.")
]
PairsList = Annotated[
    Path | None, typer.Option(help="A list of pairs; default: the one among the images.")
]
Exclude = Annotated[Path | None, typer.Option(help="A CSV of label errors: columns a, b, reason.")]
Align = Annotated[
    bool, typer.Option("--align", help="Find and align a face in each picture first.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out bad lines and pictures, and count them.")
]
ColorName = Literal["rgb", "bgr"]
# A type of its own: for a tuple typer would take three words.
Three = NewType("Three", tuple[float, float, float])


def three(text: str) -> Three:
    """A number for each of three channels, or one for all."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(abs(number) < 1e6 for number in numbers):
        raise typer.BadParameter(f"expected a number, or three with commas, got {text!r}")
    first, second, third = numbers if len(numbers) == 3 else numbers * 3
    return Three((first, second, third))


def three_above_zero(text: str) -> Three:
    """`three`, to divide by."""
    numbers = three(text)
    if min(numbers) < 1e-6:
        raise typer.BadParameter(f"expected numbers above zero, got {text!r}")
    return numbers


Mean = Annotated[
    Three | None,
    typer.Option(parser=three, metavar="NUMBERS", help="127.5, or three: subtracted from 0..255."),
]
Std = Annotated[
    Three | None,
    typer.Option(
        parser=three_above_zero, metavar="NUMBERS", help="127.5, or three: then divided by."
    ),
]


@dataclass(frozen=True, slots=True)
class Pixels:
    """How a network wants its pixels: three options of every verb that takes one in."""

    color: Annotated[
        ColorName | None,
        typer.Option(help="Order of the input's channels; default: as its family or file says."),
    ] = None
    mean: Mean = None
    std: Std = None


GalleryFolder = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        metavar="PATH",
        help="The gallery's folder, or postgresql://...; default: $VISAVIS_GALLERY, or your data.",
    ),
]


class Precision(StrEnum):
    """What models compute in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    int8 = "int8"


class Runtime(StrEnum):
    """What runs models."""

    auto = "auto"
    openvino = "openvino"
    onnxruntime = "onnxruntime"


PrecisionName = Annotated[
    Precision,
    typer.Option("--precision", help="auto: to embed, the fastest of CPU and pack."),
]
RuntimeName = Annotated[
    Runtime, typer.Option("--runtime", help="auto: OpenVINO on a CPU, ONNX Runtime on CUDA.")
]


@dataclass(frozen=True, slots=True)
class Where:
    """Where models run, and in what: three options of every verb that uses models."""

    device: DeviceName = "auto"
    precision: PrecisionName = Precision.auto
    runtime: RuntimeName = Runtime.auto

    def for_one(self) -> "Device":
        """The library's `Device` for one photo at a time."""
        from visavis.runtime import Device

        return Device(self.device, runtime=self.runtime.value, precision=self.precision.value)

    def for_many(self) -> "Device":
        """The library's `Device` for many photos side by side."""
        return self.for_one().for_many()


Tiled = Annotated[
    bool, typer.Option("--tiled", help="Also search at full resolution, for tiny faces; slow.")
]


@dataclass(frozen=True, slots=True)
class Scanning:
    """How photos are scanned: an option of every verb that finds faces."""

    tiled: Tiled = False

    def max_side(self) -> int | None:
        """Pixels at which a photo is scanned; None: in full."""
        from visavis.faces import MAX_SIDE

        return None if self.tiled else MAX_SIDE


@dataclass(frozen=True, slots=True)
class Recognition:
    """What recognises people, and how: six options of every verb that does so."""

    pack: GalleryPackName = ""
    calibration: CalibrationFile = None
    tiled: Tiled = False
    device: DeviceName = "auto"
    precision: PrecisionName = Precision.auto
    runtime: RuntimeName = Runtime.auto

    def for_one(self, people: "Gallery | None" = None) -> "Recognizer":
        """The models for one photo at a time; without a pack, those of the gallery's active
        configuration, or of the default pack.
        """
        return self._loaded(self.where.for_one(), people)

    def for_many(self, people: "Gallery | None" = None) -> "Recognizer":
        """`for_one`, for many photos side by side."""
        return self._loaded(self.where.for_many(), people)

    def detecting_pack(self, people: "Gallery | None" = None) -> "Pack":
        """The pack whose detector finds the faces, and whose networks judge whether they live."""
        from visavis.embedder import choose_models
        from visavis.pack import DEFAULT_PACK, load_pack

        configuration = configuration_of(self.pack, people)
        if configuration is not None:
            return load_pack(configuration.detecting_pack)
        return choose_models(self.pack or DEFAULT_PACK).detector

    @property
    def where(self) -> Where:
        """Where the models run."""
        return Where(self.device, self.precision, self.runtime)

    def _loaded(self, device: "Device", people: "Gallery | None") -> "Recognizer":
        return self._of(configuration_of(self.pack, people), device)

    def deciding(self, configuration: "Configuration | None") -> "Recognizer":
        """`for_many` by a configuration, which may be another than the gallery's active one."""
        return self._of(configuration, self.where.for_many())

    def _of(self, configuration: "Configuration | None", device: "Device") -> "Recognizer":
        from visavis.pack import DEFAULT_PACK
        from visavis.recognizer import Recognizer

        file = self.calibration
        if configuration is not None:
            return Recognizer.of(configuration, device, tiled=self.tiled, calibration=file)
        name = self.pack or DEFAULT_PACK
        return Recognizer.load(name, device, tiled=self.tiled, calibration=file)


def gallery_embedder(pack: str, people: "Gallery", device: "Device") -> "Embedder":
    """The pack's embedder; without one, the gallery's active configuration's."""
    from visavis.configuration import load_members
    from visavis.embedder import choose_models
    from visavis.pack import DEFAULT_PACK

    configuration = configuration_of(pack, people)
    if configuration is not None:
        return load_members(configuration, device).embed
    models = choose_models(pack or DEFAULT_PACK)
    return models.together(models.members(device))


def configuration_of(pack: str, people: "Gallery | None") -> "Configuration | None":
    """The gallery's active configuration, where no pack is named."""
    from visavis.gallery.configurations import active_configuration

    return active_configuration(people) if people is not None and not pack else None


def gallery_at(place: str | None, *, create: bool = True) -> "Gallery":
    """The gallery that is meant."""
    from visavis.gallery import default_gallery, open_gallery

    return open_gallery(place or default_gallery(), create=create)


def warn_quarantined(
    gallery: "Gallery", parts: "Parts", model: str, among: str | None = None
) -> None:
    """Name the templates that are not matched: damaged ones, and those of other models."""
    from visavis.answers.people import apart_words
    from visavis.gallery.models import photos_apart

    for one in gallery.quarantined(parts, among):
        printing.complain(
            f"a template of person {one.person} is {one.reason}: it is left out; "
            "enrol the photo again"
        )
    for line in apart_words(photos_apart(gallery, parts), model):
        printing.complain(line)
