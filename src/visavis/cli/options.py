"""What several verbs share: their options, how they print, how they show progress."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, TypeVar

import typer

if TYPE_CHECKING:
    from visavis.errors import VisavisError
    from visavis.gallery import Gallery
    from visavis.runtime import Device

T = TypeVar("T")

PATIENCE = 1.0  # seconds ahead from which on progress is shown

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]
Photos = Annotated[list[str], typer.Argument(help="Photos, folders of photos, or patterns.")]
PackArgument = Annotated[str, typer.Argument(help="A pack's name or folder.")]
PackName = Annotated[str, typer.Option("--pack", help="A pack's name or folder.")]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, or cuda:N.")]
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
Color = Literal["rgb", "bgr"]
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
        Color | None,
        typer.Option(help="Order of the input's channels; default: as its family or file says."),
    ] = None
    mean: Mean = None
    std: Std = None


# Of each stride, the width and height of three anchors.
Anchors = NewType("Anchors", tuple[tuple[tuple[float, float], ...], ...])


def anchors(text: str) -> Anchors:
    """Pairs with commas, strides with semicolons."""
    try:
        levels = [[float(side) for side in level.split(",")] for level in text.split(";")]
    except ValueError:
        levels = [[]]
    if not all(len(level) == 6 and all(0 < side < 1e6 for side in level) for level in levels):
        raise typer.BadParameter(
            f"expected three pairs above zero a stride, as in 4,5,8,10,13,16;..., got {text!r}"
        )
    return Anchors(tuple(tuple(zip(level[::2], level[1::2], strict=True)) for level in levels))


# What is said of a detector's file.
Commercial = Literal["yes", "no", "unknown"]
Decoder = Annotated[
    str | None, typer.Option(help="How the detector's outputs become faces; default: as fits.")
]
DetectorColor = Annotated[
    Color | None, typer.Option(help="Order of the detector's channels; default: as its file says.")
]
DetectorAnchors = Annotated[
    Anchors | None,
    typer.Option(
        parser=anchors,
        metavar="NUMBERS",
        help="Of a YOLOv5-face with raw outputs: for each stride in rising order three pairs of "
        "width and height in pixels, as in '4,5,8,10,13,16;23,29,...'; default: the published.",
    ),
]
DetectorSquashed = Annotated[
    bool | None,
    typer.Option(help="Of a YOLOv5-face with raw outputs: it is of April or May 2021."),
]
DetectorPadding = Annotated[
    int | None,
    typer.Option(help="0..255, what is around the picture; default: as its family knows."),
]
DetectorLicence = Annotated[
    str | None, typer.Option(help="Of the weights of a detector given as a file.")
]
DetectorCommercial = Annotated[
    Commercial | None, typer.Option(help="May such a detector be used commercially?")
]
GalleryFolder = Annotated[
    Path | None,
    typer.Option(
        "--gallery", help="The gallery's folder; default: $VISAVIS_GALLERY, or your data."
    ),
]


class Precision(StrEnum):
    """What models compute in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Runtime(StrEnum):
    """What runs models."""

    auto = "auto"
    openvino = "openvino"
    onnxruntime = "onnxruntime"


PrecisionName = Annotated[
    Precision, typer.Option("--precision", help="auto: bfloat16 to embed, where the CPU has it.")
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
        """As the library wants them, for one photo at a time."""
        from visavis.runtime import Device

        return Device(self.device, runtime=self.runtime.value, precision=self.precision.value)

    def for_many(self) -> "Device":
        """As the library wants them, for many photos side by side."""
        return self.for_one().for_many()


class Failures:
    """The items of a batch that failed, and why; the rest goes on."""

    def __init__(self) -> None:
        self.items: list[dict[str, str]] = []

    def add(self, path: Path, error: "VisavisError") -> None:
        """Note one item and say so on stderr."""
        reason = line(error)
        self.items.append({"path": str(path), "error": reason})
        print(f"visavis: {reason}", file=sys.stderr)

    def exit(self, items: int) -> None:
        """Exit 2 where the one item failed, 3 where some of a batch did."""
        if self.items:
            raise typer.Exit(2 if items == 1 else 3)


def line(error: "VisavisError") -> str:
    """What is wrong and how to mend it, in one line; the option that does so, by its name here."""
    option = f" (--{error.option.replace('_', '-')})" if error.option else ""
    return " ".join(f"{error}{option}".split())


def device_of(name: str, precision: Precision, runtime: Runtime) -> "Device":
    """The options as the library wants them."""
    from visavis.runtime import Device

    return Device(name, runtime=runtime.value, precision=precision.value)


def open_gallery(folder: Path | None, *, create: bool = True) -> "Gallery":
    """The gallery that is meant."""
    from visavis.gallery import Gallery, default_gallery

    return Gallery(folder or default_gallery(), create=create)


def warn_quarantined(gallery: "Gallery", model: str) -> None:
    """Name the templates that are damaged: they are not matched."""
    _, damaged = gallery.templates(model)
    for one in damaged:
        print(
            f"visavis: a template of person {one.person} is {one.reason}: it is left out; "
            "enrol the photo again",
            file=sys.stderr,
        )


def below(path: Path, paths: list[Path]) -> Path:
    """The path below the folder all share, so that two photos of one name do not meet."""
    shared = os.path.commonpath([other.absolute().parent for other in paths])
    return path.absolute().relative_to(shared)


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def workers() -> int:
    """Photos in work at once: two for each core, so that one can decode while another infers."""
    from visavis.runtime import cores

    return 2 * cores()


def each(
    work: Callable[[Path], T], paths: list[Path], failures: Failures, *, label: str
) -> Iterator[tuple[Path, T]]:
    """Each photo with what comes of it, in order, several at once, with a bar. Those that fail are
    noted and left out.
    """
    from visavis.batch import in_order
    from visavis.errors import VisavisError

    answers = in_order(work, paths, workers=workers())
    for path, answer in progress(answers, total=len(paths), label=label):
        if isinstance(answer, VisavisError):
            failures.add(path, answer)
        else:
            yield path, answer


def progress(items: Iterable[T], *, total: int, label: str) -> Iterator[T]:
    """The items, with a bar on stderr where that is a terminal and more than a second is ahead."""
    if not sys.stderr.isatty():
        yield from items
        return
    yield from _with_bar(items, total, label)


def watch(total: int, label: str) -> Callable[[Iterable[T]], Iterator[T]]:
    """`progress`, for what goes through its items later."""
    return lambda items: progress(items, total=total, label=label)


def _with_bar(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(label, total=total)
    started, shown = time.perf_counter(), False
    try:
        for done, item in enumerate(items):
            yield item
            ahead = (time.perf_counter() - started) / (done + 1) * (total - done - 1)
            if not shown and ahead > PATIENCE:
                bar.start()
                shown = True
            bar.update(task, completed=done + 1)
    finally:
        bar.stop()
